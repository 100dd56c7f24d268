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

import msgspec

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
_TEXT, _WHOLE = {str}, {int}
_ALIKE = (str, list, tuple, dict)
"""Types of values that are compared, whether a whole column is written once: what is equal of these is written the same."""
_encode_json = msgspec.json.Encoder().encode


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
    return _structure_writer(shape, ("", ""), spelling)((value,))[0]


def render_root(name: str, namespace: str, shape: ShapeModel, value: Mapping[str, Value], spelling: Spelling) -> str:
    """A whole element `name` with the members of a structure inside; `namespace` is a URI or empty."""
    declared = _namespace(("", namespace)) if namespace else ""
    return _structure_writer(shape, (f"<{name}{declared}>", f"</{name}>"), spelling)((value,))[0]


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
    return escape_all(values if {*map(type, values)} == _TEXT else [str(value) for value in values])


def _numbers(values: Sequence[Value]) -> Sequence[str]:
    """Whole numbers. Many are written by one call."""
    if len(values) > 1 and {*map(type, values)} == _WHOLE:
        return _encode_json(values)[1:-1].decode().split(",")
    return [str(value) for value in values]


_SCALARS: Mapping[str, Texter] = {
    "boolean": format_boolean,
    "float": format_float,
    "double": format_float,
    "blob": format_blob,
}


def _text_writer(member: Member, spelling: Spelling) -> Writer | None:
    """Writes scalars, without elements around them; None for structures, lists and maps."""
    kind = member.shape.type
    if kind == "string":
        return _strings
    if kind in ("integer", "long"):
        return _numbers
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
        return _structure_writer(member.shape, (start, end), spelling)
    if kind == "list":
        return _list_writer(member, start, end, spelling)
    return _map_writer(member, start, end, spelling)


class _Form:
    """Structures that have the same members: their text with a hole for each, and who fills the holes."""

    __slots__ = ("_between", "_holes", "_text")

    def __init__(self, names: Sequence[str], shape: ShapeModel, tags: tuple[str, str], spelling: Spelling) -> None:
        start, end = tags
        members = [(place, shape.members[name]) for place, name in enumerate(names) if name in shape.members]
        attributes = [(place, member.wire_name) for place, member in members if member.xml_attribute and start]
        self._holes: list[tuple[int, Writer]] = []
        self._between = [start[:-1] if attributes else start]
        for place, name in attributes:
            self._leave(place, f' {name}="', _strings, '"')
        self._between[-1] += ">" if attributes else ""
        for place, member in members:
            if member.xml_attribute:
                continue
            texts = _text_writer(member, spelling)
            if texts is None:
                self._leave(place, "", _element_writer(member, spelling), "")
            else:
                before, after = _tags(member, element_name(member))
                self._leave(place, before, texts, after)
        self._between[-1] += end
        self._text = "%s".join([text.replace("%", "%%") for text in self._between])

    def _leave(self, place: int, before: str, writer: Writer, after: str) -> None:
        """A hole between two texts, to be filled from the column at `place`."""
        self._between[-1] += before
        self._holes.append((place, writer))
        self._between.append(after)

    def write(self, columns: Sequence[Sequence[Value]], count: int) -> Sequence[str]:
        """`count` texts of as many structures, given member by member."""
        if not self._holes:
            return [self._text % ()] * count
        return list(map(self._text.__mod__, zip(*[write(columns[place]) for place, write in self._holes], strict=True)))

    def join(self, columns: Sequence[Sequence[Value]], count: int) -> str:
        """The same texts, one behind the other: made of one list of pieces, since a text for each structure costs more
        than all that is in it. What is alike in all of them is written once."""
        between, filled = [self._between[0]], []
        for (place, write), after in zip(self._holes, self._between[1:], strict=True):
            if _alike(columns[place]):
                between[-1] += write(columns[place][:1])[0] + after
            else:
                filled.append(write(columns[place]))
                between.append(after)
        if not filled:
            return between[0] * count
        step = 2 * len(filled)
        pieces = [""] * step
        pieces[1::2] = [*between[1:-1], between[-1] + between[0]]
        pieces *= count
        for hole, texts in enumerate(filled):
            pieces[2 * hole :: step] = texts
        pieces[0] = between[0] + pieces[0]
        pieces[-1] = between[-1]
        return "".join(pieces)


def _alike(column: Sequence[Value]) -> bool:
    """Whether all values of a column are one. Asked only of types of which what is equal is written the same."""
    first = column[0]
    return type(first) in _ALIKE and column[-1] == first and column.count(first) == len(column)


class _Structures:
    """The writer of a structure's values. Shapes may hold themselves, so forms are made when they are first met."""

    __slots__ = ("_forms", "_shape", "_spelling", "_tags")

    def __init__(self, shape: ShapeModel, tags: tuple[str, str], spelling: Spelling) -> None:
        self._shape, self._tags, self._spelling = shape, tags, spelling
        self._forms: dict[tuple[str, ...], _Form] = {}

    def _form(self, names: tuple[str, ...]) -> _Form:
        form = self._forms.get(names)
        if form is None:
            if len(self._forms) >= FORMS_MAX:
                self._forms.clear()
            form = self._forms[names] = _Form(names, self._shape, self._tags, self._spelling)
        return form

    def __call__(self, values: Sequence[Mapping[str, Value]]) -> Sequence[str]:
        names = tuple(values[0])
        if len(values) == 1 or set(map(tuple, values)) == {names}:
            columns = [[value[name] for value in values] for name in names]
            if not any(None in column for column in columns):
                return self._form(names).write(columns, len(values))
        return self._mixed(values)

    def join(self, values: Columns) -> str:
        """The texts of all of them, one behind the other."""
        columns = list(values.columns.values())
        if any(None in column for column in columns if not _alike(column)):
            return "".join(self._mixed(list(values)))
        return self._form(tuple(values.columns)).join(columns, len(values))

    def _mixed(self, values: Sequence[Mapping[str, Value]]) -> Sequence[str]:
        """Values that do not all have the same members."""
        places: dict[tuple[str, ...], list[int]] = {}
        for place, value in enumerate(values):
            places.setdefault(tuple([name for name, each in value.items() if each is not None]), []).append(place)
        written = [""] * len(values)
        for names, those in places.items():
            columns = [[values[place][name] for place in those] for name in names]
            for place, text in zip(those, self._form(names).write(columns, len(those)), strict=True):
                written[place] = text
        return written


_structure_writer = lru_cache(SHAPES_REMEMBERED_MAX)(_Structures)


def _list_writer(member: Member, start: str, end: str, spelling: Spelling) -> Writer:
    item = member.shape.item
    if item is None:
        return _nothing
    flat = member.flattened
    inner = _value_writer(item, start, end, spelling) if flat else _element_writer(item, spelling)

    def write(values: Sequence[Iterable[Value]]) -> Sequence[str]:
        if len(values) == 1 and isinstance(values[0], Columns) and isinstance(inner, _Structures):
            text = inner.join(values[0]) if len(values[0]) else ""
            return [text if flat else f"{start}{text}{end}"]
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
