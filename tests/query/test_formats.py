"""CSV and JSON as they come in and go out: dialects, compression, ranges, and everything that is wrong with them."""

from __future__ import annotations

import bz2
import gzip
from typing import Any

import pytest

from opentrail.query.job import RECORD_BYTES_MAX, Csv, Json
from tests.query.asked import LINES, USE, ask, fault, of_csv, of_json

ALL = "SELECT * FROM S3Object"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("data", "dialect", "result"),
    [
        (b"a,b\n1,2\n", Csv(), "a,b\n1,2\n"),
        (b"a,b\n1,2", Csv(header="IGNORE"), "1,2\n"),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", USE, "1,2\n"),
        (b"a,b\n\n\n1,2\n\n", USE, "1,2\n"),
        (b"a\n1,2,3\n\n4\n", USE, "1,2,3\n4\n"),
        (b"#x\na\n#y\n1\n", USE, "1\n"),
        (b"%x\na\n#y\n1\n", Csv(comments="%"), "a\n#y\n1\n"),
        (b"#x\n1\n", Csv(comments=""), "#x\n1\n"),
        (b'"a,b","c""d"\n', Csv(), '"a,b","c""d"\n'),
        (b"'a,b','c\\'d'\n", Csv(quote="'", escape="\\"), '"a,b",c\'d\n'),
        (b'"a\nb",c\n1,2\n', Csv(quoted_records=True), '"a\nb",c\n1,2\n'),
        (b'"a\n#b",c\n', Csv(quoted_records=True), '"a\n#b",c\n'),
        (b'a|b;"c;";d', Csv(field="|", record=";", quoted_records=True), "a,b\nc;\nd\n"),
        (b"a,x\ny;c", Csv(record=";"), 'a,"x\ny"\nc\n'),
        (b'a"b,c\n', Csv(quote=""), '"a""b",c\n'),
        ("ä,☃,💥\n".encode(), Csv(), "ä,☃,💥\n"),
        (b"a\tb\n", Csv(field="\t"), "a,b\n"),
        (b"", USE, ""),
        (b"a,b\n", USE, ""),
        (b"a\0b,c\n", Csv(), "a\0b,c\n"),
    ],
)
def test_csv_in(data: bytes, dialect: Csv, result: str, size: int) -> None:
    assert ask(ALL, data, csv=dialect, size=size)[0] == result


@pytest.mark.parametrize(
    ("form", "result"),
    [
        (Csv(), '1,"a,b","x""y"\n'),
        (Csv(always_quote=True), '"1","a,b","x""y"\n'),
        (Csv(field=";", record="\r\n"), '1;a,b;"x""y"\r\n'),
        (Csv(quote="'"), "1,'a,b',x\"y\n"),
        (Csv(escape="\\"), '1,"a,b","x\\"y"\n'),
        (Csv(quote=""), '1,a,b,x"y\n'),
        (Csv(record="|"), '1,"a,b","x""y"|'),
    ],
)
def test_csv_out(form: Csv, result: str) -> None:
    assert ask(ALL, b'1,"a,b","x""y"\n', output=form)[0] == result


def test_csv_becomes_json() -> None:
    data = b'id,x\n1,"a""b"\n2\n3,4,5\n'
    assert of_csv(ALL, data, output=None) == ['{"id":"1","x":"a\\"b"}', '{"id":"2"}', '{"id":"3","x":"4","_3":"5"}']
    assert ask(ALL, b"1,2\n", output=None, json_output=Json(record=","))[0] == '{"_1":"1","_2":"2"},'
    assert of_csv("SELECT x, id FROM S3Object WHERE id > 1", data, output=None) == ['{"id":"2"}', '{"x":"4","id":"3"}']


