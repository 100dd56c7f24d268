"""Shapes as form parameters (query and ec2 requests): `Tags.member.1.Key=…` to dicts and back.

Keys are taken apart at their dots into a tree, and the shape says what each level is. The answers of these protocols
are XML (`xml_codec`). Source: Smithy 2.0, "AWS query protocol" and "AWS EC2 query protocol".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.documents import SHAPES_REMEMBERED_MAX
from opentrail.wire.scalars import (
    NESTING_MAX,
    Malformed,
    Value,
    format_blob,
    format_boolean,
    format_float,
)
from opentrail.wire.timestamps import format_timestamp
from opentrail.wire.xml_codec import TEXT_READERS, UNNAMED_ITEM

FORM_PARAMETERS_MAX = 20_000
"""Parameters of one request, query string included."""
FORM_KEY_MAX = 2_048
"""Characters of a parameter's name."""
UNRESERVED = "-._~"

_INDEX = re.compile(r"[0-9]{1,9}")
QUERIES_KEPT, QUERY_KEPT_MAX = 256, 4_096
"""Query strings kept as pairs, and the characters of the longest one that is."""
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Node:
    """One level of a parameter's name: the value given for it, and the levels below."""

    __slots__ = ("below", "text")

    def __init__(self) -> None:
        self.text: str | None = None
        self.below: dict[str, Node] = {}


def percent_decode(text: str) -> str:
    """Percent escapes as UTF-8, `+` as a blank. `text` is latin-1, as `HttpRequest` has it; bytes above ASCII count as
    if they were escaped. Malformed for a broken escape or text that is not UTF-8."""
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text and text.isascii():
        return text
    if _BAD_ESCAPE.search(text):
        raise Malformed("a percent escape is broken")
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise Malformed("text is not UTF-8") from None


def split_pairs(text: str) -> list[tuple[str, str]]:
    """Latin-1 `a=1&b` as decoded pairs in order; a name without `=` has the value ``. At most FORM_PARAMETERS_MAX."""
    if not text:
        return []
    return list(_kept_pairs(text)) if len(text) <= QUERY_KEPT_MAX else form_pairs(text)


@lru_cache(maxsize=QUERIES_KEPT)
def _kept_pairs(text: str) -> list[tuple[str, str]]:
    """One request's query is asked for twice, by those who bind it and by those who record it."""
    return form_pairs(text)


def form_pairs(text: str) -> list[tuple[str, str]]:
    """As `split_pairs`, remembering nothing: for bodies, which hold passwords."""
    pieces = text.split("&", FORM_PARAMETERS_MAX)
    if len(pieces) > FORM_PARAMETERS_MAX:
        raise Malformed("too many parameters")
    pairs = []
    for piece in pieces:
        if piece:
            name, _, value = piece.partition("=")
            pairs.append((percent_decode(name), percent_decode(value)))
    return pairs


def form_tree(pairs: list[tuple[str, str]]) -> Node:
    """The parameters as a tree; of a name given twice the last counts."""
    root = Node()
    for name, value in pairs:
        levels = name.split(".", NESTING_MAX)
        if len(name) > FORM_KEY_MAX or len(levels) > NESTING_MAX:
            raise Malformed("a parameter's name is too long")
        node = root
        for level in levels:
            below = node.below.get(level)
            if below is None:
                below = node.below[level] = Node()
            node = below
        node.text = value
    return root


# Names


def query_names(member: Member) -> tuple[str, ...]:
    """The one name of a member in a query form; of a flattened list with named items it is the item's."""
    item = member.shape.item
    if member.flattened and item is not None and item.wire_name != UNNAMED_ITEM:
        return (item.wire_name,)
    return (member.wire_name,)


def ec2_names(member: Member) -> tuple[str, ...]:
    """EC2 capitalises the model's names; the member's own name is understood too."""
    if member.query_name:
        return (member.query_name,)
    capital = member.wire_name[:1].upper() + member.wire_name[1:]
    return (capital,) if member.wire_name == member.name else (capital, member.name)


@lru_cache(SHAPES_REMEMBERED_MAX)
def _by_name(shape: ShapeModel, ec2: bool) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for member in shape.members.values():
        names = ec2_names(member) if ec2 else query_names(member)
        found[names[0]] = member
    for member in shape.members.values():
        for name in ec2_names(member)[1:] if ec2 else ():
            found.setdefault(name, member)
    return found


# Reading


def read_form(shape: ShapeModel, node: Node, ec2: bool) -> dict[str, Value]:
    """The known members of a structure below `node`."""
    found = {}
    members = _by_name(shape, ec2)
    for name, below in node.below.items():
        member = members.get(name)
        if member is not None:
            found[member.name] = _read(member, below, ec2, name)
    return found


