"""One step of a pipeline inside a unit: an event goes through the engine, and state, work and events come out as rows.

Operations (start, stop, retry, approve, update) and the follower take the same steps here, so that nothing depends on
who takes them. Writes into the unit only; runs nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from msgspec.structs import replace

from opentrail.pipeline import advance as engine
from opentrail.pipeline.catalogue import DEFAULT_TIMEOUT, find_action_type
from opentrail.pipeline.definition import find_action, plan_of
from opentrail.pipeline.events import ActionFacts, Where, envelope
from opentrail.pipeline.variables import UnresolvedVariable, resolve
from opentrail.rows.bus_event import bus_event
from opentrail.rows.codepipeline import (
    ENGINES,
    LATEST_ACTIONS,
    PIPELINES,
    ActionRun,
    Artifact,
    Engine,
    Execution,
    LatestAction,
    Pipeline,
    Work,
    delete_work,
    find_action_run,
    find_execution,
    put_action_run,
    put_execution,
    put_work,
)
from opentrail.rows.codepipeline_action import ActionResult, failed
from opentrail.state import Unit

ARTIFACT_TOKEN = 7
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SUMMARY_MAX = 2_048
_STATUS = {
    "STARTED": "InProgress",
    "RESUMED": "InProgress",
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "STOPPING": "Stopping",
    "STOPPED": "Stopped",
    "CANCELED": "Cancelled",
    "SUPERSEDED": "Superseded",
}


class MissingRow(Exception):
    """A row that the engine's state names is not there: a bug, never bad input."""


def apply(unit: Unit, pipeline: Pipeline, event: engine.Event) -> None:
    """Take the step that `event` asks for, and those that follow at once from it."""
    pending: deque[engine.Event] = deque([event])
    while pending:
        row = ENGINES.get(unit, pipeline.id) or Engine()
        step = engine.advance(plan_of(pipeline.declaration), row.state, pending.popleft(), unit.house.clock.uuid)
        ENGINES.put(unit, replace(row, state=step.state), pipeline.id)
        for command in step.commands:
            match command:
                case engine.StartAction():
                    if (refused := _start_action(unit, pipeline, command)) is not None:
                        pending.append(refused)
                case engine.AbandonAction():
                    _abandon_action(unit, pipeline, command)
                case engine.Emit():
                    _note(unit, pipeline, command)
                    _emit(unit, pipeline, command)


def _execution(unit: Unit, pipeline: Pipeline, execution_id: str) -> Execution:
    found = find_execution(unit, pipeline.id, execution_id)
    if found is None:
        raise MissingRow(f"execution {execution_id} of {pipeline.arn}")
    return found


def _run(unit: Unit, pipeline: Pipeline, execution_id: str, action_execution_id: str) -> ActionRun:
    number = _execution(unit, pipeline, execution_id).number
    found = find_action_run(unit, pipeline.id, number, action_execution_id)
    if found is None:
        raise MissingRow(f"action execution {action_execution_id} of {pipeline.arn}")
    return found


def _note(unit: Unit, pipeline: Pipeline, told: engine.Emit) -> None:
    """Keep the execution's row in step with what is told of it."""
    if told.level == "Action":
        return
    row = _execution(unit, pipeline, told.execution_id)
    status = _STATUS[told.state]
    if told.level == "Stage":
        row = replace(row, stages={**row.stages, told.stage: status}, updated=unit.now)
    else:
        row = replace(row, status=status, updated=unit.now)
    put_execution(unit, pipeline.id, row)


