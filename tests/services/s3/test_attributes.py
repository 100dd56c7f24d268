"""GetObjectAttributes, as boto3 sees it."""

from __future__ import annotations

from typing import Any

from opentrail.wire.checksums import checksum
from tests.services.s3.test_multipart import BIG, TAIL, complete, fails, put_part, start
from tests.services.s3.world import BUCKET

EVERY = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def attributes(s3: Any, wanted: list[str] = EVERY, **more: Any) -> Any:
    return s3.get_object_attributes(Bucket=BUCKET, Key="k", ObjectAttributes=wanted, **more)


def test_of_a_plain_object(s3: Any):
    put = s3.put_object(Bucket=BUCKET, Key="k", Body=b"foo", ChecksumAlgorithm="SHA256")
    got = attributes(s3)
    assert (got["ETag"], got["ObjectSize"], got["StorageClass"]) == (put["ETag"].strip('"'), 3, "STANDARD")
    assert got["Checksum"] == {"ChecksumSHA256": checksum("SHA256", b"foo"), "ChecksumType": "FULL_OBJECT"}
    assert not {"ObjectParts", "VersionId", "DeleteMarker"} & got.keys()
    assert {"ETag", "Checksum", "StorageClass"}.isdisjoint(attributes(s3, ["ObjectSize"]))


def test_of_parts_in_pages(s3: Any):
    upload_id = start(s3)
    parts = [put_part(s3, upload_id, number, BIG) for number in (1, 2)] + [put_part(s3, upload_id, 3, TAIL)]
    complete(s3, upload_id, parts)
    every = attributes(s3)["ObjectParts"]
    assert [(part["PartNumber"], part["Size"]) for part in every["Parts"]] == [(1, len(BIG)), (2, len(BIG)), (3, 4)]
    assert every["Parts"][2]["ChecksumCRC64NVME"] == checksum("CRC64NVME", TAIL)
    page = attributes(s3, MaxParts=1, PartNumberMarker=1)["ObjectParts"]
    assert (page["TotalPartsCount"], page["MaxParts"], page["PartNumberMarker"]) == (3, 1, 1)
    assert (page["IsTruncated"], page["NextPartNumberMarker"]) == (True, 2)
    assert [part["PartNumber"] for part in page["Parts"]] == [2]
    assert not attributes(s3, MaxParts=10, PartNumberMarker=2)["ObjectParts"]["IsTruncated"]
    assert "Parts" not in attributes(s3, PartNumberMarker=2_000_000_000)["ObjectParts"]
    assert fails(attributes, s3, PartNumberMarker=-1) == ("InvalidArgument", 400)


def test_of_versions(versioned: Any):
    ids = [versioned.put_object(Bucket=BUCKET, Key="k", Body=data)["VersionId"] for data in (b"1", b"22")]
    got = attributes(versioned, VersionId=ids[0])
    assert (got["ObjectSize"], got["VersionId"]) == (1, ids[0])
    versioned.delete_object(Bucket=BUCKET, Key="k")
    assert fails(attributes, versioned) == ("NoSuchKey", 404)


def test_what_is_refused(s3: Any, stranger: Any):
    assert fails(attributes, s3) == ("NoSuchKey", 404)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
    assert fails(attributes, s3, ["Nonsense"]) == ("InvalidArgument", 400)
    assert fails(attributes, s3, []) == ("InvalidRequest", 400)
    assert fails(attributes, stranger) == ("AccessDenied", 403)
