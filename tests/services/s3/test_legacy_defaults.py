"""The hidden setting for other people's tests: new buckets as they were before April 2023."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.services.s3.bucket_world import BUCKET, World


@pytest.fixture
def old_world() -> World:
    world = World()
    settings = replace(world.house.settings, legacy_bucket_defaults=True)
    world.house = world.gate.house = replace(world.house, settings=settings)
    return world


async def test_lists_are_in_force_and_nothing_is_blocked(old_world):
    assert (await old_world.create_bucket(Bucket=BUCKET, ACL="public-read")).status == 200
    grants = (await old_world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"]
    assert [each["Permission"] for each in grants] == ["FULL_CONTROL", "READ"]
    missing = await old_world.get_bucket_ownership_controls(Bucket=BUCKET)
    assert missing.code == "OwnershipControlsNotFoundError"
    assert (await old_world.get_public_access_block(Bucket=BUCKET)).code == "NoSuchPublicAccessBlockConfiguration"


async def test_what_a_request_asks_for_still_counts(old_world):
    answer = await old_world.create_bucket(Bucket=BUCKET, ObjectOwnership="BucketOwnerEnforced", ACL="public-read")
    assert answer.code == "InvalidBucketAclWithObjectOwnership"
    assert (await old_world.create_bucket(Bucket=BUCKET, ObjectOwnership="nobody")).code == "InvalidArgument"
