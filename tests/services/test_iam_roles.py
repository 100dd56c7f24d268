"""Roles, boundaries, service-linked roles, instance profiles."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from opentrail.access.policy import compile_policy
from opentrail.rows.iam import missing_principal
from tests.fakes.house import new_unit
from tests.services.iam_world import ACCOUNT, OTHER, OTHER_ROOT, World, allow, policy, refused, trust

EVENTS = trust(Service="events.amazonaws.com")


@pytest.fixture
async def world():
    return await World().begin()


async def make_role(world, name="reader", document=EVENTS, **more):
    return (await world.iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=document, **more))["Role"]


async def test_a_role_from_cradle_to_grave(world):
    made = await make_role(world, Path="/x/", Description="reads", MaxSessionDuration=7200)
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/x/reader"
    assert made["RoleId"].startswith("AROA")
    assert sorted(made) == ["Arn", "AssumeRolePolicyDocument", "CreateDate", "Path", "RoleId", "RoleName"]
    assert "%7B%22Version%22" in made["AssumeRolePolicyDocument"]
    assert unquote(made["AssumeRolePolicyDocument"]) == EVENTS
    more = {"MaxSessionDuration": 7200, "Description": "reads", "RoleLastUsed": {}}
    assert (await world.iam("GetRole", RoleName="reader"))["Role"] == made | more
    await world.iam("UpdateRole", RoleName="reader", Description="", MaxSessionDuration=3600)
    found = (await world.iam("ListRoles"))["Roles"][0]
    assert "Description" not in found
    assert found["MaxSessionDuration"] == 3600
    other = trust(AWS=ACCOUNT)
    await world.iam("UpdateAssumeRolePolicy", RoleName="reader", PolicyDocument=other)
    assert unquote((await world.iam("GetRole", RoleName="reader"))["Role"]["AssumeRolePolicyDocument"]) == other
    await world.iam("DeleteRole", RoleName="reader")
    with refused("NoSuchEntity", 404, "The role with name reader cannot be found."):
        await world.iam("GetRole", RoleName="reader")


@pytest.mark.parametrize(
    ("given", "code", "status", "message"),
    [
        ({"RoleName": "Reader"}, "EntityAlreadyExists", 409, "Role with name Reader already exists."),
        ({"MaxSessionDuration": 3599}, "ValidationError", 400, ""),
        ({"MaxSessionDuration": 43201}, "ValidationError", 400, ""),
        ({"AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument", 400, "Syntax errors in policy."),
        ({"AssumeRolePolicyDocument": policy(allow("s3:*"))}, "MalformedPolicyDocument", 400, "Has prohibited field"),
        ({"AssumeRolePolicyDocument": "\u4e00"}, "ValidationError", 400, ""),
        ({"AssumeRolePolicyDocument": EVENTS + "x" * 200_000}, "ValidationError", 400, ""),
        ({"AssumeRolePolicyDocument": "[" * 100_000}, "MalformedPolicyDocument", 400, ""),
        ({"AssumeRolePolicyDocument": trust(Service=["e" * 250] * 9)}, "LimitExceeded", 409, "ACLSizePerRole: 2048"),
        (
            {"AssumeRolePolicyDocument": trust(AWS=f"arn:aws:iam::{ACCOUNT}:user/nobody")},
            "MalformedPolicyDocument",
            400,
            f'Invalid principal in policy: "AWS":"arn:aws:iam::{ACCOUNT}:user/nobody"',
        ),
        ({"Path": "/aws-service-role/x/"}, "AccessDenied", 403, ""),
        ({"PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/none"}, "NoSuchEntity", 404, "not attachable"),
    ],
)
async def test_roles_that_cannot_be(world, given, code, status, message):
    await make_role(world)
    with refused(code, status, message):
        await world.iam("CreateRole", **({"RoleName": "other", "AssumeRolePolicyDocument": EVENTS} | given))


async def test_principals_must_exist_where_that_can_be_known(world):
    alice = await world.user("alice")
    await make_role(world, document=trust(AWS=[alice.arn, OTHER, "*", "arn:aws:iam::999999999999:user/far"]))
    unit = new_unit(world.house)
    assert missing_principal(unit, compile_policy(trust(AWS=alice.arn))) == ""
    wrong = alice.arn.replace("user/", "user/path/")
    assert missing_principal(unit, compile_policy(trust(AWS=[alice.arn, wrong]))) == wrong


async def test_blanks_do_not_count(world):
    await make_role(world, document=EVENTS.replace(" ", " " * 2000))


async def test_a_role_with_anything_on_it_stays(world):
    await make_role(world)
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    await world.iam("AttachRolePolicy", RoleName="reader", PolicyArn=admin)
    await world.iam("PutRolePolicy", RoleName="reader", PolicyName="p", PolicyDocument=policy(allow("s3:*")))
    await world.iam("CreateInstanceProfile", InstanceProfileName="box")
    await world.iam("AddRoleToInstanceProfile", InstanceProfileName="box", RoleName="reader")
    steps = [
        ("must detach all policies first", "DetachRolePolicy", {"PolicyArn": admin}),
        ("must delete policies first", "DeleteRolePolicy", {"PolicyName": "p"}),
        (
            "must remove roles from instance profile first",
            "RemoveRoleFromInstanceProfile",
            {"InstanceProfileName": "box"},
        ),
    ]
    for message, operation, given in steps:
        with refused("DeleteConflict", 409, message):
            await world.iam("DeleteRole", RoleName="reader")
        await world.iam(operation, RoleName="reader", **given)
    await world.iam("DeleteRole", RoleName="reader")


async def test_tags_of_a_role(world):
    await make_role(world, Tags=[{"Key": "a", "Value": "1"}])
    await world.iam("TagRole", RoleName="reader", Tags=[{"Key": "b", "Value": "2"}])
    page = await world.iam("ListRoleTags", RoleName="reader", MaxItems=1)
    assert page["Tags"] == [{"Key": "a", "Value": "1"}]
    page = await world.iam("ListRoleTags", RoleName="reader", Marker=page["Marker"])
    assert (page["Tags"], page["IsTruncated"]) == ([{"Key": "b", "Value": "2"}], False)
    await world.iam("UntagRole", RoleName="reader", TagKeys=["a", "b"])
    assert "Tags" not in (await world.iam("GetRole", RoleName="reader"))["Role"]
    with refused("LimitExceeded", 409, "TagsPerRole: 50"):
        await world.iam("TagRole", RoleName="reader", Tags=[{"Key": f"x{n}", "Value": ""} for n in range(50)])
        await world.iam("TagRole", RoleName="reader", Tags=[{"Key": "y", "Value": ""}])


async def test_boundaries(world):
    alice = await world.user("alice", allow("*"))
    document = policy(allow("iam:GetUser"))
    cap = (await world.iam("CreatePolicy", PolicyName="cap", PolicyDocument=document))["Policy"]["Arn"]
    await world.iam("PutUserPermissionsBoundary", UserName="alice", PermissionsBoundary=cap)
    assert (await world.iam("GetUser", who=alice))["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == cap
    with refused("AccessDenied", 403, "because no permissions boundary allows the iam:ListUsers action"):
        await world.iam("ListUsers", who=alice)
    assert (await world.iam("GetPolicy", PolicyArn=cap))["Policy"]["PermissionsBoundaryUsageCount"] == 1
    with refused("DeleteConflict", 409):
        await world.iam("DeletePolicy", PolicyArn=cap)
    await world.iam("DeleteUserPermissionsBoundary", UserName="alice")
    assert await world.iam("ListUsers", who=alice)
    with refused("NoSuchEntity", 404):
        await world.iam("DeleteUserPermissionsBoundary", UserName="alice")
    await make_role(world, PermissionsBoundary=cap)
    await world.iam("DeleteRole", RoleName="reader")
    await world.iam("DeletePolicy", PolicyArn=cap)


async def test_boundary_as_a_condition(world):
    cap = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    condition = {"StringEquals": {"iam:PermissionsBoundary": cap}}
    admin = await world.user("admin", allow("iam:CreateUser", Condition=condition))
    await world.iam("CreateUser", who=admin, UserName="small", PermissionsBoundary=cap)
    with refused("AccessDenied", 403):
        await world.iam("CreateUser", who=admin, UserName="big")


async def test_tags_as_conditions(world):
    await make_role(world, "blue", Tags=[{"Key": "Team", "Value": "blue"}])
    await make_role(world, "red", Tags=[{"Key": "Team", "Value": "red"}])
    condition = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    alice = await world.user("alice", allow("iam:GetRole", Condition=condition))
    assert await world.iam("GetRole", who=alice, RoleName="blue")
    with refused("AccessDenied", 403):
        await world.iam("GetRole", who=alice, RoleName="red")


async def test_service_linked_roles(world):
    made = (await world.iam("CreateServiceLinkedRole", AWSServiceName="cloudtrail.amazonaws.com"))["Role"]
    path = "/aws-service-role/cloudtrail.amazonaws.com/"
    assert (made["RoleName"], made["Path"]) == ("AWSServiceRoleForCloudTrail", path)
    with refused("InvalidInput", 400, "has been taken in this account"):
        await world.iam("CreateServiceLinkedRole", AWSServiceName="cloudtrail.amazonaws.com")
    with refused("InvalidInput", 400):
        await world.iam("CreateServiceLinkedRole", AWSServiceName="nothing.amazonaws.com")
    name = {"RoleName": made["RoleName"]}
    for operation, given in (
        ("DeleteRole", {}),
        ("UpdateAssumeRolePolicy", {"PolicyDocument": EVENTS}),
        ("PutRolePolicy", {"PolicyName": "p", "PolicyDocument": policy(allow("s3:*"))}),
        ("AttachRolePolicy", {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ):
        with refused("UnmodifiableEntity", 400, "is only modifiable by AWS"):
            await world.iam(operation, **name, **given)
    task = (await world.iam("DeleteServiceLinkedRole", **name))["DeletionTaskId"]
    assert task.startswith(f"task{path}AWSServiceRoleForCloudTrail/")
    assert (await world.iam("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task))["Status"] == "SUCCEEDED"
    with refused("NoSuchEntity", 404):
        await world.iam("GetServiceLinkedRoleDeletionStatus", DeletionTaskId="x")
    await make_role(world)
    with refused("NoSuchEntity", 404):
        await world.iam("DeleteServiceLinkedRole", RoleName="reader")


async def test_instance_profiles(world):
    made = (await world.iam("CreateInstanceProfile", InstanceProfileName="box"))["InstanceProfile"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:instance-profile/box"
    assert (made["Roles"], made["InstanceProfileId"][:4]) == ([], "AIPA")
    await make_role(world)
    await make_role(world, "writer")
    await world.iam("AddRoleToInstanceProfile", InstanceProfileName="box", RoleName="reader")
    with refused("LimitExceeded", 409):
        await world.iam("AddRoleToInstanceProfile", InstanceProfileName="box", RoleName="writer")
    found = (await world.iam("GetInstanceProfile", InstanceProfileName="box"))["InstanceProfile"]
    assert [role["RoleName"] for role in found["Roles"]] == ["reader"]
    assert len((await world.iam("ListInstanceProfilesForRole", RoleName="reader"))["InstanceProfiles"]) == 1
    assert (await world.iam("ListInstanceProfilesForRole", RoleName="writer"))["InstanceProfiles"] == []
    with refused("DeleteConflict", 409):
        await world.iam("DeleteInstanceProfile", InstanceProfileName="box")
    await world.iam("RemoveRoleFromInstanceProfile", InstanceProfileName="box", RoleName="reader")
    await world.iam("DeleteInstanceProfile", InstanceProfileName="box")
    assert (await world.iam("ListInstanceProfiles"))["InstanceProfiles"] == []


async def test_putting_a_role_into_a_profile_is_passing_it(world):
    await make_role(world)
    await world.iam("CreateInstanceProfile", InstanceProfileName="box")
    alice = await world.user("alice", allow("iam:AddRoleToInstanceProfile"))
    with refused("AccessDenied", 403, "iam:PassRole"):
        await world.iam("AddRoleToInstanceProfile", who=alice, InstanceProfileName="box", RoleName="reader")


async def test_roles_of_another_account_stay_unseen(world):
    await make_role(world)
    with refused("NoSuchEntity", 404):
        await world.iam("GetRole", who=OTHER_ROOT, RoleName="reader")