def _read(member: Member, node: Node, ec2: bool, name: str) -> Value:
    shape = member.shape
    kind = shape.type
    if kind == "structure":
        return read_form(shape, node, ec2)
    if kind == "list":
        return _read_list(member, node, ec2, name)
    if kind == "map":
        return _read_map(member, node, ec2)
    if node.text is None:
        raise Malformed(f"{name} has parameters below it", "body", name)
    try:
        return TEXT_READERS[kind](member, node.text)
    except Malformed as malformed:
        raise Malformed(malformed.reason, "body", name, node.text) from None


def _numbered(node: Node) -> list[tuple[str, Node]]:
    """The entries in the order of their numbers; gaps are allowed."""
    for number in node.below:
        if not _INDEX.fullmatch(number):
            raise Malformed(f"{number!r} is not the number of an entry", "body", number)
    return sorted(node.below.items(), key=lambda entry: int(entry[0]))


def _read_list(member: Member, node: Node, ec2: bool, name: str) -> list[Value]:
    item = member.shape.item
    if item is None:
        return []
    if not ec2 and not member.flattened:
        inner = node.below.get(item.wire_name)
        if inner is None:
            return []
        node = inner
    return [_read(item, entry, ec2, f"{name}.{number}") for number, entry in _numbered(node)]


def _read_map(member: Member, node: Node, ec2: bool) -> dict[str, Value]:
    shape = member.shape
    if not ec2 and not member.flattened:
        node = node.below.get("entry") or Node()
    if shape.key is None or shape.value is None:
        return {}
    found = {}
    for number, entry in _numbered(node):
        key, value = entry.below.get(shape.key.wire_name), entry.below.get(shape.value.wire_name)
        if key is None or key.text is None or value is None:
            raise Malformed("an entry of a map lacks its key or its value", "body", number)
        found[key.text] = _read(shape.value, value, ec2, shape.value.wire_name)
    return found


# Writing

Pairs = list[tuple[str, str]]


def write_form(pairs: Pairs, shape: ShapeModel, value: Mapping[str, Value], ec2: bool, prefix: str = "") -> None:
    """Append a structure's parameters; members that are None or unknown are left out."""
    for name, each in value.items():
        member = shape.members.get(name)
        if member is not None and each is not None:
            own = member.wire_name if not ec2 else ec2_names(member)[0]
            _write(pairs, member, each, ec2, prefix + own)


def _write(pairs: Pairs, member: Member, value: Value, ec2: bool, name: str) -> None:
    kind = member.shape.type
    if kind == "structure":
        write_form(pairs, member.shape, value, ec2, name + ".")
    elif kind == "list":
        _write_list(pairs, member, value, ec2, name)
    elif kind == "map":
        _write_map(pairs, member, value, ec2, name)
    else:
        pairs.append((name, _text(member, value)))


def _write_list(pairs: Pairs, member: Member, value: Value, ec2: bool, name: str) -> None:
    item = member.shape.item
    if item is None:
        return
    if not value and not ec2:
        pairs.append((name, ""))
    elif member.flattened and item.wire_name != UNNAMED_ITEM and not ec2:
        name = name.rpartition(".")[0] + "." + item.wire_name if "." in name else item.wire_name
    elif not member.flattened and not ec2:
        name = f"{name}.{item.wire_name}"
    for number, each in enumerate(value, 1):
        _write(pairs, item, each, ec2, f"{name}.{number}")


def _write_map(pairs: Pairs, member: Member, value: Mapping[str, Value], ec2: bool, name: str) -> None:
    key, inner = member.shape.key, member.shape.value
    if key is None or inner is None:
        return
    if not member.flattened and not ec2:
        name += ".entry"
    for number, (each, held) in enumerate(value.items(), 1):
        pairs.append((f"{name}.{number}.{key.wire_name}", each))
        _write(pairs, inner, held, ec2, f"{name}.{number}.{inner.wire_name}")


def _text(member: Member, value: Value) -> str:
    kind = member.shape.type
    if kind == "boolean":
        return format_boolean(value)
    if kind == "timestamp":
        return format_timestamp(value, member.timestamp_format or "iso8601")
    if kind == "blob":
        return format_blob(value)
    return format_float(value) if kind in ("float", "double") else str(value)


def join_pairs(pairs: Pairs) -> str:
    """The pairs as text, percent-encoded as AWS's clients do (`%20` for a blank)."""
    return "&".join(f"{quote(name, safe=UNRESERVED)}={quote(value, safe=UNRESERVED)}" for name, value in pairs)
