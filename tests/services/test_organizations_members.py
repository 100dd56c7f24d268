"""Organizations: trusted access, delegated administrators, invitations and leaving, with each of their errors."""

from __future__ import annotations

import pytest

from opentrail.rows.organizations import STEPS
from opentrail.services import organizations
from opentrail.services.organizations_members import INVITATION_SECONDS
from tests.fakes.house import new_unit
from tests.services.iam_world import ACCOUNT, OTHER, OTHER_ROOT, ROOT, SERVICES, World, allow, refused

SERVICES.setdefault("organizations", organizations.service)
CLOUDTRAIL = "cloudtrail.amazonaws.com"


@pytest.fixture
async def world() -> World:
    made = await World().begin()
    await ask(made, "CreateOrganization")
    return made


async def ask(world: World, operation: str, **given):
    return await world.call("organizations", operation, **given)


async def invite(world: World, target: str = OTHER, kind: str = "ACCOUNT", **given):
    return (await ask(world, "InviteAccountToOrganization", Target={"Id": target, "Type": kind}, **given))["Handshake"]


async def join(world: World) -> None:
    await ask(world, "AcceptHandshake", who=OTHER_ROOT, HandshakeId=(await invite(world))["Id"])


async def test_an_invitation_is_accepted(world):
    made = await invite(world, Notes="come", Tags=[{"Key": "team", "Value": "blue"}])
    assert (made["State"], made["Action"]) == ("REQUESTED", "INVITE")
    assert made["ExpirationTimestamp"] == made["RequestedTimestamp"] + INVITATION_SECONDS
    assert {"Type": "NOTES", "Value": "come"} in made["Resources"]
    for who in (ROOT, OTHER_ROOT):
        assert (await ask(world, "DescribeHandshake", who=who, HandshakeId=made["Id"]))["Handshake"] == made
    for who, operation in ((ROOT, "ListHandshakesForOrganization"), (OTHER_ROOT, "ListHandshakesForAccount")):
        assert (await ask(world, operation, who=who))["Handshakes"] == [made]
        assert (await ask(world, operation, who=who, Filter={"ActionType": "ENABLE_ALL_FEATURES"}))["Handshakes"] == []
    accepted = await ask(world, "AcceptHandshake", who=OTHER_ROOT, HandshakeId=made["Id"])
    assert accepted["Handshake"] == made | {"State": "ACCEPTED"}
    account = (await ask(world, "DescribeAccount", AccountId=OTHER))["Account"]
    assert account["JoinedMethod"] == "INVITED"
    tags = await ask(world, "ListTagsForResource", ResourceId=OTHER)
    assert tags["Tags"] == [{"Key": "team", "Value": "blue"}]
    with refused("HandshakeAlreadyInStateException", 400):
        await ask(world, "AcceptHandshake", who=OTHER_ROOT, HandshakeId=made["Id"])
    with refused("InvalidHandshakeTransitionException", 400):
        await ask(world, "DeclineHandshake", who=OTHER_ROOT, HandshakeId=made["Id"])
    with refused("HandshakeConstraintViolationException", 400):
        await invite(world)


@pytest.mark.parametrize(
    ("who", "operation", "state"),
    [(OTHER_ROOT, "DeclineHandshake", "DECLINED"), (ROOT, "CancelHandshake", "CANCELED")],
)
async def test_an_invitation_that_comes_to_nothing(world, who, operation, state):
    made = await invite(world, "away@example.com", "EMAIL")
    with refused("DuplicateHandshakeException", 400):
        await invite(world)
    answer = await ask(world, operation, who=who, HandshakeId=made["Id"])
    assert answer["Handshake"]["State"] == state
    with refused("InvalidHandshakeTransitionException", 400):
        await ask(world, "AcceptHandshake", who=OTHER_ROOT, HandshakeId=made["Id"])
    await invite(world)


async def test_an_invitation_lapses(world):
    made = await invite(world)
    world.house.clock.time += INVITATION_SECONDS
    shown = await ask(world, "DescribeHandshake", HandshakeId=made["Id"])
    assert shown["Handshake"]["State"] == "EXPIRED"
    with refused("InvalidHandshakeTransitionException", 400):
        await ask(world, "AcceptHandshake", who=OTHER_ROOT, HandshakeId=made["Id"])


