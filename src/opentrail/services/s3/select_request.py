"""What a SelectObjectContent request asks for, checked, as a `query.job.Job`. Source: S3 API reference,
SelectObjectContent, InputSerialization, OutputSerialization. Knows no object and starts nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.query.faults import STATUSES, QueryFault
from opentrail.query.job import RECORD_BYTES_MAX, Csv, Job, Json
from opentrail.query.tokens import EXPRESSION_BYTES_MAX

FORMATS = ("CSV", "JSON", "Parquet")
RECORD_DELIMITER_CHARS_MAX = 2
FORBIDDEN = frozenset("\r\n")


def refused(fault: QueryFault) -> AwsError:
    """The fault as an answer."""
    return AwsError(fault.code, fault.message, STATUSES.get(fault.code, 400))


def job_of(given: Shape, size: int, now: float) -> Job:
    """The job; raises AwsError for what S3 Select does not take. `size` of the object, `now` in epoch seconds."""
    expression = given.get("Expression")
    if not expression:
        raise AwsError("MissingRequiredParameter", status=400)
    if given.get("ExpressionType") != "SQL":
        raise AwsError("InvalidExpressionType", status=400)
    if len(expression.encode("utf-8", "surrogatepass")) > EXPRESSION_BYTES_MAX:
        raise AwsError("ExpressionTooLong", status=400)
    source, target = given.get("InputSerialization") or {}, given.get("OutputSerialization") or {}
    format_ = _only(source, FORMATS)
    output = _only(target, FORMATS[:2])
    compression: Any = source.get("CompressionType") or "NONE"
    if compression not in ("NONE", "GZIP", "BZIP2") or (format_ == "Parquet" and compression != "NONE"):
        raise AwsError("InvalidCompressionFormat", status=400)
    csv = _csv_input(source.get("CSV") or {})
    json = _json_input(source["JSON"] or {}) if format_ == "JSON" else Json()
    scan = _scan(given.get("ScanRange"), size)
    if scan is not None:
        _check_scan(format_, compression, csv, json)
    return Job(
        expression=expression,
        format=format_,
        compression=compression,
        csv=csv,
        json=json,
        output=_csv_output(target.get("CSV") or {}) if output == "CSV" else None,
        json_output=Json(record=_delimiter(target.get("JSON") or {}, "RecordDelimiter", "\n")),
        now=f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S.%f}",
        scan=scan,
    )


def _only(serialization: Shape, formats: tuple[str, ...]) -> Any:  # noqa: ANN401  (one of `formats`)
    found = [each for each in formats if each in serialization]
    if not found:
        raise AwsError("MissingRequiredParameter", status=400)
    if len(found) > 1:
        raise AwsError("ObjectSerializationConflict", status=400)
    return found[0]


def _csv_input(given: Shape) -> Csv:
    header: Any = given.get("FileHeaderInfo") or "NONE"
    if header not in ("NONE", "IGNORE", "USE"):
        raise AwsError("InvalidFileHeaderInfo", status=400)
    dialect = Csv(
        field=_char(given, "FieldDelimiter", ","),
        record=_delimiter(given, "RecordDelimiter", "\n"),
        quote=_char(given, "QuoteCharacter", '"', empty=True),
        escape=_char(given, "QuoteEscapeCharacter", '"', empty=True),
        header=header,
        comments=_char(given, "Comments", "#", empty=True),
        quoted_records=bool(given.get("AllowQuotedRecordDelimiter")),
    )
    _check_distinct(dialect)
    return dialect


def _csv_output(given: Shape) -> Csv:
    quoting = given.get("QuoteFields") or "ASNEEDED"
    if quoting not in ("ALWAYS", "ASNEEDED"):
        raise AwsError("InvalidQuoteFields", status=400)
    dialect = Csv(
        field=_char(given, "FieldDelimiter", ","),
        record=_delimiter(given, "RecordDelimiter", "\n"),
        quote=_char(given, "QuoteCharacter", '"', empty=True),
        escape=_char(given, "QuoteEscapeCharacter", '"', empty=True),
        always_quote=quoting == "ALWAYS",
    )
    _check_distinct(dialect)
    return dialect


def _json_input(given: Shape) -> Json:
    kind = given.get("Type") or "DOCUMENT"
    if kind not in ("DOCUMENT", "LINES"):
        raise AwsError("InvalidJsonType", status=400)
    return Json(lines=kind == "LINES")


def _char(given: Shape, member: str, default: str, *, empty: bool = False) -> str:
    """One character; `empty` where none at all may be asked for."""
    text = given.get(member)
    if text is None:
        return default
    if (len(text) == 1 and text not in FORBIDDEN and text.isprintable() | (text == "\t")) or (empty and not text):
        return str(text)
    if len(text) == 1 and text < " " and text not in FORBIDDEN and text != "\0":
        return str(text)
    raise AwsError("InvalidRequestParameter", status=400)


def _delimiter(given: Shape, member: str, default: str) -> str:
    text = given.get(member)
    if text is None:
        return default
    if not 1 <= len(text) <= RECORD_DELIMITER_CHARS_MAX or "\0" in text:
        raise AwsError("InvalidRequestParameter", status=400)
    return str(text)


def _check_distinct(dialect: Csv) -> None:
    """No character can be two things at once."""
    if dialect.field in (dialect.quote, *dialect.record) or (dialect.quote and dialect.quote in dialect.record):
        raise AwsError("InvalidRequestParameter", status=400)
    if dialect.escape == dialect.field or (dialect.escape and dialect.escape in dialect.record):
        raise AwsError("InvalidRequestParameter", status=400)


def _scan(given: Shape | None, size: int) -> tuple[int, int] | None:
    """(first, last) byte of a ScanRange. Only an End means the last bytes, as many."""
    if given is None:
        return None
    start, end = given.get("Start"), given.get("End")
    if start is None and end is None:
        raise AwsError("InvalidScanRange", status=400)
    if start is None:
        start, end = max(size - (end or 0), 0), size - 1
    if start < 0 or (end is not None and end < start and size) or (start >= size and size):
        raise AwsError("InvalidScanRange", status=400)
    return start, size - 1 if end is None else min(end, size - 1)


def _check_scan(format_: str, compression: str, csv: Csv, json: Json) -> None:
    """What can be read from the middle on (user guide, "Scan range")."""
    if compression != "NONE" or (format_ == "CSV" and csv.quoted_records) or (format_ == "JSON" and not json.lines):
        raise AwsError(
            "UnsupportedScanRangeInput", "Encountered a request with a ScanRange for an unsupported input.", 400
        )


HEAD_BYTES = RECORD_BYTES_MAX + 64 * 1024
"""Of a CSV with a header, so many first bytes are read for it when a range is asked for."""
