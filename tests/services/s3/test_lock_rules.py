"""Who may lock, who may look, who may bypass; and the condition keys of Object Lock."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opentrail.services.s3.lock_conditions import value
from tests.services.s3.bucket_world import BUCKET, World, allow, make_world, policy

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
LOCK = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": SOON}
DIGEST = {"content-md5": "XUFAKrxLKna5cZ2REBfFkg=="}
NOW = 1_790_000_000.0


@pytest.fixture
async def world() -> World:
    world = await make_world()
    await world.alter_bucket(object_lock=True, versioning="Enabled")
    return world


async def put(world: World, **more: Any) -> Any:
    return await world.put_object(Bucket=BUCKET, Key="k", body=b"hello", headers=DIGEST, **more)


async def test_writing_a_lock_needs_its_own_actions(world: World):
    writer = await world.add_user("writer", allow("s3:PutObject"))
    keeper = await world.add_user("keeper", allow(["s3:PutObject", "s3:PutObjectRetention"]))
    assert (await put(world, by=writer)).status == 200
    assert (await put(world, by=writer, **LOCK)).code == "AccessDenied"
    assert (await put(world, by=keeper, **LOCK)).status == 200
    refused = await put(world, by=keeper, ObjectLockLegalHoldStatus="ON")
    assert "s3:PutObjectLegalHold" in refused.error["Message"]


async def test_a_bucket_with_lock_needs_its_own_actions(world: World):
    maker = await world.add_user("maker", allow("s3:CreateBucket"))
    more = ["s3:CreateBucket", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
    keeper = await world.add_user("keeper", allow(more))
    assert (await world.create_bucket(Bucket="lock", ObjectLockEnabledForBucket=True, by=maker)).status == 403
    assert (await world.create_bucket(Bucket="lock", ObjectLockEnabledForBucket=True, by=keeper)).status == 200


async def test_the_lock_is_shown_to_those_who_may_read_it(world: World):
    await put(world, **LOCK, ObjectLockLegalHoldStatus="ON")
    seen = {}
    for name, actions in {
        "payload": [],
        "retention": ["s3:GetObjectRetention"],
        "hold": ["s3:GetObjectLegalHold"],
    }.items():
        reader = await world.add_user(name, allow(["s3:GetObject", *actions]))
        parsed = (await world.head_object(Bucket=BUCKET, Key="k", by=reader)).parsed
        seen[name] = {each for each in parsed if each.startswith("ObjectLock")}
        assert "objectRetentionInfo" in world.records()[-1]["additionalEventData"]
    assert seen == {
        "payload": set(),
        "retention": {"ObjectLockMode", "ObjectLockRetainUntilDate"},
        "hold": {"ObjectLockLegalHoldStatus"},
    }


async def test_a_bypass_needs_the_header_and_the_permission(world: World):
    version_id = (await put(world, **LOCK)).parsed["VersionId"]
    deleter = await world.add_user("deleter", allow("s3:DeleteObjectVersion"))
    bypasser = await world.add_user("bypasser", allow(["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"]))
    about = {"Bucket": BUCKET, "Key": "k", "VersionId": version_id}
    for by, bypass in ((deleter, False), (deleter, True), (bypasser, False)):
        answer = await world.delete_object(**about, by=by, **({"BypassGovernanceRetention": True} if bypass else {}))
        assert answer.status == 403
    free = (await put(world)).parsed["VersionId"]
    unlocked = {**about, "VersionId": free, "BypassGovernanceRetention": True}
    assert (await world.delete_object(**unlocked, by=deleter)).status == 204
    assert (await world.delete_object(**about, by=bypasser, BypassGovernanceRetention=True)).status == 204


async def test_uploads_of_locked_objects_must_come_with_a_digest(world: World):
    for more in (LOCK, {"ObjectLockLegalHoldStatus": "OFF"}):
        answer = await world.put_object(Bucket=BUCKET, Key="k", body=b"hello", **more)
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert "Object Lock" in answer.error["Message"]
    assert (await world.put_object(Bucket=BUCKET, Key="k", body=b"hello")).status == 200
    started = await world.create_multipart_upload(Bucket=BUCKET, Key="k", **LOCK)
    part = {"Bucket": BUCKET, "Key": "k", "UploadId": started.parsed["UploadId"], "PartNumber": 1, "body": b"hello"}
    assert (await world.upload_part(**part)).code == "InvalidRequest"
    assert (await world.upload_part(**part, headers=DIGEST)).status == 200


async def test_policies_can_bound_the_retention(world: World):
    condition = {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}}
    deny = allow("s3:PutObjectRetention", f"arn:aws:s3:::{BUCKET}/*", Condition=condition) | {
        "Effect": "Deny",
        "Principal": "*",
    }
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=policy(deny))).status == 204
    await put(world)
    keeper = await world.add_user("keeper", allow("s3:*"))
    for days, status in ((10, 200), (12, 403)):
        until = datetime.now(UTC) + timedelta(days=days)
        lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
        assert (await put(world, by=keeper, **lock)).status == status
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
        given = {"Bucket": BUCKET, "Key": "k", "Retention": retention}
        answer = await world.put_object_retention(**given, by=keeper, headers=await _md5(world, given))
        assert answer.status == status


async def _md5(world: World, given: Any) -> dict[str, str]:
    """The digest that a client would have sent; a checksum's header says the same."""
    request = world.request("s3", "PutObjectRetention", given, b"", None, {})
    body = await request.body.read_all(10_000)
    return {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}


@pytest.mark.parametrize(
    ("given", "key", "expected"),
    [
        ({}, "s3:object-lock-mode", None),
        ({"ObjectLockMode": "GOVERNANCE"}, "s3:object-lock-mode", ("GOVERNANCE",)),
        ({"Retention": {"Mode": "COMPLIANCE"}}, "s3:object-lock-mode", ("COMPLIANCE",)),
        ({"ObjectLockLegalHoldStatus": "ON"}, "s3:object-lock-legal-hold", ("ON",)),
        ({"LegalHold": {"Status": "OFF"}}, "s3:object-lock-legal-hold", ("OFF",)),
        ({"LegalHold": None}, "s3:object-lock-legal-hold", None),
        ({}, "s3:object-lock-retain-until-date", None),
        (
            {"ObjectLockRetainUntilDate": datetime(2030, 1, 1, tzinfo=UTC)},
            "s3:object-lock-retain-until-date",
            ("2030-01-01T00:00:00Z",),
        ),
        (
            {"Retention": {"RetainUntilDate": datetime.fromtimestamp(NOW + 86_401, UTC)}},
            "s3:object-lock-remaining-retention-days",
            ("2",),
        ),
        ({"ObjectLockRetainUntilDate": datetime(2030, 1, 1, tzinfo=UTC)}, "s3:object-lock-nonsense", None),
    ],
)
def test_condition_keys(given: Any, key: str, expected: Any):
    assert value(given, NOW, key) == expected
