"""CodePipeline's operations as their callers see them: shapes, order, defaults, errors. Nothing runs here."""

from __future__ import annotations

import copy

import pytest

from opentrail.call import Call, Principal
from opentrail.errors import AwsError
from opentrail.model.shapes import ShapeModel
from opentrail.rows.codepipeline import PIPELINES
from opentrail.services.codepipeline import service
from opentrail.services.codepipeline_executions import LIST_MAX
from tests.fakes.house import new_unit
from tests.pipeline.made import ROLE, approval, declaration, deploy, source, type_id
from tests.services.codepipeline_world import ACCOUNT, ALICE, REGION, World

ARN = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:site"
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def world() -> World:
    return World()


def conforms(shape: ShapeModel, value: object, path: str = "") -> None:
    """Every member is the model's, in the model's order, and none that is required is missing."""
    if shape.type == "structure":
        assert isinstance(value, dict), path
        order = list(shape.members)
        assert [order.index(name) for name in value] == sorted(order.index(name) for name in value), (path, list(value))
        assert {m.name for m in shape.members.values() if m.required} <= value.keys(), path
        for name, inner in value.items():
            conforms(shape.members[name].shape, inner, f"{path}.{name}")
    elif shape.type == "list":
        for inner in value:
            conforms(shape.item.shape, inner, f"{path}[]")
    elif shape.type == "string":
        assert isinstance(value, str), path
        assert not shape.enum or value in shape.enum, (path, value)


async def shown(world: World, name: str, asked: dict) -> dict:
    output = await world.call(name, asked)
    conforms(world.house.models.operation("codepipeline", name).output, output, name)
    return output


async def test_every_answer_has_the_models_shape(world):
    world.road.add("src", "app.zip", b"PK\x05\x06" + bytes(18))
    created = await shown(world, "CreatePipeline", {"pipeline": declaration(), "tags": [{"key": "a", "value": "b"}]})
    assert created["tags"] == [{"key": "a", "value": "b"}]
    execution = await world.newest()
    async with world.following():
        await world.until(execution, "Succeeded")
    await shown(world, "StartPipelineExecution", {"name": "site"})
    await world.call("StartPipelineExecution", {"name": "site"})
    ids = {"pipelineName": "site", "pipelineExecutionId": execution}
    for name, asked in (
        ("GetPipeline", {"name": "site"}),
        ("GetPipelineState", {"name": "site"}),
        ("ListPipelines", {}),
        ("GetPipelineExecution", ids),
        ("ListPipelineExecutions", {"pipelineName": "site"}),
        ("ListActionExecutions", {"pipelineName": "site"}),
        ("ListActionTypes", {}),
        ("ListTagsForResource", {"resourceArn": ARN}),
        ("UpdatePipeline", {"pipeline": declaration()}),
    ):
        await shown(world, name, asked)


async def test_create_then_get(world):
    await world.create()
    got = await world.call("GetPipeline", {"name": "site"})
    assert got["pipeline"]["version"] == 1
    assert list(got["metadata"]) == ["pipelineArn", "created", "updated"]
    assert got["metadata"]["pipelineArn"] == ARN
    assert await world.refusal("CreatePipeline", {"pipeline": declaration()}) == "PipelineNameInUseException"


async def test_create_starts_an_execution(world):
    execution = await world.execution(await world.create())
    assert execution["status"] == "InProgress"
    assert execution["trigger"] == {"triggerType": "CreatePipeline", "triggerDetail": ALICE.arn}
    assert world.work() == ["run"]


async def test_the_same_name_elsewhere_is_another_pipeline(world):
    await world.create()
    unit = new_unit(world.house)
    assert PIPELINES.get(unit, ACCOUNT, "eu-west-1", "site") is None


@pytest.mark.parametrize("trusted", ["", "ec2.amazonaws.com"])
async def test_a_role_that_does_not_trust_codepipeline(world, trusted):
    other = ROLE.replace("pipeline", "other")
    if trusted:
        world.add_role(trusted, "other")
    with pytest.raises(AwsError) as caught:
        await world.call("CreatePipeline", {"pipeline": declaration(roleArn=other)})
    assert caught.value.code == "InvalidStructureException"
    assert caught.value.message == f"CodePipeline is not authorized to perform AssumeRole on role {other}"
    await world.create()
    assert await world.refusal("UpdatePipeline", {"pipeline": declaration(roleArn=other)}) == caught.value.code
    elsewhere = ROLE.replace("/service/", "/")
    assert await world.refusal("UpdatePipeline", {"pipeline": declaration(roleArn=elsewhere)}) == caught.value.code


