"""DisplayName in owners and grants, where the setting asks for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opentrail.access.acl import ALL_USERS
from opentrail.rows.iam import Account, put_account
from tests.fakes.house import commit, new_unit
from tests.services.s3.bucket_world import BUCKET, HOME, World, make_world


@pytest.fixture
async def world() -> World:
    world = await make_world(open_bucket=True)
    unit = new_unit(world.house)
    put_account(unit, Account(HOME, "storage", "storage@example.com", 0.0))
    await commit(unit)
    settings = replace(world.house.settings, display_names=True)
    world.house = world.gate.house = replace(world.house, settings=settings)
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    return world


async def test_every_answer_that_shows_an_account_names_it(world: World):
    await world.create_multipart_upload(Bucket=BUCKET, Key="large")
    shown = [
        (await world.list_buckets()).parsed["Owner"],
        (await world.list_objects(Bucket=BUCKET)).parsed["Contents"][0]["Owner"],
        (await world.list_objects_v2(Bucket=BUCKET, FetchOwner=True)).parsed["Contents"][0]["Owner"],
        (await world.list_object_versions(Bucket=BUCKET)).parsed["Versions"][0]["Owner"],
        (await world.list_multipart_uploads(Bucket=BUCKET)).parsed["Uploads"][0]["Owner"],
        (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Owner"],
        (await world.get_object_acl(Bucket=BUCKET, Key="k")).parsed["Grants"][0]["Grantee"],
    ]
    assert {each["DisplayName"] for each in shown} == {"storage"}


async def test_groups_and_strangers_have_no_name(world: World):
    await world.put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    grants = (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"]
    assert [each["Grantee"].get("DisplayName") for each in grants] == ["storage", None]
    assert grants[1]["Grantee"]["URI"] == ALL_USERS


async def test_without_the_setting_there_are_none():
    world = await make_world(open_bucket=True)
    assert (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Owner"].keys() == {"ID"}
