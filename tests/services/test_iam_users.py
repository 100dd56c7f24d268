"""Users, keys and groups."""

from __future__ import annotations

import pytest

from opentrail.services.identity import find_credentials
from tests.fakes.house import new_unit
from tests.services.iam_world import ACCOUNT, OTHER_ROOT, ROOT, World, allow, policy, refused


@pytest.fixture
async def world():
    return await World().begin()


async def test_a_user_from_cradle_to_grave(world):
    made = (await world.iam("CreateUser", UserName="Alice", Path="/team/", Tags=[{"Key": "k", "Value": "v"}]))["User"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/Alice"
    assert made["UserId"].startswith("AIDA")
    assert len(made["UserId"]) == 21
    assert made["Tags"] == [{"Key": "k", "Value": "v"}]
    assert (await world.iam("GetUser", UserName="Alice"))["User"] == made
    assert [user["UserName"] for user in (await world.iam("ListUsers"))["Users"]] == ["Alice"]
    assert (await world.iam("ListUsers", PathPrefix="/other/"))["Users"] == []
    await world.iam("DeleteUser", UserName="Alice")
    with refused("NoSuchEntity", 404, "The user with name Alice cannot be found."):
        await world.iam("GetUser", UserName="Alice")


async def test_names_are_unique_without_case_but_found_with_it(world):
    await world.iam("CreateUser", UserName="Alice")
    with refused("EntityAlreadyExists", 409, "User with name ALICE already exists."):
        await world.iam("CreateUser", UserName="ALICE")
    with refused("NoSuchEntity", 404):
        await world.iam("GetUser", UserName="alice")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"UserName": ""},
        {"UserName": "a b"},
        {"UserName": "a/b"},
        {"UserName": "é"},
        {"UserName": "a\x00b"},
        {"UserName": "a\n"},
        {"UserName": "x" * 65},
        {"UserName": "a", "Path": "team"},
        {"UserName": "a", "Path": "/é/"},
        {"UserName": "a", "Tags": [{"Key": "", "Value": ""}]},
        {"UserName": "a", "Tags": [{"Key": "k" * 129, "Value": ""}]},
        {"UserName": "a", "Tags": [{"Key": "k", "Value": "v" * 257}]},
        {"UserName": "a", "Tags": [{"Key": "<k>", "Value": ""}]},
        {"UserName": "a", "Tags": [{"Key": str(n), "Value": ""} for n in range(51)]},
    ],
)
async def test_what_the_model_forbids(world, given):
    with refused("ValidationError", 400):
        await world.iam("CreateUser", **given)