async def test_unknown_pipelines(world):
    with pytest.raises(AwsError) as caught:
        await world.call("GetPipeline", {"name": "gone"})
    assert caught.value.message == f"Account '{ACCOUNT}' does not have a pipeline with name 'gone'"
    ids = {"pipelineName": "gone", "pipelineExecutionId": UNKNOWN}
    for name, asked in (
        ("GetPipelineState", {"name": "gone"}),
        ("StartPipelineExecution", {"name": "gone"}),
        ("StopPipelineExecution", ids),
        ("GetPipelineExecution", ids),
        ("ListPipelineExecutions", {"pipelineName": "gone"}),
        ("ListActionExecutions", {"pipelineName": "gone"}),
        ("RetryStageExecution", {**ids, "stageName": "s", "retryMode": "ALL_ACTIONS"}),
        ("UpdatePipeline", {"pipeline": declaration(name="gone")}),
    ):
        assert await world.refusal(name, asked) == "PipelineNotFoundException"
    assert await world.call("DeletePipeline", {"name": "gone"}) == {}


async def test_update_counts_up_keeps_the_old_and_cancels(world):
    first = await world.create()
    renamed = declaration()
    renamed["stages"][0]["name"] = "MySourceStage"
    renamed["version"] = 1
    output = await world.call("UpdatePipeline", {"pipeline": renamed})
    assert output["pipeline"]["version"] == 2
    assert output["pipeline"]["stages"][0]["name"] == "MySourceStage"
    assert (await world.execution(first))["status"] == "Cancelled"
    assert world.work() == []
    old = await world.call("GetPipeline", {"name": "site", "version": 1})
    assert old["pipeline"]["stages"][0]["name"] == "Source"
    assert await world.refusal("GetPipeline", {"name": "site", "version": 3}) == "PipelineVersionNotFoundException"
    await world.call("StartPipelineExecution", {"name": "site"})
    state = await world.call("GetPipelineState", {"name": "site"})
    assert state["stageStates"][0]["stageName"] == "MySourceStage"
    assert state["stageStates"][0]["latestExecution"]["status"] == "InProgress"


async def test_secrets_do_not_come_back(world):
    hub = source(
        actionTypeId=type_id("ThirdParty Source GitHub"),
        configuration={"Owner": "o", "Repo": "r", "Branch": "b", "OAuthToken": "s3cret"},
    )
    given = declaration()
    given["stages"][0]["actions"] = [hub]
    created = await world.call("CreatePipeline", {"pipeline": copy.deepcopy(given)})
    assert created["pipeline"]["stages"][0]["actions"][0]["configuration"]["OAuthToken"] == "****"
    kept = PIPELINES.get(new_unit(world.house), ACCOUNT, REGION, "site").secrets
    await world.call("UpdatePipeline", {"pipeline": created["pipeline"]})
    assert PIPELINES.get(new_unit(world.house), ACCOUNT, REGION, "site").secrets == kept
    seal = world.house.seal
    assert seal.open(kept["Source/Fetch/OAuthToken"], "codepipeline.configuration") == b"s3cret"
    assert not any(b"s3cret" in row.value for row in world.house.ledger.rows.values())
    assert not any(b"s3cret" in line.data for line in world.house.ledger.lines)


async def test_a_token_starts_one_execution(world):
    await world.create()
    asked = {"name": "site", "clientRequestToken": "t-1"}
    first = await world.call("StartPipelineExecution", dict(asked))
    assert await world.call("StartPipelineExecution", dict(asked)) == first
    changed = {**asked, "sourceRevisions": []}
    assert await world.refusal("StartPipelineExecution", changed) == "ConflictException"


async def test_a_rule_is_the_trigger_it_acts_for(world):
    await world.create()
    rule = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/upload"
    role = Principal(
        "AssumedRole", ACCOUNT, "arn:aws:sts::1:assumed-role/r/s", invoked_by="events.amazonaws.com", source_arn=rule
    )
    await world.call("StartPipelineExecution", {"name": "site"}, who=role)
    execution = await world.execution(await world.newest())
    assert execution["trigger"] == {"triggerType": "CloudWatchEvent", "triggerDetail": rule}


async def test_executions_are_listed_newest_first_in_pages(world):
    await world.create(executionMode="QUEUED")
    ids = [await world.newest()]
    ids += [(await world.call("StartPipelineExecution", {"name": "site"}))["pipelineExecutionId"] for _ in range(4)]
    found: list[str] = []
    asked: dict = {"pipelineName": "site", "maxResults": 2}
    while True:
        page = await world.call("ListPipelineExecutions", asked)
        found += [each["pipelineExecutionId"] for each in page["pipelineExecutionSummaries"]]
        if "nextToken" not in page:
            break
        asked["nextToken"] = page["nextToken"]
    assert found == ids[::-1]
    filtered = {"pipelineName": "site", "filter": {"succeededInStage": {"stageName": "Source"}}}
    assert (await world.call("ListPipelineExecutions", filtered))["pipelineExecutionSummaries"] == []


