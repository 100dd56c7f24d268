"""Shapes as plain trees of dicts and lists: what JSON and CBOR have in common.

A `Dialect` says how scalars look and whether members go by their wire name. Reading is strict about types, ignores
unknown members, drops null members and keeps null items (the validator refuses them); writing takes whatever order the
handler used and leaves out what the model does not know. Knows no bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.scalars import Malformed, Value, check_integer

SHAPES_REMEMBERED_MAX = 8_192
"""Name tables of structures kept, in this module and in each codec."""
KINDS: Mapping[type, str] = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", bool: "BOOLEAN_VALUE"}

Convert = Callable[[Member, Value], Value]
Write = Callable[[Value], Value]


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """How one format reads scalars, and what writes a member's. Types that a table does not have are passed as they are."""

    readers: Mapping[str, Convert]
    writers: Mapping[str, Callable[[Member], Write]]
    wire_names: bool


@lru_cache(SHAPES_REMEMBERED_MAX)
def _by_wire_name(shape: ShapeModel) -> dict[str, Member]:
    """Members by their own names, then (winning) by their wire names."""
    return dict(shape.members) | {member.wire_name: member for member in shape.members.values()}


def read(member: Member, value: Value, dialect: Dialect) -> Value:
    """A value of `member`'s shape out of a decoded tree. Malformed if it is of another type."""
    shape = member.shape
    kind = shape.type
    if kind == "structure":
        return value if shape.document else read_structure(shape, value, dialect)
    if kind == "list":
        return _read_list(member, value, dialect)
    if kind == "map":
        return _read_map(member, value, dialect)
    return dialect.readers[kind](member, value)


def read_structure(shape: ShapeModel, value: Value, dialect: Dialect) -> dict[str, Value]:
    """The known members that are not null."""
    if not isinstance(value, dict):
        raise Malformed(f"{kind_of(value)} can not be converted to a structure")
    members = _by_wire_name(shape) if dialect.wire_names else shape.members
    found = {}
    for name, raw in value.items():
        member = members.get(name)
        if member is not None and raw is not None:
            found[member.name] = read(member, raw, dialect)
    return found


def _read_list(member: Member, value: Value, dialect: Dialect) -> list[Value]:
    item = member.shape.item
    if not isinstance(value, list) or item is None:
        raise Malformed(f"{kind_of(value)} can not be converted to a list")
    return [None if raw is None else read(item, raw, dialect) for raw in value]


def _read_map(member: Member, value: Value, dialect: Dialect) -> dict[str, Value]:
    item = member.shape.value
    if not isinstance(value, dict) or item is None:
        raise Malformed(f"{kind_of(value)} can not be converted to a map")
    found = {}
    for key, raw in value.items():
        if not isinstance(key, str):
            raise Malformed("a map's key is not a string")
        found[key] = None if raw is None else read(item, raw, dialect)
    return found


def kind_of(value: Value) -> str:
    """What AWS's messages call the type of a value."""
    return KINDS.get(type(value), "Start of structure, list or other value")


def read_string(_member: Member, value: Value) -> str:
    if not isinstance(value, str):
        raise Malformed(f"{kind_of(value)} can not be converted to a String")
    return value


def read_boolean(_member: Member, value: Value) -> bool:
    if not isinstance(value, bool):
        raise Malformed(f"{kind_of(value)} can not be converted to a Boolean")
    return value


def read_integer(member: Member, value: Value) -> int:
    """Whole numbers; a number with a zero fraction counts as whole."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{kind_of(value)} can not be converted to an Integer")
    return check_integer(value, member.shape.type)


def write(member: Member, value: Value, dialect: Dialect) -> Value:
    """A tree that the format's encoder takes. Nulls stay nulls inside lists and maps, and vanish from structures."""
    convert = _writer(member, dialect)
    return value if value is None or convert is None else convert(value)


def write_structure(shape: ShapeModel, value: Mapping[str, Value], dialect: Dialect) -> dict[str, Value]:
    """The known members that are not None."""
    written, converted = _writers(shape, dialect)
    if converted is None or not value.keys() <= written.keys() or None in value.values():
        return {
            written[name][0]: each if (convert := written[name][1]) is None else convert(each)
            for name, each in value.items()
            if each is not None and name in written
        }
    whole = dict(value)  # most structures are like that, and of most members nothing is changed
    for name, convert in converted.items():
        if name in whole:
            whole[name] = convert(whole[name])
    return whole


@lru_cache(SHAPES_REMEMBERED_MAX)
def _writers(
    shape: ShapeModel, dialect: Dialect
) -> tuple[dict[str, tuple[str, Write | None]], dict[str, Write] | None]:
    """By name, (name as it is written, how its value is) of a structure's members; and those that are not written as they
    are, unless it is their names."""
    written = {
        name: (member.wire_name if dialect.wire_names else name, _writer(member, dialect))
        for name, member in shape.members.items()
    }
    if any(name != wire_name for name, (wire_name, _) in written.items()):
        return written, None
    return written, {name: convert for name, (_, convert) in written.items() if convert is not None}


@lru_cache(SHAPES_REMEMBERED_MAX)
def _writer(member: Member, dialect: Dialect) -> Write | None:
    """How values that are not None are written; None: as they are. A shape that holds itself does so by way of a
    structure (Smithy 2.0, "Recursive shape definitions"), and what that holds is looked at when one is written."""
    shape = member.shape
    if shape.type == "structure":
        return None if shape.document else lambda value: write_structure(shape, value, dialect)
    if shape.type == "list":
        return None if shape.item is None else _list_writer(_writer(shape.item, dialect))
    if shape.type == "map":
        return None if shape.value is None else _map_writer(_writer(shape.value, dialect))
    writer = dialect.writers.get(shape.type)
    return None if writer is None else writer(member)


def _list_writer(item: Write | None) -> Write:
    if item is None:
        return list
    return lambda value: [None if each is None else item(each) for each in value]


def _map_writer(item: Write | None) -> Write:
    if item is None:
        return dict
    return lambda value: {key: None if each is None else item(each) for key, each in value.items()}
