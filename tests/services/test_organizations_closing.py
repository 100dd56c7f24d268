"""Organizations: a closed account, whose credentials and roles are of no use, and whose trails go on."""

from __future__ import annotations

import json

import pytest

from opentrail.errors import AwsError, Conflict
from opentrail.rows.closed_accounts import CLOSED, CLOSINGS, close, closings_since
from opentrail.rows.organizations import organization_of
from opentrail.services import organizations
from opentrail.services.accounts import create_key
from opentrail.services.identity import find_credentials
from opentrail.services.organizations_closing import CLOSINGS_LEAST, CLOSINGS_SECONDS
from opentrail.services.organizations_members import CLOSED_SECONDS
from opentrail.services.sts_sessions import role_session
from tests.fakes.house import commit, new_unit
from tests.services.iam_world import ACCOUNT, OTHER, OTHER_ROOT, SERVICES, World, allow, refused, trust

SERVICES.setdefault("organizations", organizations.service)
CLOUDTRAIL = "cloudtrail.amazonaws.com"


@pytest.fixture
async def world() -> World:
    made = await World().begin()
    await ask(made, "CreateOrganization")
    await join(made)
    return made


async def ask(world: World, operation: str, **given):
    return await world.call("organizations", operation, **given)


async def join(world: World) -> None:
    made = await ask(world, "InviteAccountToOrganization", Target={"Id": OTHER, "Type": "ACCOUNT"})
    await ask(world, "AcceptHandshake", who=OTHER_ROOT, HandshakeId=made["Handshake"]["Id"])


async def states(world: World, account: str) -> tuple[str, str]:
    found = (await ask(world, "DescribeAccount", AccountId=account))["Account"]
    return found["Status"], found["State"]


def reason(caught) -> str:
    assert caught.value.code == "ConstraintViolationException"
    return caught.value.fields["Reason"]


async def test_a_closed_account_is_told_as_such_and_stays(world):
    assert await states(world, OTHER) == ("ACTIVE", "ACTIVE")
    assert await ask(world, "CloseAccount", AccountId=OTHER) == {}
    assert (await states(world, OTHER), await states(world, ACCOUNT)) == (("SUSPENDED", "CLOSED"), ("ACTIVE", "ACTIVE"))
    listed = {each["Id"]: each["State"] for each in (await ask(world, "ListAccounts"))["Accounts"]}
    assert listed == {ACCOUNT: "ACTIVE", OTHER: "CLOSED"}
    with refused("AccountAlreadyClosedException", 400):
        await ask(world, "CloseAccount", AccountId=OTHER)
    root = (await ask(world, "ListRoots"))["Roots"][0]["Id"]
    made = await ask(world, "CreateOrganizationalUnit", ParentId=root, Name="closed")
    goal = made["OrganizationalUnit"]["Id"]
    await ask(world, "MoveAccount", AccountId=OTHER, SourceParentId=root, DestinationParentId=goal)
    with pytest.raises(AwsError) as caught:
        await ask(world, "RemoveAccountFromOrganization", AccountId=OTHER)
    assert reason(caught) == "ACCOUNT_CANNOT_LEAVE_ORGANIZATION"
    with refused("OrganizationNotEmptyException", 400):
        await ask(world, "DeleteOrganization")
    world.house.clock.time += CLOSED_SECONDS
    await ask(world, "RemoveAccountFromOrganization", AccountId=OTHER)
    await ask(world, "DeleteOrganization")


async def test_no_credentials_of_it_are_any_good(world):
    unit = new_unit(world.house)
    root_key, _ = create_key(unit, OTHER)
    await commit(unit)
    user = await world.user("user", allow("*"), root=OTHER_ROOT)
    session = (await world.sts("GetSessionToken", who=user))["Credentials"]
    trusted = trust(AWS=[f"arn:aws:iam::{ACCOUNT}:root"])
    role = (await world.iam("CreateRole", who=OTHER_ROOT, RoleName="in", AssumeRolePolicyDocument=trusted))["Role"][
        "Arn"
    ]
    admin = await world.user("admin", allow("sts:AssumeRole", role))
    inside = (await world.sts("AssumeRole", who=admin, RoleArn=role, RoleSessionName="in"))["Credentials"]
    keys = [(root_key, ""), (user.access_key_id, "")]
    keys += [(each["AccessKeyId"], each["SessionToken"]) for each in (session, inside)]
    for key, token in keys:
        assert find_credentials(new_unit(world.house), key, token).principal.account_id == OTHER
    await ask(world, "CloseAccount", AccountId=OTHER)
    for key, token in keys:
        for s3, code in ((False, "InvalidClientTokenId"), (True, "InvalidAccessKeyId")):
            with refused(code, 403):
                find_credentials(new_unit(world.house), key, token, s3=s3)
    with refused("AccessDenied", 403):
        await world.sts("AssumeRole", who=admin, RoleArn=role, RoleSessionName="in")
    assert find_credentials(new_unit(world.house), admin.access_key_id, "").principal.account_id == ACCOUNT


