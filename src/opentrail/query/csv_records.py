"""CSV as S3 Select reads it: lines in, records out, each a list of text. Source: S3 API reference, CSVInput.

The fields of a record are split by the standard library's reader; what it does not know (other record delimiters,
comments, quotes that may or may not carry a record over a line's end, the record's size) is done around it. Pure.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from opentrail.query.faults import QueryFault
from opentrail.query.job import RECORD_BYTES_MAX, Csv

STAND_INS = str.maketrans("\n\r", "\ue0f0\ue0f1")
"""Line ends mean nothing where another record delimiter is given, but the standard library's reader minds them."""


class CsvRecords:
    """The records of one object: an iterator over lists of text."""

    def __init__(self, lines: Iterator[bytes], dialect: Csv) -> None:
        csv.field_size_limit(RECORD_BYTES_MAX)
        self._lines = lines
        self._dialect = dialect
        self._comments = dialect.comments.encode()
        self._foreign = dialect.record.strip("\r\n") != ""
        self._fresh = True
        self._size = 0
        self._ended = False
        self._originals = str.maketrans({"\n": dialect.record, "\ue0f0": "\n", "\ue0f1": "\r"})
        doubled = dialect.escape in ("", dialect.quote) or not dialect.quote
        self._reader = csv.reader(
            self._texts(),
            delimiter=dialect.field,
            quotechar=dialect.quote or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            doublequote=doubled,
            escapechar=None if doubled else dialect.escape,
            strict=True,
        )

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        while True:
            self._fresh, self._size = True, 0
            try:
                record = next(self._reader)
            except csv.Error as error:
                raise self._fault(str(error)) from error
            if record:
                return [field.translate(self._originals) for field in record] if self._foreign else record

    def _texts(self) -> Iterator[str]:
        """Lines for the reader; it asks for a further one within a record when a quote is open."""
        for line in self._lines:
            if self._fresh and self._comments and line.startswith(self._comments):
                continue
            if not self._fresh and not self._dialect.quoted_records:
                raise QueryFault("CSVEscapingRecordDelimiter")
            self._fresh = False
            self._size += len(line)
            if self._size > RECORD_BYTES_MAX:
                raise QueryFault("OverMaxRecordSize")
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise QueryFault("InvalidTextEncoding") from error
            yield (text.translate(STAND_INS) if self._foreign else text.removesuffix("\r")) + "\n"
        self._ended = True

    def _fault(self, message: str) -> QueryFault:
        if "field limit" in message:
            return QueryFault("OverMaxRecordSize")
        return QueryFault("CSVParsingError", "a quote is never closed" if self._ended else "")
