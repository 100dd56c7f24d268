"""Shapes as XML (rest-xml bodies, and the answers of query and ec2): read from a tree, written as text.

Reading ignores unknown elements and refuses an element given twice where the model has one. Writing follows the order
of the handler's dict, leaves out what the model does not know, and can never produce text that is not well-formed.
Source: Smithy 2.0, "AWS restXml protocol", "AWS query protocol"; S3's own spelling from its answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.documents import SHAPES_REMEMBERED_MAX
from opentrail.wire.scalars import (
    Malformed,
    Value,
    format_blob,
    format_boolean,
    format_float,
    parse_blob,
    parse_boolean,
    parse_float,
    parse_integer,
)
from opentrail.wire.timestamps import format_iso8601_millis, format_timestamp, parse_timestamp
from opentrail.wire.xml_tree import Element

XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
UNNAMED_ITEM = "member"

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
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
    if not text.isprintable():
        text = _NOT_XML.sub(REPLACEMENT, text)
        escaped = text.replace("&", "&amp;").replace("\r", "&#13;")
    elif "&" in text:
        escaped = text.replace("&", "&amp;")
    else:
        escaped = text
    if "<" in text or ">" in text or '"' in text:
        return escaped.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return escaped


def element_name(member: Member) -> str:
    """The name of a member's own element: `locationName` of the member, else of its shape, else the member's name."""
    if member.wire_name == member.name and member.shape.wire_name:
        return member.shape.wire_name
    return member.wire_name


def flattened_name(member: Member) -> str:
    """The name of each item of a flattened list: the item's where the model gives one, else the member's."""
    item = member.shape.item
    return element_name(member) if item is None or item.wire_name == UNNAMED_ITEM else item.wire_name


# Reading


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


# Writing


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """What differs between the services that answer in XML. Compared by identity: there are three."""

    timestamp: Callable[[Value], str]
    item_names: bool
    """Whether a flattened list's elements go by the name the model gives the item (answers) or the list (requests)."""


def _plain_timestamp(value: Value) -> str:
    return format_timestamp(value, "iso8601")


S3_ANSWER = Spelling(format_iso8601_millis, item_names=True)
ANSWER = Spelling(_plain_timestamp, item_names=True)
REQUEST = Spelling(_plain_timestamp, item_names=False)


class _Writable(NamedTuple):
    member: Member
    name: str
    open: str
    """Start tag, and of scalars nothing but it."""
    close: str
    text: Callable[[Value], str] | None
    """Writes a scalar; None for structures, lists and maps."""


def _string(value: Value) -> str:
    return escape(value if isinstance(value, str) else str(value))


_SCALARS: Mapping[str, Callable[[Value], str]] = {
    "string": _string,
    "boolean": format_boolean,
    "integer": str,
    "long": str,
    "float": format_float,
    "double": format_float,
    "blob": format_blob,
}


def _text_writer(member: Member, spelling: Spelling) -> Callable[[Value], str] | None:
    if member.shape.type != "timestamp":
        return _SCALARS.get(member.shape.type)
    form = member.timestamp_format.lower()
    if form in ("", "iso8601"):
        return spelling.timestamp
    return lambda value: format_timestamp(value, form)


def _namespace(namespace: tuple[str, str] | None) -> str:
    if namespace is None:
        return ""
    prefix, uri = namespace
    return f' xmlns:{prefix}="{escape(uri)}"' if prefix else f' xmlns="{escape(uri)}"'


@lru_cache(SHAPES_REMEMBERED_MAX)
def _writable(member: Member, spelling: Spelling) -> _Writable:
    flat = member.flattened and member.shape.type == "list" and spelling.item_names
    name = flattened_name(member) if flat else element_name(member)
    start = name + _namespace(member.xml_namespace or member.shape.xml_namespace)
    return _Writable(member, name, f"<{start}>", f"</{name}>", _text_writer(member, spelling))