async def test_no_service_enters_a_role_of_it(world):
    trusted = trust(Service="events.amazonaws.com")
    made = await world.iam("CreateRole", who=OTHER_ROOT, RoleName="rules", AssumeRolePolicyDocument=trusted)
    given = (made["Role"]["Arn"], "session", "events.amazonaws.com", world.house.clock.now())
    assert role_session(new_unit(world.house), *given).account_id == OTHER
    await ask(world, "CloseAccount", AccountId=OTHER)
    with refused("AccessDenied", 403):
        role_session(new_unit(world.house), *given)


async def test_its_end_is_recorded_by_the_service(world):
    call = world.last
    call.operation = organizations_operation("CloseAccount", world)
    call.input, call.principal = {"AccountId": OTHER}, call.principal
    call.account_id = ACCOUNT
    unit = new_unit(world.house)
    await SERVICES["organizations"].handlers["CloseAccount"](call, unit)
    [line] = unit.events
    record = json.loads(line.data)
    assert line.kind == "record"
    assert record | {"eventID": ""} == {
        "eventVersion": "1.11",
        "userIdentity": {"accountId": ACCOUNT, "invokedBy": "organizations.amazonaws.com"},
        "eventTime": "2026-09-21T14:13:20Z",
        "eventSource": "organizations.amazonaws.com",
        "eventName": "CloseAccountResult",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "organizations.amazonaws.com",
        "userAgent": "organizations.amazonaws.com",
        "requestParameters": None,
        "responseElements": None,
        "eventID": "",
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "serviceEventDetails": {
            "closeAccountStatus": {
                "accountId": OTHER,
                "state": "SUCCEEDED",
                "requestedTimestamp": "Sep 21, 2026 2:13:20 PM",
                "completedTimestamp": "Sep 21, 2026 2:13:20 PM",
            }
        },
        "eventCategory": "Management",
    }


def organizations_operation(name: str, world: World):
    return world.last.operation.service.operations[name]


async def test_what_cannot_be_closed(world):
    with pytest.raises(AwsError) as caught:
        await ask(world, "CloseAccount", AccountId=ACCOUNT)
    assert reason(caught) == "CANNOT_CLOSE_MANAGEMENT_ACCOUNT"
    with refused("AccountNotFoundException", 400):
        await ask(world, "CloseAccount", AccountId="333333333333")
    with refused("AccessDeniedException", 400):
        await ask(world, "CloseAccount", who=OTHER_ROOT, AccountId=OTHER)
    await ask(world, "LeaveOrganization", who=OTHER_ROOT)
    await ask(world, "DeleteOrganization")
    await ask(world, "CreateOrganization", FeatureSet="CONSOLIDATED_BILLING")
    await join(world)
    with pytest.raises(AwsError) as caught:
        await ask(world, "CloseAccount", AccountId=OTHER)
    assert reason(caught) == "ORGANIZATION_NOT_IN_ALL_FEATURES_MODE"
    assert not list(CLOSED.all(new_unit(world.house)))


async def test_so_many_are_closed_in_thirty_days(world):
    unit = new_unit(world.house)
    organization = organization_of(unit, ACCOUNT)
    for number in range(CLOSINGS_LEAST):
        close(unit, organization.id, f"4{number:011d}")
    await commit(unit)
    assert len(list(CLOSINGS.all(new_unit(world.house)))) == CLOSINGS_LEAST
    with pytest.raises(AwsError) as caught:
        await ask(world, "CloseAccount", AccountId=OTHER)
    assert reason(caught) == "CLOSE_ACCOUNT_QUOTA_EXCEEDED"
    world.house.clock.time += CLOSINGS_SECONDS + 1
    await ask(world, "CloseAccount", AccountId=OTHER)
    assert closings_since(new_unit(world.house), organization.id, world.house.clock.time - 1, 9) == 1


async def test_a_closed_account_administers_nothing(world):
    await ask(world, "EnableAWSServiceAccess", ServicePrincipal=CLOUDTRAIL)
    await ask(world, "CloseAccount", AccountId=OTHER)
    with pytest.raises(AwsError) as caught:
        await ask(world, "RegisterDelegatedAdministrator", AccountId=OTHER, ServicePrincipal=CLOUDTRAIL)
    assert reason(caught) == "CANNOT_REGISTER_SUSPENDED_ACCOUNT_AS_DELEGATED_ADMINISTRATOR"


async def test_two_closings_at_once_are_one_after_the_other(world):
    late = new_unit(world.house)
    call = world.last
    call.operation, call.input, call.account_id = (
        organizations_operation("CloseAccount", world),
        {"AccountId": OTHER},
        ACCOUNT,
    )
    await SERVICES["organizations"].handlers["CloseAccount"](call, late)
    await ask(world, "CloseAccount", AccountId=OTHER)
    with pytest.raises(Conflict):
        await commit(late)