async def test_each_party_has_its_part(world):
    made = await invite(world)
    for operation in ("AcceptHandshake", "DeclineHandshake"):
        with refused("AccessDeniedException", 400):
            await ask(world, operation, HandshakeId=made["Id"])
    with refused("AWSOrganizationsNotInUseException", 400):
        await ask(world, "CancelHandshake", who=OTHER_ROOT, HandshakeId=made["Id"])
    with refused("HandshakeNotFoundException", 400):
        await ask(world, "DescribeHandshake", HandshakeId="h-" + "a" * 10)
    with refused("AccessDeniedException", 400):
        await ask(world, "AcceptHandshake", who=await world.user("nobody", root=OTHER_ROOT), HandshakeId=made["Id"])


@pytest.mark.parametrize(
    ("target", "kind", "reason"),
    [
        ("999999999999", "ACCOUNT", "INVALID_PARTY_TYPE_TARGET"),
        ("nobody@example.com", "EMAIL", "INVALID_EMAIL_ADDRESS_TARGET"),
        ("o-abcdefghij", "ORGANIZATION", "INVALID_PARTY_TYPE_TARGET"),
    ],
)
async def test_nobody_can_be_invited_who_is_not_there(world, target, kind, reason):
    with refused("InvalidInputException", 400):
        await invite(world, target, kind)


async def test_members_leave_or_are_put_out(world):
    await join(world)
    await ask(world, "LeaveOrganization", who=OTHER_ROOT)
    with refused("AWSOrganizationsNotInUseException", 400):
        await ask(world, "DescribeOrganization", who=OTHER_ROOT)
    await join(world)
    assert (await ask(world, "DescribeOrganization", who=OTHER_ROOT))["Organization"]["MasterAccountId"] == ACCOUNT
    await ask(world, "RemoveAccountFromOrganization", AccountId=OTHER)
    with refused("AccountNotFoundException", 400):
        await ask(world, "RemoveAccountFromOrganization", AccountId=OTHER)
    for operation, given in (("LeaveOrganization", {}), ("RemoveAccountFromOrganization", {"AccountId": ACCOUNT})):
        with refused("MasterCannotLeaveOrganizationException", 400):
            await ask(world, operation, **given)
    steps = [row.joined for _, row in STEPS.all(new_unit(world.house)) if row.account_id == OTHER]
    assert steps == [True, False, True, False]


async def test_an_empty_organization_ends(world):
    await join(world)
    with refused("OrganizationNotEmptyException", 400):
        await ask(world, "DeleteOrganization")
    await ask(world, "RemoveAccountFromOrganization", AccountId=OTHER)
    await ask(world, "DeleteOrganization")
    with refused("AWSOrganizationsNotInUseException", 400):
        await ask(world, "DescribeOrganization")
    await ask(world, "CreateOrganization")


async def test_services_are_trusted(world):
    with refused("InvalidInputException", 400):
        await ask(world, "EnableAWSServiceAccess", ServicePrincipal="cloudtrail")
    for _ in range(2):
        await ask(world, "EnableAWSServiceAccess", ServicePrincipal=CLOUDTRAIL)
    await ask(world, "EnableAWSServiceAccess", ServicePrincipal="config.amazonaws.com")
    first = await ask(world, "ListAWSServiceAccessForOrganization", MaxResults=1)
    assert [each["ServicePrincipal"] for each in first["EnabledServicePrincipals"]] == [CLOUDTRAIL]
    rest = await ask(world, "ListAWSServiceAccessForOrganization", NextToken=first["NextToken"])
    assert [each["ServicePrincipal"] for each in rest["EnabledServicePrincipals"]] == ["config.amazonaws.com"]
    assert "NextToken" not in rest
    with refused("InvalidInputException", 400):
        await ask(world, "ListAWSServiceAccessForOrganization", NextToken="?")
    await ask(world, "DisableAWSServiceAccess", ServicePrincipal=CLOUDTRAIL)
    await ask(world, "DisableAWSServiceAccess", ServicePrincipal=CLOUDTRAIL)
    assert len((await ask(world, "ListAWSServiceAccessForOrganization"))["EnabledServicePrincipals"]) == 1


