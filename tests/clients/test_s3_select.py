"""SelectObjectContent as boto3 uses it, and as somebody does who means harm. The dialect is tested in tests/query."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import socket
import zlib
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError, EventStreamError

from opentrail.query.channel import QUERIES_MAX
from tests.clients.server_process import OTHER_KEY, OTHER_SECRET, ServerProcess, user_key
from tests.clients.trail_log import TrailLog
from tests.clients.waiting import until
from tests.hostile.raw import Line, signed_bytes

ROWS = 60_000
DATA = b"id,name\n" + b"".join(b"%d,name %d\n" % (each, each) for each in range(ROWS))
USE = {"CSV": {"FileHeaderInfo": "USE"}}
SUM = "SELECT COUNT(*), SUM(CAST(id AS INT)) FROM S3Object"
SUMMED = f"{ROWS},{sum(range(ROWS))}\n".encode()
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}


def select(s3: Any, bucket: str, key: str, expression: str, source: Any = None, target: Any = None, **more: Any) -> Any:
    """The events of an answer."""
    answer = s3.select_object_content(
        Bucket=bucket,
        Key=key,
        Expression=expression,
        ExpressionType="SQL",
        InputSerialization=source or USE,
        OutputSerialization=target or {"CSV": {}},
        **more,
    )
    return list(answer["Payload"])


def result(events: Any) -> bytes:
    return b"".join(each["Records"]["Payload"] for each in events if "Records" in each)


def refusal(s3: Any, bucket: str, key: str, expression: str, *arguments: Any, **more: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as raised:
        select(s3, bucket, key, expression, *arguments, **more)
    response = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out, row_group_size=1_000)
    return out.getvalue()


@pytest.fixture(scope="module")
def table(s3: Any) -> str:
    name = "select-table"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="plain.csv", Body=DATA)
    s3.put_object(Bucket=name, Key="small.csv", Body=b"id,name\n1,ann\n2,bob\n")
    s3.put_object(Bucket=name, Key="gz", Body=gzip.compress(DATA))
    s3.put_object(Bucket=name, Key="bz2", Body=bz2.compress(DATA))
    s3.put_object(Bucket=name, Key="sse.csv", Body=DATA, ServerSideEncryption="AES256")
    s3.put_object(Bucket=name, Key="ssec.csv", Body=DATA, **CUSTOMER)
    numbers = list(range(5_000))
    nested = [{"a": 1.5, "b": ["x"]}] * len(numbers)
    data = parquet(id=numbers, name=[f"n{each}" for each in numbers], nested=nested)
    s3.put_object(Bucket=name, Key="table.parquet", Body=data)
    s3.put_object(Bucket=name, Key="empty", Body=b"")
    return name


@pytest.mark.parametrize(
    ("key", "compression", "more"),
    [
        ("plain.csv", "NONE", {}),
        ("gz", "GZIP", {}),
        ("bz2", "BZIP2", {}),
        ("sse.csv", "NONE", {}),
        ("ssec.csv", "NONE", CUSTOMER),
    ],
)
@pytest.mark.slow
def test_csv_however_it_is_stored(s3: Any, table: str, key: str, compression: str, more: Any) -> None:
    size = s3.head_object(Bucket=table, Key=key, **more)["ContentLength"]
    events = select(s3, table, key, SUM, USE | {"CompressionType": compression}, **more)
    assert result(events) == SUMMED
    assert [next(iter(each)) for each in events if "Cont" not in each] == ["Records", "Stats", "End"]
    [stats] = [each["Stats"]["Details"] for each in events if "Stats" in each]
    assert stats == {"BytesScanned": size, "BytesProcessed": len(DATA), "BytesReturned": len(SUMMED)}


@pytest.mark.slow
def test_parts_and_ranges(s3: Any, table: str) -> None:
    upload = s3.create_multipart_upload(Bucket=table, Key="parts.csv")["UploadId"]
    wide = b"".join(b"%d,%b\n" % (each, b"x" * 1_000) for each in range(6_000))
    pieces = [b"id,x\n" + wide, wide, wide[:100_000]]
    given = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=table, Key="parts.csv", UploadId=upload, PartNumber=number, Body=body)[
                "ETag"
            ],
        }
        for number, body in enumerate(pieces, 1)
    ]
    s3.complete_multipart_upload(Bucket=table, Key="parts.csv", UploadId=upload, MultipartUpload={"Parts": given})
    counted = "SELECT COUNT(*) FROM S3Object s WHERE s.id IS NOT MISSING"
    size = s3.head_object(Bucket=table, Key="parts.csv")["ContentLength"]
    rows = 12_000 + wide[:100_000].count(b"\n") + 1
    assert result(select(s3, table, "parts.csv", counted)) == b"%d\n" % rows
    counts = [
        int(result(select(s3, table, "parts.csv", counted, ScanRange={"Start": start, "End": end})))
        for start, end in ((0, 999_999), (1_000_000, size - 500_001), (size - 500_000, size))
    ]
    assert sum(counts) == rows
    assert min(counts) > 0
    last = select(s3, table, "plain.csv", "SELECT id FROM S3Object", ScanRange={"End": 30})
    assert result(last) == b"%d\n" % (ROWS - 1)


@pytest.mark.slow
def test_progress_is_told_when_asked_for(s3: Any, table: str) -> None:
    events = select(s3, table, "plain.csv", SUM, RequestProgress={"Enabled": True})
    assert [next(iter(each)) for each in events if "Cont" not in each][-3:] == ["Progress", "Stats", "End"]


def test_json_and_names(s3: Any, table: str) -> None:
    events = select(s3, table, "small.csv", "SELECT s.name, s.id AS n FROM S3Object s LIMIT 1", target={"JSON": {}})
    assert result(events) == b'{"name":"ann","n":"1"}\n'
    lines = b'{"a":{"b":[1,2]}}\n{"a":3}\n'
    s3.put_object(Bucket=table, Key="lines.json", Body=lines)
    events = select(
        s3, table, "lines.json", "SELECT s.a.b[1] x FROM S3Object s", {"JSON": {"Type": "LINES"}}, {"JSON": {}}
    )
    assert result(events) == b'{"x":2}\n{}\n'
    document = b'{"Records": [{"n": 1}, {"n": 2}]}'
    s3.put_object(Bucket=table, Key="document.json.gz", Body=gzip.compress(document))
    source = {"JSON": {"Type": "DOCUMENT"}, "CompressionType": "GZIP"}
    events = select(s3, table, "document.json.gz", "SELECT SUM(r.n) FROM S3Object[*].Records[*] r", source)
    assert result(events) == b"3\n"


@pytest.mark.slow
def test_parquet(s3: Any, table: str) -> None:
    def ask(expression: str, **more: Any) -> bytes:
        return result(select(s3, table, "table.parquet", expression, {"Parquet": {}}, {"JSON": {}}, **more))

    assert ask("SELECT * FROM S3Object s WHERE s.id = 4999") == (
        b'{"id":4999,"name":"n4999","nested":{"a":1.5,"b":["x"]}}\n'
    )
    assert ask("SELECT s.nested.b[0] x, name || '!' FROM S3Object s WHERE s.nested.a > 1 LIMIT 1") == (
        b'{"x":"x","_2":"n0!"}\n'
    )
    assert ask("SELECT COUNT(*), AVG(id), MAX(id), SUM(id + 1) FROM S3Object WHERE name LIKE 'n1%'") == (
        b'{"_1":1111,"_2":1363.2727272727273,"_3":1999,"_4":1515707}\n'
    )
    whole = b'{"_1":5000}\n'
    assert ask("SELECT COUNT(*) FROM S3Object") == whole
    assert ask("SELECT COUNT(*) FROM S3Object", ScanRange={"Start": 4}) == whole
    assert ask("SELECT COUNT(*) FROM S3Object", ScanRange={"Start": 4, "End": 10}) == b'{"_1":1000}\n'


BAD = [
    ({"Expression": "SELEC"}, "ParseUnexpectedToken"),
    ({"Expression": "SELECT nope FROM S3Object"}, "MissingHeaders"),
    ({"Expression": "SELECT CAST(name AS INT) FROM S3Object"}, "CastFailed"),
    ({"Expression": "SELECT * FROM S3Object", "ExpressionType": "PartiQL"}, "InvalidExpressionType"),
    ({"Expression": "SELECT '" + "x" * 300_000 + "' FROM S3Object"}, "ExpressionTooLong"),
    ({"InputSerialization": {}}, "MissingRequiredParameter"),
    ({"InputSerialization": {"CSV": {}, "JSON": {"Type": "LINES"}}}, "ObjectSerializationConflict"),
    ({"InputSerialization": {"CSV": {"FileHeaderInfo": "MAYBE"}}}, "InvalidFileHeaderInfo"),
    ({"InputSerialization": {"CSV": {}, "CompressionType": "ZIP"}}, "InvalidCompressionFormat"),
    ({"InputSerialization": {"CSV": {}, "CompressionType": "GZIP"}}, "InvalidCompressionFormat"),
    ({"InputSerialization": {"Parquet": {}, "CompressionType": "GZIP"}}, "InvalidCompressionFormat"),
    ({"InputSerialization": {"Parquet": {}}}, "ParquetParsingError"),
    ({"InputSerialization": {"JSON": {"Type": "MAYBE"}}}, "InvalidJsonType"),
    ({"InputSerialization": {"JSON": {"Type": "LINES"}}}, "JSONParsingError"),
    ({"InputSerialization": {"CSV": {"FieldDelimiter": "ab"}}}, "InvalidRequestParameter"),
    ({"InputSerialization": {"CSV": {"FieldDelimiter": "\n"}}}, "InvalidRequestParameter"),
    ({"InputSerialization": {"CSV": {"QuoteCharacter": ","}}}, "InvalidRequestParameter"),
    ({"InputSerialization": {"CSV": {"RecordDelimiter": "abc"}}}, "InvalidRequestParameter"),
    ({"OutputSerialization": {}}, "MissingRequiredParameter"),
    ({"OutputSerialization": {"CSV": {"QuoteFields": "MAYBE"}}}, "InvalidQuoteFields"),
    ({"ScanRange": {}}, "InvalidScanRange"),
    ({"ScanRange": {"Start": 10, "End": 5}}, "InvalidScanRange"),
    ({"ScanRange": {"Start": 10_000}}, "InvalidScanRange"),
    ({"ScanRange": {"Start": -1}}, "InvalidScanRange"),
    ({"InputSerialization": {"JSON": {"Type": "DOCUMENT"}}, "ScanRange": {"Start": 1}}, "UnsupportedScanRangeInput"),
    ({"Key": "nothing-here"}, "NoSuchKey"),
    ({"Bucket": "no-such-bucket-at-all"}, "NoSuchBucket"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "code"), BAD, ids=[f"{code}-{number}" for number, (_, code) in enumerate(BAD)])
def test_refusals(s3: Any, table: str, given: dict[str, Any], code: str) -> None:
    right = {
        "Bucket": table,
        "Key": "small.csv",
        "Expression": "SELECT * FROM S3Object",
        "ExpressionType": "SQL",
        "InputSerialization": USE,
        "OutputSerialization": {"CSV": {}},
    }
    with pytest.raises(ClientError) as raised:
        s3.select_object_content(**right | given)
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404)


@pytest.mark.slow
def test_a_fault_after_the_first_records_is_told_in_the_stream(s3: Any, table: str, trail: TrailLog) -> None:
    answer = s3.select_object_content(
        Bucket=table,
        Key="plain.csv",
        Expression=f"SELECT CASE WHEN id = '{ROWS - 1}' THEN CAST(name AS INT) ELSE 1 END FROM S3Object",
        ExpressionType="SQL",
        InputSerialization=USE,
        OutputSerialization={"CSV": {}},
    )
    got: list[bytes] = []
    with pytest.raises(EventStreamError) as raised:
        got.extend(each.get("Records", {}).get("Payload", b"") for each in answer["Payload"])
    assert raised.value.response["Error"]["Code"] == "CastFailed"
    assert got[0].startswith(b"1\n1\n")
    [record] = trail.find(requestID=answer["ResponseMetadata"]["RequestId"])
    assert record["errorCode"] == "CastFailed"


def test_the_record(s3: Any, table: str, trail: TrailLog) -> None:
    answer = s3.select_object_content(
        Bucket=table, Key="small.csv", Expression="SELECT name FROM S3Object", ExpressionType="SQL",
        InputSerialization=USE, OutputSerialization={"CSV": {}},
    )  # fmt: skip
    sent = sum(len(each["Records"]["Payload"]) for each in answer["Payload"] if "Records" in each)
    [record] = trail.find(requestID=answer["ResponseMetadata"]["RequestId"])
    assert (record["eventName"], record["readOnly"], record["managementEvent"]) == ("SelectObjectContent", True, False)
    assert record["eventCategory"] == "Data"
    shown = record["requestParameters"]
    assert (shown["bucketName"], shown["key"], shown["select"], shown["select-type"]) == (table, "small.csv", "", "2")
    assert record["resources"][-1]["ARN"] == f"arn:aws:s3:::{table}/small.csv"
    assert record["additionalEventData"]["bytesTransferredOut"] > sent
    assert record["additionalEventData"]["objectSize"] == 20
    assert "errorCode" not in record


def test_who_may(server: ServerProcess, s3: Any, iam: Any, table: str, name: str) -> None:
    policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"%s","Resource":"arn:aws:s3:::%s/*"}}'
    iam.create_user(UserName=name)
    theirs = server.client("s3", user_key(iam.create_access_key(UserName=name)))
    assert refusal(theirs, table, "small.csv", "SELECT 1 FROM S3Object") == ("AccessDenied", 403)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy % ("s3:PutObject", table))
    assert refusal(theirs, table, "small.csv", "SELECT 1 FROM S3Object") == ("AccessDenied", 403)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy % ("s3:GetObject", table))
    assert result(select(theirs, table, "small.csv", "SELECT name FROM S3Object LIMIT 1")) == b"ann\n"
    stranger = server.client("s3", (OTHER_KEY, OTHER_SECRET))
    assert refusal(stranger, table, "small.csv", "SELECT 1 FROM S3Object") == ("AccessDenied", 403)
    assert refusal(s3, table, "ssec.csv", "SELECT 1 FROM S3Object") == ("InvalidRequest", 400)
    wrong = CUSTOMER | {"SSECustomerKey": b"x" * 32}
    assert refusal(s3, table, "ssec.csv", "SELECT 1 FROM S3Object", **wrong) == ("AccessDenied", 403)


# Attacks


@pytest.mark.slow
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
def test_a_bomb(s3: Any, table: str, pack: Any) -> None:
    """300 MB of nothing in a few bytes: one record that is too long."""
    compression = "GZIP" if pack is gzip.compress else "BZIP2"
    packed = b"".join(pack(b"0" * 30_000_000) for _ in range(1)) * 10
    s3.put_object(Bucket=table, Key="bomb", Body=packed)
    source = USE | {"CompressionType": compression}
    assert refusal(s3, table, "bomb", SUM, source) == ("OverMaxRecordSize", 400)
    document = {"JSON": {"Type": "DOCUMENT"}, "CompressionType": compression}
    assert refusal(s3, table, "bomb", "SELECT * FROM S3Object", document) == ("OverMaxRecordSize", 400)


@pytest.mark.slow
def test_broken_parquet(s3: Any, table: str) -> None:
    whole = parquet(id=list(range(100)), name=["x" * 10] * 100)
    pieces = [b"PAR1", b"PAR1PAR1", whole[:-8], whole[:100] + whole[-100:], whole[:-8] + b"\xff\xff\xff\x7fPAR1"]
    pieces += [
        whole[:place] + b"\xff" * 40 + whole[place + 40 :] for place in range(0, len(whole) - 40, len(whole) // 5)
    ]
    for number, data in enumerate(pieces):
        s3.put_object(Bucket=table, Key="broken", Body=data)
        try:
            select(s3, table, "broken", "SELECT * FROM S3Object", {"Parquet": {}})
            code = ""
        except (ClientError, EventStreamError) as error:
            code = error.response["Error"]["Code"]
        assert code in (
            "ParquetParsingError",
            "OverMaxParquetBlockSize",
            "" if number > 4 else "ParquetParsingError",
        ), number


def children(server: ServerProcess) -> list[str]:
    """The query processes of the server."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            status = (each / "stat").read_text().rsplit(")", 1)[1].split()
            line = (each / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(status[1]) == server.pid and b"opentrail.query.worker" in line and status[0] != "Z":
            found.append(each.name)
    return found


def body_of(expression: str) -> bytes:
    return (
        f"<SelectObjectContentRequest><Expression>{expression}</Expression><ExpressionType>SQL</ExpressionType>"
        "<InputSerialization><CSV/></InputSerialization><OutputSerialization><CSV/></OutputSerialization>"
        "</SelectObjectContentRequest>"
    ).encode()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_client_that_goes_away_leaves_nothing_behind(server: ServerProcess, s3: Any, table: str) -> None:
    s3.put_object(Bucket=table, Key="long.csv", Body=DATA * 12)
    target = f"/{table}/long.csv?select&select-type=2"
    request = signed_bytes(server, "s3", "POST", target, body_of("SELECT _1, _2, _2, _2, _2 FROM S3Object"))
    lines = [Line(server) for _ in range(QUERIES_MAX)]
    for line in lines:
        line.send(request)
    for line in lines:
        assert line.socket.recv(100, socket.MSG_WAITALL).startswith(b"HTTP/1.1 200")
    assert len(children(server)) == QUERIES_MAX
    assert refusal(s3, table, "small.csv", "SELECT 1 FROM S3Object") == ("Busy", 503)
    for line in lines:
        line.__exit__()
    until(lambda: children(server) == [])
    assert result(select(s3, table, "small.csv", "SELECT id FROM S3Object")) == b"1\n2\n"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="kills a process found in /proc")