@pytest.mark.parametrize("token", ["!", "AAAA", "é", "/" * 2048, "Y29kZXBpcGVsaW5lLnBpcGVsaW5lAA=="])
async def test_tokens_of_others_are_refused(world, token):
    await world.create()
    for name, asked in (
        ("ListPipelineExecutions", {"pipelineName": "site"}),
        ("ListActionExecutions", {"pipelineName": "site"}),
        ("ListActionTypes", {}),
    ):
        assert await world.refusal(name, {**asked, "nextToken": token}) == "InvalidNextTokenException"


async def test_pipelines_are_listed_in_pages(world):
    for name in ("c", "a", "b"):
        await world.call("CreatePipeline", {"pipeline": declaration(name=name)})
    page = await world.call("ListPipelines", {"maxResults": 2})
    assert [each["name"] for each in page["pipelines"]] == ["a", "b"]
    rest = await world.call("ListPipelines", {"maxResults": 2, "nextToken": page["nextToken"]})
    assert [each["name"] for each in rest["pipelines"]] == ["c"]
    assert list(rest["pipelines"][0]) == ["name", "version", "pipelineType", "executionMode", "created", "updated"]


async def test_a_variable_without_default_has_to_be_given(world):
    await world.create(variables=[{"name": "to"}])
    assert await world.refusal("StartPipelineExecution", {"name": "site"}) == "ValidationException"
    given = {"name": "site", "variables": [{"name": "to", "value": "live"}]}
    await world.call("StartPipelineExecution", given)
    shown_ = await world.execution(await world.newest())
    assert shown_["variables"] == [{"name": "to", "resolvedValue": "live"}]


async def test_too_many_at_once_are_refused(world):
    await world.create(executionMode="PARALLEL")
    for _ in range(49):
        await world.call("StartPipelineExecution", {"name": "site"})
    refused = await world.refusal("StartPipelineExecution", {"name": "site"})
    assert refused == "ConcurrentPipelineExecutionsLimitExceededException"


async def test_old_executions_are_forgotten(world, monkeypatch):
    monkeypatch.setattr("opentrail.services.codepipeline_common.EXECUTIONS_KEPT_MAX", 2)
    await world.create()
    for number in range(4):
        await world.call("StartPipelineExecution", {"name": "site", "clientRequestToken": f"t{number}"})
    listed = await world.call("ListPipelineExecutions", {"pipelineName": "site"})
    assert [each["status"] for each in listed["pipelineExecutionSummaries"]] == [
        "InProgress",
        "Superseded",
        "InProgress",
    ]
    assert sum(key.startswith(b"codepipeline.token") for key in world.house.ledger.rows) == 2


async def test_stop_refusals(world):
    execution = await world.create()
    asked = {"pipelineName": "site", "pipelineExecutionId": execution}
    await world.call("StopPipelineExecution", {**asked, "reason": "lunch"})
    assert (await world.execution(execution))["status"] == "Stopping"
    assert await world.refusal("StopPipelineExecution", asked) == "DuplicatedStopRequestException"
    await world.call("StopPipelineExecution", {**asked, "abandon": True, "reason": "now"})
    assert await world.refusal("StopPipelineExecution", asked) == "PipelineExecutionNotStoppableException"
    listed = await world.call("ListPipelineExecutions", {"pipelineName": "site"})
    summary = listed["pipelineExecutionSummaries"][0]
    assert (summary["status"], summary["stopTrigger"]) == ("Stopped", {"reason": "now"})


async def test_retry_refusals(world):
    execution = await world.create()
    asked = {
        "pipelineName": "site",
        "stageName": "Source",
        "pipelineExecutionId": execution,
        "retryMode": "FAILED_ACTIONS",
    }
    assert await world.refusal("RetryStageExecution", asked) == "StageNotRetryableException"
    assert await world.refusal("RetryStageExecution", {**asked, "stageName": "No"}) == "StageNotFoundException"
    other = {**asked, "pipelineExecutionId": UNKNOWN}
    assert await world.refusal("RetryStageExecution", other) == "NotLatestPipelineExecutionException"


async def test_a_door_is_shut_and_shown(world):
    await world.create()
    asked = {"pipelineName": "site", "stageName": "Deploy", "transitionType": "Inbound"}
    await world.call("DisableStageTransition", {**asked, "reason": "freeze"})
    state = await world.call("GetPipelineState", {"name": "site"})
    assert state["stageStates"][0]["inboundTransitionState"] == {"enabled": True}
    assert state["stageStates"][1]["inboundTransitionState"] == {
        "enabled": False,
        "lastChangedBy": ALICE.arn,
        "lastChangedAt": world.house.clock.now(),
        "disabledReason": "freeze",
    }
    await world.call("EnableStageTransition", asked)
    state = await world.call("GetPipelineState", {"name": "site"})
    assert state["stageStates"][1]["inboundTransitionState"]["enabled"] is True
    assert await world.refusal("EnableStageTransition", {**asked, "stageName": "No"}) == "StageNotFoundException"


