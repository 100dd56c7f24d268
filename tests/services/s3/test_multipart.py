"""Multipart uploads from beginning to end, as boto3 sees them."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from typing import Any

import pytest
from botocore.exceptions import ClientError

from opentrail.wire.checksums import checksum, composite
from tests.services.s3.test_objects import code_of
from tests.services.s3.world import BUCKET, MIB, World

BIG = b"a" * (5 * MIB)
TAIL = b"tail"


def start(s3: Any, key: str = "k", **more: Any) -> str:
    return str(s3.create_multipart_upload(Bucket=BUCKET, Key=key, **more)["UploadId"])


def put_part(s3: Any, upload_id: str, number: int, data: bytes, key: str = "k", **more: Any) -> dict[str, Any]:
    answer = s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload_id, PartNumber=number, Body=data, **more)
    return {"PartNumber": number, "ETag": answer["ETag"]}


def complete(s3: Any, upload_id: str, parts: list[dict[str, Any]], key: str = "k", **more: Any) -> Any:
    return s3.complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


def fails(call: Any, *arguments: Any, **more: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call(*arguments, **more)
    return code_of(error)


def leftovers(world: World) -> list[bytes]:
    return [key for key in world.ledger.rows if key.startswith((b"s3.upload", b"s3.part"))]


def test_parts_become_an_object_without_being_copied(s3: Any, world: World):
    upload_id = start(s3, ContentType="text/x", Metadata={"a": "b"}, Tagging="t=1")
    parts = [
        put_part(s3, upload_id, 1, BIG),
        put_part(s3, upload_id, 7, BIG[:-1] + b"b"),
        put_part(s3, upload_id, 9, TAIL),
    ]
    before = world.blob_sizes()
    done = complete(s3, upload_id, parts)
    whole = BIG + BIG[:-1] + b"b" + TAIL
    digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert done["Location"].endswith(f"/{BUCKET}/k")
    assert (done["ChecksumType"], done["ChecksumCRC64NVME"]) == ("FULL_OBJECT", checksum("CRC64NVME", whole))
    got = s3.get_object(Bucket=BUCKET, Key="k")
    assert got["Body"].read() == whole
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("text/x", {"a": "b"}, 1)
    assert world.blob_sizes() == before
    assert not leftovers(world)
    edge = s3.get_object(Bucket=BUCKET, Key="k", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert edge["Body"].read() == b"aaaa"
    third = s3.get_object(Bucket=BUCKET, Key="k", PartNumber=3)
    assert (third["Body"].read(), third["PartsCount"]) == (TAIL, 3)
    s3.delete_object(Bucket=BUCKET, Key="k")
    assert world.blob_sizes() == []


def test_replaced_and_unnamed_parts_are_let_go(s3: Any, world: World):
    upload_id = start(s3)
    put_part(s3, upload_id, 1, b"first")
    put_part(s3, upload_id, 2, b"never named")
    part = put_part(s3, upload_id, 1, b"second try")
    assert world.blob_sizes() == [10, 11]
    complete(s3, upload_id, [part])
    assert world.blob_sizes() == [10]
    assert not leftovers(world)


def test_of_a_part_named_twice_the_last_counts(s3: Any):
    upload_id = start(s3)
    parts = [put_part(s3, upload_id, 1, data) for data in (b"first", b"second")]
    assert fails(complete, s3, upload_id, parts[::-1]) == ("InvalidPart", 400)
    assert complete(s3, upload_id, parts)["ETag"].endswith('-1"')
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"second"


def test_abort_leaves_nothing(s3: Any, world: World):
    upload_id = start(s3)
    put_part(s3, upload_id, 1, b"one")
    s3.abort_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload_id)
    assert world.blob_sizes() == []
    assert not leftovers(world)
    assert fails(s3.abort_multipart_upload, Bucket=BUCKET, Key="k", UploadId=upload_id) == ("NoSuchUpload", 404)
    assert fails(put_part, s3, upload_id, 1, b"late") == ("NoSuchUpload", 404)
    assert world.blob_sizes() == []
    assert fails(s3.list_parts, Bucket=BUCKET, Key="k", UploadId=upload_id) == ("NoSuchUpload", 404)


def test_an_upload_belongs_to_its_key(s3: Any):
    upload_id = start(s3)
    assert fails(put_part, s3, upload_id, 1, b"x", key="other") == ("NoSuchUpload", 404)
    assert fails(complete, s3, upload_id, [{"PartNumber": 1, "ETag": "x"}], key="other") == ("NoSuchUpload", 404)


def test_conflicts_repeat_without_harm(s3: Any, world: World):
    upload_id = start(s3)
    world.ledger.conflicts = 2
    part = put_part(s3, upload_id, 1, b"once")
    world.ledger.conflicts = 2
    complete(s3, upload_id, [part])
    assert world.blob_sizes() == [4]
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"once"


def test_completing_again_answers_the_same(s3: Any):
    upload_id = start(s3)
    parts = [put_part(s3, upload_id, 1, b"one")]
    first, second = complete(s3, upload_id, parts), complete(s3, upload_id, parts)
    assert (first["ETag"], first["ChecksumCRC64NVME"]) == (second["ETag"], second["ChecksumCRC64NVME"])
    assert fails(complete, s3, upload_id, [{"PartNumber": 1, "ETag": "not hexadecimal"}]) == ("NoSuchUpload", 404)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"other")
    assert fails(complete, s3, upload_id, parts) == ("NoSuchUpload", 404)


def test_what_completion_refuses(s3: Any):
    upload_id = start(s3)
    parts = [put_part(s3, upload_id, 1, b"too small"), put_part(s3, upload_id, 2, b"last")]
    assert fails(complete, s3, upload_id, parts) == ("EntityTooSmall", 400)
    assert fails(complete, s3, upload_id, parts[::-1]) == ("InvalidPartOrder", 400)
    assert fails(complete, s3, upload_id, []) == ("MalformedXML", 400)
    assert fails(complete, s3, upload_id, [{"PartNumber": 3, "ETag": parts[0]["ETag"]}]) == ("InvalidPart", 400)
    assert fails(complete, s3, upload_id, [{"PartNumber": 1, "ETag": parts[1]["ETag"]}]) == ("InvalidPart", 400)
    assert fails(complete, s3, upload_id, [{"PartNumber": 1}]) == ("MalformedXML", 400)
    assert fails(complete, s3, upload_id, [{"PartNumber": 0, "ETag": "x"}]) == ("InvalidArgument", 400)
    assert fails(complete, s3, upload_id, parts[1:], MpuObjectSize=5) == ("InvalidRequest", 400)
    assert fails(complete, s3, upload_id, parts[1:], ChecksumType="COMPOSITE") == ("InvalidRequest", 400)
    assert fails(complete, s3, upload_id, parts[1:], ChecksumCRC64NVME="AAAAAAAAAAA=") == ("BadDigest", 400)
    complete(s3, upload_id, parts[1:], MpuObjectSize=4, ChecksumCRC64NVME=checksum("CRC64NVME", b"last"))


def test_completion_is_conditional(s3: Any):
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"there")["ETag"]
    upload_id = start(s3)
    parts = [put_part(s3, upload_id, 1, b"new")]
    assert fails(complete, s3, upload_id, parts, IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert fails(complete, s3, upload_id, parts, IfMatch='"other"') == ("PreconditionFailed", 412)
    complete(s3, upload_id, parts, IfMatch=etag)
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"new"


def test_part_numbers(s3: Any):
    upload_id = start(s3)
    for number in (0, 10_001, -1):
        assert fails(put_part, s3, upload_id, number, b"x") == ("InvalidArgument", 400)
    complete(s3, upload_id, [put_part(s3, upload_id, 10_000, b"x")])


def test_an_empty_part_has_no_blob(s3: Any, world: World):
    upload_id = start(s3)
    parts = [put_part(s3, upload_id, 1, b"")]
    assert complete(s3, upload_id, parts)["ETag"].endswith('-1"')
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b""
    assert world.blob_sizes() == []


def test_versions_of_completed_uploads(versioned: Any):
    ids = []
    for data in (b"one", b"two"):
        upload_id = start(versioned)
        ids.append(complete(versioned, upload_id, [put_part(versioned, upload_id, 1, data)])["VersionId"])
    assert versioned.get_object(Bucket=BUCKET, Key="k", VersionId=ids[0])["Body"].read() == b"one"
    assert versioned.get_object(Bucket=BUCKET, Key="k")["VersionId"] == ids[1]


def test_composite_checksums(s3: Any):
    answer = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ChecksumAlgorithm="SHA256")
    assert (answer["ChecksumAlgorithm"], answer["ChecksumType"]) == ("SHA256", "COMPOSITE")
    upload_id, parts, values = answer["UploadId"], [], []
    for number, data in ((1, BIG), (2, TAIL)):
        part = put_part(s3, upload_id, number, data, ChecksumAlgorithm="SHA256")
        values.append(b64encode(hashlib.sha256(data).digest()).decode())
        parts.append({**part, "ChecksumSHA256": values[-1]})
    bare = [{name: part[name] for name in ("PartNumber", "ETag")} for part in parts]
    assert fails(complete, s3, upload_id, bare) == ("InvalidRequest", 400)
    wrong = [{**parts[0], "ChecksumSHA256": values[1]}, parts[1]]
    assert fails(complete, s3, upload_id, wrong) == ("InvalidPart", 400)
    done = complete(s3, upload_id, parts, ChecksumSHA256=composite("SHA256", values))
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (composite("SHA256", values), "COMPOSITE")
    head = s3.head_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (composite("SHA256", values), "COMPOSITE")
    part = s3.head_object(Bucket=BUCKET, Key="k", PartNumber=2, ChecksumMode="ENABLED")
    assert (part["ChecksumSHA256"], part["ChecksumType"]) == (values[1], "COMPOSITE")


def test_full_object_checksums(s3: Any):
    upload_id = start(s3, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    parts = [put_part(s3, upload_id, 1, BIG), put_part(s3, upload_id, 2, TAIL)]
    whole = b64encode(zlib.crc32(BIG + TAIL).to_bytes(4, "big")).decode()
    assert fails(complete, s3, upload_id, parts, ChecksumCRC32="AAAAAA==") == ("BadDigest", 400)
    done = complete(s3, upload_id, parts, ChecksumCRC32=whole, ChecksumType="FULL_OBJECT")
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "FULL_OBJECT")


def test_parts_must_bring_the_uploads_kind_of_checksum(s3: Any, world: World):
    upload_id = start(s3, ChecksumAlgorithm="SHA1")
    assert fails(put_part, s3, upload_id, 1, b"x", ChecksumAlgorithm="CRC32") == ("InvalidRequest", 400)
    assert fails(put_part, s3, upload_id, 1, b"x", ChecksumSHA1=b64encode(bytes(20)).decode()) == ("BadDigest", 400)
    assert world.blob_sizes() == []


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("CRC32", "SOME"), (None, "COMPOSITE")],
)
def test_checksum_types_that_do_not_exist(s3: Any, algorithm: str | None, kind: str):
    given = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    assert fails(start, s3, ChecksumType=kind, **given) == ("InvalidRequest", 400)


def test_list_parts_in_pages(s3: Any):
    upload_id = start(s3, StorageClass="STANDARD_IA")
    for number in (1, 2, 10, 1000):
        put_part(s3, upload_id, number, b"x" * number)
    where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload_id}
    first = s3.list_parts(**where, MaxParts=2)
    assert [part["PartNumber"] for part in first["Parts"]] == [1, 2]
    assert (first["IsTruncated"], first["NextPartNumberMarker"], first["StorageClass"]) == (True, 2, "STANDARD_IA")
    rest = s3.list_parts(**where, PartNumberMarker=2)
    assert [(part["PartNumber"], part["Size"]) for part in rest["Parts"]] == [(10, 10), (1000, 1000)]
    assert not rest["IsTruncated"]
    assert "Parts" not in s3.list_parts(**where, PartNumberMarker=2_000_000_000)
    assert fails(s3.list_parts, **where, MaxParts=-1) == ("InvalidArgument", 400)
    assert fails(s3.list_parts, **where, PartNumberMarker=-1) == ("InvalidArgument", 400)
    every = s3.get_paginator("list_parts").paginate(**where, PaginationConfig={"PageSize": 1})
    assert [part["PartNumber"] for page in every for part in page["Parts"]] == [1, 2, 10, 1000]


def test_list_uploads_in_pages(s3: Any):
    keys = ["a/1", "a/1", "a/2", "b", "c/x/y", "é"]
    ids = [start(s3, key) for key in keys]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2})
    shown = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page["Uploads"]]
    assert shown == list(zip(keys, ids, strict=True))
    rolled = s3.list_multipart_uploads(Bucket=BUCKET, Delimiter="/", MaxUploads=2)
    assert [prefix["Prefix"] for prefix in rolled["CommonPrefixes"]] == ["a/"]
    assert [upload["Key"] for upload in rolled["Uploads"]] == ["b"]
    following = s3.list_multipart_uploads(Bucket=BUCKET, Delimiter="/", KeyMarker=rolled["NextKeyMarker"])
    assert [prefix["Prefix"] for prefix in following["CommonPrefixes"]] == ["c/"]
    assert [upload["Key"] for upload in following["Uploads"]] == ["é"]
    behind = s3.list_multipart_uploads(Bucket=BUCKET, KeyMarker="a/1", UploadIdMarker=ids[0], Prefix="a/")
    assert [upload["UploadId"] for upload in behind["Uploads"]] == [ids[1], ids[2]]
    assert fails(s3.list_multipart_uploads, Bucket=BUCKET, Prefix="a/1\0") == ("InvalidURI", 400)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET, MaxUploads=0)


def test_hostile_upload_ids(s3: Any):
    for upload_id in ("nope", "x\0y", "../../etc", "é" * 500, "%00"):
        assert fails(put_part, s3, upload_id, 1, b"x")[0] in ("NoSuchUpload", "InvalidURI")
        assert fails(complete, s3, upload_id, [{"PartNumber": 1, "ETag": "x"}])[0] in ("NoSuchUpload", "InvalidURI")


def test_strangers_are_kept_out(s3: Any, stranger: Any, world: World):
    upload_id = start(s3)
    assert fails(put_part, stranger, upload_id, 1, b"x" * 100_000) == ("AccessDenied", 403)
    assert fails(stranger.list_multipart_uploads, Bucket=BUCKET) == ("AccessDenied", 403)
    assert fails(stranger.abort_multipart_upload, Bucket=BUCKET, Key="k", UploadId=upload_id) == ("AccessDenied", 403)
    assert world.blob_sizes() == []


def test_what_is_recorded(s3: Any, world: World):
    upload_id = start(s3)
    complete(s3, upload_id, [put_part(s3, upload_id, 1, b"abc")])
    (record,) = world.records("CompleteMultipartUpload")
    assert record["requestParameters"]["uploadId"] == upload_id
    assert record["additionalEventData"]["objectSize"] == 3
    assert world.records("CreateMultipartUpload")[0]["requestParameters"]["uploads"] == ""
    assert world.records("UploadPart")[0]["requestParameters"]["partNumber"] == "1"
