"""What the query process is told, and what it answers: the nouns of S3 Select's two ends. Data only. Pure."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

RECORD_BYTES_MAX = 1024 * 1024
"""Bytes of one record, in the input as in the result."""
ANSWER_BYTES = 128 * 1024
"""Bytes of the result that are sent at once; fewer at the end of a batch, and then at the end of a record."""
FRAME = struct.Struct(">cI")
"""Before each message between the two ends: its kind, and the bytes that follow."""
JOB, DATA, ANSWER, WANT, PROGRESS, END, FAULT = b"J", b"D", b"A", b"W", b"P", b"E", b"F"
"""To the process: its job, bytes of the object (none: that was all). From it: bytes of the result, it wants more of the
object, how far it is and that it has ended (`Stats`), it has failed (`Failure`)."""


class Csv(msgspec.Struct, frozen=True):
    """A dialect of CSV, for the input (`header`, `comments`, `quoted_records`) or the result (`always_quote`)."""

    field: str = ","
    record: str = "\n"
    quote: str = '"'
    escape: str = '"'
    header: Literal["NONE", "IGNORE", "USE"] = "NONE"
    comments: str = "#"
    quoted_records: bool = False
    always_quote: bool = False


class Json(msgspec.Struct, frozen=True):
    """`lines`: one value a line, else the input is one document. `record` ends each record of the result."""

    lines: bool = False
    record: str = "\n"


class Job(msgspec.Struct, frozen=True):
    """One query. `format` of the input; `scan` (first, last byte) where only a part of the object is asked for, of which
    the bytes are sent from `offset` on; of a CSV with a header its first `head` bytes come before that."""

    expression: str
    format: Literal["CSV", "JSON", "Parquet"]
    compression: Literal["NONE", "GZIP", "BZIP2"]
    csv: Csv
    json: Json
    output: Csv | None
    """None: the result is JSON, as `json_output` says."""
    json_output: Json
    now: str
    scan: tuple[int, int] | None = None
    offset: int = 0
    head: int = 0


class Stats(msgspec.Struct, frozen=True):
    """Bytes taken of the object, bytes of it once decompressed, bytes of the result."""

    scanned: int
    processed: int
    returned: int


class Ended(msgspec.Struct, frozen=True):
    """The query has come to its end."""

    stats: Stats


class Failure(msgspec.Struct, frozen=True):
    code: str
    message: str
