"""Annotations of objects, as boto3 sees them: names, limits, versions, locks, encryption, copies, what is left of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.config import Config

from opentrail.followers.annotations import AnnotationsFollower
from opentrail.followers.lifecycle import LifecycleFollower
from opentrail.rows.s3 import BUCKETS, ObjectVersion
from opentrail.rows.s3_annotations import ANNOTATIONS, GONE, SETS, AnnotationSet
from opentrail.services.s3.annotation_rules import check_name
from opentrail.services.s3.lifecycle_pass import lifecycle_step
from opentrail.services.s3.versions import find_version
from tests.services.s3.test_multipart import fails
from tests.services.s3.test_object_lock import LONG, SOON
from tests.services.s3.world import BUCKET, Wire, World, new_client

KEY = {"Bucket": BUCKET, "Key": "k"}
TEXT = b'{"label": "a report"}'
LARGE = ("é" * 100_001).encode()
"""More than lies in the ledger, and two bytes a letter, so that a chunk may end within one."""


def put(s3: Any, name: str = "note", text: bytes = TEXT, **more: Any) -> Any:
    return s3.put_object_annotation(**{**KEY, "AnnotationName": name, "AnnotationPayload": text, **more})


def read(s3: Any, name: str = "note", **more: Any) -> bytes:
    got = s3.get_object_annotation(**{**KEY, "AnnotationName": name, **more})
    return bytes(got["AnnotationPayload"].read())


def names(s3: Any, **more: Any) -> list[str]:
    return [each["AnnotationName"] for each in s3.list_object_annotations(**{**KEY, **more}).get("Annotations", [])]


def delete(s3: Any, name: str = "note", **more: Any) -> Any:
    return s3.delete_object_annotation(**{**KEY, "AnnotationName": name, **more})


def left(world: World) -> list[bytes]:
    """Rows that speak of annotations, and bytes that lie in the ledger."""
    return [key for key in world.ledger.rows if key.startswith((b"s3.annotation", b"s3.data"))]


@contextmanager
def altered(s3: Any, operation: str, old: str, new: str) -> Iterator[None]:
    """Requests of an operation whose URL says something else than what the client would say."""

    def alter(params: dict[str, Any], **_: Any) -> None:
        params["query_string"] = {}
        assert old in params["url"]
        params["url"] = params["url"].replace(old, new)

    s3.meta.events.register(f"before-call.s3.{operation}", alter)
    try:
        yield
    finally:
        s3.meta.events.unregister(f"before-call.s3.{operation}", alter)


def sweep(world: World) -> None:
    world.loop.run_until_complete(AnnotationsFollower(world.house).sweep())


@pytest.fixture
def k(s3: Any) -> Any:
    s3.put_object(**KEY, Body=b"x", Tagging="colour=red")
    return s3


def test_an_annotation_comes_back_and_the_object_stays_as_it_was(k: Any):
    before = k.head_object(**KEY)
    made = put(k)
    assert (made["Key"], made["AnnotationName"], made["ChecksumType"]) == ("k", "note", "FULL_OBJECT")
    got = k.get_object_annotation(**KEY, AnnotationName="note", ChecksumMode="ENABLED")
    assert got["AnnotationPayload"].read() == TEXT
    assert (got["ETag"], got["ContentLength"], got["ServerSideEncryption"]) == (made["ETag"], len(TEXT), "AES256")
    assert got["ChecksumCRC32"] == made["ChecksumCRC32"]
    assert "ObjectVersionId" not in got
    after = k.head_object(**KEY)
    assert [after[each] for each in ("ETag", "LastModified", "ContentLength")] == [
        before[each] for each in ("ETag", "LastModified", "ContentLength")
    ]
    listed = k.list_object_annotations(**KEY)
    assert [listed[each] for each in ("Bucket", "Key", "AnnotationCount", "MaxAnnotationResults")] == [
        BUCKET, "k", 1, 1000,
    ]  # fmt: skip
    (entry,) = listed["Annotations"]
    assert (entry["AnnotationName"], entry["Size"], entry["ETag"]) == ("note", len(TEXT), made["ETag"])
    assert entry["ChecksumAlgorithm"] == ["CRC32"]


def test_without_a_checksum_s3_computes_its_own(k: Any, wire: Wire):
    plain = new_client(wire)
    plain.meta.config.merge(Config(request_checksum_calculation="when_required"))
    plain.meta.config.request_checksum_calculation = "when_required"
    assert "ChecksumCRC64NVME" in put(plain)
    assert fails(put, k, ChecksumSHA256="A" * 43 + "=") == ("BadDigest", 400)
    assert names(k) == ["note"]


@pytest.mark.parametrize("text", [b"a", b"a" * 65_536, LARGE, b"a" * 1024 * 1024])
def test_small_and_large_ones_replace_each_other_and_leave_nothing(k: Any, world: World, text: bytes):
    put(k, text=b"first" * 20_000)
    put(k, text=text)
    assert (read(k), names(k)) == (text, ["note"])
    assert world.blob_sizes() == ([len(text)] if len(text) > 65_536 else [])
    delete(k)
    assert world.blob_sizes() == []
    assert len([key for key in left(world) if key.startswith(b"s3.data")]) == 1  # the object's own
    assert fails(read, k) == ("NoSuchAnnotation", 404)
    delete(k)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (b"", ("InvalidRequest", 400)),
        (b"a" * (1024 * 1024 + 1), ("EntityTooLarge", 400)),
        (b"\xff", ("UnsupportedMediaType", 415)),
        (b"cut off \xc3", ("UnsupportedMediaType", 415)),
        (b"a" * 70_000 + b"\xc3", ("UnsupportedMediaType", 415)),
    ],
)
def test_what_is_no_text_of_a_fitting_size_is_refused(k: Any, world: World, text: bytes, refused: tuple[str, int]):
    assert fails(put, k, text=text) == refused
    assert (names(k), world.blob_sizes()) == ([], [])


@pytest.mark.parametrize("name", ["a", "Bäume-und_Büsche.2", "概要", "s", "aw", "x" * 512, "é" * 256, "-.-"])
def test_names_that_may_be_had(name: str):
    check_name(name)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        *((each, "InvalidAnnotationName") for each in (" ", "a b", "a/b", "aws", "AWS-x", "s3", "S3.y", "a\n")),
        *((each, "AnnotationNameTooLong") for each in ("x" * 513, "é" * 257)),
    ],
)
def test_names_that_may_not(k: Any, name: str, refused: str):
    assert fails(put, k, name) == (refused, 400)
    assert fails(read, k, name) == ("NoSuchAnnotation", 404)
    delete(k, name)


def test_requests_that_leave_something_out(k: Any, world: World):
    assert fails(put, k, Key="nothing") == ("NoSuchKey", 404)
    assert fails(put, k, Bucket="nowhere-at-all") == ("NoSuchBucket", 404)
    assert fails(put, k, ExpectedBucketOwner="999999999999") == ("AccessDenied", 403)
    assert fails(names, k, AnnotationPrefix="a b") == ("InvalidPrefix", 400)
    assert fails(names, k, ContinuationToken="?") == ("InvalidArgument", 400)
    assert fails(names, k, MaxAnnotationResults=1001) == ("InvalidArgument", 400)
    with altered(k, "ListObjectAnnotations", "max-annotation-results=1", "max-annotation-results=0"):
        assert fails(names, k, MaxAnnotationResults=1) == ("InvalidArgument", 400)
    with altered(k, "PutObjectAnnotation", "annotationName=note", "other=1"):
        assert fails(put, k) == ("InvalidArgument", 400)
    with altered(k, "PutObjectAnnotation", "annotationName=note", "annotationName="):
        assert fails(put, k) == ("InvalidAnnotationName", 400)


def test_pages_and_prefixes(k: Any):
    for name in ("b1", "a", "b3", "b2", "é"):
        put(k, name)
    assert names(k) == ["a", "b1", "b2", "b3", "é"]
    assert names(k, AnnotationPrefix="b") == ["b1", "b2", "b3"]
    assert names(k, AnnotationPrefix="aws") == []
    seen, token, pages = [], {}, 0
    while True:
        page = k.list_object_annotations(**KEY, AnnotationPrefix="b", MaxAnnotationResults=2, **token)
        seen += [each["AnnotationName"] for each in page["Annotations"]]
        pages += 1
        if "NextContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert (seen, pages, page["ContinuationToken"]) == (["b1", "b2", "b3"], 2, token["ContinuationToken"])


def test_a_thousand_are_the_most(k: Any, world: World):
    put(k)
    unit = world.unit()
    version = current(world)
    SETS.put(unit, AnnotationSet(1000, 5), version.annotated)
    world.commit(unit)
    assert fails(put, k, "one-more") == ("AnnotationLimitExceeded", 400)
    put(k, text=b"another")
    delete(k)
    put(k, "one-more")


def current(world: World, key: str = "k") -> ObjectVersion:
    unit = world.unit()
    bucket = BUCKETS.get(unit, BUCKET)
    assert bucket is not None
    version = find_version(unit, bucket, key, "")
    assert version is not None
    return version


def test_the_objects_etag_as_a_condition(k: Any):
    etag = k.head_object(**KEY)["ETag"]
    put(k, ObjectIfMatch=etag)
    assert fails(put, k, ObjectIfMatch='"other"') == ("PreconditionFailed", 412)
    assert fails(delete, k, ObjectIfMatch='"other"') == ("PreconditionFailed", 412)
    assert names(k) == ["note"]
    delete(k, ObjectIfMatch=etag)
    assert names(k) == []


def test_a_conflict_takes_the_payload_once(k: Any, world: World):
    world.ledger.conflicts = 3
    put(k, text=LARGE)
    assert (read(k), world.blob_sizes()) == (LARGE, [len(LARGE)])
    assert len(world.records("PutObjectAnnotation")) == 1
    assert SETS.get(world.unit(), current(world).annotated) == AnnotationSet(1, 1)


def test_they_hang_on_one_version(versioned: Any, world: World):
    s3 = versioned
    one = s3.put_object(**KEY, Body=b"1")["VersionId"]
    assert put(s3)["ObjectVersionId"] == one
    two = s3.put_object(**KEY, Body=b"2")["VersionId"]
    assert (names(s3), names(s3, VersionId=one)) == ([], ["note"])
    assert put(s3, "other", VersionId=two)["ObjectVersionId"] == two
    marker = s3.delete_object(**KEY)["VersionId"]
    assert fails(names, s3) == ("NoSuchKey", 404)
    assert fails(put, s3, VersionId=marker) == ("MethodNotAllowed", 405)
    assert (read(s3, VersionId=one), names(s3, VersionId=two)) == (TEXT, ["other"])
    s3.delete_object(**KEY, VersionId=one)
    assert fails(read, s3, VersionId=one) == ("NoSuchVersion", 404)
    sweep(world)
    assert len(ANNOTATIONS.page(world.unit())) == 1


@pytest.mark.parametrize("versioning", ["", "Suspended"])
def test_overwriting_and_deleting_take_them_along(k: Any, world: World, versioning: str):
    if versioning:
        k.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": versioning})
    put(k, text=LARGE)
    k.put_object(**KEY, Body=b"y")
    assert names(k) == []
    put(k, "again")
    k.delete_object(**KEY)
    sweep(world)
    assert left(world) == []
    assert world.blob_sizes() == []


def test_a_lifecycle_rule_takes_them_along(k: Any, world: World):
    put(k)
    rule = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Date": datetime(2020, 1, 1, tzinfo=UTC)},
    }
    k.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})
    world.loop.run_until_complete(LifecycleFollower(world.house, lifecycle_step).sweep())
    assert fails(names, k) == ("NoSuchKey", 404)
    sweep(world)
    assert left(world) == []


def test_many_objects_with_many_annotations_go_by_one_row_each(k: Any, world: World):
    k.delete_object(**KEY)
    for key in ("a", "b"):
        k.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        put(k, Key=key)
        version = current(world, key)
        unit = world.unit()
        for number in range(250):
            ANNOTATIONS.put(unit, version, version.annotated, f"n{number}")
        world.commit(unit)
    rows = len(world.ledger.rows)
    k.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    assert rows - len(world.ledger.rows) == 2  # two objects and their bytes less, two sets gone
    assert len(GONE.page(world.unit())) == 2
    sweep(world)
    assert left(world) == []


def test_a_locked_version_keeps_them(client: Any, world: World):
    s3 = client
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    s3.put_object(**KEY, Body=b"x", ChecksumAlgorithm="CRC32")
    put(s3)
    s3.put_object_retention(**KEY, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": SOON})
    put(s3, "added")
    assert fails(delete, s3) == ("AccessDenied", 403)
    assert fails(put, s3, text=b"other") == ("AccessDenied", 403)

    def bypass(request: Any, **_: Any) -> None:
        request.headers["x-amz-bypass-governance-retention"] = "true"

    s3.meta.events.register("before-sign.s3", bypass)
    try:
        put(s3, text=b"other")
        delete(s3)
        assert names(s3) == ["added"]
        s3.put_object_retention(**KEY, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": LONG})
        assert fails(delete, s3, "added") == ("AccessDenied", 403)
    finally:
        s3.meta.events.unregister("before-sign.s3", bypass)
    assert read(s3, "added") == TEXT


# Who may


def test_each_operation_has_an_action_and_one_for_versions(versioned: Any, wire: Wire):
    s3, iam = versioned, new_client(wire, "iam")
    version = s3.put_object(**KEY, Body=b"x", Tagging="colour=red")["VersionId"]
    iam.create_user(UserName="u")
    made = iam.create_access_key(UserName="u")["AccessKey"]
    theirs = new_client(wire, key=(made["AccessKeyId"], made["SecretAccessKey"]))
    put(s3)

    def allow(*actions: str, **more: Any) -> None:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)

    calls = {"Get{}Annotation": read, "Put{}Annotation": put, "List{}Annotations": names, "Delete{}Annotation": delete}
    for action, call in calls.items():
        put(s3)
        allow("s3:" + action.format("Object"))
        call(theirs)
        assert fails(call, theirs, VersionId=version) == ("AccessDenied", 403)
        allow("s3:" + action.format("ObjectVersion"))
        assert fails(call, theirs) == ("AccessDenied", 403)
        call(theirs, VersionId=version)
    put(s3)
    for colour, expected in (("red", True), ("blue", False)):
        allow("s3:GetObjectAnnotation", Condition={"StringEquals": {"s3:ExistingObjectTag/colour": colour}})
        assert (read(theirs) == TEXT) if expected else (fails(read, theirs) == ("AccessDenied", 403))


def test_a_stranger_pays_where_the_requester_pays(k: Any, stranger: Any):
    put(k)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    k.delete_public_access_block(Bucket=BUCKET)
    k.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert read(stranger) == TEXT
    k.put_bucket_request_payment(Bucket=BUCKET, RequestPaymentConfiguration={"Payer": "Requester"})
    assert fails(read, stranger) == ("AccessDenied", 403)
    assert read(k) == TEXT


# The record


def test_what_the_records_tell(k: Any, world: World):
    put(k, text=b"nobody else's business")
    read(k)
    names(k)
    delete(k)
    for name, read_only in (
        ("PutObjectAnnotation", False), ("GetObjectAnnotation", True), ("ListObjectAnnotations", True),
        ("DeleteObjectAnnotation", False),
    ):  # fmt: skip
        (record,) = world.records(name)
        assert (record["readOnly"], record["eventCategory"], record["managementEvent"]) == (read_only, "Data", False)
        assert [each["ARN"] for each in record["resources"]] == [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/k"]
        asked = record["requestParameters"]
        assert (asked["bucketName"], asked["key"], asked["annotation"]) == (BUCKET, "k", "")
        assert asked.get("annotationName") == (None if name.startswith("List") else "note")
        assert record["responseElements"] is None
        assert "business" not in json.dumps(record)
    assert world.records("PutObjectAnnotation")[0]["additionalEventData"]["bytesTransferredIn"] >= 22


# Encryption


def test_they_are_encrypted_as_their_object_is(s3: Any, world: World, wire: Wire):
    kms = new_client(wire, "kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    for number, (given, shown) in enumerate(
        [
            ({}, "AES256"),
            ({"ServerSideEncryption": "AES256"}, "AES256"),
            ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}, "aws:kms"),
            ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True}, "aws:kms"),
            ({"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": key}, "aws:kms:dsse"),
        ]
    ):
        s3.put_object(**KEY, Body=b"x", **given)
        for text in (b"plain words", b"plain words" * 10_000):
            assert put(s3, f"n{number}", text)["ServerSideEncryption"] == shown
            assert read(s3, f"n{number}") == text
            stored = b"".join(row.value for row in world.ledger.rows.values())
            blobs = b"".join(path.read_bytes() for path in world.directory.rglob("*") if path.is_file())
            assert b"plain words" not in stored + blobs
    (rows,) = [row for _, row in ANNOTATIONS.page(world.unit(), current(world).annotated)]
    assert rows.sse_key == key
    kms.disable_key(KeyId=key)
    assert fails(read, s3, "n4") == ("KMS.DisabledException", 400)
    assert fails(put, s3) == ("KMS.DisabledException", 400)


def test_an_object_under_a_customers_key_has_none(s3: Any, world: World):
    world.remote_ip = "127.0.0.1"
    s3.put_object(**KEY, Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey=b"k" * 32)
    assert fails(put, s3) == ("InvalidRequest", 400)
    s3.put_object(Bucket=BUCKET, Key="src", Body=b"x")
    put(s3, Key="src")
    secret = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    source = {"Bucket": BUCKET, "Key": "src"}
    assert fails(s3.copy_object, **KEY, CopySource=source, **secret) == ("InvalidRequest", 400)
    s3.copy_object(**KEY, CopySource=source, AnnotationDirective="EXCLUDE", **secret)


def test_another_key_for_the_object_leaves_them_readable(s3: Any, wire: Wire):
    keys = [new_client(wire, "kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    s3.put_object(**KEY, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=keys[0])
    put(s3)
    s3.update_object_encryption(**KEY, ObjectEncryption={"SSEKMS": {"KMSKeyArn": keys[1]}})
    put(s3, "later")
    assert names(s3) == ["later", "note"]
    new_client(wire, "kms").disable_key(KeyId=keys[0])
    assert read(s3, "later") == TEXT
    assert fails(read, s3) == ("KMS.DisabledException", 400)
