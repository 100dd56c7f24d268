"""Inline and managed policies, attachments, and what IAM tells of an account."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest

from opentrail.access.policy import validate_policy
from opentrail.services.iam_aws_policies import AWS_POLICIES
from tests.services.iam_world import ACCOUNT, OTHER_ROOT, World, allow, policy, refused, trust

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
DOCUMENT = policy(allow("iam:ListUsers"))


@pytest.fixture
async def world():
    world = await World().begin()
    await world.iam("CreateUser", UserName="U")
    await world.iam("CreateGroup", GroupName="G")
    await world.iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust(Service="events.amazonaws.com"))
    return world


HOLDERS = [("User", "U", 2048), ("Group", "G", 5120), ("Role", "R", 10240)]


@pytest.mark.parametrize(("kind", "name", "limit"), HOLDERS)
async def test_inline_policies(world, kind, name, limit):
    holder = {f"{kind}Name": name}
    await world.iam(f"Put{kind}Policy", **holder, PolicyName="p", PolicyDocument=DOCUMENT)
    found = await world.iam(f"Get{kind}Policy", **holder, PolicyName="p")
    assert unquote(found["PolicyDocument"]) == DOCUMENT
    assert (found["PolicyName"], found[f"{kind}Name"]) == ("p", name)
    await world.iam(f"Put{kind}Policy", **holder, PolicyName="a", PolicyDocument=DOCUMENT)
    assert (await world.iam(f"List{kind}Policies", **holder))["PolicyNames"] == ["a", "p"]
    page = await world.iam(f"List{kind}Policies", **holder, MaxItems=1)
    assert (page["PolicyNames"], page["IsTruncated"]) == (["a"], True)
    with refused("MalformedPolicyDocument", 400):
        await world.iam(f"Put{kind}Policy", **holder, PolicyName="q", PolicyDocument='{"Statement":{}}')
    big = policy(allow([f"s3:{'x' * 100}{number}" for number in range(limit // 100)]))
    with refused("LimitExceeded", 409, f"Maximum policy size of {limit} bytes exceeded for {kind.lower()} {name}"):
        await world.iam(f"Put{kind}Policy", **holder, PolicyName="q", PolicyDocument=big)
    await world.iam(f"Delete{kind}Policy", **holder, PolicyName="p")
    with refused("NoSuchEntity", 404, f"The {kind.lower()} policy with name p cannot be found."):
        await world.iam(f"Delete{kind}Policy", **holder, PolicyName="p")


async def make(world, name="P", document=DOCUMENT, **more):
    return (await world.iam("CreatePolicy", PolicyName=name, PolicyDocument=document, **more))["Policy"]


@pytest.mark.parametrize(("kind", "name", "_limit"), HOLDERS)
async def test_attachments(world, kind, name, _limit):
    arn = (await make(world))["Arn"]
    holder = {f"{kind}Name": name}
    for _ in range(2):
        await world.iam(f"Attach{kind}Policy", **holder, PolicyArn=arn)
    await world.iam(f"Attach{kind}Policy", **holder, PolicyArn=ADMIN)
    listed = (await world.iam(f"ListAttached{kind}Policies", **holder))["AttachedPolicies"]
    assert listed == [
        {"PolicyName": "P", "PolicyArn": arn},
        {"PolicyName": "AdministratorAccess", "PolicyArn": ADMIN},
    ]
    assert (await world.iam("GetPolicy", PolicyArn=arn))["Policy"]["AttachmentCount"] == 1
    assert (await world.iam("GetPolicy", PolicyArn=ADMIN))["Policy"]["AttachmentCount"] == 1
    entities = await world.iam("ListEntitiesForPolicy", PolicyArn=arn)
    assert [entry[f"{kind}Name"] for entry in entities[f"Policy{kind}s"]] == [name]
    with refused("DeleteConflict", 409, "Cannot delete a policy attached to entities."):
        await world.iam("DeletePolicy", PolicyArn=arn)
    await world.iam(f"Detach{kind}Policy", **holder, PolicyArn=arn)
    with refused("NoSuchEntity", 404, f"Policy {arn} was not found."):
        await world.iam(f"Detach{kind}Policy", **holder, PolicyArn=arn)
    await world.iam("DeletePolicy", PolicyArn=arn)
    with refused("NoSuchEntity", 404, f"Policy {arn} does not exist or is not attachable."):
        await world.iam(f"Attach{kind}Policy", **holder, PolicyArn=arn)


async def test_ten_attachments_at_most(world):
    for arn in sorted(AWS_POLICIES)[:10]:
        await world.iam("AttachUserPolicy", UserName="U", PolicyArn=arn)
    with refused("LimitExceeded", 409, "Cannot exceed quota for PoliciesPerUser: 10"):
        await world.iam("AttachUserPolicy", UserName="U", PolicyArn=sorted(AWS_POLICIES)[10])


async def test_another_accounts_policy_cannot_be_used(world):
    arn = (await make(world))["Arn"]
    await world.iam("CreateUser", who=OTHER_ROOT, UserName="x")
    with refused("NoSuchEntity", 404):
        await world.iam("AttachUserPolicy", who=OTHER_ROOT, UserName="x", PolicyArn=arn)
    with refused("NoSuchEntity", 404):
        await world.iam("GetPolicy", who=OTHER_ROOT, PolicyArn=arn)


async def test_a_managed_policy(world):
    made = await make(world, Path="/x/", Description="d", Tags=[{"Key": "k", "Value": "v"}])
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:policy/x/P"
    assert (made["PolicyId"][:4], made["DefaultVersionId"], made["AttachmentCount"]) == ("ANPA", "v1", 0)
    assert "Description" not in made
    assert (await world.iam("GetPolicy", PolicyArn=made["Arn"]))["Policy"] == made | {"Description": "d"}
    message = "A policy called p already exists. Duplicate names are not allowed."
    with refused("EntityAlreadyExists", 409, message):
        await make(world, "p")
    with refused("NoSuchEntity", 404):
        await world.iam("GetPolicy", PolicyArn=made["Arn"].replace("/x/", "/"))
    for path in ("x", "/x", "x/", "/ä/", "/a b/"):
        with refused("ValidationError", 400):
            await make(world, "Q", Path=path)
    with refused("LimitExceeded", 409, "PolicySize: 6144"):
        await make(world, "Q", policy(allow(["s3:" + "x" * 100] * 60)))
    await world.iam("TagPolicy", PolicyArn=made["Arn"], Tags=[{"Key": "l", "Value": ""}])
    await world.iam("UntagPolicy", PolicyArn=made["Arn"], TagKeys=["k"])
    assert (await world.iam("ListPolicyTags", PolicyArn=made["Arn"]))["Tags"] == [{"Key": "l", "Value": ""}]


async def test_versions(world):
    arn = (await make(world))["Arn"]
    alice = await world.user("alice")
    await world.iam("AttachUserPolicy", UserName="alice", PolicyArn=arn)
    assert await world.iam("ListUsers", who=alice)
    other = policy(allow("iam:ListRoles"))
    made = await world.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=other)
    assert (made["PolicyVersion"]["VersionId"], made["PolicyVersion"]["IsDefaultVersion"]) == ("v2", False)
    assert await world.iam("ListUsers", who=alice)
    await world.iam("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v2")
    with refused("AccessDenied", 403):
        await world.iam("ListUsers", who=alice)
    assert await world.iam("ListRoles", who=alice)
    await world.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=DOCUMENT, SetAsDefault=True)
    assert await world.iam("ListUsers", who=alice)
    with refused("DeleteConflict", 409, "Cannot delete the default version of a policy."):
        await world.iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v3")
    for _ in range(2):
        await world.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=other)
    with refused("LimitExceeded", 409, "A managed policy can have up to 5 versions."):
        await world.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=other)
    await world.iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v1")
    again = await world.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=other)
    assert again["PolicyVersion"]["VersionId"] == "v6"
    listed = (await world.iam("ListPolicyVersions", PolicyArn=arn))["Versions"]
    assert [version["VersionId"] for version in listed] == ["v6", "v5", "v4", "v3", "v2"]
    page = await world.iam("ListPolicyVersions", PolicyArn=arn, MaxItems=3)
    page = await world.iam("ListPolicyVersions", PolicyArn=arn, Marker=page["Marker"])
    assert [version["VersionId"] for version in page["Versions"]] == ["v3", "v2"]
    found = await world.iam("GetPolicyVersion", PolicyArn=arn, VersionId="v2")
    assert unquote(found["PolicyVersion"]["Document"]) == other
    with refused("NoSuchEntity", 404, "version v1 does not exist"):
        await world.iam("GetPolicyVersion", PolicyArn=arn, VersionId="v1")
    await world.iam("DetachUserPolicy", UserName="alice", PolicyArn=arn)
    with refused("DeleteConflict", 409, "more than one version"):
        await world.iam("DeletePolicy", PolicyArn=arn)


async def test_aws_policies_can_be_read_and_not_changed(world):
    for arn, kept in AWS_POLICIES.items():
        assert validate_policy(kept.document, "identity")
        assert arn.startswith("arn:aws:iam::aws:policy/")
    found = await world.iam("GetPolicyVersion", PolicyArn=ADMIN, VersionId="v1")
    assert json.loads(unquote(found["PolicyVersion"]["Document"]))["Statement"][0]["Action"] == ["*"]
    assert (await world.iam("ListPolicyVersions", PolicyArn=ADMIN))["Versions"][0]["VersionId"] == "v1"
    assert (await world.iam("ListPolicyTags", PolicyArn=ADMIN))["Tags"] == []
    with refused("NoSuchEntity", 404):
        await world.iam("GetPolicyVersion", PolicyArn=ADMIN, VersionId="v2")
    with refused("AccessDenied", 403):
        await world.iam("CreatePolicyVersion", PolicyArn=ADMIN, PolicyDocument=DOCUMENT)
    with refused("AccessDenied", 403):
        await world.iam("DeletePolicy", PolicyArn=ADMIN)


async def test_listing_policies(world):
    arn = (await make(world))["Arn"]
    await make(world, "Q", Path="/q/")

    async def names(**given):
        return [found["PolicyName"] for found in (await world.iam("ListPolicies", **given))["Policies"]]

    assert await names(Scope="Local") == ["P", "Q"]
    assert len(await names(Scope="AWS")) == len(AWS_POLICIES)
    assert len(await names()) == len(AWS_POLICIES) + 2
    assert await names(PathPrefix="/q/") == ["Q"]
    assert await names(OnlyAttached=True) == []
    await world.iam("AttachRolePolicy", RoleName="R", PolicyArn=arn)
    await world.iam("AttachGroupPolicy", GroupName="G", PolicyArn=ADMIN)
    assert sorted(await names(OnlyAttached=True)) == ["AdministratorAccess", "P"]
    seen, given = [], {"MaxItems": 4}
    while True:
        page = await world.iam("ListPolicies", **given)
        seen += [found["Arn"] for found in page["Policies"]]
        if not page["IsTruncated"]:
            break
        given["Marker"] = page["Marker"]
    assert len(seen) == len(set(seen)) == len(AWS_POLICIES) + 2


async def test_attaching_may_be_limited_to_some_policies(world):
    condition = {"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/ReadOnlyAccess"}}
    admin = await world.user("admin", allow("iam:AttachUserPolicy", Condition=condition))
    await world.iam("AttachUserPolicy", who=admin, UserName="U", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    with refused("AccessDenied", 403):
        await world.iam("AttachUserPolicy", who=admin, UserName="U", PolicyArn=ADMIN)


async def test_account_aliases(world):
    assert (await world.iam("ListAccountAliases"))["AccountAliases"] == []
    await world.iam("CreateAccountAlias", AccountAlias="home-1")
    with refused("EntityAlreadyExists", 409):
        await world.iam("CreateAccountAlias", who=OTHER_ROOT, AccountAlias="home-1")
    await world.iam("CreateAccountAlias", AccountAlias="home-2")
    assert (await world.iam("ListAccountAliases"))["AccountAliases"] == ["home-2"]
    await world.iam("CreateAccountAlias", who=OTHER_ROOT, AccountAlias="home-1")
    with refused("NoSuchEntity", 404):
        await world.iam("DeleteAccountAlias", AccountAlias="home-1")
    await world.iam("DeleteAccountAlias", AccountAlias="home-2")
    for wrong in ("123456789012", "ab", "Home", "a--b", "-ab", "ab-", "abé", "abc\n"):
        with refused("ValidationError", 400):
            await world.iam("CreateAccountAlias", AccountAlias=wrong)


async def test_the_account_in_numbers(world):
    summary = (await world.iam("GetAccountSummary"))["SummaryMap"]
    assert (summary["Users"], summary["Groups"], summary["Roles"], summary["Policies"]) == (1, 1, 1, 0)
    assert all(isinstance(value, int) for value in summary.values())


async def test_the_account_in_full(world):
    arn = (await make(world))["Arn"]
    await world.iam("AddUserToGroup", GroupName="G", UserName="U")
    await world.iam("PutUserPolicy", UserName="U", PolicyName="i", PolicyDocument=DOCUMENT)
    await world.iam("AttachRolePolicy", RoleName="R", PolicyArn=arn)
    found = await world.iam("GetAccountAuthorizationDetails")
    user, role = found["UserDetailList"][0], found["RoleDetailList"][0]
    assert (user["GroupList"], unquote(user["UserPolicyList"][0]["PolicyDocument"])) == (["G"], DOCUMENT)
    assert role["AttachedManagedPolicies"] == [{"PolicyName": "P", "PolicyArn": arn}]
    assert found["Policies"][0]["PolicyVersionList"][0]["VersionId"] == "v1"
    assert found["GroupDetailList"][0]["GroupName"] == "G"
    only = await world.iam("GetAccountAuthorizationDetails", Filter=["Role"])
    assert (only["UserDetailList"], len(only["RoleDetailList"])) == ([], 1)
    seen, marker = 0, {}
    while True:
        page = await world.iam("GetAccountAuthorizationDetails", MaxItems=1, **marker)
        seen += sum(len(page[name]) for name in page if name not in ("IsTruncated", "Marker"))
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert seen == 4
