"""Executions from start to end: the real operations, engine, follower and actions on fakes of the ports."""

from __future__ import annotations

import asyncio

import pytest

from opentrail.errors import AwsError
from opentrail.rows.codepipeline_action import ActionContext, ActionResult
from tests.pipeline.made import ROLE, approval, declaration, deploy, type_id
from tests.services.codepipeline_world import World, as_json, zip_of

ASK = {"name": "Ask", "actions": [approval()]}


@pytest.fixture
def world() -> World:
    made = World()
    made.road.add("src", "app.zip", zip_of(index_html="<p>hi</p>", css__a_css="p {}"))
    return made


async def test_an_upload_ends_in_the_bucket(world):
    execution_id = await world.create()
    async with world.following():
        shown = await world.until(execution_id, "Succeeded", "Failed")
    assert shown["status"] == "Succeeded", await world.action(0)
    assert world.road.buckets["site"].keys() == ["css/a.css", "index.html"]
    assert world.road.buckets["site"].content("index.html") == b"<p>hi</p>"
    assert shown["artifactRevisions"][0]["revisionId"] == "v1"
    assert world.work() == []
    assert all(stream.closed for stream in world.road.streams)


async def test_its_footprint_is_that_of_the_role_acting_for_codepipeline(world):
    execution_id = await world.create()
    async with world.following():
        await world.until(execution_id, "Succeeded")
    s3 = [(call.operation, call.input["Bucket"]) for call in world.road.calls]
    assert s3[:4] == [
        ("GetBucketVersioning", "src"),
        ("HeadObject", "src"),
        ("GetObject", "src"),
        ("PutObject", "artifacts"),
    ]
    assert {call.principal.invoked_by for call in world.road.calls} == {"codepipeline.amazonaws.com"}
    assert {call.source for call in world.road.calls} == {"codepipeline.amazonaws.com"}
    assert world.road.calls[2].input["VersionId"] == "v1"
    assert [session[0] for session in world.sessions] == [ROLE, ROLE]
    key = world.road.calls[3].input["Key"]
    assert key.startswith("site/App/")
    assert len(key) == len("site/App/") + 7


async def test_the_events_tell_it_in_order(world):
    execution_id = await world.create()
    async with world.following():
        await world.until(execution_id, "Succeeded")
    assert world.told() == [
        "STARTED",
        "Source STARTED",
        "Source/Fetch STARTED",
        "Source/Fetch SUCCEEDED",
        "Source SUCCEEDED",
        "Deploy STARTED",
        "Deploy/Ship STARTED",
        "Deploy/Ship SUCCEEDED",
        "Deploy SUCCEEDED",
        "SUCCEEDED",
    ]
    first, fetched = world.events()[0], world.events()[3]
    assert first["resources"] == ["arn:aws:codepipeline:us-east-1:111122223333:site"]
    assert first["detail"]["execution-trigger"]["trigger-type"] == "CreatePipeline"
    assert first["detail-type"] == "CodePipeline Pipeline Execution State Change"
    assert fetched["detail"]["type"] == {"owner": "AWS", "provider": "S3", "category": "Source", "version": "1"}
    assert fetched["detail"]["version"] == 1
    assert fetched["detail"]["execution-result"]["external-execution-id"] == "v1"
    assert fetched["detail"]["output-artifacts"][0]["s3location"]["bucket"] == "artifacts"
    assert len({event["id"] for event in world.events()}) == len(world.events())


async def test_a_missing_object_fails_the_source_and_says_which(world):
    world.road.buckets["src"].versions.clear()
    execution_id = await world.create()
    async with world.following():
        await world.until(execution_id, "Failed")
    details = (await world.action(0))["latestExecution"]["errorDetails"]
    assert details["code"] == "RevisionUnavailable"
    assert "app.zip" in details["message"]
    assert world.told()[-3:] == ["Source/Fetch FAILED", "Source FAILED", "FAILED"]
    assert world.events()[-3]["detail"]["execution-result"]["error-code"] == "RevisionUnavailable"


async def test_a_role_that_is_not_ours_to_assume(world):
    world.refuse_role = True
    execution_id = await world.create()
    async with world.following():
        await world.until(execution_id, "Failed")
    message = (await world.action(0))["latestExecution"]["errorDetails"]["message"]
    assert f"CodePipeline is not authorized to perform AssumeRole on role {ROLE}" in message
    assert world.road.calls == []


async def test_a_provider_that_is_not_here_fails_visibly(world):
    build = {
        "name": "Make",
        "actionTypeId": type_id("AWS Build CodeBuild"),
        "configuration": {"ProjectName": "p"},
        "inputArtifacts": [{"name": "App"}],
    }
    execution_id = await world.create({"name": "Build", "actions": [build]})
    async with world.following():
        await world.until(execution_id, "Failed")
    assert (await world.action(1))["latestExecution"]["errorDetails"] == {
        "code": "ConfigurationError",
        "message": "The action provider AWS Build CodeBuild is not available here",
    }


