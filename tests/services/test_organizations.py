"""Organizations: making accounts the way AWS does, through guard, decision and handler."""

from __future__ import annotations

import re

import pytest

from opentrail.errors import AwsError, Conflict
from opentrail.services import organizations
from opentrail.wire.answer_error import render_error
from tests.fakes.house import new_unit
from tests.services.iam_world import ACCOUNT, OTHER, OTHER_ROOT, SERVICES, World, allow, refused

SERVICES.setdefault("organizations", organizations.service)


@pytest.fixture
async def world() -> World:
    return await World().begin()


async def ask(world: World, operation: str, **given):
    return await world.call("organizations", operation, **given)


async def make(world: World, name: str = "dev", email: str = "dev@example.com", **given):
    answer = await ask(world, "CreateAccount", AccountName=name, Email=email, **given)
    return answer["CreateAccountStatus"]


def chosen(account_id: str) -> list[dict[str, str]]:
    return [{"Key": "opentrail:account-id", "Value": account_id}]


async def test_whoever_creates_the_organization_manages_it(world):
    made = (await ask(world, "CreateOrganization"))["Organization"]
    assert re.fullmatch(r"o-[a-z0-9]{10}", made["Id"])
    assert made == {
        "Id": made["Id"],
        "Arn": f"arn:aws:organizations::{ACCOUNT}:organization/{made['Id']}",
        "FeatureSet": "ALL",
        "MasterAccountArn": f"arn:aws:organizations::{ACCOUNT}:account/{made['Id']}/{ACCOUNT}",
        "MasterAccountId": ACCOUNT,
        "MasterAccountEmail": "home@example.com",
        "AvailablePolicyTypes": [],
    }
    assert (await ask(world, "DescribeOrganization"))["Organization"] == made
    with refused("AlreadyInOrganizationException", 400):
        await ask(world, "CreateOrganization")
    (root,) = (await ask(world, "ListRoots"))["Roots"]
    assert re.fullmatch(r"r-[a-z0-9]{4}", root["Id"])
    assert root["Arn"].endswith(f":root/{made['Id']}/{root['Id']}")


async def test_two_accounts_may_each_have_an_organization(world):
    await ask(world, "CreateOrganization")
    await ask(world, "CreateOrganization", who=OTHER_ROOT)
    accounts = (await ask(world, "ListAccounts", who=OTHER_ROOT))["Accounts"]
    assert [account["Id"] for account in accounts] == [OTHER]


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("DescribeOrganization", {}),
        ("ListRoots", {}),
        ("ListAccounts", {}),
        ("DescribeAccount", {"AccountId": ACCOUNT}),
        ("CreateAccount", {"AccountName": "x", "Email": "x@example.com"}),
        ("ListCreateAccountStatus", {}),
        ("DescribeCreateAccountStatus", {"CreateAccountRequestId": "car-" + "a" * 32}),
        ("ListTagsForResource", {"ResourceId": ACCOUNT}),
    ],
)
async def test_without_an_organization_nothing_goes(world, operation, given):
    with refused("AWSOrganizationsNotInUseException", 400):
        await ask(world, operation, **given)


async def test_an_account_is_made_at_once(world):
    await ask(world, "CreateOrganization")
    made = await make(world, Tags=[{"Key": "team", "Value": "blue"}])
    assert re.fullmatch(r"[1-9]\d{11}", made["AccountId"])
    assert re.fullmatch(r"car-[a-z0-9]{32}", made["Id"])
    assert (made["State"], made["AccountName"]) == ("SUCCEEDED", "dev")
    again = await ask(world, "DescribeCreateAccountStatus", CreateAccountRequestId=made["Id"])
    assert again["CreateAccountStatus"] == made
    account = (await ask(world, "DescribeAccount", AccountId=made["AccountId"]))["Account"]
    assert (account["Email"], account["Status"], account["JoinedMethod"]) == ("dev@example.com", "ACTIVE", "CREATED")
    tags = await ask(world, "ListTagsForResource", ResourceId=made["AccountId"])
    assert tags["Tags"] == [{"Key": "team", "Value": "blue"}]


