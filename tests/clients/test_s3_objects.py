"""Objects by boto3, as a program uses them: write, read, ranges, conditions, listings, versions, copies, deletion."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from botocore.exceptions import ClientError


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_buckets(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    assert name in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    s3.put_object(Bucket=name, Key="a", Body=b"")
    with pytest.raises(s3.exceptions.ClientError) as error:
        s3.delete_bucket(Bucket=name)
    assert code_of(error) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=name, Key="a")
    s3.delete_bucket(Bucket=name)
    with pytest.raises(ClientError) as error:
        s3.head_bucket(Bucket=name)
    assert code_of(error)[1] == 404
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket=name)


def test_bucket_in_another_region(server: Any, name: str) -> None:
    west = server.client("s3", region="eu-west-1")
    west.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert west.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert west.head_bucket(Bucket=name)["BucketRegion"] == "eu-west-1"


@pytest.mark.parametrize(
    "key",
    [
        "plain",
        "with space/and+plus",
        "ünïcödé/日本",
        "a//b/../c",
        "%41 &=?#",
        "🦊" * 200,
        "x" * 1024,
        ".",
        "a/./b",
        "~*'()",
    ],
)
def test_any_key_comes_back(s3: Any, bucket: str, key: str) -> None:
    body = key.encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"purpose": "round trip"}, ContentType="text/x-key")
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body
    assert (got["Metadata"], got["ContentType"]) == ({"purpose": "round trip"}, "text/x-key")
    assert got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    head = s3.head_object(Bucket=bucket, Key=key)
    assert head["ContentLength"] == len(body)
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key=key)


def test_ranges(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="digits", Body=b"0123456789")
    for asked, given, shown in (
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-4", b"6789", "bytes 6-9/10"),
        ("bytes=0-99999", b"0123456789", "bytes 0-9/10"),
    ):
        got = s3.get_object(Bucket=bucket, Key="digits", Range=asked)
        assert (got["Body"].read(), got["ContentRange"]) == (given, shown)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="digits", Range="bytes=10-")
    assert code_of(error) == ("InvalidRange", 416)


def test_conditions(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"one", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    assert code_of(error) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfMatch='"0123"')
    assert code_of(error) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=put["ETag"])
    assert code_of(error)[1] == 304
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfModifiedSince=modified)
    assert code_of(error)[1] == 304
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=put["ETag"])["ETag"] != put["ETag"]


def test_listing(s3: Any, bucket: str) -> None:
    keys = [f"{folder}/{number}" for folder in ("a", "b c", "ü") for number in range(4)] + ["top"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 5}))
    assert [each["Key"] for page in pages for each in page["Contents"]] == sorted(keys, key=str.encode)
    assert len(pages) == 3
    level = s3.list_objects(Bucket=bucket, Delimiter="/")
    assert [each["Prefix"] for each in level["CommonPrefixes"]] == ["a/", "b c/", "ü/"]
    assert [each["Key"] for each in level["Contents"]] == ["top"]
    below = s3.list_objects_v2(Bucket=bucket, Prefix="b c/", StartAfter="b c/1")
    assert [each["Key"] for each in below["Contents"]] == ["b c/2", "b c/3"]
    old = list(s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 4}))
    assert [each["Key"] for page in old for each in page["Contents"]] == sorted(keys, key=str.encode)


def test_versions(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] is True
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="k")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"one"
    listed = s3.list_object_versions(Bucket=bucket)
    assert [each["VersionId"] for each in listed["Versions"]] == [second, first]
    assert [each["VersionId"] for each in listed["DeleteMarkers"]] == [marker["VersionId"]]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"


def test_multipart_by_the_transfer_manager(s3: Any, bucket: str) -> None:
    data = bytes(range(256)) * 4 * 1024 * 20
    s3.upload_fileobj(io.BytesIO(data), bucket, "large", ExtraArgs={"Metadata": {"m": "1"}})
    head = s3.head_object(Bucket=bucket, Key="large")
    assert (head["ContentLength"], head["Metadata"]) == (len(data), {"m": "1"})
    assert head["ETag"].endswith('-3"')
    back = io.BytesIO()
    s3.download_fileobj(bucket, "large", back)
    assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(data).digest()
    assert s3.get_object(Bucket=bucket, Key="large", PartNumber=2)["PartsCount"] == 3


def test_multipart_by_hand(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    five = b"5" * (5 * 1024 * 1024)
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in ((1, five), (3, b"end"))
    ]
    assert [each["PartNumber"] for each in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]] == [1, 3]
    assert [each["Key"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["k"]
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts[::-1]})
    assert code_of(error) == ("InvalidPartOrder", 400)
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == five + b"end"
    other = s3.create_multipart_upload(Bucket=bucket, Key="gone")["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key="gone", UploadId=other)
    with pytest.raises(ClientError) as error:
        s3.list_parts(Bucket=bucket, Key="gone", UploadId=other)
    assert code_of(error) == ("NoSuchUpload", 404)


def test_copies(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="from here", Body=b"body", Metadata={"a": "1"}, ContentType="text/plain")
    s3.copy_object(Bucket=bucket, Key="kept", CopySource={"Bucket": bucket, "Key": "from here"})
    s3.copy_object(
        Bucket=bucket,
        Key="replaced",
        CopySource={"Bucket": bucket, "Key": "from here"},
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
    )
    assert s3.head_object(Bucket=bucket, Key="kept")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket=bucket, Key="replaced")["Metadata"] == {"b": "2"}
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"body"
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "absent"})
    assert code_of(error) == ("NoSuchKey", 404)


def test_deleting_many(s3: Any, bucket: str) -> None:
    for number in range(10):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"")
    names = [{"Key": f"k{number}"} for number in range(9)] + [{"Key": "never was"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": names})
    assert sorted(each["Key"] for each in answer["Deleted"]) == sorted(each["Key"] for each in names)
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k9"]


def test_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="team=blue&stage=two%20words")
    tags = {each["Key"]: each["Value"] for each in s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]}
    assert tags == {"team": "blue", "stage": "two words"}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 1
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3.delete_bucket_tagging(Bucket=bucket)
    with pytest.raises(ClientError) as error:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code_of(error) == ("NoSuchTagSet", 404)
