"""Pipelines, executions and actions as rows: what CodePipeline's operations and the follower of executions share.

History hangs on a pipeline's id, not its name, so that a pipeline made anew under an old name has none of the old one's.
Executions and actions are keyed by descending numbers: a plain scan shows the newest first. Times are epoch seconds.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from opentrail.pipeline.events import pipeline_arn
from opentrail.pipeline.states import State
from opentrail.ports import Key
from opentrail.rows.bell import Bell
from opentrail.state import Row, Table, Unit

NUMBER_DIGITS = 10
_NUMBER_TOP = 10**NUMBER_DIGITS - 1
DUE_DIGITS = 14
"""Digits of a work row's due time in milliseconds."""


class Pipeline(Row, frozen=True):
    """A pipeline. Keyed by account, region and name. `declaration` is normal and has no secrets in it."""

    id: str
    account_id: str
    region: str
    name: str
    version: int
    declaration: dict[str, Any]
    created: float
    updated: float
    secrets: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Sealed configuration values by `stage/action/key`."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    transitions: dict[str, Transition] = msgspec.field(default_factory=dict)
    """Last change of each stage's inbound (`stage`) and outbound (`stage>`) door."""

    @property
    def arn(self) -> str:
        return pipeline_arn(self.account_id, self.region, self.name)


class Transition(Row, frozen=True):
    """Who opened or closed a door between stages, and when."""

    enabled: bool
    changed_by: str
    changed_at: float
    reason: str = ""


class PipelineVersion(Row, frozen=True):
    """A declaration as it was. Keyed by pipeline id and version."""

    declaration: dict[str, Any]


class Engine(Row, frozen=True):
    """The engine's state of a pipeline and the number of its last execution. Keyed by pipeline id."""

    state: State = msgspec.field(default_factory=State)
    last_number: int = 0


class Artifact(Row, frozen=True):
    """Where an artifact lies and which revision it is."""

    name: str
    bucket: str
    key: str
    revision_id: str = ""
    revision_change_id: str = ""
    revision_summary: str = ""
    revision_url: str = ""
    created: float = 0.0
    action: str = ""
    """The source action that made it; empty for artifacts of other actions."""


class Override(Row, frozen=True):
    """A source revision asked for at the start."""

    action: str
    kind: str
    value: str


class Execution(Row, frozen=True):
    """An execution of a pipeline. Keyed by pipeline id and descending number."""

    id: str
    number: int
    version: int
    status: str
    started: float
    updated: float
    trigger_type: str
    trigger_detail: str
    mode: str
    status_summary: str = ""
    stop_reason: str = ""
    token: str = ""
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    namespaces: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    artifacts: dict[str, Artifact] = msgspec.field(default_factory=dict)
    stages: dict[str, str] = msgspec.field(default_factory=dict)
    """Status of every stage it entered."""
    action_count: int = 0


class ExecutionId(Row, frozen=True):
    """The number of the execution with this id. Keyed by pipeline id and execution id."""

    number: int


class StartToken(Row, frozen=True):
    """The execution that a client request token started, and a digest of what was asked. Keyed by pipeline id, token."""

    execution_id: str
    asked: bytes


class ActionRun(Row, frozen=True):
    """One execution of an action. Keyed by pipeline id, descending execution number and descending ordinal."""

    id: str
    execution_id: str
    number: int
    ordinal: int
    version: int
    stage: str
    action: str
    type_id: dict[str, str]
    status: str
    started: float
    updated: float
    due: int
    """Milliseconds: part of the key of its work row."""
    timeout: int
    """Seconds."""
    role_arn: str
    region: str
    declared_role: str = ""
    declared_region: str = ""
    namespace: str = ""
    token: str = ""
    updated_by: str = ""
    summary: str = ""
    external_id: str = ""
    external_url: str = ""
    error_code: str = ""
    error_message: str = ""
    configuration: dict[str, str] = msgspec.field(default_factory=dict)
    resolved: dict[str, str] = msgspec.field(default_factory=dict)
    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    variables: dict[str, str] = msgspec.field(default_factory=dict)


