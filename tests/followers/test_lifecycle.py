"""The lifecycle follower on the real ledger's stand-in and real blobs: objects put by boto3, passes made days later."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opentrail.errors import LedgerUnavailable
from opentrail.followers.lifecycle import LifecycleFollower
from opentrail.rows.s3 import OBJECTS
from opentrail.server.loops import spawn
from opentrail.services.s3 import lifecycle_pass
from opentrail.services.s3.lifecycle_pass import PAGE_ROWS, Place, lifecycle_step
from opentrail.state import Unit
from tests.fakes.later import Later
from tests.services.s3.test_lifecycle import put_rules, rule
from tests.services.s3.world import BUCKET, World

LARGE = b"x" * (128 * 1024)
SOON = datetime.now(UTC) + timedelta(days=1000)


def follower(world: World, days: float) -> LifecycleFollower:
    return LifecycleFollower(replace(world.house, clock=Later(days)), lifecycle_step)


def sweep(world: World, days: float = 0) -> None:
    """One pass, so many days later. What it does is not in the records."""
    lines = len(world.ledger.lines)
    world.loop.run_until_complete(follower(world, days).sweep())
    assert len(world.ledger.lines) == lines


def put(s3: Any, *keys: str, body: bytes = b"x", **more: Any) -> list[str]:
    return [s3.put_object(Bucket=BUCKET, Key=key, Body=body, **more).get("VersionId", "null") for key in keys]


def keys(s3: Any) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def versions(s3: Any) -> list[str]:
    return [each["VersionId"] for each in s3.list_object_versions(Bucket=BUCKET).get("Versions", [])]


def markers(s3: Any) -> list[str]:
    return [each["Key"] for each in s3.list_object_versions(Bucket=BUCKET).get("DeleteMarkers", [])]


def class_of(s3: Any, key: str, **more: Any) -> str:
    return str(s3.head_object(Bucket=BUCKET, Key=key, **more).get("StorageClass", "STANDARD"))


def test_objects_expire_by_age_and_prefix(s3: Any, world: World):
    put(s3, "a/1", "a/2", "b/1", "c/1", body=b"x" * 100_000)
    put_rules(
        s3,
        rule(ID="a", Filter={"Prefix": "a/"}, Expiration={"Days": 2}),
        rule(ID="b", Filter={"Prefix": "b/"}, Expiration={"Days": 6}),
        rule(ID="c", Filter={"Prefix": "c/"}, Expiration={"Days": 1}, Status="Disabled"),
    )
    sweep(world, 1)
    assert keys(s3) == ["a/1", "a/2", "b/1", "c/1"]
    sweep(world, 3)
    assert keys(s3) == ["b/1", "c/1"]
    assert world.blob_sizes() == [100_000, 100_000]
    sweep(world, 7)
    assert keys(s3) == ["c/1"]
    sweep(world, 7)
    assert world.blob_sizes() == [100_000]


def test_a_date_expires_what_was_and_what_comes(s3: Any, world: World):
    put_rules(s3, rule(ID="past", Filter={"Prefix": "p"}, Expiration={"Date": datetime(2015, 1, 1, tzinfo=UTC)}),
              rule(ID="future", Filter={"Prefix": "f"}, Expiration={"Date": datetime(2140, 1, 1, tzinfo=UTC)}))  # fmt: skip
    for _ in range(2):
        put(s3, "p", "f")
        sweep(world)
        assert keys(s3) == ["f"]


def test_tags_and_sizes_choose(s3: Any, world: World):
    put(s3, "tagged", Tagging="a=1&b=2")
    put(s3, "other", Tagging="a=2")
    put(s3, "large", body=b"x" * 2001)
    put(s3, "edge", body=b"x" * 2000)
    put_rules(
        s3,
        rule(ID="tag", Filter={"Tag": {"Key": "a", "Value": "1"}}, Expiration={"Days": 1}),
        rule(ID="size", Filter={"ObjectSizeGreaterThan": 2000}, Expiration={"Days": 1}),
    )
    sweep(world, 3)
    assert keys(s3) == ["edge", "other"]


def test_what_expires_in_a_versioned_bucket_gets_a_marker(versioned: Any, world: World):
    (version_id,) = put(versioned, "k")
    put_rules(versioned, rule(Expiration={"Days": 1}))
    sweep(world, 3)
    assert (keys(versioned), markers(versioned), versions(versioned)) == ([], ["k"], [version_id])
    sweep(world, 3)
    assert markers(versioned) == ["k"]
    sweep(world, 30)
    assert markers(versioned) == ["k"], "a marker above a version stays"


def test_suspended_versioning_leaves_one_null(s3: Any, world: World):
    put(s3, "k")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    put_rules(s3, rule(Expiration={"Days": 1}))
    sweep(world, 3)
    assert (keys(s3), markers(s3), versions(s3)) == ([], ["k"], [])
    sweep(world, 6)
    assert markers(s3) == []
    assert not [key for key in world.ledger.rows if key.startswith((b"s3.data", b"s3.version", b"s3.object"))]


def test_noncurrent_versions_go_but_for_the_newest(versioned: Any, world: World):
    ids = [put(versioned, "k")[0] for _ in range(6)][::-1]
    put(versioned, "other")
    put_rules(
        versioned,
        rule(
            Filter={"Prefix": "k"},
            NoncurrentVersionExpiration={"NoncurrentDays": 2, "NewerNoncurrentVersions": 2},
        ),
    )
    sweep(world, 1)
    assert len(versions(versioned)) == 7
    sweep(world, 4)
    assert versions(versioned)[:3] == ids[:3]
    assert len(versions(versioned)) == 4
    assert versioned.get_object(Bucket=BUCKET, Key="k")["VersionId"] == ids[0]


def test_markers_with_nothing_beneath_are_cleaned_up(versioned: Any, world: World):
    put(versioned, "k", "stays")
    for key in ("k", "stays", "k"):
        versioned.delete_object(Bucket=BUCKET, Key=key)
    put_rules(
        versioned,
        rule(ID="all", Expiration={"ExpiredObjectDeleteMarker": True}),
        rule(ID="k", Filter={"Prefix": "k"}, NoncurrentVersionExpiration={"NoncurrentDays": 1}),
    )
    sweep(world)
    assert markers(versioned) == ["k", "k", "stays"]
    sweep(world, 3)
    sweep(world, 3)
    assert (markers(versioned), len(versions(versioned))) == (["stays"], 1)


def test_markers_grow_old_as_objects_do(versioned: Any, world: World):
    put(versioned, "k")
    versioned.delete_object(Bucket=BUCKET, Key="k")
    expire = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}, "Expiration": {"Days": 5}}
    put_rules(versioned, rule(**expire))
    sweep(world, 3)
    assert (versions(versioned), markers(versioned)) == ([], ["k"])
    sweep(world, 7)
    assert markers(versioned) == []


def test_locked_versions_stay(client: Any, world: World):
    client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    (retained,) = put(client, "k", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=SOON)
    (held,) = put(client, "k", ObjectLockLegalHoldStatus="ON")
    put(client, "k")
    put(client, "k")
    put_rules(
        client, rule(ID="n", NoncurrentVersionExpiration={"NoncurrentDays": 1}), rule(ID="e", Expiration={"Days": 1})
    )
    sweep(world, 3)
    assert len(versions(client)) == 3
    sweep(world, 6)
    assert versions(client) == [held, retained]
    assert markers(client) == ["k"]
    sweep(world, 1100)
    assert versions(client) == [held]


def test_uploads_that_nobody_ends_are_given_up(s3: Any, world: World):
    for key in ("a", "a", "b"):
        started = s3.create_multipart_upload(Bucket=BUCKET, Key=key)
        for number in (1, 2):
            s3.upload_part(Bucket=BUCKET, Key=key, UploadId=started["UploadId"], PartNumber=number, Body=b"x")
    abort = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}}
    put_rules(s3, rule(Filter={"Prefix": "a"}, **abort))
    sweep(world, 1)
    assert len(s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]) == 3
    sweep(world, 4)
    assert [each["Key"] for each in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == ["b"]
    assert world.blob_sizes() == [1, 1]
    assert len([key for key in world.ledger.rows if key.startswith(b"s3.part")]) == 2


def test_objects_move_down_step_by_step(s3: Any, world: World):
    put(s3, "large", body=LARGE)
    put(s3, "small")
    put(s3, "cold", body=LARGE, StorageClass="DEEP_ARCHIVE")
    moves = [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 60, "StorageClass": "GLACIER"}]
    put_rules(s3, rule(Transitions=moves))
    modified = s3.head_object(Bucket=BUCKET, Key="large")["LastModified"]
    seen = []
    for days in (29, 32, 62):
        sweep(world, days)
        seen.append((class_of(s3, "large"), class_of(s3, "small"), class_of(s3, "cold")))
    assert seen == [
        ("STANDARD", "STANDARD", "DEEP_ARCHIVE"),
        ("STANDARD_IA", "STANDARD", "DEEP_ARCHIVE"),
        ("GLACIER", "STANDARD", "DEEP_ARCHIVE"),
    ]
    assert s3.head_object(Bucket=BUCKET, Key="large")["LastModified"] == modified
    with pytest.raises(s3.exceptions.InvalidObjectState):
        s3.get_object(Bucket=BUCKET, Key="large")
    s3.restore_object(Bucket=BUCKET, Key="large", RestoreRequest={"Days": 1})
    assert s3.get_object(Bucket=BUCKET, Key="large")["Body"].read() == LARGE


def test_small_objects_move_only_where_that_is_wanted(s3: Any, world: World):
    put(s3, "a", "b")
    archive = [{"Days": 0, "StorageClass": "GLACIER_IR"}]
    cold = [{"Days": 0, "StorageClass": "GLACIER"}]
    put_rules(s3, rule(Transitions=archive), TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    sweep(world, 2)
    assert class_of(s3, "a") == "STANDARD"
    by_class = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    put_rules(s3, rule(Filter={"Prefix": "a"}, Transitions=cold), **by_class)
    sweep(world, 2)
    assert (class_of(s3, "a"), class_of(s3, "b")) == ("GLACIER", "STANDARD")
    put_rules(s3, rule(Filter={"ObjectSizeLessThan": 10}, Transitions=archive))
    sweep(world, 2)
    assert (class_of(s3, "a"), class_of(s3, "b")) == ("GLACIER", "GLACIER_IR")


def test_noncurrent_versions_move(versioned: Any, world: World):
    ids = [put(versioned, "k", body=LARGE)[0] for _ in range(4)]
    put_rules(
        versioned,
        rule(
            NoncurrentVersionTransitions=[
                {"NoncurrentDays": 1, "StorageClass": "GLACIER_IR", "NewerNoncurrentVersions": 1},
                {"NoncurrentDays": 9, "StorageClass": "DEEP_ARCHIVE", "NewerNoncurrentVersions": 1},
            ]
        ),
    )
    sweep(world, 3)
    assert [class_of(versioned, "k", VersionId=each) for each in ids] == ["GLACIER_IR"] * 2 + ["STANDARD"] * 2
    sweep(world, 11)
    assert class_of(versioned, "k", VersionId=ids[0]) == "DEEP_ARCHIVE"


def test_an_expiring_version_moves_beneath_its_marker(versioned: Any, world: World):
    (version_id,) = put(versioned, "k", body=LARGE)
    put_rules(versioned, rule(Transitions=[{"Days": 1, "StorageClass": "GLACIER"}], Expiration={"Days": 2}))
    sweep(world, 5)
    assert (keys(versioned), versions(versioned)) == ([], [version_id])
    assert class_of(versioned, "k", VersionId=version_id) == "GLACIER"


def test_pages_are_small_and_versions_of_a_key_may_lie_on_two(versioned: Any, world: World, monkeypatch: Any):
    monkeypatch.setattr(lifecycle_pass, "PAGE_ROWS", 3)
    for _ in range(5):
        put(versioned, "a", "b")
    put_rules(versioned, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}))
    sweep(world, 3)
    listed = versioned.list_object_versions(Bucket=BUCKET)["Versions"]
    assert [(each["Key"], each["IsLatest"]) for each in listed] == [
        ("a", True),
        ("a", False),
        ("b", True),
        ("b", False),
    ]


def test_a_step_holds_a_page_and_seeks(s3: Any, world: World):
    put(s3, *(f"k{number:03}" for number in range(PAGE_ROWS + 5)), *(f"x{number:03}" for number in range(9)))
    within = [rule(ID=prefix, Filter={"Prefix": prefix}, Expiration={"Days": 1}) for prefix in ("k1", "k")]
    put_rules(s3, *within)
    house = replace(world.house, clock=Later(3))
    unit = Unit(house, house.clock.now())
    place = lifecycle_step(unit, BUCKET, None)
    assert isinstance(place, Place)
    assert len([key for key in unit.writes.deletes if key.startswith(b"s3.object")]) == PAGE_ROWS
    assert place.after.endswith(f"k{PAGE_ROWS - 1:03}".encode())
    sweep(world, 3)
    assert len(keys(s3)) == 9


def test_rules_that_are_changed_end_the_pass(s3: Any, world: World):
    put(s3, *(f"k{number:03}" for number in range(PAGE_ROWS + 1)))
    put_rules(s3, rule(Expiration={"Days": 1}))
    house = replace(world.house, clock=Later(3))
    place = lifecycle_step(Unit(house, house.clock.now()), BUCKET, None)
    s3.delete_bucket_lifecycle(Bucket=BUCKET)
    unit = Unit(house, house.clock.now())
    assert lifecycle_step(unit, BUCKET, place) is None
    assert not unit.writes.deletes
    assert lifecycle_step(unit, "gone", place) is None


def test_a_conflict_has_the_page_done_again(s3: Any, world: World):
    put(s3, "k")
    put_rules(s3, rule(Expiration={"Days": 1}))
    world.ledger.conflicts = 3
    sweep(world, 3)
    assert keys(s3) == []
    put(s3, "k")
    world.ledger.conflicts = 100
    sweep(world, 3)
    world.ledger.conflicts = 0
    assert keys(s3) == ["k"]


def test_what_was_replaced_meanwhile_is_left_alone(s3: Any, world: World):
    """The commit is guarded by what was read, so an object that was written again in between makes it a conflict."""
    put(s3, "k")
    put_rules(s3, rule(Expiration={"Days": 1}))
    house = replace(world.house, clock=Later(3))
    unit = Unit(house, house.clock.now())
    lifecycle_step(unit, BUCKET, None)
    assert any(key.startswith(b"s3.object") for key in unit.writes.deletes & unit.writes.reads.keys())


def test_a_ledger_that_fails_is_waited_for(s3: Any, world: World, monkeypatch: Any, caplog: Any):
    put(s3, "k")
    put_rules(s3, rule(Expiration={"Days": 1}))

    async def run() -> None:
        house = replace(world.house, clock=Later(3), settings=replace(world.house.settings, lifecycle_day=0.1))
        task = spawn(LifecycleFollower(house, lifecycle_step).run())
        while not caplog.records:
            await asyncio.sleep(0)
        monkeypatch.undo()
        while world.ledger.get(OBJECTS.key(BUCKET, "k")) is not None:
            await asyncio.sleep(0.001)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def unavailable(*_given: Any) -> None:
        raise LedgerUnavailable("disk full")

    monkeypatch.setattr(world.ledger, "commit", unavailable)
    world.loop.run_until_complete(asyncio.wait_for(run(), 60))
    assert "disk full" in caplog.text
