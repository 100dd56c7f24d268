"""Object Lock, as boto3 sees it: configuration, retention, legal hold, and what they forbid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from opentrail.rows.s3 import BUCKETS
from opentrail.services.s3.versions import find_version, replace_version
from tests.services.s3.test_multipart import fails
from tests.services.s3.world import BUCKET, World, without_digest

PROTECTED = "Access Denied because object protected by object lock."
LONG = datetime(2140, 1, 1, tzinfo=UTC)
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
NEXT = SOON + timedelta(days=1)


@pytest.fixture
def locked(client: Any, world: World) -> Any:
    client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    return client


def put(s3: Any, key: str = "k", **more: Any) -> str:
    return str(s3.put_object(Bucket=BUCKET, Key=key, Body=b"x", **more)["VersionId"])


def retain(s3: Any, mode: str = "GOVERNANCE", until: datetime = SOON, **more: Any) -> None:
    retention = {"Mode": mode, "RetainUntilDate": until}
    s3.put_object_retention(Bucket=BUCKET, Key="k", Retention=retention, **more)


def hold(s3: Any, status: str) -> None:
    s3.put_object_legal_hold(Bucket=BUCKET, Key="k", LegalHold={"Status": status})


def delete(s3: Any, version_id: str, **more: Any) -> Any:
    return s3.delete_object(Bucket=BUCKET, Key="k", VersionId=version_id, **more)


def refusal(call: Any, *arguments: Any, **more: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call(*arguments, **more)
    answer: dict[str, Any] = error.value.response
    return {**answer["Error"], "Status": answer["ResponseMetadata"]["HTTPStatusCode"]}


def configure(s3: Any, **rule: Any) -> None:
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": rule}}
    s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=configuration)


def alter(world: World, key: str, version_id: str, **changes: Any) -> None:
    """Change a version's row behind the API's back."""
    unit = world.unit()
    bucket = BUCKETS.get(unit, BUCKET)
    assert bucket is not None
    version = find_version(unit, bucket, key, version_id)
    assert version is not None
    replace_version(unit, bucket, replace(version, **changes))
    world.commit(unit)


def info(world: World, event: str) -> Any:
    return world.records(event)[-1]["additionalEventData"].get("objectRetentionInfo")


# The bucket's configuration


def test_a_bucket_with_lock_is_versioned_for_good(locked: Any):
    assert locked.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    got = locked.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    assert got == {"ObjectLockEnabled": "Enabled"}
    suspended = {"Status": "Suspended"}
    assert fails(locked.put_bucket_versioning, Bucket=BUCKET, VersioningConfiguration=suspended) == (
        "InvalidBucketState",
        409,
    )
    locked.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def test_a_default_retention_is_set_shown_replaced_and_removed(locked: Any):
    for rule in ({"Mode": "GOVERNANCE", "Days": 1}, {"Mode": "COMPLIANCE", "Years": 100}):
        configure(locked, **rule)
        got = locked.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
        assert got == {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": rule}}
    locked.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    got = locked.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    assert got == {"ObjectLockEnabled": "Enabled"}
    put(locked)
    assert "ObjectLockMode" not in locked.head_object(Bucket=BUCKET, Key="k")


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({}, "MalformedXML"),
        ({"ObjectLockEnabled": "Disabled"}, "MalformedXML"),
        ({"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}, "MalformedXML"),
        *(
            ({"ObjectLockEnabled": "Enabled", "Rule": rule}, code)
            for rule, code in [
                ({}, "MalformedXML"),
                ({"DefaultRetention": {}}, "MalformedXML"),
                ({"DefaultRetention": {"Mode": "GOVERNANCE"}}, "MalformedXML"),
                ({"DefaultRetention": {"Mode": "governance", "Days": 1}}, "MalformedXML"),
                ({"DefaultRetention": {"Days": 1}}, "MalformedXML"),
                ({"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1, "Years": 1}}, "MalformedXML"),
                ({"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 0}}, "InvalidRetentionPeriod"),
                ({"DefaultRetention": {"Mode": "GOVERNANCE", "Years": -1}}, "InvalidRetentionPeriod"),
                ({"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 36_501}}, "InvalidRetentionPeriod"),
            ]
        ),
    ],
)
def test_wrong_configurations(locked: Any, configuration: Any, code: str):
    given = {"Bucket": BUCKET, "ObjectLockConfiguration": configuration}
    assert fails(locked.put_object_lock_configuration, **given) == (code, 400)


def test_lock_comes_to_an_existing_bucket_only_with_versioning(s3: Any):
    enabled = {"Bucket": BUCKET, "ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    missing = refusal(s3.get_object_lock_configuration, Bucket=BUCKET)
    assert (missing["Code"], missing["Status"]) == ("ObjectLockConfigurationNotFoundError", 404)
    assert fails(s3.put_object_lock_configuration, **enabled) == ("InvalidBucketState", 409)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    assert fails(s3.put_object_lock_configuration, **enabled) == ("InvalidBucketState", 409)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"null")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(**enabled)
    retain(s3, VersionId="null")
    put(s3)  # goes on top of the null version, which stays
    assert refusal(delete, s3, "null")["Message"] == PROTECTED
    assert s3.get_object(Bucket=BUCKET, Key="k", VersionId="null")["Body"].read() == b"null"
    configure(s3, Mode="GOVERNANCE", Days=1)


def test_documents_that_lock_must_come_with_a_digest(locked: Any):
    put(locked)
    with without_digest(locked):
        missing = ("InvalidRequest", 400)
        assert fails(hold, locked, "ON") == missing
        assert fails(retain, locked) == missing
        assert fails(configure, locked, Mode="GOVERNANCE", Days=1) == missing


# Retention


def test_retention_is_set_shown_and_extended(locked: Any, world: World):
    version_id = put(locked)
    unset = refusal(locked.get_object_retention, Bucket=BUCKET, Key="k")
    assert (unset["Code"], unset["Status"]) == ("NoSuchObjectLockConfiguration", 404)
    for until in (SOON, NEXT, LONG):
        retain(locked, until=until)
        got = locked.get_object_retention(Bucket=BUCKET, Key="k", VersionId=version_id)
        assert got["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    head = locked.head_object(Bucket=BUCKET, Key="k")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", LONG)
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-object-lock-retain-until-date"] == "2140-01-01T00:00:00Z"
    assert "ObjectLockLegalHoldStatus" not in head
    assert world.records("PutObjectLockRetention")
    assert world.records("GetObjectLockRetention")


def test_milliseconds_of_a_retention_are_kept(locked: Any):
    put(locked)
    until = SOON + timedelta(milliseconds=756)
    retain(locked, until=until)
    assert locked.get_object_retention(Bucket=BUCKET, Key="k")["Retention"]["RetainUntilDate"] == until


@pytest.mark.parametrize(
    ("retention", "code"),
    [
        ({"Mode": "GOVERNANCE"}, "MalformedXML"),
        ({"RetainUntilDate": SOON}, "MalformedXML"),
        ({"Mode": "governance", "RetainUntilDate": SOON}, "MalformedXML"),
        ({"Mode": "GOVERNANCE", "RetainUntilDate": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidArgument"),
    ],
)
def test_wrong_retentions(locked: Any, retention: Any, code: str):
    put(locked)
    assert fails(locked.put_object_retention, Bucket=BUCKET, Key="k", Retention=retention) == (code, 400)


def test_governance_gives_way_to_a_bypass(locked: Any):
    version_id = put(locked)
    retain(locked, until=NEXT)
    for change in ({"until": SOON}, {"mode": "COMPLIANCE", "until": NEXT}):
        assert refusal(retain, locked, **change)["Message"] == PROTECTED
    retain(locked, until=SOON, BypassGovernanceRetention=True)
    assert refusal(delete, locked, version_id)["Message"] == PROTECTED
    assert refusal(delete, locked, version_id, BypassGovernanceRetention=False)["Status"] == 403
    delete(locked, version_id, BypassGovernanceRetention=True)
    assert fails(locked.get_object, Bucket=BUCKET, Key="k") == ("NoSuchKey", 404)


def test_an_empty_retention_removes_it(locked: Any):
    version_id = put(locked)
    retain(locked)
    nothing: dict[str, Any] = {"Bucket": BUCKET, "Key": "k", "Retention": {}}
    assert refusal(locked.put_object_retention, **nothing)["Message"] == PROTECTED
    locked.put_object_retention(**nothing, BypassGovernanceRetention=True)
    assert fails(locked.get_object_retention, Bucket=BUCKET, Key="k") == ("NoSuchObjectLockConfiguration", 404)
    delete(locked, version_id)


def test_compliance_gives_way_to_nobody(locked: Any, world: World):
    version_id = put(locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=SOON)
    changes = ({"mode": "GOVERNANCE", "until": LONG}, {"mode": "COMPLIANCE", "until": SOON - timedelta(seconds=1)})
    for change in changes:
        assert refusal(retain, locked, **change, BypassGovernanceRetention=True)["Message"] == PROTECTED
    nothing: dict[str, Any] = {"Bucket": BUCKET, "Key": "k", "Retention": {}, "BypassGovernanceRetention": True}
    assert refusal(locked.put_object_retention, **nothing)["Message"] == PROTECTED
    assert refusal(delete, locked, version_id, BypassGovernanceRetention=True)["Message"] == PROTECTED
    retain(locked, "COMPLIANCE", NEXT)
    alter(world, "k", version_id, lock_until=1.0)
    assert locked.get_object_retention(Bucket=BUCKET, Key="k")["Retention"]["Mode"] == "COMPLIANCE"
    delete(locked, version_id)


def test_a_delete_marker_covers_a_locked_version_and_has_no_lock(locked: Any):
    version_id = put(locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=SOON)
    marker = locked.delete_object(Bucket=BUCKET, Key="k")["VersionId"]
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": SOON}
    about = {"Bucket": BUCKET, "Key": "k", "VersionId": marker}
    assert fails(locked.put_object_retention, **about, Retention=retention) == ("MethodNotAllowed", 405)
    assert fails(locked.get_object_retention, **about) == ("MethodNotAllowed", 405)
    assert refusal(delete, locked, version_id)["Message"] == PROTECTED
    delete(locked, marker)
    assert locked.get_object(Bucket=BUCKET, Key="k")["VersionId"] == version_id


# Legal hold


def test_a_legal_hold_is_put_on_and_taken_off(locked: Any):
    version_id = put(locked)
    assert fails(locked.get_object_legal_hold, Bucket=BUCKET, Key="k") == ("NoSuchObjectLockConfiguration", 404)
    hold(locked, "ON")
    assert locked.get_object_legal_hold(Bucket=BUCKET, Key="k")["LegalHold"] == {"Status": "ON"}
    assert refusal(delete, locked, version_id, BypassGovernanceRetention=True)["Message"] == PROTECTED
    hold(locked, "OFF")
    assert locked.get_object_legal_hold(Bucket=BUCKET, Key="k")["LegalHold"] == {"Status": "OFF"}
    assert locked.head_object(Bucket=BUCKET, Key="k")["ObjectLockLegalHoldStatus"] == "OFF"
    delete(locked, version_id)


def test_wrong_legal_holds(locked: Any):
    put(locked)
    assert fails(hold, locked, "on") == ("MalformedXML", 400)
    assert fails(locked.put_object_legal_hold, Bucket=BUCKET, Key="k", LegalHold={}) == ("MalformedXML", 400)
    assert fails(locked.put_object_legal_hold, Bucket=BUCKET, Key="k") == ("MalformedXML", 400)
    on = {"Status": "ON"}
    assert fails(locked.put_object_legal_hold, Bucket=BUCKET, Key="none", LegalHold=on) == ("NoSuchKey", 404)


def test_buckets_without_lock(s3: Any):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    for call in (retain, lambda s3: hold(s3, "ON")):
        answer = refusal(call, s3)
        assert (answer["Code"], answer["Message"]) == ("InvalidRequest", "Bucket is missing Object Lock Configuration")
    for call in (s3.get_object_retention, s3.get_object_legal_hold):
        assert fails(call, Bucket=BUCKET, Key="k") == ("InvalidRequest", 400)
    for more in (
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": SOON},
        {"ObjectLockLegalHoldStatus": "ON"},
    ):
        assert fails(put, s3, **more) == ("InvalidRequest", 400)
    for bypass in (True, False):
        answer = refusal(s3.delete_object, Bucket=BUCKET, Key="k", BypassGovernanceRetention=bypass)
        assert (answer["Code"], answer["ArgumentName"]) == ("InvalidArgument", "x-amz-bypass-governance-retention")
    named = {"Objects": [{"Key": "k"}]}
    given = {"Bucket": BUCKET, "Delete": named, "BypassGovernanceRetention": True}
    assert fails(s3.delete_objects, **given) == ("InvalidArgument", 400)


# Writes that lock


def test_objects_are_locked_as_they_are_written(locked: Any):
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": SOON, "ObjectLockLegalHoldStatus": "ON"}
    put(locked, **lock)
    source = {"Bucket": BUCKET, "Key": "k"}
    locked.copy_object(Bucket=BUCKET, Key="plain", CopySource=source)
    locked.copy_object(Bucket=BUCKET, Key="copy", CopySource=source, **lock)
    upload(locked, "parts", **lock)
    for key in ("k", "copy", "parts"):
        head = locked.head_object(Bucket=BUCKET, Key=key)
        assert {name: head[name] for name in lock} == lock, key
        version_id = head["VersionId"]
        refused = refusal(locked.delete_object, Bucket=BUCKET, Key=key, VersionId=version_id)
        assert refused["Message"] == PROTECTED
    assert "ObjectLockMode" not in locked.head_object(Bucket=BUCKET, Key="plain")


def upload(s3: Any, key: str, **more: Any) -> None:
    upload_id = s3.create_multipart_upload(Bucket=BUCKET, Key=key, **more)["UploadId"]
    about = {"Bucket": BUCKET, "Key": key, "UploadId": upload_id}
    part = s3.upload_part(**about, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(**about, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})


def test_the_default_retention_locks_what_says_nothing(locked: Any):
    configure(locked, Mode="GOVERNANCE", Days=3)
    before = datetime.now(UTC).replace(microsecond=0)
    put(locked)
    locked.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "k"})
    upload(locked, "parts")
    for key in ("k", "copy", "parts"):
        head = locked.head_object(Bucket=BUCKET, Key=key)
        assert head["ObjectLockMode"] == "GOVERNANCE"
        until = head["ObjectLockRetainUntilDate"]
        assert before + timedelta(days=3) <= until <= datetime.now(UTC) + timedelta(days=3)
        assert "ObjectLockLegalHoldStatus" not in head
    put(locked, "own", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=SOON)
    assert locked.head_object(Bucket=BUCKET, Key="own")["ObjectLockMode"] == "COMPLIANCE"
    put(locked, "held", ObjectLockLegalHoldStatus="OFF")
    head = locked.head_object(Bucket=BUCKET, Key="held")
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "OFF")


@pytest.mark.parametrize(
    ("more", "argument"),
    [
        ({"ObjectLockMode": "GOVERNANCE"}, "x-amz-object-lock-retain-until-date"),
        ({"ObjectLockRetainUntilDate": SOON}, "x-amz-object-lock-mode"),
        ({"ObjectLockMode": "BAD", "ObjectLockRetainUntilDate": SOON}, "x-amz-object-lock-mode"),
        (
            {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime(2020, 1, 1, tzinfo=UTC)},
            "x-amz-object-lock-retain-until-date",
        ),
        ({"ObjectLockLegalHoldStatus": "MAYBE"}, "x-amz-object-lock-legal-hold"),
    ],
)
def test_wrong_lock_headers(locked: Any, more: Any, argument: str):
    for call in (locked.put_object, locked.create_multipart_upload):
        answer = refusal(call, Bucket=BUCKET, Key="k", **more)
        assert (answer["Code"], answer["Status"], answer["ArgumentName"]) == ("InvalidArgument", 400, argument)


def test_a_batch_deletes_what_is_not_locked(locked: Any, world: World):
    first = put(locked, "a", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=SOON)
    second = put(locked, "b")
    third = put(locked, "c", ObjectLockLegalHoldStatus="ON")
    named = [{"Key": key, "VersionId": each} for key, each in (("a", first), ("b", second), ("c", third))]
    done = locked.delete_objects(Bucket=BUCKET, Delete={"Objects": named})
    assert [each["Key"] for each in done["Deleted"]] == ["b"]
    assert [(each["Key"], each["Code"], each["Message"]) for each in done["Errors"]] == [
        ("a", "AccessDenied", PROTECTED),
        ("c", "AccessDenied", PROTECTED),
    ]
    assert info(world, "DeleteObjects") is None
    done = locked.delete_objects(Bucket=BUCKET, Delete={"Objects": named}, BypassGovernanceRetention=True)
    assert [each["Key"] for each in done["Deleted"]] == ["a", "b"]
    assert [each["Key"] for each in done["Errors"]] == ["c"]


def test_records_tell_of_the_lock(locked: Any, world: World):
    version_id = put(
        locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=SOON, ObjectLockLegalHoldStatus="ON"
    )
    written = info(world, "PutObject")
    retention, held = written["retentionInfo"], written["legalHoldInfo"]
    assert (
        retention.items() >= {"retainUntilMode": "GOVERNANCE", "retainUntilTime": int(SOON.timestamp() * 1000)}.items()
    )
    assert held["isUnderLegalHold"] is True
    assert held["lastModifiedTime"] == retention["lastModifiedTime"]
    locked.head_object(Bucket=BUCKET, Key="k")
    assert info(world, "HeadObject") == written
    hold(locked, "OFF")
    assert info(world, "PutObjectLockLegalHold").keys() == {"legalHoldInfo"}
    retain(locked, until=NEXT)
    assert info(world, "PutObjectLockRetention").keys() == {"retentionInfo", "legalHoldInfo"}
    locked.get_object_retention(Bucket=BUCKET, Key="k")
    assert info(world, "GetObjectLockRetention").keys() == {"retentionInfo"}
    assert refusal(delete, locked, version_id)["Message"] == PROTECTED
    refused = world.records("DeleteObject")[-1]
    assert (refused["errorCode"], refused["errorMessage"]) == ("AccessDenied", PROTECTED)
    assert info(world, "DeleteObject") is None
    delete(locked, version_id, BypassGovernanceRetention=True)
    assert info(world, "DeleteObject")["legalHoldInfo"]["isUnderLegalHold"] is False
    put(locked)
    assert info(world, "PutObject") is None
