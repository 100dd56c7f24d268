"""Intelligent-Tiering: what nobody reads is archived, what is read is not, and what is archived comes back by a restore."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec import structs

from opentrail.followers.lifecycle import LifecycleFollower
from opentrail.rows.s3 import ACCESSES, OBJECTS
from opentrail.services.s3 import tiers
from opentrail.services.s3.archive import TIERING
from opentrail.services.s3.lifecycle_pass import lifecycle_step
from opentrail.services.s3.tiers import tiering_step
from tests.fakes.later import Later
from tests.services.s3.world import BUCKET, World

LARGE = b"x" * (128 * 1024)
TIERINGS = [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}, {"Days": 180, "AccessTier": "DEEP_ARCHIVE_ACCESS"}]


def configure(s3: Any, **more: Any) -> None:
    document = {"Id": "one", "Status": "Enabled", "Tierings": TIERINGS, **more}
    s3.put_bucket_intelligent_tiering_configuration(
        Bucket=BUCKET, Id=document["Id"], IntelligentTieringConfiguration=document
    )


def put(s3: Any, key: str = "k", body: bytes = LARGE, **more: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=key, Body=body, StorageClass="INTELLIGENT_TIERING", **more)


def sweep(world: World, days: float) -> None:
    house = replace(world.house, clock=Later(days))
    follower = LifecycleFollower(house, lifecycle_step, {TIERING: tiering_step})
    world.loop.run_until_complete(follower.sweep())


def tier(s3: Any, key: str = "k", **more: Any) -> str:
    return str(s3.head_object(Bucket=BUCKET, Key=key, **more).get("ArchiveStatus", ""))


def test_what_nobody_reads_is_archived_and_then_deeper(s3: Any, world: World):
    put(s3)
    configure(s3)
    sweep(world, 89)
    assert tier(s3) == ""
    sweep(world, 91)
    assert tier(s3) == "ARCHIVE_ACCESS"
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=BUCKET, Key="k")
    error = refused.value.response["Error"]
    assert (error["Code"], error["AccessTier"]) == ("InvalidObjectState", "ARCHIVE_ACCESS")
    with pytest.raises(ClientError, match="InvalidObjectState"):
        s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/k")
    sweep(world, 181)
    assert tier(s3) == "DEEP_ARCHIVE_ACCESS"


def test_a_restore_brings_it_back_for_as_long_as_it_is_read(s3: Any, world: World):
    put(s3)
    configure(s3)
    sweep(world, 181)
    with pytest.raises(ClientError, match="MalformedXML"):
        s3.restore_object(Bucket=BUCKET, Key="k", RestoreRequest={"Days": 1})
    expedited = {"GlacierJobParameters": {"Tier": "Expedited"}}
    with pytest.raises(ClientError, match="InvalidArgument"):
        s3.restore_object(Bucket=BUCKET, Key="k", RestoreRequest=expedited)
    answer = s3.restore_object(Bucket=BUCKET, Key="k", RestoreRequest={"GlacierJobParameters": {"Tier": "Bulk"}})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == LARGE
    assert tier(s3) == ""


def test_what_is_read_stays(s3: Any, world: World):
    put(s3, "read")
    put(s3, "unread")
    configure(s3)
    make_older(world, 60)
    s3.get_object(Bucket=BUCKET, Key="read", Range="bytes=0-9")["Body"].read()
    assert len(list(ACCESSES.all(world.unit()))) == 1
    sweep(world, 89)
    assert (tier(s3, "read"), tier(s3, "unread")) == ("", "ARCHIVE_ACCESS")
    sweep(world, 91)
    assert tier(s3, "read") == "ARCHIVE_ACCESS"
    s3.delete_object(Bucket=BUCKET, Key="read")
    assert not list(ACCESSES.all(world.unit())), "what was noted goes with the object"


def make_older(world: World, days: float) -> None:
    """As if the objects had been written that many days ago."""
    unit = world.unit()
    for _, version in OBJECTS.all(unit, BUCKET):
        OBJECTS.put(unit, structs.replace(version, modified=version.modified - days * 86_400), BUCKET, version.key)
    world.commit(unit)


def test_what_is_not_meant_is_left_alone(s3: Any, world: World):
    put(s3, "in/small", b"x")
    put(s3, "in/large", Tagging="team=blue")
    put(s3, "in/untagged")
    put(s3, "out/large", Tagging="team=blue")
    s3.put_object(Bucket=BUCKET, Key="in/standard", Body=LARGE)
    configure(s3, Filter={"And": {"Prefix": "in/", "Tags": [{"Key": "team", "Value": "blue"}]}})
    configure(s3, Id="off", Status="Disabled")
    sweep(world, 400)
    keys = ("in/small", "in/large", "in/untagged", "out/large", "in/standard")
    assert [key for key in keys if tier(s3, key)] == ["in/large"]


def test_all_versions_however_many(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tiers, "PAGE_ROWS", 2)
    put(s3, "before")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(3):
        put(s3)
    configure(s3)
    sweep(world, 100)
    shown = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert {tier(s3, each["Key"], VersionId=each["VersionId"]) for each in shown} == {"ARCHIVE_ACCESS"}
    assert len(shown) == 4


def test_reads_write_nothing_where_nothing_is_archived(s3: Any, world: World):
    put(s3)
    s3.get_object(Bucket=BUCKET, Key="k")["Body"].read()
    assert not list(ACCESSES.all(world.unit()))
