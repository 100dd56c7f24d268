"""PutObject, GetObject, HeadObject, DeleteObject as boto3 sees them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.s3.world import BUCKET, World


def code_of(error: Any) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 300_000])
def test_what_is_put_is_got(s3: Any, world: World, size: int):
    data = bytes(range(256)) * (size // 256 + 1)
    s3.put_object(Bucket=BUCKET, Key="k", Body=data[:size], Metadata={"a": "b"}, ContentType="text/x")
    got = s3.get_object(Bucket=BUCKET, Key="k")
    assert got["Body"].read() == data[:size]
    assert (got["ContentLength"], got["ContentType"], got["Metadata"]) == (size, "text/x", {"a": "b"})
    assert world.blob_sizes() == ([size] if size > 64 * 1024 else [])


def test_an_object_is_replaced_and_deleted_without_remains(s3: Any, world: World):
    for size in (200_000, 10, 300_000):
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x" * size)
    assert world.blob_sizes() == [300_000]
    s3.delete_object(Bucket=BUCKET, Key="k")
    assert world.blob_sizes() == []
    assert not [key for key in world.ledger.rows if key.startswith((b"s3.data", b"s3.object", b"s3.version"))]
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=BUCKET, Key="k")
    assert code_of(error) == ("NoSuchKey", 404)


def test_a_put_that_is_walked_again_stores_once(s3: Any, world: World):
    world.ledger.conflicts = 3
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x" * 100_000)
    assert world.blob_sizes() == [100_000]
    assert s3.get_object(Bucket=BUCKET, Key="k")["ContentLength"] == 100_000


def test_write_conditions(s3: Any):
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"2", IfNoneMatch="*")
    assert code_of(error) == ("PreconditionFailed", 412)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"2", IfMatch=etag)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"3", IfMatch=etag)
    assert code_of(error) == ("PreconditionFailed", 412)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=BUCKET, Key="none", Body=b"3", IfMatch=etag)
    assert code_of(error) == ("NoSuchKey", 404)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("deflate, gzip", "deflate, gzip"),
        ("aws-chunked, gzip", "gzip"),
        ("gzip,aws-chunked", "gzip"),
        ("aws-chunked", ""),
    ],
)
def test_the_framing_of_a_body_is_no_encoding_of_the_object(s3: Any, sent: str, kept: str):
    s3.put_object(Bucket=BUCKET, Key="k", ContentEncoding=sent)
    assert s3.head_object(Bucket=BUCKET, Key="k").get("ContentEncoding", "") == kept
