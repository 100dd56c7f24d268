"""The records of a result as CSV or JSON. Source: S3 API reference, CSVOutput and JSONOutput. Pure.

A value is None (null), MISSING (no such thing: left out of JSON, empty in CSV), text, a number, a bool, a time (UTC) or a
piece of JSON as it stood in the object (`msgspec.Raw`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from opentrail.query.faults import QueryFault
from opentrail.query.job import RECORD_BYTES_MAX, Csv, Json

WHOLE_MAX = 2**53
"""Up to here a float that is whole is written as a whole number."""


class Missing:
    """The value that is not there."""


MISSING = Missing()


class _Gathered:
    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def _append(self, record: bytes) -> None:
        if len(record) > RECORD_BYTES_MAX:
            raise QueryFault("OverMaxRecordSize")
        self._parts.append(record)
        self.size += len(record)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self.size = [], 0
        return data


class JsonResult(_Gathered):
    """One object a record."""

    def __init__(self, form: Json) -> None:
        super().__init__()
        self._end = form.record.encode()

    def add(self, names: Sequence[str], values: Sequence[Any]) -> None:
        members = (
            msgspec.json.encode(name) + b":" + json_text(value)
            for name, value in zip(names, values, strict=True)
            if value is not MISSING
        )
        self.add_whole(b"{" + b",".join(members) + b"}")

    def add_whole(self, record: bytes) -> None:
        """A record that is JSON already."""
        self._append(record + self._end)


class CsvResult(_Gathered):
    """One row a record, without a header, as S3 Select's results are."""

    def __init__(self, form: Csv) -> None:
        super().__init__()
        self._form = form
        self._special = re.compile("[" + re.escape(form.quote + form.record + "\r\n") + "]")
        escape = form.escape or form.quote
        self._escape = str.maketrans({escape: escape * 2, form.quote: escape + form.quote} if form.quote else {})

    def add(self, names: Sequence[str], values: Sequence[Any]) -> None:
        self.add_row([csv_text(value) for value in values])

    def add_row(self, fields: Sequence[str]) -> None:
        """A row whose fields are text already."""
        form = self._form
        line = form.field.join(fields)
        plain_enough = line.count(form.field) == len(fields) - 1 and not self._special.search(line)
        if form.quote and (form.always_quote or not plain_enough):
            line = form.field.join(map(self._quoted, fields))
        self._append((line + form.record).encode("utf-8", "replace"))

    def _quoted(self, field: str) -> str:
        form = self._form
        if not form.always_quote and form.field not in field and not self._special.search(field):
            return field
        return form.quote + field.translate(self._escape) + form.quote


Result: TypeAlias = JsonResult | CsvResult
"""Where records go; `take` gives what has been gathered."""


def result_of(output: Csv | None, form: Json) -> Result:
    return JsonResult(form) if output is None else CsvResult(output)


def compact(value: Raw) -> bytes:
    """JSON on one line, as it stood otherwise."""
    return msgspec.json.format(bytes(memoryview(value)), indent=-1)


def json_text(value: Any) -> bytes:  # noqa: ANN401
    if isinstance(value, Raw):
        return compact(value)
    if isinstance(value, str | bool | int | None):
        return msgspec.json.encode(value) if not isinstance(value, int) or isinstance(value, bool) else b"%d" % value
    if isinstance(value, float) and value - value != 0:
        return b"null"  # JSON has no word for infinities and NaN
    if isinstance(value, float):
        return plain(value).encode()
    return plain(value).encode() if isinstance(value, Decimal) else msgspec.json.encode(plain(value))


def csv_text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Raw):
        text = bytes(memoryview(value))
        if text[:1] == b'"':
            return str(msgspec.json.decode(text))
        return "" if text == b"null" else compact(value).decode()
    return "" if value is None or value is MISSING else plain(value)


def plain(value: Any) -> str:  # noqa: ANN401
    """A value as text: decimals without the zeros at their end, times as S3 Select writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < WHOLE_MAX:
        return str(int(value))
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
        return f"{value:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}T"
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return str(value)