async def test_get_user_without_a_name_is_the_caller(world):
    assert (await world.iam("GetUser"))["User"]["Arn"] == ROOT.arn
    alice = await world.user("alice", allow("iam:GetUser", f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"))
    assert (await world.iam("GetUser", who=alice))["User"]["UserName"] == "alice"
    await world.iam("CreateUser", UserName="bob")
    message = (
        f"User: {alice.arn} is not authorized to perform: iam:GetUser on resource: arn:aws:iam::{ACCOUNT}:user/bob "
        "because no identity-based policy allows the iam:GetUser action"
    )
    with refused("AccessDenied", 403, message):
        await world.iam("GetUser", who=alice, UserName="bob")


async def test_accounts_do_not_see_each_other(world):
    await world.iam("CreateUser", UserName="alice")
    with refused("NoSuchEntity", 404):
        await world.iam("GetUser", who=OTHER_ROOT, UserName="alice")
    assert (await world.iam("ListUsers", who=OTHER_ROOT))["Users"] == []
    await world.iam("CreateUser", who=OTHER_ROOT, UserName="alice")


async def test_pages(world):
    names = [f"user{number:02d}" for number in range(7)]
    for name in names:
        await world.iam("CreateUser", UserName=name, Path="/odd/" if int(name[-1]) % 2 else "/even/")
    seen, marker = [], {}
    while True:
        page = await world.iam("ListUsers", MaxItems=3, **marker)
        seen += [user["UserName"] for user in page["Users"]]
        assert len(page["Users"]) <= 3
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert seen == names
    page = await world.iam("ListUsers", MaxItems=2, PathPrefix="/odd/")
    assert [user["UserName"] for user in page["Users"]] == ["user01", "user03"]
    page = await world.iam("ListUsers", MaxItems=2, PathPrefix="/odd/", Marker=page["Marker"])
    assert [user["UserName"] for user in page["Users"]] == ["user05"]
    assert not page["IsTruncated"]
    for marker in ("***", "\xff", "x"):
        with refused("ValidationError", 400):
            await world.iam("ListUsers", Marker=marker)
    for wrong in (0, 1001, -1):
        with refused("ValidationError", 400):
            await world.iam("ListUsers", MaxItems=wrong)


async def test_rename_takes_keys_and_groups_along(world):
    alice = await world.user("alice", allow("s3:*"))
    await world.iam("CreateGroup", GroupName="devs")
    await world.iam("AddUserToGroup", GroupName="devs", UserName="alice")
    await world.iam("UpdateUser", UserName="alice", NewUserName="Alicia", NewPath="/new/")
    found = find_credentials(new_unit(world.house), alice.access_key_id, "").principal
    assert found.arn == f"arn:aws:iam::{ACCOUNT}:user/new/Alicia"
    assert found.principal_id == alice.principal_id
    assert [user["UserName"] for user in (await world.iam("GetGroup", GroupName="devs"))["Users"]] == ["Alicia"]
    assert len((await world.iam("ListAccessKeys", UserName="Alicia"))["AccessKeyMetadata"]) == 1
    await world.iam("UpdateUser", UserName="Alicia", NewUserName="ALICIA")
    await world.iam("CreateUser", UserName="bob")
    with refused("EntityAlreadyExists", 409):
        await world.iam("UpdateUser", UserName="bob", NewUserName="alicia")


async def test_a_user_with_anything_on_it_stays(world):
    alice = await world.user("alice", allow("s3:*"))
    await world.iam("CreateGroup", GroupName="devs")
    await world.iam("AddUserToGroup", GroupName="devs", UserName="alice")
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    await world.iam("AttachUserPolicy", UserName="alice", PolicyArn=admin)
    steps = [
        ("must delete access keys first", "DeleteAccessKey", {"AccessKeyId": alice.access_key_id, "UserName": "alice"}),
        ("must remove users from group first", "RemoveUserFromGroup", {"GroupName": "devs", "UserName": "alice"}),
        ("must detach all policies first", "DetachUserPolicy", {"UserName": "alice", "PolicyArn": admin}),
        ("must delete policies first", "DeleteUserPolicy", {"UserName": "alice", "PolicyName": "own"}),
    ]
    for message, operation, given in steps:
        with refused("DeleteConflict", 409, message):
            await world.iam("DeleteUser", UserName="alice")
        await world.iam(operation, **given)
    await world.iam("DeleteUser", UserName="alice")


async def test_tags_of_a_user(world):
    await world.iam("CreateUser", UserName="alice")
    await world.iam("TagUser", UserName="alice", Tags=[{"Key": "Team", "Value": "a"}, {"Key": "ä ö", "Value": ""}])
    await world.iam("TagUser", UserName="alice", Tags=[{"Key": "team", "Value": "b"}])
    tags = (await world.iam("ListUserTags", UserName="alice"))["Tags"]
    assert tags == [{"Key": "team", "Value": "b"}, {"Key": "ä ö", "Value": ""}]
    await world.iam("UntagUser", UserName="alice", TagKeys=["TEAM", "none"])
    assert len((await world.iam("ListUserTags", UserName="alice"))["Tags"]) == 1
    with refused("InvalidInput", 400, "Duplicate tag keys"):
        await world.iam("TagUser", UserName="alice", Tags=[{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}])
    with refused("InvalidInput", 400):
        await world.iam("TagUser", UserName="alice", Tags=[{"Key": "aws:x", "Value": ""}])


async def test_keys(world):
    await world.iam("CreateUser", UserName="alice")
    first = (await world.iam("CreateAccessKey", UserName="alice"))["AccessKey"]
    assert (first["UserName"], first["Status"]) == ("alice", "Active")
    assert first["AccessKeyId"].startswith("AKIA")
    assert len(first["SecretAccessKey"]) == 40
    await world.iam("CreateAccessKey", UserName="alice")
    with refused("LimitExceeded", 409, "Cannot exceed quota for AccessKeysPerUser: 2"):
        await world.iam("CreateAccessKey", UserName="alice")
    listed = (await world.iam("ListAccessKeys", UserName="alice"))["AccessKeyMetadata"]
    assert len(listed) == 2
    assert not any("SecretAccessKey" in key for key in listed)
    key = {"UserName": "alice", "AccessKeyId": first["AccessKeyId"]}
    await world.iam("UpdateAccessKey", **key, Status="Inactive")
    with refused("InvalidClientTokenId", 403):
        find_credentials(new_unit(world.house), first["AccessKeyId"], "")
    await world.iam("UpdateAccessKey", **key, Status="Active")
    assert find_credentials(new_unit(world.house), first["AccessKeyId"], "").secret == first["SecretAccessKey"]
    await world.iam("DeleteAccessKey", **key)
    with refused("NoSuchEntity", 404, f"The Access Key with id {first['AccessKeyId']} cannot be found."):
        await world.iam("DeleteAccessKey", **key)


async def test_a_key_is_only_its_owners_to_manage(world):
    alice = await world.user("alice", allow("iam:*AccessKey*", f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"))
    bob = await world.user("bob")
    made = await world.iam("CreateAccessKey", who=alice)
    assert made["AccessKey"]["UserName"] == "alice"
    assert len((await world.iam("ListAccessKeys", who=alice))["AccessKeyMetadata"]) == 2
    with refused("NoSuchEntity", 404):
        await world.iam("DeleteAccessKey", who=alice, AccessKeyId=bob.access_key_id)
    with refused("AccessDenied", 403):
        await world.iam("DeleteAccessKey", who=alice, AccessKeyId=bob.access_key_id, UserName="bob")
    with refused("NoSuchEntity", 404):
        await world.iam("UpdateAccessKey", who=OTHER_ROOT, AccessKeyId=bob.access_key_id, Status="Inactive")
    await world.iam("DeleteAccessKey", who=alice, AccessKeyId=made["AccessKey"]["AccessKeyId"])


async def test_last_use_of_a_key_that_was_never_used(world):
    alice = await world.user("alice")
    found = await world.iam("GetAccessKeyLastUsed", AccessKeyId=alice.access_key_id)
    assert found == {"UserName": "alice", "AccessKeyLastUsed": {"ServiceName": "N/A", "Region": "N/A"}}
    with refused("NoSuchEntity", 404):
        await world.iam("GetAccessKeyLastUsed", who=OTHER_ROOT, AccessKeyId=alice.access_key_id)


async def test_groups(world):
    made = (await world.iam("CreateGroup", GroupName="devs", Path="/x/"))["Group"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:group/x/devs"
    assert made["GroupId"].startswith("AGPA")
    with refused("EntityAlreadyExists", 409, "Group with name DEVS already exists."):
        await world.iam("CreateGroup", GroupName="DEVS")
    alice = await world.user("alice")
    document = policy(allow("iam:ListUsers"))
    await world.iam("PutGroupPolicy", GroupName="devs", PolicyName="p", PolicyDocument=document)
    with refused("AccessDenied", 403):
        await world.iam("ListUsers", who=alice)
    await world.iam("AddUserToGroup", GroupName="devs", UserName="alice")
    assert await world.iam("ListUsers", who=alice)
    groups = (await world.iam("ListGroupsForUser", UserName="alice"))["Groups"]
    assert [group["GroupName"] for group in groups] == ["devs"]
    await world.iam("UpdateGroup", GroupName="devs", NewGroupName="ops")
    assert (await world.iam("ListGroupsForUser", UserName="alice"))["Groups"][0]["GroupName"] == "ops"
    assert await world.iam("ListUsers", who=alice)
    with refused("DeleteConflict", 409, "must remove users from group first"):
        await world.iam("DeleteGroup", GroupName="ops")
    await world.iam("RemoveUserFromGroup", GroupName="ops", UserName="alice")
    with refused("AccessDenied", 403):
        await world.iam("ListUsers", who=alice)
    with refused("DeleteConflict", 409):
        await world.iam("DeleteGroup", GroupName="ops")
    await world.iam("DeleteGroupPolicy", GroupName="ops", PolicyName="p")
    await world.iam("DeleteGroup", GroupName="ops")
    assert (await world.iam("ListGroups"))["Groups"] == []


async def test_a_user_is_in_ten_groups_at_most(world):
    await world.iam("CreateUser", UserName="alice")
    for number in range(11):
        await world.iam("CreateGroup", GroupName=f"g{number}")
    for number in range(10):
        await world.iam("AddUserToGroup", GroupName=f"g{number}", UserName="alice")
    await world.iam("AddUserToGroup", GroupName="g9", UserName="alice")
    with refused("LimitExceeded", 409, "Cannot exceed quota for GroupsPerUser: 10"):
        await world.iam("AddUserToGroup", GroupName="g10", UserName="alice")
