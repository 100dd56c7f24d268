"""CodePipeline: the state of a pipeline's stages, the doors between them, action executions and action types."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.pipeline import advance as engine
from opentrail.pipeline.catalogue import ActionType, action_types
from opentrail.pipeline.states import Stage, State
from opentrail.rows.codepipeline import (
    ACTION_RUNS,
    LATEST_ACTIONS,
    ActionRun,
    Artifact,
    Pipeline,
    Transition,
    descending,
    get_action_run,
)
from opentrail.rows.codepipeline_steps import apply
from opentrail.service import Service
from opentrail.services.codepipeline_common import (
    bad_token,
    engine_of,
    execution_of,
    filled,
    find_pipeline,
    put_pipeline,
    read_page,
)
from opentrail.services.codepipeline_executions import check_stage
from opentrail.state import Unit

LIST_MAX = 100
MODEL_COUNT_MAX = 5
"""Artifact counts of the model's ArtifactDetails end here."""

service = Service("codepipeline")


@service.operation("GetPipelineState")
async def get_pipeline_state(call: Call, unit: Unit) -> Shape:
    """Show where executions are, stage by stage and action by action."""
    pipeline = find_pipeline(call, unit, call.input["name"])
    state = engine_of(unit, pipeline).state
    stages = pipeline.declaration["stages"]
    return {
        "pipelineName": pipeline.name,
        "pipelineVersion": pipeline.version,
        "stageStates": [_stage_state(unit, pipeline, state, index) for index in range(len(stages))],
        "created": pipeline.created,
        "updated": pipeline.updated,
    }


def _stage_state(unit: Unit, pipeline: Pipeline, state: State, index: int) -> Shape:
    declared = pipeline.declaration["stages"][index]
    name = declared["name"]
    place = state.stages.get(name, Stage())
    inbound = [_waiting(each) for each in place.waiting]
    return filled(
        {
            "stageName": name,
            "inboundExecution": inbound[-1] if inbound else None,
            "inboundExecutions": inbound or None,
            "inboundTransitionState": _transition_state(pipeline, state, index),
            "actionStates": [_action_state(unit, pipeline, name, each) for each in declared["actions"]],
            "latestExecution": _latest(state, name, place),
        }
    )


def _waiting(execution_id: str) -> Shape:
    return {"pipelineExecutionId": execution_id, "status": "InProgress", "type": "STANDARD"}


def _latest(state: State, stage: str, place: Stage) -> Shape | None:
    execution = state.executions.get(place.latest)
    if execution is None or stage not in execution.runs:
        return None
    return {"pipelineExecutionId": execution.id, "status": execution.runs[stage].status, "type": "STANDARD"}


def _transition_state(pipeline: Pipeline, state: State, index: int) -> Shape:
    """The door before a stage: shut if its inbound or the stage before's outbound transition is disabled."""
    stages = pipeline.declaration["stages"]
    name = stages[index]["name"]
    before = stages[index - 1]["name"] if index else ""
    changes = [pipeline.transitions[door] for door in (name, f"{before}>") if door in pipeline.transitions]
    shut = not state.stages.get(name, Stage()).inbound or not state.stages.get(before, Stage()).outbound
    shown: dict[str, Any] = {"enabled": not shut}
    change = next((each for each in changes if each.enabled != shut), None)
    if change is not None:
        shown |= {"lastChangedBy": change.changed_by, "lastChangedAt": change.changed_at}
        shown |= {"disabledReason": change.reason} if shut and change.reason else {}
    return shown


def _action_state(unit: Unit, pipeline: Pipeline, stage: str, declared: dict[str, Any]) -> Shape:
    latest = LATEST_ACTIONS.get(unit, pipeline.id, stage, declared["name"])
    run = latest and get_action_run(unit, pipeline.id, latest.number, latest.ordinal)
    revision = latest.revision if latest else None
    shown: dict[str, Any] = {"actionName": declared["name"]}
    if revision is not None:
        shown["currentRevision"] = {
            "revisionId": revision.revision_id,
            "revisionChangeId": revision.revision_change_id,
            "created": revision.created,
        }
    if run:
        shown["latestExecution"] = _action_execution(run)
    url = entity_url(pipeline.region, declared)
    return shown | filled({"entityUrl": url, "revisionUrl": revision.revision_url if revision else ""})


def entity_url(region: str, declared: dict[str, Any]) -> str:
    """The console page of what an action works on; empty where there is none."""
    given, kind = declared["configuration"], declared["actionTypeId"]
    if kind["provider"] != "S3":
        return ""
    bucket = given.get("S3Bucket") or given.get("BucketName")
    return f"https://console.aws.amazon.com/s3/home?region={region}#/buckets/{bucket}"


def _action_execution(run: ActionRun) -> Shape:
    waits = run.status == "InProgress" and run.type_id["category"] == "Approval"
    return filled(
        {
            "actionExecutionId": run.id,
            "status": run.status,
            "summary": run.summary,
            "lastStatusChange": run.updated,
            "token": run.token if waits else None,
            "lastUpdatedBy": run.updated_by,
            "externalExecutionId": run.external_id,
            "externalExecutionUrl": run.external_url,
            "errorDetails": _error_details(run),
        }
    )


