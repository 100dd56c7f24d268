"""An organization trail's followers: whose lines are logged, where its files go, and the chains of those who leave."""

from __future__ import annotations

import contextlib
import gzip
import json

import pytest

from opentrail.errors import AwsError
from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.digests import DigestFollower
from opentrail.ports import Line
from opentrail.record.record_head import read_record
from opentrail.rows.cloudtrail import CHAINS, DELIVERY_STATUS, TRAILS
from opentrail.rows.organizations import (
    DELEGATES,
    MEMBERS,
    MEMBERSHIPS,
    ORGANIZATIONS,
    TRUSTED,
    Delegate,
    Member,
    Membership,
    Organization,
    TrustedService,
    drop_member,
    put_member,
)
from opentrail.rows.timelines import Timelines
from opentrail.state import Unit
from tests.fakes.house import NOW
from tests.followers.trail_house import (
    ACCOUNT,
    BUCKET,
    Crash,
    CrashingLedger,
    append,
    delivered_records,
    invoke,
    logging_trail,
    names,
    objects,
    record,
    refused,
    trail_house,
)

MEMBER, STRANGER = "222222222222", "333333333333"
ORGANIZATION = Organization("o-abcdefghij", ACCOUNT, "r-abcd", "ALL", NOW)
HOUR = 3_600


async def change(house, account: str, joins: bool) -> None:
    """Let an account come in or go, with the line of the call that does it, and a line before and after."""
    await append(house, record("Before", recipientAccountId=account))
    unit = Unit(house, house.clock.now())
    if joins:
        put_member(unit, ORGANIZATION, account, Member(unit.now, "INVITED"))
    else:
        drop_member(unit, ORGANIZATION, account)
    name = "AcceptHandshake" if joins else "LeaveOrganization"
    line = record(name, house.clock.time, recipientAccountId=account)
    await house.ledger.commit(unit.writes, [Line("record", line)])
    await append(house, record("After", recipientAccountId=account))


async def organization_house(ledger=None, **given):
    """An organization of one account, with a trail that logs."""
    house = trail_house(ledger) if ledger is not None else trail_house()
    unit = Unit(house, NOW)
    ORGANIZATIONS.put(unit, ORGANIZATION, ORGANIZATION.id)
    put_member(unit, ORGANIZATION, ACCOUNT, Member(NOW, "INVITED"))
    TRUSTED.put(unit, TrustedService(NOW), ORGANIZATION.id, "cloudtrail.amazonaws.com")
    await house.ledger.commit(unit.writes, ())
    await logging_trail(house, IsOrganizationTrail=True, EnableLogFileValidation=True, **given)
    return house


async def test_a_member_is_logged_from_the_call_that_lets_it_in_to_the_one_that_lets_it_go():
    house = await organization_house()
    await append(house, record("Stranger", recipientAccountId=STRANGER))
    await change(house, MEMBER, joins=True)
    await change(house, MEMBER, joins=False)
    await change(house, MEMBER, joins=True)
    await DeliveryFollower(house).flush()
    theirs = [each for each in delivered_records(house.ledger) if each["recipientAccountId"] == MEMBER]
    assert names(theirs) == ["AcceptHandshake", "After", "Before", "LeaveOrganization", "AcceptHandshake", "After"]
    folders = {key.split("/CloudTrail/")[0] for _, key in objects(house.ledger, "/CloudTrail/")}
    assert folders == {f"AWSLogs/{ORGANIZATION.id}/{account}" for account in (ACCOUNT, MEMBER)}
    [trail] = [row for _, row in TRAILS.all(Unit(house, 0.0))]
    assert DELIVERY_STATUS.get(Unit(house, 0.0), trail.id, f"{MEMBER}/us-east-1") is not None


