"""Shapes as XML text: the answers of rest-xml, query and ec2, and the bodies of our own requests.

Writing follows the order of the handler's dict, leaves out what the model does not know, and can never produce text that
is not well-formed. A shape is compiled once into functions that append text, because a listing is a thousand times the
same few members. Source: Smithy 2.0, "AWS restXml protocol", "AWS query protocol"; S3's own spelling from its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.documents import SHAPES_REMEMBERED_MAX
from opentrail.wire.scalars import Value, format_blob, format_boolean, format_float
from opentrail.wire.timestamps import format_iso8601_millis, format_timestamp
from opentrail.wire.xml_codec import element_name, escape, flattened_name

Writer: TypeAlias = Callable[[list[str], Value], None]
"""Appends the text of a value that is not None."""
Texter: TypeAlias = Callable[[Value], str]


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """What differs between the services that answer in XML. Compared by identity: there are three."""

    timestamp: Texter
    item_names: bool
    """Whether a flattened list's elements go by the name the model gives the item (answers) or the list (requests)."""


def _plain_timestamp(value: Value) -> str:
    return format_timestamp(value, "iso8601")


S3_ANSWER = Spelling(format_iso8601_millis, item_names=True)
ANSWER = Spelling(_plain_timestamp, item_names=True)
REQUEST = Spelling(_plain_timestamp, item_names=False)


def write_xml(parts: list[str], member: Member, value: Value, spelling: Spelling) -> None:
    """Append the element (of flattened ones: the elements) of a value that is not None."""
    _element_writer(member, spelling)(parts, value)


def write_xml_members(parts: list[str], shape: ShapeModel, value: Mapping[str, Value], spelling: Spelling) -> None:
    """Append the elements of a structure's members, without an element around them."""
    _members_writer(shape, spelling)(parts, value)


def render_root(name: str, namespace: str, shape: ShapeModel, value: Mapping[str, Value], spelling: Spelling) -> str:
    """A whole element `name` with the members of a structure inside; `namespace` is a URI or empty."""
    declared = _namespace(("", namespace)) if namespace else ""
    parts = [f"<{name}{declared}{_attributes(_attribute_members(shape), value)}>"]
    write_xml_members(parts, shape, value, spelling)
    parts.append(f"</{name}>")
    return "".join(parts)


def _string(value: Value) -> str:
    return escape(value if isinstance(value, str) else str(value))


_SCALARS: Mapping[str, Texter] = {
    "string": _string,
    "boolean": format_boolean,
    "integer": str,
    "long": str,
    "float": format_float,
    "double": format_float,
    "blob": format_blob,
}


def _texter(member: Member, spelling: Spelling) -> Texter | None:
    """Writes a scalar; None for structures, lists and maps."""
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


def _tags(member: Member, name: str) -> tuple[str, str]:
    """Start and end of an element of that name."""
    return f"<{name}{_namespace(member.xml_namespace or member.shape.xml_namespace)}>", f"</{name}>"


@lru_cache(SHAPES_REMEMBERED_MAX)
def _attribute_members(shape: ShapeModel) -> tuple[Member, ...]:
    return tuple(member for member in shape.members.values() if member.xml_attribute)


def _attributes(members: tuple[Member, ...], value: Mapping[str, Value]) -> str:
    given = [(member.wire_name, value[member.name]) for member in members if value.get(member.name) is not None]
    return "".join(f' {name}="{escape(str(text))}"' for name, text in given)


@lru_cache(SHAPES_REMEMBERED_MAX)
def _element_writer(member: Member, spelling: Spelling) -> Writer:
    """The writer of a member with the element around it."""
    flat = member.flattened and member.shape.type == "list" and spelling.item_names
    start, end = _tags(member, flattened_name(member) if flat else element_name(member))
    return _value_writer(member, start, end, spelling)


def _value_writer(member: Member, start: str, end: str, spelling: Spelling) -> Writer:
    """The writer of a value between (of flattened ones: of each item between) two tags."""
    text, kind = _texter(member, spelling), member.shape.type
    if text is not None:
        return _scalar_writer(text, start, end)
    if kind == "structure":
        return _structure_writer(member.shape, start, end, spelling)
    if kind == "list":
        return _list_writer(member, start, end, spelling)
    return _map_writer(member, start, end, spelling)


def _scalar_writer(text: Texter, start: str, end: str) -> Writer:
    def write(parts: list[str], value: Value) -> None:
        parts.append(f"{start}{text(value)}{end}")

    return write


@lru_cache(SHAPES_REMEMBERED_MAX)
def _members_writer(shape: ShapeModel, spelling: Spelling) -> Writer:
    """Scalars are written in the loop itself. Shapes may hold themselves, so the others are compiled when first needed."""
    scalars: dict[str, tuple[str, Texter, str]] = {}
    others: dict[str, Member] = {}
    for member in shape.members.values():
        text = _texter(member, spelling)
        if member.xml_attribute:
            continue
        if text is None:
            others[member.name] = member
        else:
            start, end = _tags(member, element_name(member))
            scalars[member.name] = (start, text, end)
    writers: dict[str, Writer] = {}

    def write(parts: list[str], value: Mapping[str, Value]) -> None:
        for name, each in value.items():
            if each is None:
                continue
            scalar = scalars.get(name)
            if scalar is not None:
                start, text, end = scalar
                parts.append(f"{start}{text(each)}{end}")
            elif name in writers:
                writers[name](parts, each)
            elif name in others:
                writers[name] = _element_writer(others[name], spelling)
                writers[name](parts, each)

    return write


def _structure_writer(shape: ShapeModel, start: str, end: str, spelling: Spelling) -> Writer:
    attributes = _attribute_members(shape)
    members: list[Writer] = []

    def write(parts: list[str], value: Mapping[str, Value]) -> None:
        if not members:
            members.append(_members_writer(shape, spelling))
        parts.append(f"{start[:-1]}{_attributes(attributes, value)}>" if attributes else start)
        members[0](parts, value)
        parts.append(end)

    return write


def _list_writer(member: Member, start: str, end: str, spelling: Spelling) -> Writer:
    item = member.shape.item
    if item is None:
        return _nothing
    flat = member.flattened
    inner = _value_writer(item, start, end, spelling) if flat else _element_writer(item, spelling)

    def write(parts: list[str], value: Value) -> None:
        if not flat:
            parts.append(start)
        for each in value:
            if each is not None:
                inner(parts, each)
        if not flat:
            parts.append(end)

    return write


def _map_writer(member: Member, start: str, end: str, spelling: Spelling) -> Writer:
    shape, flat = member.shape, member.flattened
    if shape.key is None or shape.value is None:
        return _nothing
    before, after = _tags(shape.key, element_name(shape.key))
    inner = _element_writer(shape.value, spelling)
    opening, closing = (start, end) if flat else ("<entry>", "</entry>")

    def write(parts: list[str], value: Mapping[str, Value]) -> None:
        if not flat:
            parts.append(start)
        for name, each in value.items():
            if each is not None:
                parts.append(f"{opening}{before}{escape(name)}{after}")
                inner(parts, each)
                parts.append(closing)
        if not flat:
            parts.append(end)

    return write


def _nothing(_parts: list[str], _value: Value) -> None:
    """For lists and maps whose items the model does not tell."""
