"""Shapes as XML text: the answers of rest-xml, query and ec2, and the bodies of our own requests.

Writing follows the order of the handler's dict, leaves out what the model does not know, and can never produce text that
is not well-formed. A listing is a thousand times the same few members, so a shape is compiled once into functions that
write many values at a time, member by member: escaping a thousand keys is then one search through all of them.
Source: Smithy 2.0, "AWS restXml protocol", "AWS query protocol"; S3's own spelling from its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import TypeAlias

from opentrail.call import Columns
from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.documents import SHAPES_REMEMBERED_MAX
from opentrail.wire.scalars import Value, format_blob, format_boolean, format_float
from opentrail.wire.timestamps import format_all_iso8601_millis, format_timestamp
from opentrail.wire.xml_codec import element_name, escape, flattened_name

Writer: TypeAlias = Callable[[Sequence[Value]], Sequence[str]]
"""The texts of some values of one shape, one each. None of the values is None."""
Texter: TypeAlias = Callable[[Value], str]
FORMS_MAX = 256
"""Sets of members that are remembered of one structure."""
MARK = "|"
"""Set between texts that are escaped together; it is nothing that escaping changes."""


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """What differs between the services that answer in XML. Compared by identity: there are three."""

    timestamps: Writer
    item_names: bool
    """Whether a flattened list's elements go by the name the model gives the item (answers) or the list (requests)."""


def _plain_timestamps(values: Sequence[Value]) -> Sequence[str]:
    return [format_timestamp(value, "iso8601") for value in values]


S3_ANSWER = Spelling(format_all_iso8601_millis, item_names=True)
ANSWER = Spelling(_plain_timestamps, item_names=True)
REQUEST = Spelling(_plain_timestamps, item_names=False)


def write_xml(member: Member, value: Value, spelling: Spelling) -> str:
    """The element (of flattened ones: the elements) of a value that is not None."""
    return _element_writer(member, spelling)((value,))[0]


def write_xml_members(shape: ShapeModel, value: Mapping[str, Value], spelling: Spelling) -> str:
    """The elements of a structure's members, without an element around them."""
    return _structure_writer(shape, "", "", spelling)((value,))[0]


def render_root(name: str, namespace: str, shape: ShapeModel, value: Mapping[str, Value], spelling: Spelling) -> str:
    """A whole element `name` with the members of a structure inside; `namespace` is a URI or empty."""
    declared = _namespace(("", namespace)) if namespace else ""
    return _structure_writer(shape, f"<{name}{declared}>", f"</{name}>", spelling)((value,))[0]


def escape_all(texts: Sequence[str]) -> Sequence[str]:
    """`xml_codec.escape` of each, quickly: most need none, and one search through all of them tells."""
    if len(texts) == 1:
        return (escape(texts[0]),)
    joined = MARK.join(texts)
    escaped = escape(joined)
    if escaped is joined:
        return texts
    parts = escaped.split(MARK)
    return parts if len(parts) == len(texts) else [escape(text) for text in texts]


def _strings(values: Sequence[Value]) -> Sequence[str]:
    return escape_all([value if isinstance(value, str) else str(value) for value in values])


_SCALARS: Mapping[str, Texter] = {
    "boolean": format_boolean,
    "integer": str,
    "long": str,
    "float": format_float,
    "double": format_float,
    "blob": format_blob,
}


def _text_writer(member: Member, spelling: Spelling) -> Writer | None:
    """Writes scalars, without elements around them; None for structures, lists and maps."""
    kind = member.shape.type
    if kind == "string":
        return _strings
    if kind == "timestamp":
        form = member.timestamp_format.lower()
        if form in ("", "iso8601"):
            return spelling.timestamps
        return _each(lambda value: format_timestamp(value, form))
    text = _SCALARS.get(kind)
    return None if text is None else _each(text)


def _each(text: Texter) -> Writer:
    return lambda values: [text(value) for value in values]


def _namespace(namespace: tuple[str, str] | None) -> str:
    if namespace is None:
        return ""
    prefix, uri = namespace
    return f' xmlns:{prefix}="{escape(uri)}"' if prefix else f' xmlns="{escape(uri)}"'


def _tags(member: Member, name: str) -> tuple[str, str]:
    """Start and end of an element of that name."""
    return f"<{name}{_namespace(member.xml_namespace or member.shape.xml_namespace)}>", f"</{name}>"


@lru_cache(SHAPES_REMEMBERED_MAX)
def _element_writer(member: Member, spelling: Spelling) -> Writer:
    """The writer of a member with the element around it."""
    flat = member.flattened and member.shape.type == "list" and spelling.item_names
    start, end = _tags(member, flattened_name(member) if flat else element_name(member))
    return _value_writer(member, start, end, spelling)


def _value_writer(member: Member, start: str, end: str, spelling: Spelling) -> Writer:
    """The writer of a value between (of flattened ones: of each item between) two tags."""
    texts, kind = _text_writer(member, spelling), member.shape.type
    if texts is not None:
        return lambda values: [f"{start}{text}{end}" for text in texts(values)]
    if kind == "structure":
        return _structure_writer(member.shape, start, end, spelling)
    if kind == "list":
        return _list_writer(member, start, end, spelling)
    return _map_writer(member, start, end, spelling)