async def test_the_management_account_can_enter_through_the_role(world):
    await ask(world, "CreateOrganization")
    made = await make(world)
    arn = f"arn:aws:iam::{made['AccountId']}:role/OrganizationAccountAccessRole"
    admin = await world.user("admin", allow("sts:AssumeRole", arn))
    taken = await world.sts("AssumeRole", who=admin, RoleArn=arn, RoleSessionName="in")
    inside = world.holder(taken["Credentials"])
    await world.iam("CreateUser", who=inside, UserName="admin")
    users = await world.iam("ListUsers", who=inside)
    assert [user["Arn"] for user in users["Users"]] == [f"arn:aws:iam::{made['AccountId']}:user/admin"]
    stranger = await world.user("stranger", allow("sts:AssumeRole", arn), root=OTHER_ROOT)
    with refused("AccessDenied", 403):
        await world.sts("AssumeRole", who=stranger, RoleArn=arn, RoleSessionName="in")


async def test_the_role_may_have_another_name(world):
    await ask(world, "CreateOrganization")
    made = await make(world, RoleName="Boss")
    arn = f"arn:aws:iam::{made['AccountId']}:role/Boss"
    admin = await world.user("admin", allow("sts:AssumeRole", arn))
    await world.sts("AssumeRole", who=admin, RoleArn=arn, RoleSessionName="in")


async def test_an_email_serves_one_account_only(world):
    await ask(world, "CreateOrganization")
    await make(world)
    failed = await make(world, "again", "DEV@example.com")
    assert (failed["State"], failed["FailureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS")
    assert "AccountId" not in failed
    states = await ask(world, "ListCreateAccountStatus", States=["FAILED"])
    assert states["CreateAccountStatuses"] == [failed]
    assert len((await ask(world, "ListCreateAccountStatus"))["CreateAccountStatuses"]) == 2
    assert len((await ask(world, "ListAccounts"))["Accounts"]) == 2


@pytest.mark.parametrize(
    "email", ["nobody", "a b@c.de", "abcdef@x", "a@b@c.de", "abc@d.e\n", "@@@@@@", "a" * 65 + "@b.c"]
)
async def test_an_email_must_look_like_one(world, email):
    await ask(world, "CreateOrganization")
    with refused("InvalidInputException", 400):
        await make(world, email=email)


async def test_the_account_id_may_be_chosen_by_a_tag(world):
    await ask(world, "CreateOrganization")
    made = await make(world, Tags=chosen("111122223333"))
    assert made["AccountId"] == "111122223333"
    assert (await ask(world, "ListTagsForResource", ResourceId="111122223333"))["Tags"] == []
    for taken in ("111122223333", OTHER, ACCOUNT):
        with refused("InvalidInputException", 400, "exists already"):
            await make(world, "b", "b@example.com", Tags=chosen(taken))
    for odd in ("1", "11112222333x", "١١١١٢٢٢٢٣٣٣٣", "1111222233334", "111122223333\n"):
        with refused("InvalidInputException", 400):
            await make(world, "b", "b@example.com", Tags=chosen(odd))
    assert len((await ask(world, "ListAccounts"))["Accounts"]) == 2


async def test_tags_are_checked(world):
    await ask(world, "CreateOrganization")
    with refused("InvalidInputException", 400, "reserved"):
        await make(world, Tags=[{"Key": "aws:x", "Value": ""}])
    with refused("InvalidInputException", 400, "more than once"):
        await make(world, Tags=[{"Key": "x", "Value": ""}, {"Key": "x", "Value": ""}])
    with refused("ConstraintViolationException", 400):
        await make(world, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)])


async def test_the_number_of_accounts_is_bounded(world, monkeypatch):
    monkeypatch.setattr(organizations, "ACCOUNTS_MAX", 2)
    await ask(world, "CreateOrganization")
    await make(world)
    assert (await make(world, "b", "b@example.com"))["FailureReason"] == "ACCOUNT_LIMIT_EXCEEDED"