@pytest.mark.slow
def test_a_query_that_dies_is_an_error_of_its_own(server: ServerProcess, s3: Any, table: str) -> None:
    s3.put_object(Bucket=table, Key="long.csv", Body=DATA * 12)
    target = f"/{table}/long.csv?select&select-type=2"
    with Line(server) as line:
        line.send(signed_bytes(server, "s3", "POST", target, body_of("SELECT _1, _2, _2, _2, _2 FROM S3Object")))
        assert line.socket.recv(100, socket.MSG_WAITALL).startswith(b"HTTP/1.1 200")
        [process] = children(server)
        os.kill(int(process), 9)
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            piece = line.socket.recv(1 << 16)
            assert piece, "no end of the answer"
            rest = rest[-1000:] + piece
    assert b"InternalError" in rest
    assert result(select(s3, table, "small.csv", "SELECT id FROM S3Object")) == b"1\n2\n"


def test_an_old_client_gets_the_stream_without_chunks(server: ServerProcess, table: str) -> None:
    target = f"/{table}/small.csv?select&select-type=2"
    request = signed_bytes(server, "s3", "POST", target, body_of("SELECT _2 FROM S3Object"))
    with Line(server) as line:
        line.send(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        got = b""
        while piece := line.socket.recv(1 << 16):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert b"vnd.amazon.eventstream" in head
    assert int.from_bytes(body[:4], "big") < len(body)
    assert zlib.crc32(body[:8]) == int.from_bytes(body[8:12], "big")


def test_an_archived_object_is_queried_where_it_lies(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="cold.csv", Body=DATA, StorageClass="DEEP_ARCHIVE")
    query = {
        "ExpressionType": "SQL",
        "Expression": "SELECT * FROM S3Object s WHERE CAST(s.id AS INT) >= 59998",
        "InputSerialization": USE,
        "OutputSerialization": {"JSON": {}},
    }
    location = {"S3": {"BucketName": name, "Prefix": "out/", "CannedACL": "bucket-owner-full-control"}}
    request = {"Type": "SELECT", "SelectParameters": query, "OutputLocation": location}
    path = s3.restore_object(Bucket=name, Key="cold.csv", RestoreRequest=request)["RestoreOutputPath"]

    def listed() -> list[str]:
        return [each["Key"] for each in s3.list_objects_v2(Bucket=name, Prefix="out/")["Contents"]]

    manifest = f"{path}/result_manifest.txt"
    until(lambda: manifest in listed())
    assert listed() == [f"{path}/job.txt", manifest, f"{path}/results/000000"]
    result = s3.get_object(Bucket=name, Key=f"{path}/results/000000")["Body"].read()
    assert result == b'{"id":"59998","name":"name 59998"}\n{"id":"59999","name":"name 59999"}\n'
