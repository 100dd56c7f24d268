"""Shapes out of XML (bodies of rest-xml, answers of query and ec2), and the names and texts that reading and writing share.

Reading ignores unknown elements and refuses an element given twice where the model has one. Writing is `wire.xml_writer`.
Source: Smithy 2.0, "AWS restXml protocol", "AWS query protocol".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.documents import SHAPES_REMEMBERED_MAX
from opentrail.wire.scalars import (
    Malformed,
    Value,
    parse_blob,
    parse_boolean,
    parse_float,
    parse_integer,
)
from opentrail.wire.timestamps import parse_timestamp
from opentrail.wire.xml_tree import Element

XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
UNNAMED_ITEM = "member"

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_PRINTABLE = bytes(range(32, 127))
LONG_TEXT = 256
"""Characters from which on a text is looked through as bytes."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

TextReader = Callable[[Member, str], Value]
TEXT_READERS: Mapping[str, TextReader] = {
    "string": lambda _member, text: text,
    "boolean": lambda _member, text: parse_boolean(text),
    "integer": lambda member, text: parse_integer(text, member.shape.type),
    "long": lambda member, text: parse_integer(text, member.shape.type),
    "float": lambda _member, text: parse_float(text),
    "double": lambda _member, text: parse_float(text),
    "blob": lambda _member, text: parse_blob(text),
    "timestamp": lambda _member, text: parse_timestamp(text),
}
"""Scalars by the type of their shape, out of text that is not JSON."""


def escape(text: str) -> str:
    """Text that may stand between tags and inside double quotes; what XML 1.0 cannot hold becomes U+FFFD.

    Quotes are escaped as S3 does (`&quot;` around an ETag), carriage returns so that they survive a parser.
    """
    if not (text.isprintable() if len(text) < LONG_TEXT else _is_printable(text)):
        text = _NOT_XML.sub(REPLACEMENT, text)
        escaped = text.replace("&", "&amp;").replace("\r", "&#13;")
    elif "&" in text:
        escaped = text.replace("&", "&amp;")
    else:
        escaped = text
    if "<" in text or ">" in text or '"' in text:
        return escaped.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return escaped


def _is_printable(text: str) -> bool:
    """`text.isprintable()`, which looks every character up: of a thousand keys that costs more than the rest."""
    return not text.encode("ascii").translate(None, _PRINTABLE) if text.isascii() else text.isprintable()


def element_name(member: Member) -> str:
    """The name of a member's own element: `locationName` of the member, else of its shape, else the member's name."""
    if member.wire_name == member.name and member.shape.wire_name:
        return member.shape.wire_name
    return member.wire_name


def flattened_name(member: Member) -> str:
    """The name of each item of a flattened list: the item's where the model gives one, else the member's."""
    item = member.shape.item
    return element_name(member) if item is None or item.wire_name == UNNAMED_ITEM else item.wire_name


class _Readable(NamedTuple):
    elements: dict[str, Member]
    attributes: dict[str, Member]


@lru_cache(SHAPES_REMEMBERED_MAX)
def _readable(shape: ShapeModel) -> _Readable:
    elements: dict[str, Member] = {}
    for member in shape.members.values():
        if member.flattened and member.shape.type == "list":
            elements.setdefault(flattened_name(member).rpartition(":")[2], member)
    for member in shape.members.values():
        if not member.xml_attribute:
            elements[element_name(member).rpartition(":")[2]] = member
    attributes = {m.wire_name.rpartition(":")[2]: m for m in shape.members.values() if m.xml_attribute}
    return _Readable(elements, attributes)


def read_xml(member: Member, element: Element) -> Value:
    """A value of `member`'s shape out of its element (of lists and maps: the element around the entries)."""
    shape = member.shape
    kind = shape.type
    if kind == "structure":
        return read_xml_structure(shape, element)
    if kind == "list":
        return [] if shape.item is None else _read_items(shape.item, element.children)
    if kind == "map":
        return _read_entries(shape, element.children)
    if element.children:
        raise Malformed(f"{element.local} has elements inside", "body", element.local)
    return TEXT_READERS[kind](member, element.text)


def read_xml_structure(shape: ShapeModel, element: Element) -> dict[str, Value]:
    """The known members among the element's children and attributes."""
    readable = _readable(shape)
    found: dict[str, Value] = {}
    flat: dict[str, list[Element]] = {}
    for child in element.children:
        member = readable.elements.get(child.local)
        if member is None:
            continue
        if member.flattened:
            flat.setdefault(member.name, []).append(child)
        elif member.name in found:
            raise Malformed(f"{child.local} is given twice", "body", child.local)
        else:
            found[member.name] = read_xml(member, child)
    for name, children in flat.items():
        found[name] = _read_flat(shape.members[name], children)
    if readable.attributes and element.attributes:
        _read_attributes(readable.attributes, element, found)
    return found


def _read_attributes(attributes: Mapping[str, Member], element: Element, found: dict[str, Value]) -> None:
    for name, text in element.attributes.items():
        member = attributes.get(name.rpartition(":")[2])
        if member is not None and not name.startswith("xmlns"):
            found[member.name] = TEXT_READERS[member.shape.type](member, text)


def _read_items(item: Member, elements: list[Element]) -> list[Value]:
    name = element_name(item).rpartition(":")[2]
    return [read_xml(item, element) for element in elements if element.local == name]


def _read_flat(member: Member, elements: list[Element]) -> Value:
    if member.shape.type == "map":
        return _read_entries(member.shape, elements)
    item = member.shape.item
    return [] if item is None else [read_xml(item, element) for element in elements]


def _read_entries(shape: ShapeModel, entries: list[Element]) -> dict[str, Value]:
    if shape.key is None or shape.value is None:
        return {}
    found = {}
    for entry in entries:
        key, value = entry.child(shape.key.wire_name), entry.child(shape.value.wire_name)
        if key is None or value is None:
            raise Malformed("an entry of a map lacks its key or its value", "body", entry.local)
        found[key.text] = read_xml(shape.value, value)
    return found
