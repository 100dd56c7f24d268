"""An upload's record starts a pipeline: the real ledger, gate, IAM, STS, EventBridge and CodePipeline."""

import asyncio
import json

import pytest

from opentrail.call import Principal
from opentrail.followers.rules import RulesFollower
from opentrail.rows.cloudtrail import CHANGES, CONFIGS, Change, TrailConfig, padded
from opentrail.rows.event_delivery import FAILED, OUTBOX
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.road import InternalRoad
from opentrail.services import codepipeline, events, iam, sts
from opentrail.services.sts_sessions import role_session
from opentrail.settings import Settings
from opentrail.state import House, Sealer, Unit
from opentrail.stores.ledger_sqlite import SqliteLedger
from opentrail.targets.plugs import target_plugs
from tests.fakes.blobs import FakeBlobs
from tests.followers.rules_world import UPLOADS, WRITES, record
from tests.services.events_caller import ACCOUNT, REGION, models

ROOT = Principal("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def action(name, category, configuration, **artifacts):
    type_id = {"category": category, "owner": "AWS", "provider": "S3", "version": "1"}
    return {"name": name, "actionTypeId": type_id, "configuration": configuration, **artifacts}


PIPELINE = {
    "name": "p",
    "roleArn": f"arn:aws:iam::{ACCOUNT}:role/cp",
    "artifactStore": {"type": "S3", "location": "artifacts"},
    "stages": [
        {
            "name": "Source",
            "actions": [
                action(
                    "Source",
                    "Source",
                    {"S3Bucket": "b", "S3ObjectKey": "k", "PollForSourceChanges": "false"},
                    outputArtifacts=[{"name": "x"}],
                )
            ],
        },
        {
            "name": "Deploy",
            "actions": [
                action("Deploy", "Deploy", {"BucketName": "d", "Extract": "true"}, inputArtifacts=[{"name": "x"}])
            ],
        },
    ],
}


class Server:
    """A house on a real ledger, with the services that take part."""

    def __init__(self, directory):
        clock, road = SystemClock(), InternalRoad()
        self.ledger = SqliteLedger(directory / "ledger.db")
        settings = Settings(data_dir=directory)
        self.house = House(self.ledger, FakeBlobs(), clock, road, settings, models(), Sealer(bytes(32)))
        services = {module.service.name: module.service for module in (codepipeline, events, iam, sts)}
        road.gate = Gate(self.house, services, clock, None)

    async def call(self, service, operation, **given):
        return (await self.house.road.call(ROOT, service, operation, given, region=REGION)).output

    async def set_up(self, allowed):
        for role, principal in (("cwe", "events.amazonaws.com"), ("cp", "codepipeline.amazonaws.com")):
            trust = policy(Principal={"Service": principal}, Action="sts:AssumeRole")
            await self.call("iam", "CreateRole", RoleName=role, AssumeRolePolicyDocument=trust)
        document = policy(Action=allowed, Resource="*")
        await self.call("iam", "PutRolePolicy", RoleName="cwe", PolicyName="p", PolicyDocument=document)
        await self.call("codepipeline", "CreatePipeline", pipeline=PIPELINE)
        unit = Unit(self.house, 0.0)
        config = TrailConfig("t", ACCOUNT, REGION, "logs", 0.0, logging=True, event_selectors=WRITES)
        CONFIGS.put(unit, config, "trail", padded(1))
        CHANGES.put(unit, Change(trail_id="trail", revision=1), "")
        await self.ledger.commit(unit.writes, ())
        await self.call("events", "PutRule", Name="r", EventPattern=UPLOADS, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/cwe")
        target = {"Id": "1", "Arn": f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:p"}
        await self.call("events", "PutTargets", Rule="r", Targets=[target])

    def starts(self):
        records = [json.loads(line.data) for _, line in self.ledger.read(0, 10_000) if line.kind == "record"]
        return [found for found in records if found["eventName"] == "StartPipelineExecution"]


@pytest.fixture
async def server(tmp_path):
    made = Server(tmp_path)
    yield made
    await made.ledger.close()


async def test_each_upload_starts_the_pipeline_once(server):
    await server.set_up("codepipeline:StartPipelineExecution")
    running = asyncio.create_task(RulesFollower(server.house, target_plugs(role_session)).run())  # noqa: TID251
    for number in range(3):
        await server.ledger.commit(Unit(server.house, 0.0).writes, [record(eventID=f"e{number}")])
    async with asyncio.timeout(60):
        while len(server.starts()) < 3:
            await server.ledger.wait(server.ledger.head())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    last = server.starts()[-1]
    assert last["userIdentity"]["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/cwe/AWSEvents_r"
    assert last["userIdentity"]["invokedBy"] == last["sourceIPAddress"] == "events.amazonaws.com"
    listed = await server.call("codepipeline", "ListPipelineExecutions", pipelineName="p")
    triggers = [each["trigger"] for each in listed["pipelineExecutionSummaries"]]
    rule = {"triggerType": "CloudWatchEvent", "triggerDetail": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"}
    assert triggers.count(rule) == 3
    follower = RulesFollower(server.house, target_plugs(role_session))
    await follower.flush()
    assert len(server.starts()) == 3
    assert list(OUTBOX.all(Unit(server.house, 0.0))) == []


async def test_a_role_without_permission_fails_in_sight(server):
    await server.set_up("codepipeline:GetPipeline")
    await server.ledger.commit(Unit(server.house, 0.0).writes, [record()])
    await RulesFollower(server.house, target_plugs(role_session)).flush()
    failed = FAILED.get(Unit(server.house, 0.0), ACCOUNT, REGION, "default", "r")
    assert (failed.count, failed.code) == (1, "NO_PERMISSIONS")
    assert "codepipeline:StartPipelineExecution" in failed.reason
    assert list(OUTBOX.all(Unit(server.house, 0.0))) == []
    assert server.starts()[-1]["errorCode"] == "AccessDenied"
