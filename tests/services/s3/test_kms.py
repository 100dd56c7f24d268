"""SSE-KMS as boto3 sees it: keys and who may use them, contexts, bucket keys, and the records that KMS and S3 leave."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from opentrail.rows.s3 import BUCKET_KEYS
from tests.services.s3.browser import post_form
from tests.services.s3.world import ACCESS_KEY, BUCKET, MIB, Wire, World, new_client

ACCOUNT = "000000000000"
KMS = {"ServerSideEncryption": "aws:kms"}
MARK = b"plain words that nobody may find"
OBJECT_ARN = f"arn:aws:s3:::{BUCKET}/k"


@pytest.fixture
def kms(wire: Wire, world: World) -> Any:
    return new_client(wire, "kms")


@pytest.fixture
def key(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture
def user(wire: Wire, s3: Any) -> Any:
    """S3 as a user sees it who may do everything in S3 and nothing in KMS."""
    iam = new_client(wire, "iam")
    iam.create_user(UserName="u")
    allow_user(wire, "s3:*")
    made = iam.create_access_key(UserName="u")["AccessKey"]
    return new_client(wire, key=(made["AccessKeyId"], made["SecretAccessKey"]))


def allow_user(wire: Wire, *actions: str) -> None:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    new_client(wire, "iam").put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)


def refused(call: Any, **given: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as error:
        call(**{"Bucket": BUCKET, "Key": "k", **given})
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def default(s3: Any, **given: Any) -> None:
    by_default = {"SSEAlgorithm": given.pop("algorithm", "aws:kms"), **given.pop("by_key", {})}
    rule = {"ApplyServerSideEncryptionByDefault": by_default, **given}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})


def uses(world: World) -> list[str]:
    """The uses of KMS that were recorded, in order."""
    names = ("GenerateDataKey", "Decrypt")
    return [
        record["eventName"] for line in world.ledger.lines if (record := json.loads(line.data))["eventName"] in names
    ]


def test_what_a_write_and_a_read_leave_in_the_records(s3: Any, world: World, key: str):
    put = s3.put_object(Bucket=BUCKET, Key="k", Body=MARK, **KMS, SSEKMSKeyId=key)
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key)
    s3.get_object(Bucket=BUCKET, Key="k")["Body"].read()
    made, opened = world.records("GenerateDataKey")[0], world.records("Decrypt")[0]
    context = {"aws:s3:arn": OBJECT_ARN}
    assert made["requestParameters"] == {"keyId": key, "keySpec": "AES_256", "encryptionContext": context}
    assert opened["requestParameters"] == {"encryptionContext": context, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    for record in (made, opened):
        assert record["eventSource"] == "kms.amazonaws.com"
        assert record["sourceIPAddress"] == record["userAgent"] == "AWS Internal"
        assert record["userIdentity"]["invokedBy"] == "AWS Internal"
        assert record["userIdentity"]["accessKeyId"] == ACCESS_KEY
        assert record["resources"] == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}]
        assert (record["readOnly"], record["managementEvent"], record["responseElements"]) == (True, True, None)
    written = world.records("PutObject")[0]
    assert written["additionalEventData"]["SSEApplied"] == "SSE_KMS"
    assert written["responseElements"] == {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": key,
    }
    assert MARK.decode() not in json.dumps([json.loads(line.data) for line in world.ledger.lines])


def test_without_a_key_named_s3s_own_is_made_and_used(s3: Any, world: World, kms: Any):
    put = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS)
    shown = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (put["SSEKMSKeyId"], shown["KeyManager"]) == (shown["Arn"], "AWS")
    blob = kms.list_aliases()["Aliases"]
    assert [each["AliasName"] for each in blob] == ["alias/aws/s3"]
    for call in (kms.encrypt, kms.disable_key):  # it is used through S3 alone, and managed by AWS
        given = {"Plaintext": b"x"} if call == kms.encrypt else {}
        with pytest.raises(ClientError, match="AccessDenied"):
            call(KeyId=shown["KeyId"], **given)


def test_the_default_of_a_bucket(s3: Any, world: World, key: str):
    default(s3, by_key={"KMSMasterKeyID": key}, BucketKeyEnabled=True)
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    put = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    head = s3.head_object(Bucket=BUCKET, Key="k")
    for answer in (put, head):
        assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"], answer["BucketKeyEnabled"]) == (
            "aws:kms",
            key,
            True,
        )
    asked = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS, BucketKeyEnabled=False)
    assert asked["SSEKMSKeyId"] == key
    assert "BucketKeyEnabled" not in asked
    assert (
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", ServerSideEncryption="AES256")["ServerSideEncryption"]
        == "AES256"
    )
    default(s3, algorithm="aws:kms:dsse", by_key={"KMSMasterKeyID": key}, BucketKeyEnabled=True)
    doubled = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    assert doubled["ServerSideEncryption"] == "aws:kms:dsse"
    assert "BucketKeyEnabled" not in doubled
    applied = [record["additionalEventData"]["SSEApplied"] for record in world.records("PutObject")]
    assert applied == ["Default_SSE_KMS", "SSE_KMS", "SSE_S3", "Default_DSSE_KMS"]


def test_a_bucket_key_is_got_once_by_each_requester(
    s3: Any, world: World, wire: Wire, kms: Any, key: str, user: Any, monkeypatch: pytest.MonkeyPatch
):
    shared = {**KMS, "SSEKMSKeyId": key, "BucketKeyEnabled": True}
    for number in range(3):
        s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"x", **shared)
    for number in range(3):
        assert s3.get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read() == b"x"
    assert uses(world) == ["GenerateDataKey"]
    made = world.records("GenerateDataKey")[0]["requestParameters"]
    assert made["encryptionContext"] == {"aws:s3:arn": f"arn:aws:s3:::{BUCKET}"}
    assert refused(user.get_object, Key="k1")[:2] == ("AccessDenied", 403)  # his permission is looked at nevertheless
    allow_user(wire, "s3:*", "kms:*")
    for number in (0, 1, 2):
        assert user.get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read() == b"x"
    assert uses(world) == ["GenerateDataKey", "Decrypt", "Decrypt"]
    now = world.house.clock.now()
    monkeypatch.setattr(world.house.clock, "now", lambda: now + 301)
    s3.put_object(Bucket=BUCKET, Key="k9", Body=b"x", **shared)
    assert uses(world)[3:] == ["GenerateDataKey"]
    kms.disable_key(KeyId=key)
    assert refused(s3.get_object, Key="k9")[:2] == ("KMS.DisabledException", 400)
    assert refused(s3.put_object, Key="k9", Body=b"x", **shared)[:2] == ("KMS.DisabledException", 400)
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": f"k{number}"} for number in (0, 1, 2, 9)]})
    s3.delete_bucket(Bucket=BUCKET)
    assert not list(BUCKET_KEYS.all(world.unit()))


def test_who_may_not_use_the_key(s3: Any, world: World, wire: Wire, key: str, user: Any):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS, SSEKMSKeyId=key)
    who = f"User: arn:aws:iam::{ACCOUNT}:user/u is not authorized to perform: "
    code, status, message = refused(user.put_object, Body=b"x", **KMS, SSEKMSKeyId=key)
    assert (code, status) == ("AccessDenied", 403)
    assert message == f"{who}kms:GenerateDataKey on resource: {key} because no identity-based policy allows the " + (
        "kms:GenerateDataKey action"
    )
    code, status, message = refused(user.get_object)
    assert (code, status) == ("AccessDenied", 403)
    assert message.startswith(who + "kms:Decrypt on the resource associated with this ciphertext because no identity-")
    for record in (world.records("GenerateDataKey")[-1], world.records("Decrypt")[-1]):
        assert (record["errorCode"], record["userIdentity"]["userName"]) == ("AccessDenied", "u")
    assert user.head_object(Bucket=BUCKET, Key="k")["SSEKMSKeyId"] == key
    assert refused(user.head_object, ChecksumMode="ENABLED")[1] == 403
    assert user.get_object_attributes(Bucket=BUCKET, Key="k", ObjectAttributes=["ETag"])["ETag"]
    assert refused(user.get_object_attributes, ObjectAttributes=["Checksum"])[1] == 403
    assert refused(user.copy_object, Key="c", CopySource=f"{BUCKET}/k")[1] == 403
    allow_user(wire, "s3:*", "kms:GenerateDataKey")
    upload = user.create_multipart_upload(Bucket=BUCKET, Key="m", **KMS, SSEKMSKeyId=key)["UploadId"]
    assert refused(user.upload_part, Key="m", UploadId=upload, PartNumber=1, Body=b"x")[1] == 403
    s3.put_object(Bucket=BUCKET, Key="own", Body=b"x", **KMS)
    assert user.get_object(Bucket=BUCKET, Key="own")["Body"].read() == b"x"  # the key aws/s3 is open through S3


def test_conditions_hold_for_what_s3_does(s3: Any, kms: Any, key: str, user: Any):
    asked = {"kms:ViaService": "s3.us-east-1.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": OBJECT_ARN}
    through = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"}, "Condition": {"StringEquals": asked}}
    root = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*"}
    statements = [{"Effect": "Allow", "Resource": "*", **each} for each in (root, {"Action": "kms:*", **through})]
    kms.put_key_policy(KeyId=key, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    user.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS, SSEKMSKeyId=key)
    assert user.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"x"
    assert refused(user.put_object, Key="other", Body=b"x", **KMS, SSEKMSKeyId=key)[1] == 403


def test_a_key_that_cannot_be_used(s3: Any, kms: Any, key: str):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS, SSEKMSKeyId=key)
    kms.disable_key(KeyId=key)
    assert refused(s3.get_object) == ("KMS.DisabledException", 400, f"{key} is disabled.")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert refused(s3.get_object)[:2] == ("KMS.KMSInvalidStateException", 400)
    assert refused(s3.put_object, Body=b"y", **KMS, SSEKMSKeyId=key)[:2] == ("KMS.KMSInvalidStateException", 400)
    elsewhere = key.replace("us-east-1", "eu-west-1")
    assert refused(s3.put_object, Body=b"y", **KMS, SSEKMSKeyId=elsewhere) == (
        "KMS.NotFoundException", 400, "Invalid arn eu-west-1",
    )  # fmt: skip


def test_an_encryption_context_of_ones_own(s3: Any, world: World, key: str):
    header = base64.b64encode(json.dumps({"team": "red"}).encode()).decode()
    put = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS, SSEKMSKeyId=key, SSEKMSEncryptionContext=header)
    assert put["SSEKMSEncryptionContext"] == header
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"x"
    for record in (world.records("GenerateDataKey")[0], world.records("Decrypt")[0]):
        assert record["requestParameters"]["encryptionContext"] == {"team": "red", "aws:s3:arn": OBJECT_ARN}
    for bad in ("!", "e30", base64.b64encode(b"[1]").decode(), base64.b64encode(b'{"a":1}').decode(), "A" * 9000):
        assert refused(s3.put_object, Body=b"x", **KMS, SSEKMSEncryptionContext=bad)[:2] == ("InvalidArgument", 400)
    taken = base64.b64encode(b'{"aws:s3:arn":"arn:aws:s3:::other/k"}').decode()
    assert refused(s3.put_object, Body=b"x", **KMS, SSEKMSEncryptionContext=taken)[0] == "InvalidArgument"


def test_parts_are_opened_for_who_uploads_them(s3: Any, world: World, key: str):
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k", **KMS, SSEKMSKeyId=key)
    same = {"Bucket": BUCKET, "Key": "k", "UploadId": upload["UploadId"]}
    named = []
    for number, body in ((1, b"a" * 5 * MIB), (2, b"the end")):
        part = s3.upload_part(**same, PartNumber=number, Body=body)
        assert (part["ServerSideEncryption"], part["SSEKMSKeyId"]) == ("aws:kms", key)
        named.append({"PartNumber": number, "ETag": part["ETag"]})
    done = s3.complete_multipart_upload(**same, MultipartUpload={"Parts": named})
    assert (done["ServerSideEncryption"], done["SSEKMSKeyId"]) == ("aws:kms", key)
    assert uses(world) == ["GenerateDataKey", "Decrypt", "Decrypt", "Decrypt"]
    assert s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=5242879-")["Body"].read() == b"athe end"


def test_a_browsers_upload(s3: Any, world: World, key: str):
    fields = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": key}
    signed = s3.generate_presigned_post(BUCKET, "k", Fields=fields, Conditions=[fields])
    conditions = [{name: value} for name, value in fields.items()]
    signed = s3.generate_presigned_post(BUCKET, "k", Fields=fields, Conditions=conditions)
    page = post_form(world, [*signed["fields"].items(), ("file", ("up", MARK))])
    assert (page.status, page.headers["x-amz-server-side-encryption-aws-kms-key-id"]) == (204, key), page.body
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == MARK


def test_a_walked_again_call_records_one_use(s3: Any, world: World, key: str):
    s3.put_object(Bucket=BUCKET, Key="source", Body=MARK, **KMS, SSEKMSKeyId=key)
    for given, wanted in (
        ({}, ["GenerateDataKey"]),
        ({"CopySource": f"{BUCKET}/source"}, ["GenerateDataKey", "Decrypt"]),
    ):
        before = len(uses(world))
        world.ledger.conflicts = 2
        call = s3.copy_object if given else s3.put_object
        call(Bucket=BUCKET, Key="k", **given, **({} if given else {"Body": MARK}), **KMS, SSEKMSKeyId=key)
        assert uses(world)[before:] == wanted
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == MARK


def test_a_wrapper_opens_in_its_own_place_alone(s3: Any, world: World, key: str):
    """KMS refuses a row that has changed places, since the context is another."""
    for name in ("k", "l"):
        s3.put_object(Bucket=BUCKET, Key=name, Body=MARK, **KMS, SSEKMSKeyId=key)
    rows = world.ledger.rows
    first, second = (
        next(row for row in rows if row.startswith(b"s3.object") and row.endswith(end)) for end in (b"\0k", b"\0l")
    )
    rows[first] = rows[second]
    assert refused(s3.get_object)[0] == "KMS.InvalidCiphertextException"


def test_strangers_are_refused(s3: Any, world: World, stranger: Any, key: str):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS, SSEKMSKeyId=key)
    s3.delete_public_access_block(Bucket=BUCKET)
    public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}))
    code, status, message = refused(stranger.get_object)
    assert (code, status) == ("InvalidArgument", 400)
    assert "require AWS Signature Version 4" in message


def test_a_policy_that_asks_for_the_key(s3: Any, key: str):
    asked = {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key}}
    deny = {"Effect": "Deny", "Principal": {"AWS": ACCOUNT}, "Action": "s3:PutObject", "Condition": asked}
    statement = {**deny, "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert refused(s3.put_object, Body=b"x", **KMS)[1] == 403
    assert s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **KMS, SSEKMSKeyId=key)["SSEKMSKeyId"] == key


def test_another_key_for_an_object_that_stays_where_it_is(s3: Any, world: World, kms: Any, key: str):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    for name, size in (("k", 100), ("large", 100_000)):
        put = s3.put_object(Bucket=BUCKET, Key=name, Body=MARK * size, ServerSideEncryption="AES256")
        for arn, shared in ((key, False), (other, True)):
            wanted = {"SSEKMS": {"KMSKeyArn": arn, "BucketKeyEnabled": shared}}
            s3.update_object_encryption(Bucket=BUCKET, Key=name, ObjectEncryption=wanted)
            got = s3.get_object(Bucket=BUCKET, Key=name)
            assert (got["Body"].read(), got["ETag"]) == (MARK * size, put["ETag"])
            assert (got["SSEKMSKeyId"], got.get("BucketKeyEnabled", False)) == (arn, shared)
    kms.disable_key(KeyId=key)
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == MARK * 100
    wanted = {"SSEKMS": {"KMSKeyArn": key}}
    assert refused(s3.update_object_encryption, ObjectEncryption=wanted)[0] == "KMS.DisabledException"
    stranger = {"SSEKMS": {"KMSKeyArn": other.replace(ACCOUNT, "1" * 12)}}
    assert refused(s3.update_object_encryption, ObjectEncryption=stranger)[:2] == ("AccessDenied", 403)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    assert (
        refused(s3.update_object_encryption, ObjectEncryption={"SSEKMS": {"KMSKeyArn": other}})[0] == "InvalidRequest"
    )
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", ServerSideEncryption="aws:kms:dsse")
    assert (
        refused(s3.update_object_encryption, ObjectEncryption={"SSEKMS": {"KMSKeyArn": other}})[0] == "InvalidRequest"
    )
    assert (
        refused(s3.update_object_encryption, ObjectEncryption={"SSEKMS": {"KMSKeyArn": "alias/a-name-that-is-no-arn"}})[
            1
        ]
        == 400
    )