def _error_details(run: ActionRun) -> Shape | None:
    return {"code": run.error_code, "message": run.error_message} if run.error_code else None


@service.operation("DisableStageTransition")
async def disable_stage_transition(call: Call, unit: Unit) -> Shape:
    """Keep executions from entering, or from leaving, a stage."""
    return _change_transition(call, unit, enabled=False)


@service.operation("EnableStageTransition")
async def enable_stage_transition(call: Call, unit: Unit) -> Shape:
    """Let executions enter, or leave, a stage again; what waited goes on."""
    return _change_transition(call, unit, enabled=True)


def _change_transition(call: Call, unit: Unit, *, enabled: bool) -> Shape:
    pipeline = find_pipeline(call, unit, call.input["pipelineName"])
    stage, kind = call.input["stageName"], call.input["transitionType"]
    check_stage(pipeline, stage)
    if pipeline.declaration["executionMode"] == "PARALLEL":
        raise AwsError(
            "ValidationException", "Stage transitions cannot be changed in pipelines of execution mode PARALLEL", 400
        )
    door = stage if kind == "Inbound" else f"{stage}>"
    change = Transition(enabled, call.principal.arn, unit.now, call.input.get("reason") or "")
    put_pipeline(unit, replace(pipeline, transitions={**pipeline.transitions, door: change}))
    apply(unit, pipeline, engine.StageTransition(stage, kind, enabled))
    return {}


@service.operation("ListActionExecutions")
async def list_action_executions(call: Call, unit: Unit) -> Shape:
    """List the executions of a pipeline's actions, the newest first."""
    pipeline = find_pipeline(call, unit, call.input["pipelineName"])
    asked = call.input.get("filter") or {}
    latest = asked.get("latestInPipelineExecution") or {}
    execution_id = asked.get("pipelineExecutionId") or latest.get("pipelineExecutionId")
    parts: tuple[str, ...] = (pipeline.id,)
    if execution_id:
        parts += (descending(execution_of(unit, pipeline, execution_id).number),)
    keep = _newest_attempts(unit, parts) if latest.get("startTimeRange") == "Latest" else None
    rows, token = read_page(
        unit,
        ACTION_RUNS,
        parts,
        call.input,
        call.input.get("maxResults") or LIST_MAX,
        lambda row: keep is None or row.id in keep,
    )
    return filled({"actionExecutionDetails": [_detail(row) for row in rows], "nextToken": token})


def _newest_attempts(unit: Unit, parts: tuple[str, ...]) -> set[str]:
    newest: dict[tuple[str, str], str] = {}
    for _, row in ACTION_RUNS.all(unit, *parts):
        newest.setdefault((row.stage, row.action), row.id)
    return set(newest.values())


def _detail(run: ActionRun) -> Shape:
    return filled(
        {
            "pipelineExecutionId": run.execution_id,
            "actionExecutionId": run.id,
            "pipelineVersion": run.version,
            "stageName": run.stage,
            "actionName": run.action,
            "startTime": run.started,
            "lastUpdateTime": run.updated,
            "updatedBy": run.updated_by,
            "status": run.status,
            "input": _input(run),
            "output": _output(run),
        }
    )


def _input(run: ActionRun) -> Shape:
    return filled(
        {
            "actionTypeId": run.type_id,
            "configuration": run.configuration,
            "resolvedConfiguration": run.resolved,
            "roleArn": run.declared_role,
            "region": run.region,
            "inputArtifacts": [_artifact(each) for each in run.inputs],
            "namespace": run.namespace,
        }
    )


def _output(run: ActionRun) -> Shape:
    result = {
        "externalExecutionId": run.external_id,
        "externalExecutionSummary": run.summary,
        "externalExecutionUrl": run.external_url,
        "errorDetails": _error_details(run),
    }
    made = run.outputs if run.status == "Succeeded" else ()
    return {
        "outputArtifacts": [_artifact(each) for each in made],
        "executionResult": filled(result),
        "outputVariables": run.variables,
    }


def _artifact(each: Artifact) -> Shape:
    return {"name": each.name, "s3location": {"bucket": each.bucket, "key": each.key}}


@service.operation("ListActionTypes")
async def list_action_types(call: Call, unit: Unit) -> Shape:
    """List the action types that a pipeline may declare."""
    if call.input.get("nextToken"):
        raise bad_token()
    return {"actionTypes": [_action_type(each) for each in action_types(call.input.get("actionOwnerFilter") or "")]}


def _action_type(kind: ActionType) -> Shape:
    properties = [
        {"name": each.name, "required": each.required, "key": each.required, "secret": each.secret, "queryable": False}
        for each in kind.properties
    ]
    return {
        "id": {"category": kind.category, "owner": kind.owner, "provider": kind.provider, "version": kind.version},
        "settings": {},
        "actionConfigurationProperties": properties,
        "inputArtifactDetails": _counts(kind.inputs),
        "outputArtifactDetails": _counts(kind.outputs),
    }


def _counts(bounds: tuple[int, int]) -> Shape:
    return {"minimumCount": bounds[0], "maximumCount": min(bounds[1], MODEL_COUNT_MAX)}
