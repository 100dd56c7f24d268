"""Who is told that an object does not exist: who may list the bucket, by a policy's `s3:prefix` too."""

from __future__ import annotations

import pytest

from tests.services.s3.bucket_world import BUCKET, OTHER, World, allow, make_world, policy, root

STRANGER = root(OTHER)


@pytest.fixture
async def world() -> World:
    world = await make_world()
    listing = allow(
        "s3:ListBucket",
        f"arn:aws:s3:::{BUCKET}",
        Principal={"AWS": OTHER},
        Condition={"StringLike": {"s3:prefix": "public/*"}},
    )
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=policy(listing))).status == 204
    await world.put_object(Bucket=BUCKET, Key="public/there", body=b"x")
    return world


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("public/missing", 404, "NoSuchKey"),
        ("private/missing", 403, "AccessDenied"),
        ("public/there", 403, "AccessDenied"),
    ],
)
async def test_reading_without_permission_to_read(world: World, key: str, status: int, code: str):
    assert (await world.head_object(Bucket=BUCKET, Key=key, by=STRANGER)).status == status
    answer = await world.get_object(Bucket=BUCKET, Key=key, by=STRANGER)
    assert (answer.status, answer.code) == (status, code)


async def test_a_version_that_is_not_there(world: World):
    answer = await world.get_object(Bucket=BUCKET, Key="public/missing", VersionId="null", by=STRANGER)
    assert answer.code == "NoSuchVersion"


async def test_reading_with_permission_to_read_but_not_to_list(world: World):
    reading = allow("s3:GetObject", f"arn:aws:s3:::{BUCKET}/*", Principal={"AWS": OTHER})
    await world.put_bucket_policy(Bucket=BUCKET, Policy=policy(reading))
    assert (await world.get_object(Bucket=BUCKET, Key="public/there", by=STRANGER)).status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="public/missing", by=STRANGER)).code == "AccessDenied"