async def test_members_see_the_organization_and_no_more(world):
    await ask(world, "CreateOrganization")
    made = await make(world)
    root = OTHER_ROOT.__class__("Root", made["AccountId"], f"arn:aws:iam::{made['AccountId']}:root", made["AccountId"])
    assert (await ask(world, "DescribeOrganization", who=root))["Organization"]["MasterAccountId"] == ACCOUNT
    for operation, given in (
        ("ListAccounts", {}),
        ("ListRoots", {}),
        ("CreateAccount", {"AccountName": "x", "Email": "x@example.com"}),
        ("DescribeAccount", {"AccountId": made["AccountId"]}),
    ):
        with refused("AccessDeniedException", 400):
            await ask(world, operation, who=root, **given)
    with refused("AlreadyInOrganizationException", 400):
        await ask(world, "CreateOrganization", who=root)
    with refused("AWSOrganizationsNotInUseException", 400):
        await ask(world, "DescribeOrganization", who=OTHER_ROOT)


async def test_what_is_not_there_is_not_found(world):
    await ask(world, "CreateOrganization")
    with refused("AccountNotFoundException", 400):
        await ask(world, "DescribeAccount", AccountId=OTHER)
    with refused("CreateAccountStatusNotFoundException", 400):
        await ask(world, "DescribeCreateAccountStatus", CreateAccountRequestId="car-" + "a" * 32)
    with refused("TargetNotFoundException", 400):
        await ask(world, "ListTagsForResource", ResourceId=OTHER)


async def test_lists_come_in_pages(world):
    await ask(world, "CreateOrganization")
    ids = sorted([ACCOUNT, *[f"1111222233{n:02}" for n in range(24)]])
    for n in range(24):
        await make(world, f"a{n}", f"a{n}@example.com", Tags=chosen(f"1111222233{n:02}"))
    first = await ask(world, "ListAccounts")
    second = await ask(world, "ListAccounts", NextToken=first["NextToken"])
    assert [each["Id"] for each in (*first["Accounts"], *second["Accounts"])] == ids
    assert (len(first["Accounts"]), "NextToken" in second) == (20, False)
    assert len((await ask(world, "ListCreateAccountStatus", MaxResults=7))["CreateAccountStatuses"]) == 7


@pytest.mark.parametrize("token", ["x", "é", "\ud800", "//8=", "a" * 1001])
async def test_a_forged_token_is_refused(world, token):
    await ask(world, "CreateOrganization")
    with refused("InvalidInputException", 400):
        await ask(world, "ListAccounts", NextToken=token)


async def test_a_forged_token_leads_nowhere_else(world):
    await ask(world, "CreateOrganization")
    await ask(world, "CreateOrganization", who=OTHER_ROOT)
    for token in ("AAAA", "fn5-", ""):
        accounts = (await ask(world, "ListAccounts", NextToken=token))["Accounts"]
        assert all(account["Id"] == ACCOUNT for account in accounts)


async def test_the_reason_reaches_the_client(world):
    await ask(world, "CreateOrganization")
    with pytest.raises(AwsError) as caught:
        await ask(world, "ListAccounts", NextToken="x")
    operation = world.last.operation
    _, _, body = render_error(operation, "organizations", "json", caught.value, request_id="r")
    assert b'"Reason":"INVALID_NEXT_TOKEN"' in body


async def test_permission_is_asked_for_the_account_itself(world):
    organization = (await ask(world, "CreateOrganization"))["Organization"]
    made = await make(world)
    arn = f"arn:aws:organizations::{ACCOUNT}:account/{organization['Id']}/{made['AccountId']}"
    reader = await world.user("reader", allow("organizations:DescribeAccount", arn))
    await ask(world, "DescribeAccount", who=reader, AccountId=made["AccountId"])
    with refused("AccessDeniedException", 400):
        await ask(world, "DescribeAccount", who=reader, AccountId=ACCOUNT)
    with refused("AccessDeniedException", 400):
        await ask(world, "CreateAccount", who=reader, AccountName="x", Email="x@example.com")


async def test_accounts_made_at_once_are_all_counted(world):
    """Two requests that read the same organization: one is walked again."""
    await ask(world, "CreateOrganization")
    await make(world)
    one, two = new_unit(world.house), new_unit(world.house)
    for unit, email in ((one, "b@example.com"), (two, "c@example.com")):
        world.last.input = {"AccountName": "x", "Email": email}
        await organizations.create(world.last, unit)
    await world.house.ledger.commit(one.writes, ())
    with pytest.raises(Conflict):
        await world.house.ledger.commit(two.writes, ())