async def test_variables_reach_the_configuration(world):
    given = declaration(
        {"name": "Deploy", "actions": [deploy(configuration={
            "BucketName": "site", "Extract": "false", "ObjectKey": "#{src.VersionId}/#{variables.to}.zip"})]},
        variables=[{"name": "to", "defaultValue": "live"}],
    )  # fmt: skip
    given["stages"][0]["actions"][0]["namespace"] = "src"
    await world.call("CreatePipeline", {"pipeline": given})
    execution_id = await world.newest()
    async with world.following():
        shown = await world.until(execution_id, "Succeeded", "Failed")
    assert world.road.buckets["site"].keys() == ["v1/live.zip"]
    assert shown["variables"] == [{"name": "to", "resolvedValue": "live"}]
    listed = await world.call("ListActionExecutions", {"pipelineName": "site"})
    ship = listed["actionExecutionDetails"][0]
    assert ship["input"]["configuration"]["ObjectKey"] == "#{src.VersionId}/#{variables.to}.zip"
    assert ship["input"]["resolvedConfiguration"]["ObjectKey"] == "v1/live.zip"


async def test_an_unresolved_variable_fails_the_action_at_once(world):
    configuration = {"BucketName": "site", "Extract": "false", "ObjectKey": "#{nobody.Knows}"}
    execution_id = await world.create({"name": "Deploy", "actions": [deploy(configuration=configuration)]})
    async with world.following():
        await world.until(execution_id, "Failed")
    assert "#{nobody.Knows}" in (await world.action(1))["latestExecution"]["errorDetails"]["message"]


async def test_an_approval_waits_and_lets_pass(world):
    execution_id = await world.create(ASK, {"name": "Deploy", "actions": [deploy()]})
    async with world.following():
        token = await asked(world)
        assert world.work() == ["expire"]
        answer = approve(token)
        assert (await world.call("PutApprovalResult", answer))["approvedAt"] > 0
        await world.until(execution_id, "Succeeded")
        assert await world.refusal("PutApprovalResult", answer) == "ApprovalAlreadyCompletedException"
    latest = (await world.action(1))["latestExecution"]
    assert (latest["summary"], latest["lastUpdatedBy"]) == ("fine", "arn:aws:iam::111122223333:user/alice")
    assert "token" not in latest
    assert world.work() == []


def approve(token: str, status: str = "Approved") -> dict:
    result = {"summary": "fine", "status": status}
    return {"pipelineName": "site", "stageName": "Ask", "actionName": "Ask", "result": result, "token": token}


async def asked(world: World) -> str:
    """Wait until the approval waits; its token."""
    async with asyncio.timeout(60):
        while world.work() != ["expire"]:
            await asyncio.sleep(0)
    return (await world.action(1))["latestExecution"]["token"]


async def test_a_rejection_fails_the_execution(world):
    execution_id = await world.create(ASK)
    async with world.following():
        await world.call("PutApprovalResult", approve(await asked(world), "Rejected"))
        await world.until(execution_id, "Failed")


async def test_an_approval_expires(world):
    execution_id = await world.create(ASK)
    async with world.following():
        await asked(world)
    world.house.clock.time += 7 * 24 * 3600
    async with world.following():
        await world.until(execution_id, "Failed")
    assert "in time" in (await world.action(1))["latestExecution"]["errorDetails"]["message"]


async def test_the_topic_is_told_with_the_token(world):
    topic = "arn:aws:sns:us-west-2:111122223333:ask"
    stage = {"name": "Ask", "actions": [approval(configuration={"NotificationArn": topic, "CustomData": "look"})]}
    await world.create(stage)
    async with world.following():
        token = await asked(world)
    told = world.road.calls[-1]
    assert (told.service, told.operation, told.region) == ("sns", "Publish", "us-west-2")
    assert token in told.input["Message"]
    assert '"customData": "look"' in told.input["Message"]


