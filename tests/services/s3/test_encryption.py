"""Server-side encryption as boto3 sees it: SSE-S3, the bucket's default, customers' keys, and what lies in the store."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from opentrail.errors import Conflict
from opentrail.rows.s3 import BUCKETS
from opentrail.state import Sealer, Unit
from tests.services.s3.browser import post_form
from tests.services.s3.world import BUCKET, MIB, World

KEY, OTHER = b"0123456789abcdef0123456789abcdef", b"another key of thirty-two bytes!"
MARK = b"plain words that nobody may find"
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
CODED = {**CUSTOMER, "SSECustomerKey": base64.b64encode(KEY).decode()}
CODED["SSECustomerKeyMD5"] = base64.b64encode(hashlib.md5(KEY).digest()).decode()
"""As it goes over the wire; boto3 leaves it so when the MD5 is given too."""
SOURCE = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": KEY}
AES = {"ServerSideEncryption": "AES256"}
KMS, DSSE = {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms:dsse"}
KINDS: dict[str, dict[str, Any]] = {"clear": {}, "sse-s3": AES, "sse-c": CUSTOMER, "sse-kms": KMS, "dsse": DSSE}
SIZES = [0, 1, 64 * 1024, 64 * 1024 + 1, 2 * MIB + 5]


def reading(kind: str) -> dict[str, Any]:
    return CUSTOMER if kind == "sse-c" else {}


def text(size: int) -> bytes:
    return (MARK * (size // len(MARK) + 1))[:size]


def fails(call: Any, **given: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as error:
        call(Bucket=BUCKET, **{"Key": "k", **given})
    response = error.value.response
    found = response["Error"]
    return found["Code"], response["ResponseMetadata"]["HTTPStatusCode"], found["Message"]


def stored(world: World) -> bytes:
    """Everything that lies in the store, rows and blobs."""
    rows = b"".join(key + row.value for key, row in world.ledger.rows.items())
    return rows + b"".join(path.read_bytes() for path in world.directory.rglob("*") if path.is_file())


@pytest.fixture
def local(s3: Any, world: World) -> Any:
    """The client on the server's own machine, where keys may come in the clear."""
    world.remote_ip = "127.0.0.1"
    return s3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["sse-s3", "sse-c", "sse-kms", "dsse"])
