"""One account on the real gate with S3, IAM, STS, CloudTrail and CloudWatch Logs, and a trail with a log group."""

from __future__ import annotations

import json
from typing import Any

from opentrail.call import Principal, Shape
from opentrail.followers.trail_log_groups import TrailLogGroupsFollower
from opentrail.model.load import load_models
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.road import InternalRoad
from opentrail.services import cloudtrail, iam, logs, sts
from opentrail.services.accounts import create_account
from opentrail.services.identity import credentials_holder
from opentrail.services.s3 import service as s3
from opentrail.settings import Settings
from opentrail.state import House, Sealer, Unit
from tests.clients.trail_log import log_bucket_policy
from tests.fakes.blobs import FakeBlobs
from tests.fakes.ledger import FakeLedger

ACCOUNT, REGION = "123456789012", "us-east-1"
ROOT = Principal("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:trails:*"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/trail-logs"
STREAM = f"{ACCOUNT}_CloudTrail_{REGION}"
LOG_GROUP = {"CloudWatchLogsLogGroupArn": GROUP, "CloudWatchLogsRoleArn": ROLE}
SERVICES = {module.service.name: module.service for module in (s3, iam, sts, cloudtrail, logs)}


def policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


class World:
    """Calls as the account's root; `restart` is another process on the same ledger."""

    def __init__(self, ledger: Any = None) -> None:
        self.ledger: Any = FakeLedger() if ledger is None else ledger
        self.clock = SystemClock()
        self.restart()

    def restart(self) -> None:
        road = InternalRoad()
        models = load_models()
        self.house = House(self.ledger, FakeBlobs(), self.clock, road, Settings(), models, Sealer(bytes(32)))
        road.gate = Gate(self.house, SERVICES, self.clock, None)  # type: ignore[arg-type]
        self.follower = TrailLogGroupsFollower(self.house, credentials_holder)

    async def call(self, service: str, operation: str, **given: Any) -> Shape:
        return (await self.house.road.call(ROOT, service, operation, given, region=REGION, source="root")).output

    async def set_up(self) -> World:
        """A bucket, a log group and a role, as the guide has them."""
        unit = Unit(self.house, self.clock.now())
        create_account(unit, ACCOUNT, "home", "home@example.com")
        await self.ledger.commit(unit.writes, ())
        await self.call("s3", "CreateBucket", Bucket="trail-bucket")
        await self.call(
            "s3", "PutBucketPolicy", Bucket="trail-bucket", Policy=log_bucket_policy("trail-bucket", ACCOUNT)
        )
        await self.call("logs", "CreateLogGroup", logGroupName="trails")
        trust = policy(Principal={"Service": "cloudtrail.amazonaws.com"}, Action="sts:AssumeRole")
        await self.call("iam", "CreateRole", RoleName="trail-logs", AssumeRolePolicyDocument=trust)
        await self.allow(["logs:CreateLogStream", "logs:PutLogEvents"])
        return self

    async def allow(self, actions: list[str]) -> None:
        resource = f"{GROUP.removesuffix(':*')}:log-stream:{STREAM}*"
        document = policy(Action=actions, Resource=resource)
        await self.call("iam", "PutRolePolicy", RoleName="trail-logs", PolicyName="p", PolicyDocument=document)

    async def trail(self, **given: Any) -> None:
        await self.call("cloudtrail", "CreateTrail", Name="main", S3BucketName="trail-bucket", **(LOG_GROUP | given))
        await self.call("cloudtrail", "StartLogging", Name="main")

    async def delivered(self) -> list[dict[str, Any]]:
        """The records in the log group."""
        found, token = [], {}
        while True:
            page = await self.call("logs", "FilterLogEvents", logGroupName="trails", **token)
            found += [json.loads(each["message"]) for each in page["events"]]
            if "nextToken" not in page:
                return found
            token = {"nextToken": page["nextToken"]}

    def records(self, name: str) -> list[dict[str, Any]]:
        """All records of an event name in the ledger."""
        lines = [json.loads(line.data) for line in self.ledger.lines if line.kind == "record"]
        return [each for each in lines if each["eventName"] == name]
