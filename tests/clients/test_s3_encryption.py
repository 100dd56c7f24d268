"""Encrypted objects by boto3 on a real server: nothing of them lies readable in its data directory, also after a restart."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.clients.server_process import ServerProcess, contents
from tests.clients.trail_log import TrailLog, new_trail

MIB = 1024**2
MARK = b"plain words that nobody may find"
KEY = b"0123456789abcdef0123456789abcdef"
ENCODED_KEY = base64.b64encode(KEY)
KEY_MD5 = base64.b64encode(hashlib.md5(KEY).digest())
AES = {"ServerSideEncryption": "AES256"}
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
SOURCE = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": KEY}
KINDS: dict[str, dict[str, Any]] = {"default": {}, "sse-s3": AES, "sse-c": CUSTOMER}
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
SIZES = (1_000, 300_000, 12 * MIB + 7)


@pytest.fixture(scope="module")
def encrypting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own, so that everything in its data directory is this file's."""
    process = ServerProcess(tmp_path_factory.mktemp("encrypting"))
    try:
        yield process.start()
        assert process.stop() == 0
        assert not process.tracebacks(), process.log()[-20_000:]
    finally:
        process.kill()


@pytest.fixture(scope="module")
def s3(encrypting: ServerProcess) -> Any:
    return encrypting.client("s3")


@pytest.fixture(scope="module")
def log(encrypting: ServerProcess, s3: Any) -> TrailLog:
    return new_trail(s3, encrypting.client("cloudtrail"), "encrypted")


@pytest.fixture(scope="module")
def bucket(s3: Any, log: TrailLog) -> str:
    """A bucket whose objects are all encrypted: every kind of write ends up so."""
    s3.create_bucket(Bucket="vault")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket="vault", ServerSideEncryptionConfiguration={"Rules": [rule]})
    return "vault"


def text(size: int) -> bytes:
    return (MARK * (size // len(MARK) + 1))[:size]


def opening(kind: str) -> dict[str, Any]:
    return CUSTOMER if kind == "sse-c" else {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_whole_objects_parts_ranges_and_copies(s3: Any, bucket: str, kind: str, size: int):
    data, key = text(size), f"{kind}-{size}"
    s3.upload_fileobj(io.BytesIO(data), bucket, key, ExtraArgs=KINDS[kind], Config=PARTS)
    assert s3.get_object(Bucket=bucket, Key=key, **opening(kind))["Body"].read() == data
    for first, last in ((0, 0), (17, size - 5), (size // 2 - 3, size // 2 + 40), (size - 1, size - 1)):
        got = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}", **opening(kind))
        assert got["Body"].read() == data[first : last + 1]
    for to, asked in KINDS.items():
        source = SOURCE if kind == "sse-c" else {}
        s3.copy_object(Bucket=bucket, Key=f"{key}-{to}", CopySource=f"{bucket}/{key}", **source, **asked)
        assert s3.get_object(Bucket=bucket, Key=f"{key}-{to}", **opening(to))["Body"].read() == data


def test_nothing_readable_lies_on_the_disk_and_all_of_it_opens_after_a_restart(
    encrypting: ServerProcess, bucket: str, tmp_path: Path
):
    before = encrypting.client("s3")
    before.put_object(Bucket=bucket, Key="small", Body=text(5_000), **AES)
    before.upload_fileobj(io.BytesIO(text(11 * MIB)), bucket, "large", ExtraArgs=CUSTOMER, Config=PARTS)
    # the server itself must be told apart from a search that finds nothing whatever
    before.create_bucket(Bucket="open")
    before.put_object(Bucket="open", Key="k", Body=b"readable for all " * 10)
    assert encrypting.stop() == 0
    found = contents(encrypting) + encrypting.log().encode()
    assert b"readable for all" in found
    for secret in (MARK, KEY, ENCODED_KEY, KEY_MD5):
        assert secret not in found
    again = encrypting.start().client("s3")
    assert again.get_object(Bucket=bucket, Key="small")["Body"].read() == text(5_000)
    assert again.get_object(Bucket=bucket, Key="large", **CUSTOMER)["Body"].read() == text(11 * MIB)


def test_the_record_says_what_was_applied_and_no_key(encrypting: ServerProcess, bucket: str, log: TrailLog):
    s3 = log.s3 = encrypting.client("s3")
    put = {kind: s3.put_object(Bucket=bucket, Key=f"r-{kind}", Body=b"x", **asked) for kind, asked in KINDS.items()}
    got = s3.get_object(Bucket=bucket, Key="r-sse-c", **CUSTOMER)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="r-sse-c", SSECustomerAlgorithm="AES256", SSECustomerKey=KEY[::-1])
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    applied = {kind: log.of(answer)["additionalEventData"]["SSEApplied"] for kind, answer in put.items()}
    assert applied == {"default": "Default_SSE_S3", "sse-s3": "SSE_S3", "sse-c": "SSE_C"}
    assert log.of(put["default"])["responseElements"] == {"x-amz-server-side-encryption": "AES256"}
    records = json.dumps([log.of(put["sse-c"]), log.of(got), log.of(error.value.response)])
    for secret in (KEY, KEY[::-1], ENCODED_KEY, base64.b64encode(KEY[::-1]), KEY_MD5):
        assert secret.decode() not in records
    assert ENCODED_KEY.decode() not in json.dumps(log.records)


def test_log_files_and_digests_are_delivered_encrypted(encrypting: ServerProcess, log: TrailLog, bucket: str):
    s3 = log.s3 = encrypting.client("s3")
    log.find(eventName="CreateBucket")
    assert log.files()
    for key in log.files()[:3] + log.files("CloudTrail-Digest")[:3]:
        assert s3.head_object(Bucket=log.bucket, Key=key)["ServerSideEncryption"] == "AES256"
