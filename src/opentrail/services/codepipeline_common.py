"""What the families of CodePipeline's operations share: finding a pipeline, starting an execution, paging.

Knows nothing of the wire, of permissions or of how an action runs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.pipeline import advance as engine
from opentrail.pipeline.states import RUNNING
from opentrail.pipeline.variables import pipeline_variables
from opentrail.ports import Key
from opentrail.rows.codepipeline import (
    ACTION_RUNS,
    ENGINES,
    EXECUTION_IDS,
    EXECUTIONS,
    PIPELINES,
    START_TOKENS,
    Engine,
    Execution,
    ExecutionId,
    Override,
    Pipeline,
    StartToken,
    descending,
    find_execution,
    put_execution,
)
from opentrail.rows.codepipeline_steps import apply
from opentrail.state import T, Table, Unit

EXECUTIONS_KEPT_MAX = 10_000
"""Executions of a pipeline that are kept; with each new one the oldest goes."""
CONCURRENT_MAX = 50
"""Executions in progress of a pipeline in mode QUEUED or PARALLEL."""
TRIGGER_DETAIL_MAX = 1_024
EVENTS_PRINCIPAL = "events.amazonaws.com"


def find_pipeline(call: Call, unit: Unit, name: str) -> Pipeline:
    """The caller's pipeline of this name in the call's region; raises PipelineNotFoundException."""
    found = PIPELINES.get(unit, call.account_id, call.region, name)
    if found is None:
        raise AwsError(
            "PipelineNotFoundException", f"Account '{call.account_id}' does not have a pipeline with name '{name}'", 400
        )
    return found


def engine_of(unit: Unit, pipeline: Pipeline) -> Engine:
    return ENGINES.get(unit, pipeline.id) or Engine()


def execution_of(unit: Unit, pipeline: Pipeline, execution_id: str) -> Execution:
    """Raises PipelineExecutionNotFoundException."""
    found = find_execution(unit, pipeline.id, execution_id)
    if found is None:
        raise AwsError(
            "PipelineExecutionNotFoundException",
            f"The pipeline '{pipeline.name}' does not have an execution with id '{execution_id}'",
            400,
        )
    return found


def put_pipeline(unit: Unit, pipeline: Pipeline) -> None:
    PIPELINES.put(unit, pipeline, pipeline.account_id, pipeline.region, pipeline.name)


def trigger_of(call: Call) -> tuple[str, str]:
    """(triggerType, triggerDetail) of a start by this call: a rule's target, or somebody's own call."""
    caller = call.principal
    if caller.invoked_by == EVENTS_PRINCIPAL:
        return "CloudWatchEvent", (caller.source_arn or caller.arn)[:TRIGGER_DETAIL_MAX]
    return "StartPipelineExecution", caller.arn[:TRIGGER_DETAIL_MAX]


def start_execution(unit: Unit, pipeline: Pipeline, trigger: tuple[str, str], asked: Shape) -> str:
    """Write a new execution into the unit and take its first step; its id.

    `asked` may have `variables`, `sourceRevisions` and `clientRequestToken` of StartPipelineExecution. The execution that
    comes with a new pipeline has nobody to ask for variables without default: an action that needs one fails.
    """
    state = engine_of(unit, pipeline)
    declared = pipeline.declaration
    _check_limit(declared["executionMode"], state)
    number = state.last_number + 1
    row = Execution(
        id=unit.house.clock.uuid(),
        number=number,
        version=pipeline.version,
        status="InProgress",
        started=unit.now,
        updated=unit.now,
        trigger_type=trigger[0],
        trigger_detail=trigger[1],
        mode=declared["executionMode"],
        token=asked.get("clientRequestToken") or "",
        variables=pipeline_variables(
            declared.get("variables") or [], asked.get("variables") or [], complete=trigger[0] != "CreatePipeline"
        ),
        overrides=_overrides(declared, asked.get("sourceRevisions") or []),
    )
    _forget_oldest(unit, pipeline, number - EXECUTIONS_KEPT_MAX)
    ENGINES.put(unit, replace(state, last_number=number), pipeline.id)
    EXECUTION_IDS.put(unit, ExecutionId(number), pipeline.id, row.id)
    put_execution(unit, pipeline.id, row)
    if row.token:
        START_TOKENS.put(unit, StartToken(row.id, digest(asked)), pipeline.id, row.token)
    apply(unit, pipeline, engine.Started(row.id, number))
    return row.id


def digest(asked: Shape) -> bytes:
    """Tells two inputs apart."""
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).digest()


def _check_limit(mode: str, state: Engine) -> None:
    running = sum(each.status in RUNNING for each in state.state.executions.values())
    if mode != "SUPERSEDED" and running >= CONCURRENT_MAX:
        raise AwsError(
            "ConcurrentPipelineExecutionsLimitExceededException",
            f"The pipeline has reached the limit of {CONCURRENT_MAX} concurrent executions",
            400,
        )


def _overrides(declared: dict[str, Any], revisions: list[dict[str, str]]) -> tuple[Override, ...]:
    sources = {action["name"] for action in declared["stages"][0]["actions"]}
    for item in revisions:
        if item["actionName"] not in sources:
            raise AwsError(
                "ValidationException", f"The pipeline has no source action named '{item['actionName']}'", 400
            )
    return tuple(Override(item["actionName"], item["revisionType"], item["revisionValue"]) for item in revisions)


def _forget_oldest(unit: Unit, pipeline: Pipeline, number: int) -> None:
    """Drop the execution of this number with its actions, unless it is still under way."""
    row = EXECUTIONS.get(unit, pipeline.id, descending(number)) if number > 0 else None
    if row is None or row.status in RUNNING:
        return
    EXECUTIONS.delete(unit, pipeline.id, descending(number))
    EXECUTION_IDS.delete(unit, pipeline.id, row.id)
    if row.token:
        START_TOKENS.delete(unit, pipeline.id, row.token)
    for parts, _ in ACTION_RUNS.all(unit, pipeline.id, descending(number)):
        ACTION_RUNS.delete(unit, *parts)


def read_page(
    unit: Unit,
    table: Table[T],
    parts: tuple[str, ...],
    asked: Shape,
    limit: int,
    wanted: Callable[[T], bool] = lambda _row: True,
) -> tuple[list[T], str]:
    """Up to `limit` wanted rows below `parts` behind `asked["nextToken"]`, and the next token (empty: no more)."""
    after = _after(table, parts, asked.get("nextToken") or "")
    found: list[tuple[Key, T]] = []
    while True:
        rows = table.page(unit, *parts, after=after, limit=limit + 1)
        found += [(key, row) for key, row in rows if wanted(row)]
        if len(found) > limit:
            last = found[limit - 1][0]
            return [row for _, row in found[:limit]], base64.urlsafe_b64encode(last).decode()
        if len(rows) <= limit:
            return [row for _, row in found], ""
        after = rows[-1][0]


def _after(table: Table[T], parts: tuple[str, ...], token: str) -> Key:
    if not token:
        return b""
    prefix = table.key(*parts) + b"\0"
    try:
        after = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise bad_token() from error
    if not after.startswith(prefix):
        raise bad_token()
    return after


def bad_token() -> AwsError:
    return AwsError("InvalidNextTokenException", "The next token was specified in an invalid format", 400)


def filled(shape: Shape) -> Shape:
    """A structure without the members that have no value (None or empty text)."""
    return {name: value for name, value in shape.items() if value is not None and value != ""}