async def test_members_from_before_steps_were_kept_are_members():
    house = await organization_house()
    unit = Unit(house, NOW)
    MEMBERS.put(unit, Member(NOW, "CREATED"), ORGANIZATION.id, MEMBER)
    MEMBERSHIPS.put(unit, Membership(ORGANIZATION.id), MEMBER)
    await house.ledger.commit(unit.writes, ())
    timelines = Timelines(house.ledger)
    timelines.refresh()
    line = read_record(record("Put", recipientAccountId=MEMBER))
    assert timelines.logged(line, house.ledger.head())
    await change(house, MEMBER, joins=False)
    timelines.refresh()
    left = house.ledger.head() - 1
    assert [timelines.logged(line, seq) for seq in (left - 1, left, left + 1)] == [True, True, False]


async def test_the_chain_of_a_member_ends_when_it_leaves_and_a_new_one_begins_when_it_returns():
    house = await organization_house()
    delivery, digests = DeliveryFollower(house), DigestFollower(house)
    place = f"{MEMBER}/us-east-1"
    [trail] = [row for _, row in TRAILS.all(Unit(house, 0.0))]

    async def hour() -> None:
        await delivery.flush()
        house.clock.time += HOUR
        await digests.step()

    def sealed() -> list[str]:
        folder = f"AWSLogs/{ORGANIZATION.id}/{MEMBER}/CloudTrail-Digest/us-east-1/"
        return [key for _, key in objects(house.ledger, folder)]

    await change(house, MEMBER, joins=True)
    await hour()
    await hour()
    chain = CHAINS.get(Unit(house, 0.0), trail.id, place)
    assert (chain.account_id, chain.closed, chain.organization_id) == (MEMBER, False, ORGANIZATION.id)
    before = len(sealed())
    assert before >= 2
    await change(house, MEMBER, joins=False)
    await hour()
    await hour()
    assert CHAINS.get(Unit(house, 0.0), trail.id, place).closed
    ended = len(sealed())
    assert ended > before
    await hour()
    assert len(sealed()) == ended
    await change(house, MEMBER, joins=True)
    await hour()
    await hour()
    assert not CHAINS.get(Unit(house, 0.0), trail.id, place).closed
    assert len(sealed()) > ended


async def test_who_leaves_before_the_first_digest_has_one_all_the_same():
    house = await organization_house()
    await change(house, MEMBER, joins=True)
    await change(house, MEMBER, joins=False)
    delivery, digests = DeliveryFollower(house), DigestFollower(house)
    await delivery.flush()
    for _ in range(3):
        house.clock.time += HOUR
        await digests.step()
        await delivery.flush()
    theirs = objects(house.ledger, f"AWSLogs/{ORGANIZATION.id}/{MEMBER}/CloudTrail-Digest/").values()
    named = [each["s3Object"] for file in theirs for each in json.loads(gzip.decompress(file["body"]))["logFiles"]]
    files = [key for _, key in objects(house.ledger, f"AWSLogs/{ORGANIZATION.id}/{MEMBER}/CloudTrail/")]
    assert sorted(named) == files != []
    [trail] = [row for _, row in TRAILS.all(Unit(house, 0.0))]
    assert CHAINS.get(Unit(house, 0.0), trail.id, f"{MEMBER}/us-east-1").closed


async def test_turned_back_it_logs_its_own_account_alone_and_gathered_lines_keep_their_folder():
    house = await organization_house()
    delivery = DeliveryFollower(house)
    await change(house, MEMBER, joins=True)
    await invoke(house, "UpdateTrail", {"Name": "main", "IsOrganizationTrail": False})
    await append(house, record("Later", recipientAccountId=MEMBER), record("Own"))
    await delivery.flush()
    assert "Later" not in names(delivered_records(house.ledger))
    keys = [key for _, key in objects(house.ledger, "/CloudTrail/")]
    assert any(key.startswith(f"AWSLogs/{ORGANIZATION.id}/{MEMBER}/") for key in keys)
    assert any(key.startswith(f"AWSLogs/{ACCOUNT}/") for key in keys)
    assert not any(key.startswith(f"AWSLogs/{MEMBER}/") for key in keys)