def test_what_is_put_is_got_and_lies_encrypted(local: Any, world: World, kind: str, size: int):
    data = text(size)
    put = local.put_object(Bucket=BUCKET, Key="k", Body=data, **KINDS[kind])
    got = local.get_object(Bucket=BUCKET, Key="k", **reading(kind))
    assert got["Body"].read() == data
    head = local.head_object(Bucket=BUCKET, Key="k", **reading(kind))
    for answer in (put, got, head):
        if kind != "sse-c":
            assert answer["ServerSideEncryption"] == KINDS[kind]["ServerSideEncryption"]
            assert (":key/" in answer.get("SSEKMSKeyId", "")) == (kind != "sse-s3")
        else:
            assert answer["SSECustomerAlgorithm"] == "AES256"
            assert answer["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(KEY).digest()).decode()
            assert "ServerSideEncryption" not in answer
    assert (put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"') == (kind == "sse-s3")
    assert put["ETag"] == got["ETag"] == head["ETag"]
    assert MARK not in stored(world)
    assert KEY not in stored(world)


@pytest.mark.parametrize("size", [1000, 200_000])
@pytest.mark.parametrize("kind", ["sse-s3", "sse-c", "sse-kms", "dsse"])
def test_ranges(local: Any, kind: str, size: int):
    data = bytes(number % 251 for number in range(size))
    local.put_object(Bucket=BUCKET, Key="k", Body=data, **KINDS[kind])
    for first, last in ((0, 0), (1, 15), (15, 17), (16, 31), (17, size - 1), (size - 1, size - 1)):
        got = local.get_object(Bucket=BUCKET, Key="k", Range=f"bytes={first}-{last}", **reading(kind))
        assert got["Body"].read() == data[first : last + 1]
        assert got["ContentRange"] == f"bytes {first}-{last}/{size}"


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_an_upload(local: Any, world: World, kind: str):
    upload = local.create_multipart_upload(Bucket=BUCKET, Key="k", **KINDS[kind])
    pieces = [text(5 * MIB), b"the end " + text(1000)]
    named = []
    for number, piece in enumerate(pieces, 1):
        same = {"Bucket": BUCKET, "Key": "k", "UploadId": upload["UploadId"], "PartNumber": number}
        part = local.upload_part(**same, Body=piece, **reading(kind))
        assert part.get("ServerSideEncryption") == upload.get("ServerSideEncryption")
        named.append({"PartNumber": number, "ETag": part["ETag"]})
    whole = {"Bucket": BUCKET, "Key": "k", "UploadId": upload["UploadId"], "MultipartUpload": {"Parts": named}}
    if kind == "sse-c":  # boto3 sends a checksum with each part
        with pytest.raises(ClientError, match="must include the appropriate encryption parameters"):
            local.complete_multipart_upload(**whole)
    done = local.complete_multipart_upload(**whole, **reading(kind))
    assert done.get("ServerSideEncryption") == KINDS[kind].get("ServerSideEncryption")
    data = b"".join(pieces)
    assert local.get_object(Bucket=BUCKET, Key="k", **reading(kind))["Body"].read() == data
    across = f"bytes={5 * MIB - 3}-{5 * MIB + 4}"
    assert (
        local.get_object(Bucket=BUCKET, Key="k", Range=across, **reading(kind))["Body"].read()
        == data[5 * MIB - 3 :][:8]
    )
    second = local.get_object(Bucket=BUCKET, Key="k", PartNumber=2, **reading(kind))
    assert second["Body"].read() == pieces[1]
    assert (MARK in stored(world)) == (kind == "clear")


@pytest.mark.parametrize("size", [100, 100_000])
@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_copies_between_all_kinds(local: Any, world: World, source: str, to: str, size: int):
    data = text(size)
    local.put_object(Bucket=BUCKET, Key="k", Body=data, **KINDS[source])
    opening = SOURCE if source == "sse-c" else {}
    local.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/k", **KINDS[to], **opening)
    got = local.get_object(Bucket=BUCKET, Key="copy", **reading(to))
    assert got["Body"].read() == data
    assert got.get("ServerSideEncryption") == KINDS[to].get("ServerSideEncryption")
    local.delete_object(Bucket=BUCKET, Key="k")
    assert (MARK in stored(world)) == (to == "clear")
    assert local.get_object(Bucket=BUCKET, Key="copy", **reading(to))["Body"].read() == data


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_parts_copied_between_all_kinds(local: Any, source: str, to: str):
    data = text(300_000)
    local.put_object(Bucket=BUCKET, Key="k", Body=data, **KINDS[source])
    upload = local.create_multipart_upload(Bucket=BUCKET, Key="copy", **KINDS[to])["UploadId"]
    opening = SOURCE if source == "sse-c" else {}
    same = {"Bucket": BUCKET, "Key": "copy", "UploadId": upload}
    part = local.upload_part_copy(
        **same, PartNumber=1, CopySource=f"{BUCKET}/k", CopySourceRange="bytes=17-200000", **opening, **reading(to)
    )
    named = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
    local.complete_multipart_upload(**same, MultipartUpload={"Parts": named})
    assert local.get_object(Bucket=BUCKET, Key="copy", **reading(to))["Body"].read() == data[17:200001]


def test_an_object_is_encrypted_in_place(local: Any, world: World):
    local.put_object(Bucket=BUCKET, Key="k", Body=text(100), Metadata={"a": "b"})
    local.copy_object(Bucket=BUCKET, Key="k", CopySource=f"{BUCKET}/k", **AES)
    got = local.get_object(Bucket=BUCKET, Key="k")
    assert (got["Body"].read(), got["Metadata"], got["ServerSideEncryption"]) == (text(100), {"a": "b"}, "AES256")
    assert MARK not in stored(world)


def test_a_call_that_is_walked_again_still_opens(local: Any, world: World):
    for kind in ("sse-s3", "sse-c", "sse-kms", "dsse"):
        for size in (10, 100_000):
            world.ledger.conflicts = 2
            local.put_object(Bucket=BUCKET, Key="k", Body=text(size), **KINDS[kind])
            assert local.get_object(Bucket=BUCKET, Key="k", **reading(kind))["Body"].read() == text(size)
    assert len(world.blob_sizes()) == 1


def test_the_default_of_a_bucket(s3: Any, world: World):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    found = fails(lambda Key, **given: s3.get_bucket_encryption(**given))
    assert found[:2] == ("ServerSideEncryptionConfigurationNotFoundError", 404)
    assert "ServerSideEncryption" not in s3.put_object(Bucket=BUCKET, Key="before", Body=b"x")
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    got = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
    assert got == {"Rules": [{**rule, "BucketKeyEnabled": False}]}
    assert s3.put_object(Bucket=BUCKET, Key="k", Body=text(100))["ServerSideEncryption"] == "AES256"
    s3.delete_bucket_encryption(Bucket=BUCKET)
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == text(100)
    assert "ServerSideEncryption" not in s3.head_object(Bucket=BUCKET, Key="before")
    assert MARK not in stored(world)
    s3.put_object(Bucket=BUCKET, Key="asked", Body=b"x", **AES)
    applied = {record["requestParameters"]["key"]: record for record in world.records("PutObject")}
    assert "SSEApplied" not in applied["before"]["additionalEventData"]
    assert applied["k"]["additionalEventData"]["SSEApplied"] == "Default_SSE_S3"
    assert applied["asked"]["additionalEventData"]["SSEApplied"] == "SSE_S3"
    for key in ("k", "asked"):
        assert applied[key]["responseElements"]["x-amz-server-side-encryption"] == "AES256"


def test_a_house_that_encrypts_new_buckets(s3: Any, world: World):
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
    settings = dataclasses.replace(world.house.settings, encrypt_buckets=True)
    world.house = world.gate.house = dataclasses.replace(world.house, settings=settings)
    s3.create_bucket(Bucket="fresh")
    for _ in range(2):
        got = s3.get_bucket_encryption(Bucket="fresh")["ServerSideEncryptionConfiguration"]
        assert got == {"Rules": [default]}
        assert s3.put_object(Bucket="fresh", Key="k", Body=text(100))["ServerSideEncryption"] == "AES256"
        s3.delete_bucket_encryption(Bucket="fresh")
    assert s3.get_object(Bucket="fresh", Key="k")["ServerSideEncryption"] == "AES256"
    assert MARK not in stored(world)
    [record, _] = world.records("PutObject")
    assert record["additionalEventData"]["SSEApplied"] == "Default_SSE_S3"
    assert "ServerSideEncryption" not in s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([], "MalformedXML"),
        ([{}], "MalformedXML"),
        ([{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES128"}}], "MalformedXML"),
        ([{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}] * 2, "MalformedXML"),
        (
            [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256", "KMSMasterKeyID": "k"}}],
            "InvalidArgument",
        ),
        ([{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:fsx"}}], "NotImplemented"),
    ],
)
def test_defaults_that_are_refused(s3: Any, rules: Any, code: str):
    with pytest.raises(ClientError) as error:
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules})
    assert error.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ServerSideEncryption": "aws:fsx"}, "InvalidArgument"),
        ({"SSEKMSKeyId": "k"}, "InvalidArgument"),
        ({"ServerSideEncryption": "AES256", "SSEKMSKeyId": "k"}, "InvalidArgument"),
        ({**KMS, **CUSTOMER}, "InvalidArgument"),
        ({**KMS, "SSEKMSKeyId": "k"}, "KMS.NotFoundException"),
        ({**KMS, "SSEKMSKeyId": "aws/s3"}, "KMS.NotFoundException"),
        ({**KMS, "SSEKMSKeyId": "alias/none"}, "KMS.NotFoundException"),
        ({**KMS, "SSEKMSEncryptionContext": "e30="[:3]}, "InvalidArgument"),
        ({"ServerSideEncryption": "rot13"}, "InvalidArgument"),
        ({**AES, **CUSTOMER}, "InvalidArgument"),
        ({**CUSTOMER, "SSECustomerAlgorithm": "AES512"}, "InvalidEncryptionAlgorithmError"),
        ({**CUSTOMER, "SSECustomerKey": b"short"}, "InvalidArgument"),
        ({**CODED, "SSECustomerKeyMD5": base64.b64encode(bytes(16)).decode()}, "InvalidArgument"),
        ({**CODED, "SSECustomerKeyMD5": "!"}, "InvalidArgument"),
        ({"SSECustomerAlgorithm": "AES256"}, "InvalidArgument"),
        ({"SSECustomerKey": KEY}, "InvalidArgument"),
    ],
)
def test_writes_that_are_refused(local: Any, world: World, given: dict[str, Any], code: str):
    for call in (local.put_object, local.create_multipart_upload):
        assert fails(call, **given)[0] == code
    local.put_object(Bucket=BUCKET, Key="source", Body=b"x")
    assert fails(local.copy_object, CopySource=f"{BUCKET}/source", **given)[0] == code
    assert not [key for key in world.ledger.rows if key.startswith(b"s3.upload")]


def test_who_has_not_the_key_reads_nothing(local: Any):
    local.put_object(Bucket=BUCKET, Key="k", Body=text(100), **CUSTOMER)
    missing = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided "
    for call in (
        local.get_object,
        lambda **given: local.copy_object(**{**given, "Key": "c"}, CopySource=f"{BUCKET}/k"),
    ):
        assert fails(call) == ("InvalidRequest", 400, missing + "to retrieve the object.")
    wrong = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": OTHER}
    assert fails(local.get_object, **wrong)[:2] == ("AccessDenied", 403)
    assert fails(local.head_object)[1] == 400
    assert fails(local.head_object, **wrong)[1] == 403
    assert fails(local.get_object_attributes, ObjectAttributes=["ETag"])[:2] == ("InvalidRequest", 400)
    told = local.get_object_attributes(Bucket=BUCKET, Key="k", ObjectAttributes=["ObjectSize"], **CODED)
    assert told["ObjectSize"] == 100
    wrong_source = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": OTHER}
    assert fails(local.copy_object, Key="c", CopySource=f"{BUCKET}/k", **wrong_source)[:2] == ("AccessDenied", 403)
    local.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    assert fails(local.get_object, **CUSTOMER)[:2] == ("InvalidRequest", 400)


def test_parts_must_come_with_the_uploads_key(local: Any):
    upload = local.create_multipart_upload(Bucket=BUCKET, Key="k", **CUSTOMER)["UploadId"]
    part = {"UploadId": upload, "PartNumber": 1, "Body": b"x"}
    assert fails(local.upload_part, **part)[:2] == ("InvalidRequest", 400)
    wrong = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": OTHER}
    assert fails(local.upload_part, **part, **wrong)[:2] == ("InvalidArgument", 400)
    plain = local.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
    assert fails(local.upload_part, **{**part, "UploadId": plain}, **CUSTOMER)[:2] == ("InvalidRequest", 400)


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "10.0.0.1", "cloudtrail.amazonaws.com", ""])
def test_keys_do_not_travel_in_the_clear(s3: Any, world: World, address: str):
    world.remote_ip = address
    code, status, message = fails(s3.put_object, Body=b"x", **CUSTOMER)
    assert (code, status) == ("InvalidRequest", 400)
    assert message.endswith("must be made over a secure connection.")
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    assert fails(s3.copy_object, Key="c", CopySource=f"{BUCKET}/k", **SOURCE)[0] == "InvalidRequest"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_but_within_the_machine_they_may(s3: Any, world: World, address: str):
    world.remote_ip = address
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **CUSTOMER)