class Gate:
    """An action that waits to be let through."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.contexts: list[ActionContext] = []
        self.cancelled = 0

    async def run(self, context: ActionContext) -> ActionResult:
        self.contexts.append(context)
        self.begun.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ActionResult("Succeeded")


SOURCE = ("AWS", "Source", "S3")


async def test_what_a_crash_cut_short_is_run_again_with_the_same_context(world):
    execution_id = await world.create()
    gate = Gate()
    for _ in range(2):
        gate.begun.clear()
        async with world.following({SOURCE: gate}):
            await gate.begun.wait()
    first, second = gate.contexts
    assert (first.action_execution_id, first.outputs) == (second.action_execution_id, second.outputs)
    assert world.told().count("Source/Fetch STARTED") == 1
    async with world.following():
        await world.until(execution_id, "Succeeded")
    assert world.told().count("Source/Fetch SUCCEEDED") == 1


async def test_a_commit_that_is_not_durable_is_taken_again_and_counts_once(world, monkeypatch):
    monkeypatch.setattr("opentrail.followers.executions.RETRY_PAUSE", 0.0)
    execution_id = await world.create()
    world.road.hook = lambda noted: (
        setattr(world.house.ledger, "fail_next", True) if noted.input.get("Bucket") == "artifacts" else None
    )
    async with world.following():
        await world.until(execution_id, "Succeeded")
    assert world.told().count("SUCCEEDED") == 1
    assert world.told().count("Deploy/Ship SUCCEEDED") == 1


async def test_abandoning_cancels_the_action(world):
    execution_id = await world.create()
    gate = Gate()
    asked_ = {"pipelineName": "site", "pipelineExecutionId": execution_id, "abandon": True, "reason": "enough"}
    async with world.following({SOURCE: gate}):
        await gate.begun.wait()
        await world.call("StopPipelineExecution", asked_)
        async with asyncio.timeout(60):
            while not gate.cancelled:
                await asyncio.sleep(0)
    assert world.work() == []
    assert (await world.action(0))["latestExecution"]["status"] == "Abandoned"
    stopping = next(e for e in world.events() if e["detail"]["state"] == "STOPPING" and "stage" not in e["detail"])
    assert stopping["detail"]["stop-execution-comments"] == "enough"


async def test_a_mistake_of_an_action_fails_only_that_action(world, caplog):
    class Broken:
        async def run(self, context: ActionContext) -> ActionResult:
            raise KeyError("oops")

    execution_id = await world.create()
    async with world.following({SOURCE: Broken()}):
        await world.until(execution_id, "Failed")
    assert (await world.action(0))["latestExecution"]["errorDetails"]["message"] == "An internal error occurred"
    assert "oops" in caplog.text


async def test_an_action_has_a_time_limit(world):
    execution_id = await world.create()
    world.house.clock.time += 3600
    async with world.following({SOURCE: Gate()}):
        await world.until(execution_id, "Failed")
    assert "within 3600 seconds" in (await world.action(0))["latestExecution"]["errorDetails"]["message"]


async def test_a_retry_goes_on_where_it_failed(world):
    world.road.refuse["PutObject", "site"] = AwsError("AccessDenied", "Access Denied", 403)
    execution_id = await world.create()
    retry = {
        "pipelineName": "site",
        "stageName": "Deploy",
        "pipelineExecutionId": execution_id,
        "retryMode": "FAILED_ACTIONS",
    }
    async with world.following():
        await world.until(execution_id, "Failed")
        message = (await world.action(1))["latestExecution"]["errorDetails"]["message"]
        assert "bucket named site" in message
        world.road.refuse.clear()
        assert await world.call("RetryStageExecution", retry) == {"pipelineExecutionId": execution_id}
        await world.until(execution_id, "Succeeded")
    assert [call.operation for call in world.road.calls].count("HeadObject") == 1
    listed = {"pipelineName": "site", "filter": {"pipelineExecutionId": execution_id}}
    details = (await world.call("ListActionExecutions", listed))["actionExecutionDetails"]
    assert [(d["actionName"], d["status"]) for d in details] == [
        ("Ship", "Succeeded"),
        ("Ship", "Failed"),
        ("Fetch", "Succeeded"),
    ]
    latest = {"latestInPipelineExecution": {"pipelineExecutionId": execution_id, "startTimeRange": "Latest"}}
    newest = await world.call("ListActionExecutions", {"pipelineName": "site", "filter": latest})
    assert len(newest["actionExecutionDetails"]) == 2
    as_json(newest)


async def test_more_executions_than_slots_all_end(world, monkeypatch):
    monkeypatch.setattr("opentrail.followers.executions.RUNNING_MAX", 2)
    first = await world.create(executionMode="PARALLEL")
    started = [(await world.call("StartPipelineExecution", {"name": "site"}))["pipelineExecutionId"] for _ in range(7)]
    async with world.following():
        for each in [first, *started]:
            await world.until(each, "Succeeded")
    assert world.told().count("SUCCEEDED") == 8


async def test_the_history_of_a_deleted_pipeline_is_cleared_away(world):
    execution_id = await world.create()
    async with world.following():
        await world.until(execution_id, "Succeeded")
        await world.call("DeletePipeline", {"name": "site"})
        async with asyncio.timeout(60):
            while world.work():
                await asyncio.sleep(0)
    prefix = b"codepipeline."
    assert [key for key in world.house.ledger.rows if key.startswith(prefix)] == []


async def test_a_deleted_pipeline_stops_at_once(world):
    await world.create()
    gate = Gate()
    async with world.following({SOURCE: gate}):
        await gate.begun.wait()
        await world.call("DeletePipeline", {"name": "site"})
        async with asyncio.timeout(60):
            while world.work() or not gate.cancelled:
                await asyncio.sleep(0)
    assert world.told()[-3:] == ["Source/Fetch CANCELED", "Source CANCELED", "CANCELED"]


async def test_start_to_action_is_a_matter_of_milliseconds(world):
    await world.create()
    gate, taken = Gate(), []
    loop = asyncio.get_running_loop()
    async with world.following({SOURCE: gate}):
        await gate.begun.wait()
        gate.open.set()
        for _ in range(10):
            gate.begun.clear()
            begin = loop.time()
            await world.call("StartPipelineExecution", {"name": "site"})
            await gate.begun.wait()
            taken.append(loop.time() - begin)
    assert min(taken) < 0.2, "nobody looks for work now and then: it is told"
