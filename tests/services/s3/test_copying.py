"""CopyObject and UploadPartCopy, as boto3 sees them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opentrail.errors import AwsError
from opentrail.services.s3.copy_source import parse_source
from opentrail.wire.checksums import checksum
from tests.services.s3.test_multipart import BIG, TAIL, complete, fails, put_part, start
from tests.services.s3.world import BUCKET, World

SOURCE = {"Bucket": BUCKET, "Key": "src"}


def copy(s3: Any, key: str = "dst", source: Any = None, **more: Any) -> Any:
    return s3.copy_object(Bucket=BUCKET, Key=key, CopySource=source or SOURCE, **more)


def body(s3: Any, key: str = "dst", **more: Any) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key=key, **more)["Body"].read())


@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_a_copy_has_bytes_of_its_own(s3: Any, world: World, size: int):
    data = b"x" * size
    etag = s3.put_object(Bucket=BUCKET, Key="src", Body=data)["ETag"]
    result = copy(s3)["CopyObjectResult"]
    assert result["ETag"] == etag
    s3.delete_object(Bucket=BUCKET, Key="src")
    assert body(s3) == data
    assert world.blob_sizes() == ([size] if size > 64 * 1024 else [])


def test_a_copy_that_is_walked_again_copies_once(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"x" * 100_000)
    world.ledger.conflicts = 3
    copy(s3)
    assert world.blob_sizes() == [100_000, 100_000]
    assert len(world.records("CopyObject")) == 1


def test_metadata_comes_along_unless_replaced(s3: Any):
    s3.put_object(
        Bucket=BUCKET, Key="src", Body=b"1", Metadata={"a": "b"}, ContentType="text/x", CacheControl="no-store",
        Tagging="t=1", WebsiteRedirectLocation="/there",
    )  # fmt: skip
    copy(s3)
    got = s3.get_object(Bucket=BUCKET, Key="dst")
    assert (got["Metadata"], got["ContentType"], got["CacheControl"]) == ({"a": "b"}, "text/x", "no-store")
    assert (got["TagCount"], "WebsiteRedirectLocation" in got) == (1, False)
    copy(s3, MetadataDirective="REPLACE", Metadata={"c": "d"}, TaggingDirective="REPLACE", StorageClass="STANDARD_IA")
    got = s3.get_object(Bucket=BUCKET, Key="dst")
    assert (got["Metadata"], got["ContentType"]) == ({"c": "d"}, "binary/octet-stream")
    assert ("CacheControl" in got, "TagCount" in got, got["StorageClass"]) == (False, False, "STANDARD_IA")


def test_a_copy_onto_itself_must_change_something(s3: Any):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"1", Metadata={"a": "b"})
    assert fails(copy, s3, "src") == ("InvalidRequest", 400)
    copy(s3, "src", MetadataDirective="REPLACE", Metadata={"c": "d"})
    assert s3.head_object(Bucket=BUCKET, Key="src")["Metadata"] == {"c": "d"}
    copy(s3, "src", StorageClass="STANDARD_IA")
    assert body(s3, "src") == b"1"


def test_directives_that_do_not_exist(s3: Any):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"1")
    assert fails(copy, s3, MetadataDirective="KEEP") == ("InvalidArgument", 400)
    assert fails(copy, s3, TaggingDirective="KEEP") == ("InvalidArgument", 400)
    assert fails(copy, s3, ChecksumAlgorithm="ROT13") == ("InvalidRequest", 400)


def test_conditions_on_the_source(s3: Any):
    etag = s3.put_object(Bucket=BUCKET, Key="src", Body=b"1")["ETag"]
    old, new = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    copy(s3, CopySourceIfMatch=etag, CopySourceIfUnmodifiedSince=old)
    copy(s3, CopySourceIfNoneMatch='"other"', CopySourceIfModifiedSince=old)
    failed = ("PreconditionFailed", 412)
    assert fails(copy, s3, CopySourceIfMatch='"other"') == failed
    assert fails(copy, s3, CopySourceIfNoneMatch=etag) == failed
    assert fails(copy, s3, CopySourceIfUnmodifiedSince=old) == failed
    assert fails(copy, s3, CopySourceIfModifiedSince=new) == failed


def test_conditions_on_the_destination(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"x" * 100_000)
    copy(s3, IfNoneMatch="*")
    assert fails(copy, s3, IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert world.blob_sizes() == [100_000, 100_000]


def test_sources_that_are_not_there(s3: Any):
    assert fails(copy, s3) == ("NoSuchKey", 404)
    assert fails(copy, s3, source={"Bucket": "no-such-bucket", "Key": "k"}) == ("NoSuchBucket", 404)
    assert fails(copy, s3, source="nobucket") == ("InvalidArgument", 400)
    assert fails(copy, s3, source=f"{BUCKET}/k?versionId=junk") == ("InvalidArgument", 400)


@pytest.mark.parametrize("key", ["a b", "a+b", "?versionId", "é/ü", "%41", "a?versionId=b", "100%"])
def test_keys_of_any_spelling(s3: Any, key: str):
    s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    copy(s3, source={"Bucket": BUCKET, "Key": key})
    assert body(s3) == key.encode()


def test_parse_source():
    assert parse_source("/b/k/l?versionId=v") == ("b", "k/l", "v")
    assert parse_source("b/k%2Fl") == ("b", "k/l", "")
    for text in ("", "b", "b/", "/b/", "b/%ff", "b/a%00b", "b/k?versionId="):
        with pytest.raises(AwsError, match="InvalidArgument"):
            parse_source(text)


def test_versions_are_copied_and_brought_back(versioned: Any):
    first = versioned.put_object(Bucket=BUCKET, Key="src", Body=b"1")["VersionId"]
    second = versioned.put_object(Bucket=BUCKET, Key="src", Body=b"2")["VersionId"]
    done = copy(versioned, source={**SOURCE, "VersionId": first})
    assert (done["CopySourceVersionId"], body(versioned)) == (first, b"1")
    assert copy(versioned)["CopySourceVersionId"] == second
    back = copy(versioned, "src", source={**SOURCE, "VersionId": first})
    assert (body(versioned, "src"), back["VersionId"] not in (first, second)) == (b"1", True)
    marker = versioned.delete_object(Bucket=BUCKET, Key="src")["VersionId"]
    assert fails(copy, versioned) == ("NoSuchKey", 404)
    assert fails(copy, versioned, source={**SOURCE, "VersionId": marker}) == ("InvalidRequest", 400)
    gone = {**SOURCE, "VersionId": first[:-1] + ("0" if first[-1] != "0" else "1")}
    assert fails(copy, versioned, source=gone) == ("NoSuchVersion", 404)


def test_checksums_of_copies(s3: Any):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"data", ChecksumAlgorithm="SHA1")
    assert copy(s3)["CopyObjectResult"]["ChecksumSHA1"] == checksum("SHA1", b"data")
    result = copy(s3, ChecksumAlgorithm="SHA256")["CopyObjectResult"]
    assert (result["ChecksumSHA256"], "ChecksumSHA1" in result) == (checksum("SHA256", b"data"), False)


def test_a_multipart_object_is_copied_whole(s3: Any, world: World):
    upload_id = start(s3, "src", ChecksumAlgorithm="CRC32")
    parts = []
    for number, data in ((1, BIG), (2, TAIL)):
        part = put_part(s3, upload_id, number, data, "src", ChecksumAlgorithm="CRC32")
        parts.append({**part, "ChecksumCRC32": checksum("CRC32", data)})
    complete(s3, upload_id, parts, "src")
    result = copy(s3)["CopyObjectResult"]
    assert result["ETag"] == f'"{hashlib.md5(BIG + TAIL).hexdigest()}"'
    assert (result["ChecksumCRC32"], result["ChecksumType"]) == (checksum("CRC32", BIG + TAIL), "FULL_OBJECT")
    assert body(s3) == BIG + TAIL
    assert world.blob_sizes() == [4, len(BIG), len(BIG) + 4]


def test_parts_by_copy(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"0123456789" * 20_000)
    s3.put_object(Bucket=BUCKET, Key="small", Body=b"abcdef")
    upload_id = start(s3)
    where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload_id}
    world.ledger.conflicts = 1
    one = s3.upload_part_copy(**where, PartNumber=1, CopySource=SOURCE)["CopyPartResult"]
    two = s3.upload_part_copy(**where, PartNumber=2, CopySource=f"{BUCKET}/small", CopySourceRange="bytes=1-3")
    assert s3.list_parts(**where)["Parts"][1]["Size"] == 3
    assert fails(complete, s3, upload_id, [{"PartNumber": 1, "ETag": one["ETag"]}, {"PartNumber": 2, "ETag": "x"}]) == (
        "InvalidPart",
        400,
    )
    complete(s3, upload_id, [{"PartNumber": 2, "ETag": two["CopyPartResult"]["ETag"]}])
    assert body(s3, "k") == b"bcd"
    assert world.blob_sizes() == [3, 200_000]


@pytest.mark.parametrize(
    "given", ["0-2", "bytes=0", "bytes=a-b", "bytes=0-bar", "bytes=2-", "bytes=-2", "bytes=3-2", "bytes=0-2,3-5", ""]
)
def test_ranges_that_are_none(s3: Any, given: str):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"01234")
    where = {"Bucket": BUCKET, "Key": "k", "UploadId": start(s3), "PartNumber": 1, "CopySource": SOURCE}
    assert fails(s3.upload_part_copy, **where, CopySourceRange=given) == ("InvalidArgument", 400)
    assert fails(s3.upload_part_copy, **where, CopySourceRange="bytes=0-21") == ("InvalidRange", 416)
    assert fails(s3.upload_part_copy, **where, CopySourceRange="bytes=0-" + "9" * 5000) == ("InvalidRange", 416)


def test_reading_the_source_must_be_allowed(s3: Any, stranger: Any):
    s3.create_bucket(Bucket="open-bucket")
    s3.delete_public_access_block(Bucket="open-bucket")
    statement = {
        "Effect": "Allow", "Principal": "*", "Action": ["s3:PutObject", "s3:PutObjectTagging"],
        "Resource": "arn:aws:s3:::open-bucket/*",
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket="open-bucket", Policy=policy)
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"secret")
    into = {"Bucket": "open-bucket", "Key": "k"}
    assert fails(stranger.copy_object, **into, CopySource=SOURCE) == ("AccessDenied", 403)
    assert fails(stranger.copy_object, **into, CopySource=f"{BUCKET}/none") == ("AccessDenied", 403)
    s3.put_object(Bucket="open-bucket", Key="public", Body=b"1", Tagging="t=1")
    statement["Action"] = ["s3:PutObject", "s3:GetObject"]
    s3.put_bucket_policy(Bucket="open-bucket", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert fails(stranger.copy_object, **into, CopySource="open-bucket/public") == ("AccessDenied", 403)
    stranger.copy_object(**into, CopySource="open-bucket/public", TaggingDirective="REPLACE")
    assert s3.get_object(Bucket="open-bucket", Key="k")["Body"].read() == b"1"


def test_the_source_is_in_the_record(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"1")
    copy(s3)
    (record,) = world.records("CopyObject")
    arns = [resource.get("ARN") for resource in record["resources"]]
    assert arns == [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/dst", f"arn:aws:s3:::{BUCKET}/src"]
    assert record["requestParameters"]["x-amz-copy-source"] == f"{BUCKET}/src"