def test_no_key_in_a_record(local: Any, world: World):
    local.put_object(Bucket=BUCKET, Key="k", Body=b"x", **CUSTOMER)
    local.get_object(Bucket=BUCKET, Key="k", **CUSTOMER)
    fails(local.get_object, SSECustomerAlgorithm="AES256", SSECustomerKey=OTHER)
    fails(local.put_object, **{**CODED, "SSECustomerKeyMD5": base64.b64encode(bytes(16)).decode()})
    text_of_all = json.dumps([json.loads(line.data) for line in world.ledger.lines])
    for key in (KEY, OTHER):
        for secret in (
            key.decode(),
            base64.b64encode(key).decode(),
            base64.b64encode(hashlib.md5(key).digest()).decode(),
        ):
            assert secret not in text_of_all
    record = world.records("PutObject")[0]
    assert record["additionalEventData"]["SSEApplied"] == "SSE_C"
    name = "x-amz-server-side-encryption-customer-algorithm"
    assert record["requestParameters"][name] == record["responseElements"][name] == "AES256"


def test_data_keys_open_nothing_but_their_own_bytes(s3: Any, world: World):
    """Rows that change places, and another server's key, are noticed."""
    for key in ("k", "l"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=text(100), **AES)
    rows = world.ledger.rows
    asked, other = (
        next(row for row in rows if row.startswith(b"s3.object") and row.endswith(end)) for end in (b"\0k", b"\0l")
    )
    kept = rows[asked]
    rows[asked] = rows[other]
    assert fails(s3.get_object)[:2] == ("InternalError", 500)
    rows[asked] = kept
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == text(100)
    world.house.seal = Sealer(b"x" * 32)
    assert fails(s3.get_object)[:2] == ("InternalError", 500)


