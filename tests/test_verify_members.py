"""The checker's own judge of organizations: over anything that accounts do, it has to agree with the one that delivers."""

from __future__ import annotations

import contextlib
import json
import random
from functools import cache
from typing import Any

import pytest

from opentrail.call import Principal
from opentrail.errors import AwsError
from opentrail.model.load import Models, load_models
from opentrail.record.record_head import read_record
from opentrail.rows.timelines import Timelines
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.road import InternalRoad
from opentrail.services import cloudtrail, iam, organizations, sts
from opentrail.services.accounts import create_account
from opentrail.services.s3.service import service as s3
from opentrail.settings import Settings
from opentrail.state import House, Sealer, Unit
from opentrail.verify_ledger import trail_arn
from opentrail.verify_members import Members
from opentrail.verify_trails import Trails, read_head
from tests.fakes.blobs import FakeBlobs
from tests.fakes.ledger import FakeLedger

ACCOUNTS = ("111111111111", "222222222222", "333333333333", "444444444444")
BOSSES = ACCOUNTS[:2]
"""Those that found organizations, and have trails."""
REGION, CLOUDTRAIL = "us-east-1", "cloudtrail.amazonaws.com"
SERVICES = {module.service.name: module.service for module in (iam, sts, cloudtrail, organizations)} | {"s3": s3}
STEPS = 500


@cache
def models() -> Models:
    return load_models()


class World:
    """Four accounts that do at random what makes, changes and ends organizations and trails; most of it is refused."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ledger = FakeLedger()
        road, clock = InternalRoad(), SystemClock()
        self.house = House(self.ledger, FakeBlobs(), clock, road, Settings(), models(), Sealer(bytes(32)))  # type: ignore[arg-type]
        road.gate = Gate(self.house, SERVICES, clock, None)  # type: ignore[arg-type]

    async def call(self, account: str, service: str, operation: str, **given: Any) -> Any:
        """The output; empty if it was refused."""
        root = Principal("Root", account, f"arn:aws:iam::{account}:root", account)
        with contextlib.suppress(AwsError):
            return (await self.house.road.call(root, service, operation, given, region=REGION, source="root")).output
        return {}

    async def begin(self) -> None:
        unit = Unit(self.house, self.house.clock.now())
        for account in ACCOUNTS:
            create_account(unit, account, account, f"{account}@example.com")
        await self.ledger.commit(unit.writes, ())
        statement = {"Effect": "Allow", "Principal": {"Service": CLOUDTRAIL}, "Action": ["s3:Get*", "s3:PutObject"],
                     "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]}  # fmt: skip
        await self.call(ACCOUNTS[0], "s3", "CreateBucket", Bucket="logs")
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await self.call(ACCOUNTS[0], "s3", "PutBucketPolicy", Bucket="logs", Policy=document)

    async def step(self) -> None:
        rng, account, boss = self.rng, self.rng.choice(ACCOUNTS), self.rng.choice(BOSSES)
        await self.call(account, "iam", "CreateUser", UserName=f"u{rng.random()}")
        doings = (self.membership, self.membership, self.access, self.trail, self.trail)
        await rng.choice(doings)(account, boss)

    async def membership(self, account: str, boss: str) -> None:
        match self.rng.randrange(12):
            case 0 | 1 | 2:
                await self.call(boss, "organizations", "CreateOrganization")
            case 3:
                await self.call(account, "organizations", "LeaveOrganization")
            case 4:
                await self.call(boss, "organizations", "RemoveAccountFromOrganization", AccountId=account)
            case 5 if self.rng.random() < 0.3:
                await self.call(boss, "organizations", "DeleteOrganization")
            case 6:
                email = f"{self.rng.choice((*ACCOUNTS, str(self.rng.random())))}@example.com"
                await self.call(boss, "organizations", "CreateAccount", AccountName="a", Email=email)
            case _:
                target = {"Id": account, "Type": "ACCOUNT"}
                sent = await self.call(boss, "organizations", "InviteAccountToOrganization", Target=target)
                if sent:
                    number = sent["Handshake"]["Id"]
                    await self.call(account, "organizations", "AcceptHandshake", HandshakeId=number)

    async def access(self, account: str, boss: str) -> None:
        kind = self.rng.choice(("Enable", "Enable", "Enable", "Disable"))
        service = self.rng.choice((CLOUDTRAIL, CLOUDTRAIL, "config.amazonaws.com"))
        await self.call(boss, "organizations", f"{kind}AWSServiceAccess", ServicePrincipal=service)
        kind = self.rng.choice(("Register", "Deregister"))
        await self.call(
            boss, "organizations", f"{kind}DelegatedAdministrator", AccountId=account, ServicePrincipal=CLOUDTRAIL
        )

    async def trail(self, account: str, boss: str) -> None:
        """By the trail's own account, or by one that may be a delegate."""
        name = self.rng.choice("ab") * 3
        arn, who = trail_arn(REGION, boss, name), self.rng.choice((boss, boss, account))
        reach = {name: self.rng.random() < 0.7 for name in ("IsOrganizationTrail", "IsMultiRegionTrail")}
        match self.rng.randrange(10):
            case 0 | 1 | 2:
                await self.call(who, "cloudtrail", "CreateTrail", Name=name, S3BucketName="logs", **reach)
            case 3 | 4 | 5:
                await self.call(who, "cloudtrail", "StartLogging", Name=arn)
            case 6:
                await self.call(who, "cloudtrail", "StopLogging", Name=arn)
            case 7:
                await self.call(who, "cloudtrail", "DeleteTrail", Name=arn)
            case 8:
                selectors = [{"ReadWriteType": self.rng.choice(("All", "ReadOnly", "WriteOnly"))}]
                await self.call(who, "cloudtrail", "PutEventSelectors", TrailName=arn, EventSelectors=selectors)
            case _:
                await self.call(who, "cloudtrail", "UpdateTrail", Name=arn, **reach)