def _start_action(unit: Unit, pipeline: Pipeline, command: engine.StartAction) -> engine.ActionFailed | None:
    """Write down the action and the work; what makes it fail at once if it cannot be started."""
    execution = _execution(unit, pipeline, command.execution_id)
    execution = replace(execution, action_count=execution.action_count + 1)
    put_execution(unit, pipeline.id, execution)
    run = _new_run(unit, pipeline, execution, command)
    problem = ""
    try:
        run = replace(run, resolved=resolve(run.configuration, _namespaces(execution)))
    except UnresolvedVariable as error:
        problem = str(error)
    put_action_run(unit, pipeline.id, run)
    before = LATEST_ACTIONS.get(unit, pipeline.id, run.stage, run.action)
    latest = LatestAction(run.number, run.ordinal, None if before is None else before.revision)
    LATEST_ACTIONS.put(unit, latest, pipeline.id, run.stage, run.action)
    if problem:
        _write_result(unit, pipeline, run, failed("ConfigurationError", problem))
        return engine.ActionFailed(run.execution_id, run.stage, run.action, run.id)
    _ask_for(unit, pipeline, run, "run")
    return None


def _new_run(unit: Unit, pipeline: Pipeline, execution: Execution, command: engine.StartAction) -> ActionRun:
    action = find_action(pipeline.declaration, command.stage, command.action)
    if action is None:
        raise MissingRow(f"declaration of {command.stage}/{command.action} in {pipeline.arn}")
    region = action.get("region") or pipeline.region
    kind = find_action_type(action["actionTypeId"])
    given = action.get("timeoutInMinutes")
    return ActionRun(
        id=command.action_execution_id,
        execution_id=execution.id,
        number=execution.number,
        ordinal=execution.action_count,
        version=pipeline.version,
        stage=command.stage,
        action=command.action,
        type_id=dict(action["actionTypeId"]),
        status="InProgress",
        started=unit.now,
        updated=unit.now,
        due=int(unit.now * 1000),
        timeout=given * 60 if given else kind.timeout if kind else DEFAULT_TIMEOUT,
        role_arn=action.get("roleArn") or pipeline.declaration["roleArn"],
        region=region,
        declared_role=action.get("roleArn") or "",
        declared_region=action.get("region") or "",
        namespace=action.get("namespace") or "",
        token=unit.house.clock.uuid(),
        configuration=action["configuration"],
        inputs=tuple(execution.artifacts[each["name"]] for each in action["inputArtifacts"]),
        outputs=tuple(_place(unit, pipeline, region, each["name"]) for each in action["outputArtifacts"]),
    )


def _namespaces(execution: Execution) -> dict[str, dict[str, str]]:
    own = {"codepipeline": {"PipelineExecutionId": execution.id}, "variables": execution.variables}
    return {**execution.namespaces, **own}


def artifact_store(pipeline: Pipeline, region: str) -> dict[str, Any]:
    """The declared store of a region."""
    single = pipeline.declaration.get("artifactStore")
    store: dict[str, Any] = single if single is not None else pipeline.declaration["artifactStores"][region]
    return store


def _place(unit: Unit, pipeline: Pipeline, region: str, artifact: str) -> Artifact:
    """Where an output goes: PIPELINE/ARTIFACT/RANDOM, the names cut to 20 and 10 characters."""
    token = unit.house.clock.token(ARTIFACT_TOKEN, _LETTERS)
    key = f"{pipeline.name[:20]}/{artifact[:10]}/{token}"
    return Artifact(artifact, artifact_store(pipeline, region)["location"], key)


def _ask_for(unit: Unit, pipeline: Pipeline, run: ActionRun, kind: str) -> None:
    """Ask the follower to run, or at its due time to expire, an action."""
    work = Work(kind, pipeline.account_id, pipeline.region, pipeline.name, pipeline.id, run.number, run.ordinal)
    put_work(unit, work, run.due)


def _abandon_action(unit: Unit, pipeline: Pipeline, command: engine.AbandonAction) -> None:
    run = _run(unit, pipeline, command.execution_id, command.action_execution_id)
    delete_work(unit, pipeline.id, run)
    put_action_run(unit, pipeline.id, replace(run, status="Abandoned", updated=unit.now))