def test_each_object_has_a_key_of_its_own(s3: Any, world: World):
    for key in ("k", "l"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=text(100_000), **AES)
    first, second = (path.read_bytes() for path in world.directory.rglob("*") if path.is_file())
    assert first != second


def test_a_read_may_not_ask_for_encryption(s3: Any):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **AES)

    def add(params: Any, **_event: Any) -> None:
        params["headers"]["x-amz-server-side-encryption"] = "AES256"

    s3.meta.events.register("before-call.s3.GetObject", add)
    try:
        assert fails(s3.get_object)[:2] == ("InvalidArgument", 400)
    finally:
        s3.meta.events.unregister("before-call.s3.GetObject", add)


def test_an_unencrypted_file_still_goes_out_as_it_lies(s3: Any):
    """The edge may use sendfile for what is in the clear."""
    s3.put_object(Bucket=BUCKET, Key="k", Body=text(100_000))
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == text(100_000)


def test_a_browsers_upload(s3: Any, world: World):
    """By the bucket's default, and by a field of the form."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    for asked in ({}, {"x-amz-server-side-encryption": "AES256"}):
        signed = s3.generate_presigned_post(BUCKET, "k", Fields=dict(asked), Conditions=[asked] if asked else [])
        page = post_form(world, [*signed["fields"].items(), ("file", ("up", text(100_000)))])
        assert (page.status, page.headers["x-amz-server-side-encryption"]) == (204, "AES256"), page.body
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == text(100_000)
        s3.delete_bucket_encryption(Bucket=BUCKET)
    assert MARK not in stored(world)
    applied = [record["additionalEventData"]["SSEApplied"] for record in world.records("PostObject")]
    assert applied == ["Default_SSE_S3", "SSE_S3"]


@pytest.mark.parametrize("first", ["", "AES256"])
def test_a_default_that_changes_while_bytes_come_in(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch, first: str):
    """Walked again after a conflict, a call keeps to what it took the bytes in under."""
    commit = world.ledger.commit

    def bucket_with(encryption: str) -> Unit:
        unit = world.unit()
        bucket = BUCKETS.get(unit, BUCKET)
        assert bucket is not None
        BUCKETS.put(unit, replace(bucket, encryption=encryption), BUCKET)
        return unit

    async def interrupted(writes: Any, lines: Any) -> Any:
        monkeypatch.setattr(world.ledger, "commit", commit)
        await commit(bucket_with("" if first else "AES256").writes, ())
        raise Conflict(b"asked for")

    world.commit(bucket_with(first))
    monkeypatch.setattr(world.ledger, "commit", interrupted)
    s3.put_object(Bucket=BUCKET, Key="k", Body=text(100_000))
    got = s3.get_object(Bucket=BUCKET, Key="k")
    assert (got["Body"].read(), got.get("ServerSideEncryption", "")) == (text(100_000), first)
    assert (MARK in stored(world)) == (not first)