@pytest.mark.parametrize("seed", range(6))
async def test_both_judges_agree_whatever_accounts_do(seed):
    world = World(seed)
    await world.begin()
    for _ in range(STEPS):
        await world.step()
    timelines, trails, foreign = Timelines(world.ledger), Trails(), 0
    timelines.refresh()
    for seq, line in world.ledger.read(0, 1_000_000):
        if line.kind != "record":
            continue
        record = read_record(line.data)
        wanted = {
            (trail_arn(each.newest.home_region, each.newest.account_id, each.newest.name), each.organization_at(seq))
            for each in timelines.logging(record, seq)
        }
        found = {(each.arn, each.organization) for each in trails.see(read_head(line.data))}
        assert found == wanted, (seq, line.data)
        foreign += sum(arn.split(":")[4] != record.recipient_account_id for arn, _ in found)
    assert trails.unknown == set()
    assert foreign > 10, "members were logged"


def test_what_is_no_such_answer_changes_nothing():
    members = Members()
    assert members.change("CreateOrganization", "1", {}, {"organization": {"id": "o-1"}}) == ""
    for made in ({}, {"createAccountStatus": None}, {"createAccountStatus": {"state": "FAILED"}}, {"handshake": []}):
        for name in ("CreateOrganization", "CreateAccount", "AcceptHandshake"):
            assert members.change(name, "2", {}, made) == ""
            assert members.change(name, "1", {}, made) == ""
    assert (members.organization_of("1"), members.organization_of("2")) == ("o-1", "")
    assert members.change("DisableAWSServiceAccess", "1", {"servicePrincipal": "config.amazonaws.com"}, {}) == ""
    assert members.change("DisableAWSServiceAccess", "1", {"servicePrincipal": CLOUDTRAIL}, {}) == "o-1"