def finish_action(unit: Unit, pipeline: Pipeline, run: ActionRun, result: ActionResult, by: str = "") -> None:
    """An action has ended (`by`: who decided, for approvals): write it down and go on from there."""
    delete_work(unit, pipeline.id, run)
    _write_result(unit, pipeline, run, result, by)
    kind = engine.ActionSucceeded if result.status == "Succeeded" else engine.ActionFailed
    apply(unit, pipeline, kind(run.execution_id, run.stage, run.action, run.id))


def wait_action(unit: Unit, pipeline: Pipeline, run: ActionRun) -> None:
    """An action waits for somebody's answer: what is left to do is to let it expire."""
    delete_work(unit, pipeline.id, run)
    waiting = replace(run, due=int((run.started + run.timeout) * 1000), updated=unit.now)
    put_action_run(unit, pipeline.id, waiting)
    _ask_for(unit, pipeline, waiting, "expire")


def _write_result(unit: Unit, pipeline: Pipeline, run: ActionRun, result: ActionResult, by: str = "") -> None:
    done = replace(
        run,
        status=result.status,
        updated=unit.now,
        updated_by=by,
        summary=result.summary[:SUMMARY_MAX],
        external_id=result.external_id,
        external_url=result.external_url,
        error_code=result.error_code,
        error_message=result.error_message,
        variables=dict(result.variables),
        outputs=result.artifacts or run.outputs,
    )
    put_action_run(unit, pipeline.id, done)
    if result.status == "Succeeded":
        _hand_on(unit, pipeline, done)


def _hand_on(unit: Unit, pipeline: Pipeline, run: ActionRun) -> None:
    """Give the execution what the action made: artifacts, variables, the revision found."""
    execution = _execution(unit, pipeline, run.execution_id)
    artifacts = {**execution.artifacts, **{each.name: each for each in run.outputs}}
    namespaces = execution.namespaces
    if run.namespace:
        namespaces = {**namespaces, run.namespace: run.variables}
    put_execution(unit, pipeline.id, replace(execution, artifacts=artifacts, namespaces=namespaces))
    if run.outputs and run.outputs[0].revision_id:
        latest = LATEST_ACTIONS.get(unit, pipeline.id, run.stage, run.action)
        if latest is not None:
            LATEST_ACTIONS.put(unit, replace(latest, revision=run.outputs[0]), pipeline.id, run.stage, run.action)


def _emit(unit: Unit, pipeline: Pipeline, told: engine.Emit) -> None:
    execution = _execution(unit, pipeline, told.execution_id)
    facts = None
    extra: dict[str, Any] = {}
    if told.level == "Action":
        facts = _facts(_run(unit, pipeline, told.execution_id, told.action_execution_id))
    elif told.level == "Pipeline" and told.state == "STARTED":
        trigger = {"trigger-type": execution.trigger_type, "trigger-detail": execution.trigger_detail}
        extra["execution-trigger"] = trigger
    elif told.level == "Pipeline" and told.state == "STOPPING" and execution.stop_reason:
        extra["stop-execution-comments"] = execution.stop_reason
    where = Where(pipeline.account_id, pipeline.region, pipeline.name, execution.version)
    event_id = unit.house.clock.uuid()
    unit.emit(bus_event(envelope(told, where, event_id=event_id, now=unit.now, facts=facts, extra=extra)))


def _facts(run: ActionRun) -> ActionFacts:
    result = {
        "external-execution-url": run.external_url,
        "external-execution-summary": run.summary or run.error_message,
        "external-execution-id": run.external_id,
        "error-code": run.error_code,
    }
    return ActionFacts(
        run.region,
        run.type_id,
        tuple((each.name, each.bucket, each.key) for each in run.inputs),
        tuple((each.name, each.bucket, each.key) for each in run.outputs),
        {key: value for key, value in result.items() if value},
    )


def load_pipeline(unit: Unit, work: Work) -> Pipeline | None:
    """The pipeline that a piece of work is for, unless it was deleted (and perhaps made anew) meanwhile."""
    found = PIPELINES.get(unit, work.account_id, work.region, work.pipeline)
    return found if found is not None and found.id == work.pipeline_id else None
