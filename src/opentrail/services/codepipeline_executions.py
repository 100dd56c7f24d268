"""CodePipeline: executions. Start, stop, retry, approve and list them. Nothing runs in here: what is to be done becomes
work in the same commit, and the follower of executions does it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from opentrail.call import Call, Resource, Shape
from opentrail.errors import AwsError
from opentrail.pipeline import advance as engine
from opentrail.pipeline.definition import find_action
from opentrail.pipeline.states import RETRYABLE, RUNNING
from opentrail.rows.codepipeline import (
    EXECUTIONS,
    START_TOKENS,
    ActionRun,
    Execution,
    Pipeline,
    find_action_run,
    find_execution,
    put_execution,
)
from opentrail.rows.codepipeline_action import ActionResult
from opentrail.rows.codepipeline_steps import apply, finish_action
from opentrail.service import Service
from opentrail.services.codepipeline_common import (
    digest,
    engine_of,
    execution_of,
    filled,
    find_pipeline,
    read_page,
    start_execution,
    trigger_of,
)
from opentrail.state import Unit

LIST_MAX = 100

service = Service("codepipeline")


@service.operation("StartPipelineExecution")
async def start_pipeline_execution(call: Call, unit: Unit) -> Shape:
    """Start an execution; the same client request token starts one only once."""
    pipeline = find_pipeline(call, unit, call.input["name"])
    call.evidence.resources = [Resource("AWS::CodePipeline::Pipeline", pipeline.arn)]
    token = call.input.get("clientRequestToken")
    known = START_TOKENS.get(unit, pipeline.id, token) if token else None
    if known is not None:
        if known.asked != digest(call.input):
            raise AwsError(
                "ConflictException", "The client request token was used for a request with other parameters", 400
            )
        return {"pipelineExecutionId": known.execution_id}
    return {"pipelineExecutionId": start_execution(unit, pipeline, trigger_of(call), call.input)}


@service.operation("StopPipelineExecution")
async def stop_pipeline_execution(call: Call, unit: Unit) -> Shape:
    """Stop an execution when its running actions are done, or at once."""
    pipeline = find_pipeline(call, unit, call.input["pipelineName"])
    execution_id, abandon = call.input["pipelineExecutionId"], bool(call.input.get("abandon"))
    row = find_execution(unit, pipeline.id, execution_id)
    if row is None or row.status not in RUNNING:
        raise AwsError(
            "PipelineExecutionNotStoppableException",
            f"Unable to stop execution '{execution_id}': it is not in progress in pipeline '{pipeline.name}'",
            400,
        )
    if row.status == "Stopping" and not abandon:
        raise AwsError("DuplicatedStopRequestException", f"Execution '{execution_id}' is already being stopped", 400)
    put_execution(unit, pipeline.id, replace(row, stop_reason=call.input.get("reason") or ""))
    apply(unit, pipeline, engine.StopRequested(execution_id, abandon))
    return {"pipelineExecutionId": execution_id}


@service.operation("RetryStageExecution")
async def retry_stage_execution(call: Call, unit: Unit) -> Shape:
    """Run the failed actions, or all actions, of a failed stage again."""
    pipeline = find_pipeline(call, unit, call.input["pipelineName"])
    stage, execution_id = call.input["stageName"], call.input["pipelineExecutionId"]
    place = engine_of(unit, pipeline).state.stages.get(stage)
    check_stage(pipeline, stage)
    row = find_execution(unit, pipeline.id, execution_id)
    if place is None or row is None or place.latest != execution_id:
        raise AwsError(
            "NotLatestPipelineExecutionException",
            f"The execution '{execution_id}' is not the latest of stage '{stage}'",
            400,
        )
    if row.stages.get(stage) not in RETRYABLE or row.status not in RETRYABLE or row.version != pipeline.version:
        raise AwsError("StageNotRetryableException", f"The stage '{stage}' has no failed actions to retry", 400)
    if place.holder:
        raise AwsError("ConflictException", f"The stage '{stage}' is in use by another execution", 400)
    all_actions = call.input["retryMode"] == "ALL_ACTIONS"
    apply(unit, pipeline, engine.StageRetried(execution_id, stage, all_actions))
    return {"pipelineExecutionId": execution_id}


def check_stage(pipeline: Pipeline, stage: str) -> None:
    """Raise StageNotFoundException if the pipeline has no such stage."""
    if all(each["name"] != stage for each in pipeline.declaration["stages"]):
        raise AwsError(
            "StageNotFoundException", f"The pipeline '{pipeline.name}' does not have a stage named '{stage}'", 400
        )


@service.operation("PutApprovalResult")
async def put_approval_result(call: Call, unit: Unit) -> Shape:
    """Approve or reject what a manual approval action waits for."""
    pipeline = find_pipeline(call, unit, call.input["pipelineName"])
    run = _awaited(call, unit, pipeline)
    if run.status != "InProgress":
        raise AwsError("ApprovalAlreadyCompletedException", "The approval action has already been completed", 400)
    given = call.input["result"]
    if given["status"] == "Approved":
        result = ActionResult("Succeeded", summary=given["summary"])
    else:
        message = f"Rejected by {call.principal.arn}"
        result = ActionResult("Failed", summary=given["summary"], error_code="JobFailed", error_message=message)
    finish_action(unit, pipeline, run, result, call.principal.arn)
    return {"approvedAt": unit.now}


def _awaited(call: Call, unit: Unit, pipeline: Pipeline) -> ActionRun:
    """The approval that the token is for."""
    stage, name = call.input["stageName"], call.input["actionName"]
    check_stage(pipeline, stage)
    action = find_action(pipeline.declaration, stage, name)
    if action is None:
        raise AwsError("ActionNotFoundException", f"The stage '{stage}' does not have an action named '{name}'", 400)
    if action["actionTypeId"]["category"] == "Approval":
        for execution in engine_of(unit, pipeline).state.executions.values():
            attempt = execution.runs[stage].actions.get(name) if stage in execution.runs else None
            run = attempt and find_action_run(unit, pipeline.id, execution.number, attempt.id)
            if run and run.token == call.input["token"]:
                return run
    raise AwsError("InvalidApprovalTokenException", "The approval token is not valid", 400)


@service.operation("GetPipelineExecution")
async def get_pipeline_execution(call: Call, unit: Unit) -> Shape:
    """Show an execution with the revisions it works on."""
    pipeline = find_pipeline(call, unit, call.input["pipelineName"])
    row = execution_of(unit, pipeline, call.input["pipelineExecutionId"])
    shown = {
        "pipelineName": pipeline.name,
        "pipelineVersion": row.version,
        "pipelineExecutionId": row.id,
        "status": row.status,
        "statusSummary": row.status_summary,
        "artifactRevisions": list(_revisions(row)),
        "variables": [{"name": name, "resolvedValue": value} for name, value in row.variables.items()] or None,
        "trigger": _trigger(row),
        "executionMode": row.mode,
        "executionType": "STANDARD",
    }
    return {"pipelineExecution": filled(shown)}


def _trigger(row: Execution) -> Shape:
    return {"triggerType": row.trigger_type, "triggerDetail": row.trigger_detail}


def _revisions(row: Execution) -> Iterable[Shape]:
    for each in row.artifacts.values():
        if each.revision_id:
            yield filled(
                {
                    "name": each.name,
                    "revisionId": each.revision_id,
                    "revisionChangeIdentifier": each.revision_change_id,
                    "revisionSummary": each.revision_summary,
                    "created": each.created or None,
                    "revisionUrl": each.revision_url,
                }
            )


@service.operation("ListPipelineExecutions")
async def list_pipeline_executions(call: Call, unit: Unit) -> Shape:
    """List a pipeline's executions, the newest first."""
    pipeline = find_pipeline(call, unit, call.input["pipelineName"])
    stage = ((call.input.get("filter") or {}).get("succeededInStage") or {}).get("stageName")

    def wanted(row: Execution) -> bool:
        return stage is None or row.stages.get(stage) == "Succeeded"

    limit = call.input.get("maxResults") or LIST_MAX
    rows, token = read_page(unit, EXECUTIONS, (pipeline.id,), call.input, limit, wanted)
    return filled({"pipelineExecutionSummaries": [_summary(row) for row in rows], "nextToken": token})


def _summary(row: Execution) -> Shape:
    stopped = row.stop_reason or row.status in ("Stopping", "Stopped")
    return filled(
        {
            "pipelineExecutionId": row.id,
            "status": row.status,
            "statusSummary": row.status_summary,
            "startTime": row.started,
            "lastUpdateTime": row.updated,
            "sourceRevisions": list(_source_revisions(row)),
            "trigger": _trigger(row),
            "stopTrigger": {"reason": row.stop_reason} if stopped else None,
            "executionMode": row.mode,
            "executionType": "STANDARD",
        }
    )


def _source_revisions(row: Execution) -> Iterable[Shape]:
    for each in row.artifacts.values():
        if each.action:
            yield filled(
                {
                    "actionName": each.action,
                    "revisionId": each.revision_id,
                    "revisionSummary": each.revision_summary,
                    "revisionUrl": each.revision_url,
                }
            )
