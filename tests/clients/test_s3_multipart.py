"""Multipart uploads, copies and deletions by boto3 on a real socket."""

from __future__ import annotations

import hashlib
import io
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError

from tests.clients.conftest import Server

MIB = 1024**2
SMALL_PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)


@pytest.fixture(scope="module")
def s3(server: Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=server.region,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        config=Config(retries={"max_attempts": 1}, max_pool_connections=20),
    )


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def data() -> bytes:
    return b"".join(hashlib.sha512(b"%d" % number).digest() for number in range(17 * MIB // 64)) + b"end"


def test_the_transfer_manager_uploads_copies_and_downloads(s3: Any, bucket: str, data: bytes):
    s3.upload_fileobj(io.BytesIO(data), bucket, "k", Config=SMALL_PARTS)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ContentLength"] == len(data)
    assert head["ETag"].endswith('-4"')
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Config=SMALL_PARTS)
    for key in ("k", "copy"):
        got = io.BytesIO()
        s3.download_fileobj(bucket, key, got, Config=SMALL_PARTS)
        assert got.getvalue() == data
    assert s3.get_object(Bucket=bucket, Key="copy", Range="bytes=-3")["Body"].read() == b"end"


def test_a_single_copy_of_a_multipart_object(s3: Any, bucket: str, data: bytes):
    s3.upload_fileobj(io.BytesIO(data), bucket, "k", Config=SMALL_PARTS)
    answer = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    assert answer["CopyObjectResult"]["ETag"].strip('"') == hashlib.md5(data).hexdigest()
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == data


def test_only_one_of_many_completions_without_an_object_wins(s3: Any, bucket: str):
    def attempt(number: int) -> int:
        upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        where = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
        etag = s3.upload_part(**where, PartNumber=1, Body=b"%d" % number)["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        try:
            answer = s3.complete_multipart_upload(**where, MultipartUpload=parts, IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(attempt, range(8)))
    assert sorted(statuses) == [200] + [412] * 7


def test_the_same_part_from_many_sides_ends_as_one_of_them(s3: Any, bucket: str):
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: s3.upload_part(**where, PartNumber=1, Body=bytes([n]) * 70_000), range(8))
        etags = {answer["ETag"] for answer in answers}
    (part,) = s3.list_parts(**where)["Parts"]
    assert len(etags) == 8
    assert part["ETag"] in etags
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**where, MultipartUpload=parts)
    got = s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    assert f'"{hashlib.md5(got).hexdigest()}"' == part["ETag"]


def test_a_bucket_is_emptied_by_its_versions(s3: Any, bucket: str):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(20):
        s3.put_object(Bucket=bucket, Key=f"k{number % 3}", Body=b"x")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{number}"} for number in range(3)]})
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7}):
        every = page.get("Versions", []) + page.get("DeleteMarkers", [])
        named = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in every]
        assert "Errors" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})
    s3.delete_bucket(Bucket=bucket)


def test_an_object_of_parts_is_read_to_its_end_though_it_is_deleted_meanwhile(s3: Any, bucket: str, data: bytes):
    much = data + data + data
    s3.upload_fileobj(io.BytesIO(much), bucket, "k", Config=SMALL_PARTS)
    body = s3.get_object(Bucket=bucket, Key="k")["Body"]
    begun = body.read(MIB)
    s3.delete_object(Bucket=bucket, Key="k")
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="k")
    assert begun + body.read() == much
