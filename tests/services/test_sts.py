"""STS: callers, sessions of roles, of users, of federated users, and services that act in a role."""

from __future__ import annotations

import pytest

from opentrail.call import Resource
from opentrail.services.sts import role_session
from tests.fakes.house import NOW, new_unit
from tests.services.iam_world import (
    ACCOUNT,
    OTHER,
    OTHER_ROOT,
    ROOT,
    World,
    allow,
    policy,
    refused,
    trust,
)

ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"


@pytest.fixture
async def world():
    return await World().begin()


async def make_role(world, document, *statements, name="reader", **more):
    await world.iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=document, **more)
    if statements:
        await world.iam("PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))


async def assume(world, who, **more):
    return await world.sts("AssumeRole", who=who, **({"RoleArn": ROLE, "RoleSessionName": "s1"} | more))


async def test_everybody_may_ask_who_he_is(world):
    alice = await world.user("alice")
    found = await world.sts("GetCallerIdentity", who=alice)
    assert found == {"UserId": alice.principal_id, "Account": ACCOUNT, "Arn": alice.arn}
    found = await world.sts("GetCallerIdentity")
    assert found == {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": ROOT.arn}


async def test_assuming_a_role(world):
    alice = await world.user("alice")
    await make_role(world, trust(AWS=alice.arn), allow("iam:ListUsers"))
    answer = await assume(world, alice)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/s1"
    assert answer["AssumedRoleUser"]["AssumedRoleId"].endswith(":s1")
    assert "PackedPolicySize" not in answer
    assert world.last.evidence.resources == [Resource("AWS::IAM::Role", ROLE, ACCOUNT)]
    assert world.last.evidence.owner_account_id == ACCOUNT
    credentials = answer["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert credentials["Expiration"].timestamp() == NOW + 3600
    session = world.holder(credentials)
    assert (session.type, session.account_id) == ("AssumedRole", ACCOUNT)
    assert await world.iam("ListUsers", who=session)
    with refused("AccessDenied", 403, f"User: arn:aws:sts::{ACCOUNT}:assumed-role/reader/s1 is not authorized"):
        await world.iam("ListRoles", who=session)
    assert (await world.sts("GetCallerIdentity", who=session))["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]


async def test_who_is_not_trusted(world):
    alice = await world.user("alice", allow("*"))
    bob = await world.user("bob")
    await make_role(world, trust(AWS=bob.arn))
    message = f"User: {alice.arn} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
    with refused("AccessDenied", 403, message):
        await assume(world, alice)
    for arn in (ROLE + "x", ROLE.replace(ACCOUNT, OTHER), "arn:aws:iam::x:role/reader", "a" * 20, ROLE + "\x00x"):
        with refused("AccessDenied" if "\x00" not in arn else "ValidationError", 403 if "\x00" not in arn else 400):
            await assume(world, bob, RoleArn=arn)
    with refused("AccessDenied", 403, "Roles may not be assumed by root accounts."):
        await assume(world, ROOT)


async def test_an_account_that_is_trusted_decides_itself(world):
    await make_role(world, trust(AWS=[ACCOUNT, OTHER]))
    alice = await world.user("alice")
    with refused("AccessDenied", 403):
        await assume(world, alice)
    bob = await world.user("bob", allow("sts:AssumeRole", ROLE))
    assert await assume(world, bob)
    mallory = await world.user("mallory", root=OTHER_ROOT)
    with refused("AccessDenied", 403):
        await assume(world, mallory)
    trusted = await world.user("trusted", allow("sts:AssumeRole", ROLE), root=OTHER_ROOT)
    answer = await assume(world, trusted)
    assert world.holder(answer["Credentials"]).account_id == ACCOUNT


async def test_external_id_and_session_name_as_conditions(world):
    alice = await world.user("alice")
    conditions = {"StringEquals": {"sts:ExternalId": "42"}, "StringLike": {"sts:RoleSessionName": "job-*"}}
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": alice.arn},
        "Action": "sts:AssumeRole",
        "Condition": conditions,
    }
    await make_role(world, policy(statement))
    assert await assume(world, alice, ExternalId="42", RoleSessionName="job-1")
    for given in ({}, {"ExternalId": "43", "RoleSessionName": "job-1"}, {"ExternalId": "42", "RoleSessionName": "x1"}):
        with refused("AccessDenied", 403):
            await assume(world, alice, **given)


async def test_durations(world):
    alice = await world.user("alice")
    await make_role(world, trust(AWS=[alice.arn, ACCOUNT]), allow("sts:AssumeRole"), MaxSessionDuration=7200)
    answer = await assume(world, alice, DurationSeconds=7200)
    assert answer["Credentials"]["Expiration"].timestamp() == NOW + 7200
    with refused("ValidationError", 400, "exceeds the MaxSessionDuration set for this role."):
        await assume(world, alice, DurationSeconds=7201)
    for wrong in (899, 43201):
        with refused("ValidationError", 400):
            await assume(world, alice, DurationSeconds=wrong)
    session = world.holder(answer["Credentials"])
    assert await assume(world, session, DurationSeconds=3600)
    with refused("ValidationError", 400, "1 hour session limit for roles assumed by role chaining"):
        await assume(world, session, DurationSeconds=3601)


@pytest.mark.parametrize("name", ["", "x", "a b", "é1", "x" * 65, "a/b", "a\n"])
async def test_session_names(world, name):
    alice = await world.user("alice")
    await make_role(world, trust(AWS=alice.arn))
    with refused("ValidationError", 400):
        await assume(world, alice, RoleSessionName=name)


async def test_session_policies_narrow(world):
    alice = await world.user("alice")
    await make_role(world, trust(AWS=alice.arn), allow("iam:*"))
    answer = await assume(world, alice, Policy=policy(allow("iam:ListUsers")))
    assert 0 < answer["PackedPolicySize"] <= 100
    session = world.holder(answer["Credentials"])
    assert await world.iam("ListUsers", who=session)
    with refused("AccessDenied", 403, "because no session policy allows the iam:ListRoles action"):
        await world.iam("ListRoles", who=session)
    with refused("MalformedPolicyDocument", 400):
        await assume(world, alice, Policy="{}")
    with refused("PackedPolicyTooLarge", 400):
        await assume(world, alice, Policy=policy(allow(["iam:" + "x" * 100] * 30)))


async def test_managed_session_policies_are_read_at_every_use(world):
    alice = await world.user("alice")
    await make_role(world, trust(AWS=alice.arn), allow("iam:*"))
    document = policy(allow("iam:ListUsers"))
    arn = (await world.iam("CreatePolicy", PolicyName="P", PolicyDocument=document))["Policy"]["Arn"]
    credentials = (await assume(world, alice, PolicyArns=[{"arn": arn}]))["Credentials"]
    assert await world.iam("ListUsers", who=world.holder(credentials))
    with refused("AccessDenied", 403):
        await world.iam("ListRoles", who=world.holder(credentials))
    other = policy(allow("iam:ListRoles"))
    await world.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=other, SetAsDefault=True)
    assert await world.iam("ListRoles", who=world.holder(credentials))
    for wrong in (arn + "x", arn.replace(ACCOUNT, OTHER), "arn:aws:iam::aws:policy/None"):
        with refused("MalformedPolicyDocument", 400):
            await assume(world, alice, PolicyArns=[{"arn": wrong}])


async def test_tags_and_source_identity(world):
    alice = await world.user("alice")
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    document = policy({"Effect": "Allow", "Principal": {"AWS": [alice.arn, ACCOUNT]}, "Action": actions})
    condition = {"StringEquals": {"aws:PrincipalTag/team": "blue"}}
    await make_role(world, document, allow("iam:ListUsers", Condition=condition), allow("sts:*"))
    answer = await assume(world, alice, Tags=[{"Key": "Team", "Value": "blue"}], SourceIdentity="alice")
    assert answer["SourceIdentity"] == "alice"
    session = world.holder(answer["Credentials"])
    assert session.session.source_identity == "alice"
    assert await world.iam("ListUsers", who=session)
    assert (await assume(world, session))["SourceIdentity"] == "alice"
    with refused("AccessDenied", 403):
        await assume(world, session, SourceIdentity="bob")
    await make_role(world, trust(AWS=alice.arn), name="plain")
    plain = {"RoleArn": ROLE.replace("reader", "plain")}
    with refused("AccessDenied", 403):
        await assume(world, alice, **plain, Tags=[{"Key": "Team", "Value": "blue"}])
    with refused("AccessDenied", 403):
        await assume(world, alice, **plain, SourceIdentity="alice")


async def test_a_code_of_a_device_that_nobody_holds(world):
    alice = await world.user("alice")
    await make_role(world, trust(AWS=alice.arn))
    with refused("AccessDenied", 403, "MultiFactorAuthentication"):
        await assume(world, alice, SerialNumber=f"arn:aws:iam::{ACCOUNT}:mfa/alice", TokenCode="123456")


async def test_deleting_the_role_ends_its_sessions(world):
    alice = await world.user("alice")
    await make_role(world, trust(AWS=alice.arn))
    credentials = (await assume(world, alice))["Credentials"]
    await world.iam("DeleteRole", RoleName="reader")
    await make_role(world, trust(AWS=alice.arn))
    with refused("InvalidClientTokenId", 403):
        world.holder(credentials)


async def test_session_tokens(world):
    alice = await world.user("alice", allow("iam:ListUsers"))
    credentials = (await world.sts("GetSessionToken", who=alice))["Credentials"]
    assert credentials["Expiration"].timestamp() == NOW + 43_200
    session = world.holder(credentials)
    assert (session.type, session.arn, session.user_name) == ("IAMUser", alice.arn, "alice")
    assert await world.iam("ListUsers", who=session)
    with refused("AccessDenied", 403, "Cannot call GetSessionToken with session credentials"):
        await world.sts("GetSessionToken", who=session)
    credentials = (await world.sts("GetSessionToken", DurationSeconds=36_000))["Credentials"]
    assert credentials["Expiration"].timestamp() == NOW + 3_600
    assert world.holder(credentials).type == "Root"


async def test_federation_tokens(world):
    alice = await world.user("alice", allow("sts:GetFederationToken"), allow("iam:List*"))
    answer = await world.sts("GetFederationToken", who=alice, Name="bob", Policy=policy(allow("iam:ListUsers")))
    arn = f"arn:aws:sts::{ACCOUNT}:federated-user/bob"
    assert answer["FederatedUser"] == {"FederatedUserId": f"{ACCOUNT}:bob", "Arn": arn}
    bob = world.holder(answer["Credentials"])
    assert bob.session.issuer.arn == alice.arn
    assert await world.iam("ListUsers", who=bob)
    for operation in ("ListRoles", "GetAccountSummary"):
        with refused("AccessDenied", 403):
            await world.iam(operation, who=bob)
    bare = world.holder((await world.sts("GetFederationToken", who=alice, Name="bob"))["Credentials"])
    with refused("AccessDenied", 403):
        await world.iam("ListUsers", who=bare)
    with refused("AccessDenied", 403):
        await world.sts("GetFederationToken", who=bob, Name="eve")
    of_root = await world.sts("GetFederationToken", Name="bob", Policy=policy(allow("iam:ListRoles")))
    assert await world.iam("ListRoles", who=world.holder(of_root["Credentials"]))
    carol = await world.user("carol")
    with refused("AccessDenied", 403, "federated-user/x1 because no identity-based policy"):
        await world.sts("GetFederationToken", who=carol, Name="x1")


async def test_the_account_of_a_key(world):
    alice = await world.user("alice", root=OTHER_ROOT)
    assert await world.sts("GetAccessKeyInfo", AccessKeyId=alice.access_key_id) == {"Account": OTHER}
    credentials = (await world.sts("GetSessionToken"))["Credentials"]
    assert await world.sts("GetAccessKeyInfo", AccessKeyId=credentials["AccessKeyId"]) == {"Account": ACCOUNT}
    with refused("ValidationError", 400):
        await world.sts("GetAccessKeyInfo", AccessKeyId="AKIA000000000000")


async def test_services_act_in_roles_that_trust_them(world):
    await make_role(world, trust(Service="events.amazonaws.com"), allow("iam:ListUsers"))
    unit = new_unit(world.house)
    principal = role_session(unit, ROLE, "rule-1", "events.amazonaws.com", unit.now)
    assert (principal.type, principal.invoked_by) == ("AssumedRole", "events.amazonaws.com")
    assert principal.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/rule-1"
    assert principal.session.expires_at == NOW + 3600
    assert principal.access_key_id.startswith("ASIA")
    assert await world.iam("ListUsers", who=principal)
    with refused("AccessDenied", 403, "codepipeline.amazonaws.com is not authorized to perform: sts:AssumeRole"):
        role_session(unit, ROLE, "x1", "codepipeline.amazonaws.com", unit.now)
    for arn in (ROLE + "x", "", "reader", ROLE.replace("role/", "role/x/")):
        with refused("AccessDenied", 403):
            role_session(unit, arn, "x1", "events.amazonaws.com", unit.now)


async def test_a_service_may_be_trusted_for_one_source_only(world):
    rule = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r"
    condition = {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnEquals": {"aws:SourceArn": rule}}
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    await make_role(world, policy(statement | {"Condition": condition}))
    unit = new_unit(world.house)
    assert role_session(unit, ROLE, "x1", "events.amazonaws.com", unit.now, {"aws:sourcearn": (rule,)})
    with refused("AccessDenied", 403):
        role_session(unit, ROLE, "x1", "events.amazonaws.com", unit.now)