async def test_a_member_administers_a_service(world):
    register = {"AccountId": OTHER, "ServicePrincipal": CLOUDTRAIL}
    with refused("AccountNotFoundException", 400):
        await ask(world, "RegisterDelegatedAdministrator", **register)
    await join(world)
    with refused("ConstraintViolationException", 400, "trusted access"):
        await ask(world, "RegisterDelegatedAdministrator", **register)
    await ask(world, "EnableAWSServiceAccess", ServicePrincipal=CLOUDTRAIL)
    with refused("AccessDeniedException", 400):
        await ask(world, "ListAccounts", who=OTHER_ROOT)
    with refused("AccountNotRegisteredException", 400):
        await ask(world, "ListDelegatedServicesForAccount", AccountId=OTHER)
    await ask(world, "RegisterDelegatedAdministrator", **register)
    with refused("AccountAlreadyRegisteredException", 400):
        await ask(world, "RegisterDelegatedAdministrator", **register)
    with refused("ConstraintViolationException", 400):
        await ask(world, "RegisterDelegatedAdministrator", **(register | {"AccountId": ACCOUNT}))
    [shown] = (await ask(world, "ListDelegatedAdministrators"))["DelegatedAdministrators"]
    assert (shown["Id"], shown["Email"]) == (OTHER, "away@example.com")
    assert shown["DelegationEnabledDate"]
    services = await ask(world, "ListDelegatedServicesForAccount", AccountId=OTHER)
    assert [each["ServicePrincipal"] for each in services["DelegatedServices"]] == [CLOUDTRAIL]
    others = await ask(world, "ListDelegatedAdministrators", ServicePrincipal="config.amazonaws.com")
    assert others["DelegatedAdministrators"] == []
    assert len((await ask(world, "ListAccounts", who=OTHER_ROOT))["Accounts"]) == 2
    for operation, given in (
        ("DisableAWSServiceAccess", {"ServicePrincipal": CLOUDTRAIL}),
        ("RemoveAccountFromOrganization", {"AccountId": OTHER}),
    ):
        with refused("ConstraintViolationException", 400):
            await ask(world, operation, **given)
    await ask(world, "DeregisterDelegatedAdministrator", **register)
    with refused("AccountNotRegisteredException", 400):
        await ask(world, "DeregisterDelegatedAdministrator", **register)
    await ask(world, "RemoveAccountFromOrganization", AccountId=OTHER)


async def test_only_the_management_account_says_who_is_trusted(world):
    await join(world)
    for operation, given in (
        ("EnableAWSServiceAccess", {"ServicePrincipal": CLOUDTRAIL}),
        ("DisableAWSServiceAccess", {"ServicePrincipal": CLOUDTRAIL}),
        ("ListAWSServiceAccessForOrganization", {}),
        ("RegisterDelegatedAdministrator", {"AccountId": OTHER, "ServicePrincipal": CLOUDTRAIL}),
        ("InviteAccountToOrganization", {"Target": {"Id": OTHER, "Type": "ACCOUNT"}}),
        ("RemoveAccountFromOrganization", {"AccountId": OTHER}),
        ("DeleteOrganization", {}),
    ):
        with refused("AccessDeniedException", 400):
            await ask(world, operation, who=OTHER_ROOT, **given)
    clerk = await world.user("clerk", allow("organizations:List*"))
    await ask(world, "ListAccounts", who=clerk)
    with refused("AccessDeniedException", 400):
        await ask(world, "EnableAWSServiceAccess", who=clerk, ServicePrincipal=CLOUDTRAIL)


async def test_without_all_features_no_service_is_trusted():
    world = await World().begin()
    await ask(world, "CreateOrganization", FeatureSet="CONSOLIDATED_BILLING")
    with refused("ConstraintViolationException", 400):
        await ask(world, "EnableAWSServiceAccess", ServicePrincipal=CLOUDTRAIL)


async def test_the_id_of_amazons_account_cannot_be_chosen(world):
    tags = [{"Key": "opentrail:account-id", "Value": "000000000001"}]
    with refused("InvalidInputException", 400):
        await ask(world, "CreateAccount", AccountName="x", Email="x@example.com", Tags=tags)