async def test_approval_refusals(world):
    await world.create({"name": "Ask", "actions": [approval()]})
    asked = {
        "pipelineName": "site",
        "stageName": "Ask",
        "actionName": "Ask",
        "result": {"summary": "", "status": "Approved"},
        "token": UNKNOWN,
    }
    assert await world.refusal("PutApprovalResult", asked) == "InvalidApprovalTokenException"
    assert await world.refusal("PutApprovalResult", {**asked, "stageName": "No"}) == "StageNotFoundException"
    assert await world.refusal("PutApprovalResult", {**asked, "actionName": "No"}) == "ActionNotFoundException"
    assert await world.refusal("PutApprovalResult", {**asked, "token": "x"}) == "ValidationException"


async def test_an_action_that_never_ran_has_no_execution(world):
    await world.create()
    assert "latestExecution" not in await world.action(1)
    assert (await world.action(0))["latestExecution"]["status"] == "InProgress"


async def test_tags(world):
    await world.create()
    await world.call(
        "TagResource", {"resourceArn": ARN, "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": ""}]}
    )
    await world.call("UntagResource", {"resourceArn": ARN, "tagKeys": ["a", "zzz"]})
    assert await world.call("ListTagsForResource", {"resourceArn": ARN}) == {"tags": [{"key": "b", "value": ""}]}
    many = [{"key": str(n), "value": ""} for n in range(50)]
    assert await world.refusal("TagResource", {"resourceArn": ARN, "tags": many}) == "TooManyTagsException"
    for keys in (["aws:x"], ["q", "q"]):
        wrong = {"resourceArn": ARN, "tags": [{"key": key, "value": ""} for key in keys]}
        assert await world.refusal("TagResource", wrong) == "InvalidTagsException"


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (ARN + "x", "ResourceNotFoundException"),
        (ARN + "/Source", "InvalidArnException"),
        (ARN.replace(REGION, "eu-west-1"), "ResourceNotFoundException"),
        (ARN.replace(ACCOUNT, "999999999999"), "ResourceNotFoundException"),
        (f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:webhook:x", "InvalidArnException"),
        ("site", "ValidationException"),
    ],
)
async def test_arns_that_are_no_pipelines(world, arn, code):
    await world.create()
    assert await world.refusal("ListTagsForResource", {"resourceArn": arn}) == code


async def test_bad_input_changes_nothing(world):
    bad = declaration({"name": "Deploy", "actions": [deploy(configuration={"BucketName": "", "Extract": "true"})]})
    assert await world.refusal("CreatePipeline", {"pipeline": bad}) == "ValidationException"
    assert await world.refusal("CreatePipeline", {}) == "ValidationException"
    tags = [{"key": "aws:x", "value": ""}]
    assert await world.refusal("CreatePipeline", {"pipeline": declaration(), "tags": tags}) == "InvalidTagsException"
    revisions = [{"actionName": "No", "revisionType": "S3_OBJECT_KEY", "revisionValue": "k"}]
    assert [key for key in world.house.ledger.rows if key.startswith(b"codepipeline.")] == []
    await world.create()
    asked = {"name": "site", "sourceRevisions": revisions}
    assert await world.refusal("StartPipelineExecution", asked) == "ValidationException"
    unknown = {"name": "site", "variables": [{"name": "v", "value": "1"}]}
    assert await world.refusal("StartPipelineExecution", unknown) == "ValidationException"


def question(asked: object) -> list[tuple[str, str]]:
    operation = World().house.models.operation("codepipeline", "CreatePipeline")
    call = Call(None, "r", "h", 0.0, operation, REGION, ACCOUNT, principal=ALICE)  # type: ignore[arg-type]
    call.input = asked  # type: ignore[assignment]
    guard = service.guard_of("CreatePipeline")
    return [(each.action, each.resource) for each in guard(call, None)]  # type: ignore[misc, arg-type]


def test_declaring_a_pipeline_asks_to_pass_its_roles():
    other = ROLE + "2"
    given = declaration({"name": "Deploy", "actions": [deploy(roleArn=other)]})
    assert question({"pipeline": given}) == [
        ("codepipeline:CreatePipeline", ARN),
        ("iam:PassRole", ROLE),
        ("iam:PassRole", other),
    ]


@pytest.mark.parametrize("asked", [{}, {"pipeline": 7}, {"pipeline": {"stages": [1, {"actions": [2]}], "roleArn": []}}])
def test_the_guard_bears_nonsense(asked):
    assert len(question(asked)) == 1


def test_lists_are_bounded():
    assert LIST_MAX == 100