class _Form:
    """Structures that have the same members: their text with a hole for each, and who fills the holes."""

    __slots__ = ("_holes", "_text")

    def __init__(self, names: Sequence[str], shape: ShapeModel, tags: tuple[str, str], spelling: Spelling) -> None:
        start, end = map(_literal, tags)
        attributes: list[tuple[int, str]] = []
        elements: list[tuple[int, Writer]] = []
        text = ""
        for place, name in enumerate(names):
            member = shape.members.get(name)
            if member is None:
                continue
            if member.xml_attribute:
                attributes.append((place, member.wire_name))
                continue
            texts = _text_writer(member, spelling)
            if texts is None:
                text += "%s"
                elements.append((place, _element_writer(member, spelling)))
            else:
                before, after = map(_literal, _tags(member, element_name(member)))
                text += f"{before}%s{after}"
                elements.append((place, texts))
        if attributes and start:
            start = "".join((start[:-1], *(f' {_literal(name)}="%s"' for _, name in attributes), ">"))
            elements = [*((place, _strings) for place, _ in attributes), *elements]
        self._text = f"{start}{text}{end}"
        self._holes = elements

    def write(self, columns: Sequence[Sequence[Value]], count: int) -> Sequence[str]:
        """`count` texts of as many structures, given member by member."""
        if not self._holes:
            return [self._text % ()] * count
        return list(map(self._text.__mod__, zip(*[write(columns[place]) for place, write in self._holes], strict=True)))


def _literal(text: str) -> str:
    return text.replace("%", "%%")


@lru_cache(SHAPES_REMEMBERED_MAX)
def _structure_writer(shape: ShapeModel, start: str, end: str, spelling: Spelling) -> Writer:
    """Shapes may hold themselves, so forms are made when they are first met."""
    forms: dict[tuple[str, ...], _Form] = {}

    def write_alike(names: tuple[str, ...], columns: Sequence[Sequence[Value]], count: int) -> Sequence[str]:
        form = forms.get(names)
        if form is None:
            if len(forms) >= FORMS_MAX:
                forms.clear()
            form = forms[names] = _Form(names, shape, (start, end), spelling)
        return form.write(columns, count)

    def write(values: Sequence[Mapping[str, Value]]) -> Sequence[str]:
        if isinstance(values, Columns):
            given = values.columns
            if any(None in column for column in given.values()):
                return write_mixed(list(values))
            return write_alike(tuple(given), list(given.values()), len(values))
        names = tuple(values[0])
        if len(values) == 1 or set(map(tuple, values)) == {names}:
            columns = [[value[name] for value in values] for name in names]
            if not any(None in column for column in columns):
                return write_alike(names, columns, len(values))
        return write_mixed(values)

    def write_mixed(values: Sequence[Mapping[str, Value]]) -> Sequence[str]:
        places: dict[tuple[str, ...], list[int]] = {}
        for place, value in enumerate(values):
            places.setdefault(tuple([name for name, each in value.items() if each is not None]), []).append(place)
        written = [""] * len(values)
        for names, those in places.items():
            columns = [[values[place][name] for place in those] for name in names]
            for place, text in zip(those, write_alike(names, columns, len(those)), strict=True):
                written[place] = text
        return written

    return write


def _list_writer(member: Member, start: str, end: str, spelling: Spelling) -> Writer:
    item = member.shape.item
    if item is None:
        return _nothing
    flat = member.flattened
    inner = _value_writer(item, start, end, spelling) if flat else _element_writer(item, spelling)

    def write(values: Sequence[Iterable[Value]]) -> Sequence[str]:
        if len(values) == 1 and isinstance(values[0], Columns):
            joined = ["".join(inner(values[0]) if len(values[0]) else ())]
            return joined if flat else [f"{start}{joined[0]}{end}"]
        lists = [value if type(value) is list else list(value) for value in values]
        items = list(chain.from_iterable(lists))
        if None in items:
            lists = [[each for each in some if each is not None] for some in lists]
            items = list(chain.from_iterable(lists))
        texts = inner(items) if items else ()
        ends = accumulate(map(len, lists), initial=0)
        joined = ["".join(texts[low:high]) for low, high in pairwise(ends)]
        return joined if flat else [f"{start}{text}{end}" for text in joined]

    return write


def _map_writer(member: Member, start: str, end: str, spelling: Spelling) -> Writer:
    shape, flat = member.shape, member.flattened
    if shape.key is None or shape.value is None:
        return _nothing
    before, after = _tags(shape.key, element_name(shape.key))
    inner = _element_writer(shape.value, spelling)
    opening, closing = (start, end) if flat else ("<entry>", "</entry>")

    def write_one(value: Mapping[str, Value]) -> str:
        parts = [
            f"{opening}{before}{escape(name)}{after}{inner((each,))[0]}{closing}"
            for name, each in value.items()
            if each is not None
        ]
        return "".join(parts if flat else (start, *parts, end))

    return lambda values: [write_one(value) for value in values]


def _nothing(values: Sequence[Value]) -> Sequence[str]:
    """For lists and maps whose items the model does not tell."""
    return [""] * len(values)
