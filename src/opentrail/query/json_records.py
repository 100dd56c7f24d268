"""JSON as S3 Select reads it: lines or one document in, records out, each the text of one value. Pure.

Values stay text (`msgspec.Raw`), so that what is selected comes out as it went in. Source: S3 API reference, JSONInput;
S3 user guide, "FROM clause".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from opentrail.query.faults import QueryFault
from opentrail.query.job import RECORD_BYTES_MAX
from opentrail.query.tree import Every, Name, Step

DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of a document, which is looked at whole; there is no limit for lines."""
BLANKS = b" \t\r\n"

_raw = msgspec.json.Decoder(Raw)
_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])


def line_values(lines: Iterator[bytes]) -> Iterator[Raw]:
    """One value a line; empty lines are passed over."""
    for line in lines:
        if line.strip(BLANKS):
            yield _value(line)


def document_values(chunks: Iterator[bytes]) -> Iterator[Raw]:
    """The values of a document: one, or several one after the other."""
    whole = bytearray()
    for chunk in chunks:
        whole += chunk
        if len(whole) > DOCUMENT_BYTES_MAX:
            raise QueryFault("OverMaxRecordSize")
    document = bytes(whole)
    if not document.strip(BLANKS):
        return
    try:
        values = iter((_raw.decode(document),))
    except (msgspec.DecodeError, RecursionError):  # more than one value, or none
        values = _several(document)
    yield from values


def _several(document: bytes) -> Iterator[Raw]:
    decoder = json.JSONDecoder()
    text, place = document.decode(), 0
    while True:
        while place < len(text) and text[place] in " \t\r\n":
            place += 1
        if place == len(text):
            return
        try:
            _, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise QueryFault("JSONParsingError") from error
        yield _value(text[place:end].encode())
        place = end


def _value(text: bytes) -> Raw:
    try:
        return _raw.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise QueryFault("JSONParsingError") from error


def records_of(values: Iterator[Raw], source: Sequence[Step]) -> Iterator[Raw | None]:
    """The records that the FROM clause's path finds in each value; None where its last step finds nothing, which counts
    as an empty record, as in the guide's examples."""
    for value in values:
        for record in _found(value, source):
            if record is not None and len(memoryview(record)) > RECORD_BYTES_MAX:
                raise QueryFault("OverMaxRecordSize")
            yield record


def _found(value: Raw, steps: Sequence[Step]) -> Iterator[Raw | None]:
    if not steps:
        yield value
    elif isinstance(steps[0], Every):
        for item in items_of(value) or ():
            yield from _found(item, steps[1:])
    else:
        below = step_into(value, steps[0])
        if below is not None:
            yield from _found(below, steps[1:])
        elif not any(isinstance(step, Every) for step in steps):
            yield None


def step_into(value: Raw, step: Step) -> Raw | None:
    """The member or item of a value; None where it has none such."""
    if isinstance(step, Name):
        members = members_of(value)
        if members is None:
            return None
        found = members.get(step.text)
        if found is None and not step.quoted:
            wanted = step.text.lower()
            return next((each for name, each in members.items() if name.lower() == wanted), None)
        return found
    items = items_of(value) if isinstance(step, int) else None
    return items[step] if items is not None and isinstance(step, int) and step < len(items) else None


def members_of(value: Raw) -> dict[str, Raw] | None:
    """The members of an object; None of anything else."""
    try:
        return _members.decode(value) if bytes(memoryview(value)[:1]) == b"{" else None
    except (msgspec.DecodeError, RecursionError) as error:
        raise QueryFault("JSONParsingError") from error


def items_of(value: Raw) -> list[Raw] | None:
    """The items of a list; None of anything else."""
    try:
        return _items.decode(value) if bytes(memoryview(value)[:1]) == b"[" else None
    except (msgspec.DecodeError, RecursionError) as error:
        raise QueryFault("JSONParsingError") from error