class LatestAction(Row, frozen=True):
    """The newest execution of an action, and the newest revision it found. Keyed by pipeline id, stage, action."""

    number: int
    ordinal: int
    revision: Artifact | None = None


class Work(Row, frozen=True):
    """Something the follower has to do. Keyed by due time (milliseconds), pipeline id, number and ordinal.

    `kind`: `run` an action, `expire` one that waits, `purge` the history of a deleted pipeline.
    """

    kind: str
    account_id: str
    region: str
    pipeline: str
    pipeline_id: str
    number: int = 0
    ordinal: int = 0


PIPELINES = Table("codepipeline.pipeline", Pipeline)
VERSIONS = Table("codepipeline.version", PipelineVersion)
ENGINES = Table("codepipeline.engine", Engine)
EXECUTIONS = Table("codepipeline.execution", Execution)
EXECUTION_IDS = Table("codepipeline.executionid", ExecutionId)
START_TOKENS = Table("codepipeline.token", StartToken)
ACTION_RUNS = Table("codepipeline.action", ActionRun)
LATEST_ACTIONS = Table("codepipeline.latest", LatestAction)
WORK = Table("codepipeline.work", Work)
BELL = Bell()
"""Rings WORK_BELL."""
WORK_BELL: Final = "work"
"""The bell that rings when work is put into the table or taken out of it."""

HISTORY_TABLES: tuple[Table[Any], ...] = (
    VERSIONS,
    EXECUTIONS,
    EXECUTION_IDS,
    START_TOKENS,
    ACTION_RUNS,
    LATEST_ACTIONS,
)
"""What hangs on a pipeline's id with further key parts, and goes when it is deleted."""


def descending(number: int) -> str:
    """A key part that sorts newest first."""
    return f"{_NUMBER_TOP - number:0{NUMBER_DIGITS}d}"


def ascending(number: int) -> str:
    return f"{number:0{NUMBER_DIGITS}d}"


def work_parts(due: int, pipeline_id: str, number: int = 0, ordinal: int = 0) -> tuple[str, str, str, str]:
    return (f"{due:0{DUE_DIGITS}d}", pipeline_id, ascending(number), ascending(ordinal))


def put_work(unit: Unit, work: Work, due: int) -> None:
    """Something for the follower to do, at `due` (milliseconds)."""
    WORK.put(unit, work, *work_parts(due, work.pipeline_id, work.number, work.ordinal))
    BELL.ring(WORK_BELL)


def delete_work(unit: Unit, pipeline_id: str, run: ActionRun) -> None:
    """What there was to do for an action is not to be done any more."""
    WORK.delete(unit, *work_parts(run.due, pipeline_id, run.number, run.ordinal))
    BELL.ring(WORK_BELL)


def due_of(key: Key) -> int:
    """When the work row of this key is due, in milliseconds."""
    return int(WORK.parts(key)[0])


def find_execution(unit: Unit, pipeline_id: str, execution_id: str) -> Execution | None:
    """An execution by its id."""
    found = EXECUTION_IDS.get(unit, pipeline_id, execution_id)
    return None if found is None else EXECUTIONS.get(unit, pipeline_id, descending(found.number))


def put_execution(unit: Unit, pipeline_id: str, row: Execution) -> None:
    EXECUTIONS.put(unit, row, pipeline_id, descending(row.number))


def put_action_run(unit: Unit, pipeline_id: str, row: ActionRun) -> None:
    ACTION_RUNS.put(unit, row, pipeline_id, descending(row.number), descending(row.ordinal))


def get_action_run(unit: Unit, pipeline_id: str, number: int, ordinal: int) -> ActionRun | None:
    return ACTION_RUNS.get(unit, pipeline_id, descending(number), descending(ordinal))


def find_action_run(unit: Unit, pipeline_id: str, number: int, action_execution_id: str) -> ActionRun | None:
    """An action execution by its id, within the execution of this number."""
    for _, row in ACTION_RUNS.all(unit, pipeline_id, descending(number)):
        if row.id == action_execution_id:
            return row
    return None