@pytest.mark.parametrize("size", [1, 10, 100_000])
def test_compression(size: int) -> None:
    data = b"".join(b"%d\n" % each for each in range(3_000))
    for compression, packed in {
        "GZIP": gzip.compress(data[:5_000]) + gzip.compress(data[5_000:]),
        "BZIP2": bz2.compress(data[:5_000]) + bz2.compress(data[5_000:]),
    }.items():
        text, stats = ask(ALL, packed, compression=compression, size=size)
        assert text.encode() == data
        assert (stats.scanned, stats.processed, stats.returned) == (len(packed), len(data), len(data))
        assert ask(ALL, b"", compression=compression)[0] == ""
        assert fault(ALL, packed[:-9], compression=compression, csv=Csv()) == "TruncatedInput"
        assert fault(ALL, data, compression=compression) == "InvalidCompressionFormat"
        assert fault(ALL, packed[:200] + b"\xff" * 300, compression=compression, csv=Csv()) == "TruncatedInput"
    assert ask(ALL, gzip.compress(b"1\n") + b"\0" * 100, compression="GZIP", size=size)[0] == "1\n"


def test_every_record_is_in_just_one_range() -> None:
    data = b"".join(b'{"n":%d,"x":"%s"}\n' % (each, b"y" * (each % 7)) for each in range(200))
    for width in (1, 10, 23, 500):
        found: list[int] = []
        for first in range(0, len(data), width):
            offset = max(first - 1, 0)
            last = min(first + width, len(data)) - 1
            given = {"scan": (first, last), "offset": offset, "size": 11}
            found += [each["n"] for each in of_json("SELECT n FROM S3Object", data[offset:], **given)]
        assert found == list(range(200))


def test_a_range_of_a_csv_with_a_header() -> None:
    data = b"id,x\n1,a\n2,b\n3,c\n"
    head, offset = len(data), 8
    found = of_csv("SELECT x FROM S3Object", data + data[offset:], scan=(9, 12), offset=offset, head=head, size=head)
    assert found == ["b"]
    assert of_csv("SELECT x FROM S3Object", data, scan=(0, 8)) == ["a"]


@pytest.mark.parametrize(
    ("data", "job", "code"),
    [
        (b"a,b\n\xff,2\n", {}, "InvalidTextEncoding"),
        ("a,b\n".encode("utf-16"), {}, "InvalidTextEncoding"),
        (b"a,b\n1,\xc3", {}, "InvalidTextEncoding"),
        (b'a,b\n"x\ny",2\n', {}, "CSVEscapingRecordDelimiter"),
        (b'a,b\n"x,2', {}, "CSVParsingError"),
        (b'a,b\n"x"y,2\n', {}, "CSVParsingError"),
        (b"a," + b"x" * (RECORD_BYTES_MAX + 1), {}, "OverMaxRecordSize"),
        (b"a,b\n" + b"x," * (RECORD_BYTES_MAX // 2 + 1) + b"\n", {}, "OverMaxRecordSize"),
        (b'"' + b"x\n" * RECORD_BYTES_MAX, {"csv": Csv(quoted_records=True)}, "OverMaxRecordSize"),
        (b"{", {"format": "JSON", "json": LINES}, "JSONParsingError"),
        (b'{"a":1}\n{"a":}\n', {"format": "JSON", "json": LINES}, "JSONParsingError"),
        (b'{"a":1} x', {"format": "JSON"}, "JSONParsingError"),
        (b"[" * 100_000, {"format": "JSON"}, "JSONParsingError"),
        (b"[" * 100_000, {"format": "JSON", "json": LINES}, "JSONParsingError"),
        (b'{"a":"' + b"x" * RECORD_BYTES_MAX + b'"}', {"format": "JSON"}, "OverMaxRecordSize"),
        (b"\xff", {"format": "JSON"}, "InvalidTextEncoding"),
        (b"nonsense", {"format": "JSON"}, "JSONParsingError"),
    ],
)  # fmt: skip
def test_what_is_no_such_format(data: bytes, job: dict[str, Any], code: str) -> None:
    assert fault(ALL, data, size=100_000, **job) == code


def test_a_record_too_long_for_the_result() -> None:
    data = b'{"a":"' + b"\\u0001" * 100_000 + b'"}'
    columns = ", ".join(["a"] * 30)
    assert fault(f"SELECT {columns} FROM S3Object", data, format="JSON", output=None) == "OverMaxRecordSize"