@pytest.mark.parametrize("at", range(1, 9))
async def test_a_crash_anywhere_loses_and_doubles_nothing(at):
    house = await organization_house(CrashingLedger())
    await change(house, MEMBER, joins=True)
    await change(house, MEMBER, joins=False)
    house.ledger.crash_at, house.ledger.crash_after = at, at % 2 == 0
    with contextlib.suppress(Crash):
        await DeliveryFollower(house).flush()
        await DigestFollower(house).step()
    house.ledger.crash_at = 0
    again = trail_house(house.ledger, now=house.clock.time)
    await DeliveryFollower(again).flush()
    theirs = [each for each in delivered_records(again.ledger) if each["recipientAccountId"] == MEMBER]
    assert names(theirs) == ["AcceptHandshake", "After", "Before", "LeaveOrganization"]


async def test_who_may_not_make_one():
    house = trail_house()
    given = {"Name": "main", "S3BucketName": BUCKET, "IsOrganizationTrail": True}
    assert await refused(house, "CreateTrail", given) == "OrganizationsNotInUseException"
    unit = Unit(house, NOW)
    billing = Organization("o-abcdefghij", ACCOUNT, "r-abcd", "CONSOLIDATED_BILLING", NOW)
    ORGANIZATIONS.put(unit, billing, billing.id)
    for account in (ACCOUNT, MEMBER):
        put_member(unit, billing, account, Member(NOW, "INVITED"))
    await house.ledger.commit(unit.writes, ())
    assert await refused(house, "CreateTrail", given) == "OrganizationNotInAllFeaturesModeException"
    assert await refused(house, "CreateTrail", given, account=MEMBER) == "NotOrganizationMasterAccountException"
    unit = Unit(house, NOW)
    ORGANIZATIONS.put(unit, ORGANIZATION, ORGANIZATION.id)
    await house.ledger.commit(unit.writes, ())
    assert await refused(house, "CreateTrail", given) == "CloudTrailAccessNotEnabledException"
    unit = Unit(house, NOW)
    TRUSTED.put(unit, TrustedService(NOW), ORGANIZATION.id, "cloudtrail.amazonaws.com")
    await house.ledger.commit(unit.writes, ())
    house.road.refuse["organizations"] = AwsError("AccessDeniedException", "no", 400)
    code = await refused(house, "CreateTrail", given)
    assert code == "InsufficientDependencyServiceAccessPermissionException"
    register = {"MemberAccountId": MEMBER}
    assert await refused(house, "RegisterOrganizationDelegatedAdmin", register) == code
    code = await refused(house, "RegisterOrganizationDelegatedAdmin", register, account=MEMBER)
    assert code == "NotOrganizationManagementAccountException"
    assert await refused(house, "RegisterOrganizationDelegatedAdmin", {"MemberAccountId": STRANGER}) == (
        "AccountNotFoundException"
    )
    gone = {"DelegatedAdminAccountId": MEMBER}
    assert await refused(house, "DeregisterOrganizationDelegatedAdmin", gone) == "AccountNotRegisteredException"


async def test_a_step_that_never_became_durable_is_taken_back():
    house = await organization_house()
    timelines = Timelines(house.ledger)
    timelines.refresh()
    before = dict(house.ledger.rows), list(house.ledger._keys)
    await change(house, MEMBER, joins=True)
    timelines.refresh()
    line = read_record(record("Put", recipientAccountId=MEMBER))
    seq = house.ledger.head() + 1
    assert timelines.logged(line, seq)
    house.ledger.rows, house.ledger._keys = before
    await change(house, STRANGER, joins=True)
    timelines.refresh()
    assert not timelines.logged(line, seq + 10)
    assert timelines.logged(read_record(record("Put", recipientAccountId=STRANGER)), seq + 10)


async def test_a_delegate_needs_the_management_accounts_role():
    house = await organization_house()
    unit = Unit(house, NOW)
    put_member(unit, ORGANIZATION, MEMBER, Member(NOW, "INVITED"))
    DELEGATES.put(unit, Delegate(NOW), ORGANIZATION.id, "cloudtrail.amazonaws.com", MEMBER)
    await house.ledger.commit(unit.writes, ())
    given = {"Name": "theirs", "S3BucketName": BUCKET, "IsOrganizationTrail": True}
    assert await refused(house, "CreateTrail", given, account=MEMBER) == "NoManagementAccountSLRExistsException"
