"""Tags of whatever IAM lets be tagged: the same three operations, each with its own word."""

from __future__ import annotations

import pytest

from tests.services.iam_world import ACCOUNT, World, allow, policy, refused, trust

POLICY = f"arn:aws:iam::{ACCOUNT}:policy/read"
DEVICE = f"arn:aws:iam::{ACCOUNT}:mfa/phone"
TAGGABLE = {
    "User": ("CreateUser", {"UserName": "alice"}, {"UserName": "alice"}),
    "Role": (
        "CreateRole",
        {"RoleName": "r", "AssumeRolePolicyDocument": trust(Service="s3.amazonaws.com")},
        {"RoleName": "r"},
    ),
    "InstanceProfile": ("CreateInstanceProfile", {"InstanceProfileName": "box"}, {"InstanceProfileName": "box"}),
    "Policy": (
        "CreatePolicy",
        {"PolicyName": "read", "PolicyDocument": policy(allow("s3:Get*"))},
        {"PolicyArn": POLICY},
    ),
    "MFADevice": ("CreateVirtualMFADevice", {"VirtualMFADeviceName": "phone"}, {"SerialNumber": DEVICE}),
}


@pytest.fixture
async def world():
    return await World().begin()


@pytest.mark.parametrize("word", TAGGABLE)
async def test_tags_are_added_changed_listed_and_removed(world, word):
    create, given, named = TAGGABLE[word]
    for operation, more in (
        (f"Tag{word}", {"Tags": [{"Key": "k", "Value": "v"}]}),
        (f"Untag{word}", {"TagKeys": ["k"]}),
        (f"List{word}Tags", {}),
    ):
        with refused("NoSuchEntity", 404):
            await world.iam(operation, **named, **more)
    await world.iam(create, **given)
    await world.iam(f"Tag{word}", **named, Tags=[{"Key": key, "Value": "1"} for key in ("c", "a", "b")])
    await world.iam(f"Tag{word}", **named, Tags=[{"Key": "B", "Value": "2"}])
    page = await world.iam(f"List{word}Tags", **named, MaxItems=2)
    assert (page["Tags"], page["IsTruncated"]) == ([{"Key": "B", "Value": "2"}, {"Key": "a", "Value": "1"}], True)
    await world.iam(f"Untag{word}", **named, TagKeys=["A", "b", "none"])
    listed = await world.iam(f"List{word}Tags", **named)
    assert (listed["Tags"], listed["IsTruncated"]) == ([{"Key": "c", "Value": "1"}], False)
    with refused("LimitExceeded", 409, f"Cannot exceed quota for TagsPer{word}: 50"):
        await world.iam(f"Tag{word}", **named, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    with refused("InvalidInput", 400):
        await world.iam(f"Tag{word}", **named, Tags=[{"Key": "aws:k", "Value": ""}])
    assert (await world.iam(f"List{word}Tags", **named))["Tags"] == listed["Tags"]


async def test_what_is_amazons_cannot_be_tagged(world):
    made = await world.iam("CreateServiceLinkedRole", AWSServiceName="cloudtrail.amazonaws.com")
    role = {"RoleName": made["Role"]["RoleName"]}
    arn = {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    tags, keys = {"Tags": [{"Key": "k", "Value": "v"}]}, {"TagKeys": ["k"]}
    for operation, given, code, status in (
        ("TagRole", role | tags, "UnmodifiableEntity", 400),
        ("UntagRole", role | keys, "UnmodifiableEntity", 400),
        ("TagPolicy", arn | tags, "AccessDenied", 403),
        ("UntagPolicy", arn | keys, "AccessDenied", 403),
    ):
        with refused(code, status):
            await world.iam(operation, **given)
    assert (await world.iam("ListRoleTags", **role))["Tags"] == []
    assert await world.iam("ListPolicyTags", **arn) == {"Tags": [], "IsTruncated": False}