class _Writables(NamedTuple):
    elements: dict[str, _Writable]
    attributes: tuple[Member, ...]


@lru_cache(SHAPES_REMEMBERED_MAX)
def _writables(shape: ShapeModel, spelling: Spelling) -> _Writables:
    members = shape.members.values()
    return _Writables(
        {member.name: _writable(member, spelling) for member in members if not member.xml_attribute},
        tuple(member for member in members if member.xml_attribute),
    )


def _attributes(members: tuple[Member, ...], value: Mapping[str, Value]) -> str:
    given = [(member.wire_name, value[member.name]) for member in members if value.get(member.name) is not None]
    return "".join(f' {name}="{escape(str(text))}"' for name, text in given)


def write_xml(parts: list[str], member: Member, value: Value, spelling: Spelling) -> None:
    """Append the element (of flattened ones: the elements) of a value that is not None."""
    _write(parts, _writable(member, spelling), value, spelling)


def _write(parts: list[str], field: _Writable, value: Value, spelling: Spelling) -> None:
    if field.text is not None:
        parts.append(f"{field.open}{field.text(value)}{field.close}")
        return
    kind = field.member.shape.type
    if kind == "structure":
        _write_structure(parts, field, value, spelling)
    elif kind == "list":
        _write_list(parts, field, value, spelling)
    else:
        _write_map(parts, field, value, spelling)


def _write_structure(parts: list[str], field: _Writable, value: Mapping[str, Value], spelling: Spelling) -> None:
    shape = field.member.shape
    attributes = _writables(shape, spelling).attributes
    parts.append(f"{field.open[:-1]}{_attributes(attributes, value)}>" if attributes else field.open)
    write_xml_members(parts, shape, value, spelling)
    parts.append(field.close)


def write_xml_members(parts: list[str], shape: ShapeModel, value: Mapping[str, Value], spelling: Spelling) -> None:
    """Append the elements of a structure's members, without an element around them."""
    fields = _writables(shape, spelling).elements
    for name, each in value.items():
        field = fields.get(name)
        if field is None or each is None:
            continue
        if field.text is not None:
            parts.append(f"{field.open}{field.text(each)}{field.close}")
        else:
            _write(parts, field, each, spelling)


def _write_list(parts: list[str], field: _Writable, value: Value, spelling: Spelling) -> None:
    item = field.member.shape.item
    if item is None:
        return
    inner = _writable(item, spelling)
    if field.member.flattened:
        inner = inner._replace(open=field.open, close=field.close, name=field.name)
    else:
        parts.append(field.open)
    for each in value:
        if each is not None:
            _write(parts, inner, each, spelling)
    if not field.member.flattened:
        parts.append(field.close)


def _write_map(parts: list[str], field: _Writable, value: Mapping[str, Value], spelling: Spelling) -> None:
    shape = field.member.shape
    if shape.key is None or shape.value is None:
        return
    key, inner = _writable(shape.key, spelling), _writable(shape.value, spelling)
    flat = field.member.flattened
    start, end = (field.open, field.close) if flat else ("<entry>", "</entry>")
    if not flat:
        parts.append(field.open)
    for name, each in value.items():
        if each is not None:
            parts.append(f"{start}{key.open}{escape(name)}{key.close}")
            _write(parts, inner, each, spelling)
            parts.append(end)
    if not flat:
        parts.append(field.close)


def render_root(name: str, namespace: str, shape: ShapeModel, value: Mapping[str, Value], spelling: Spelling) -> str:
    """A whole element `name` with the members of a structure inside; `namespace` is a URI or empty."""
    attributes = _attributes(_writables(shape, spelling).attributes, value)
    declared = _namespace(("", namespace)) if namespace else ""
    parts = [f"<{name}{declared}{attributes}>"]
    write_xml_members(parts, shape, value, spelling)
    parts.append(f"</{name}>")
    return "".join(parts)
