"""The states of executions, stages and actions: what they are, what may follow what, and how the engine keeps them.

Source: CodePipeline's API model (status enumerations) and user guide (how pipeline executions work). Data only; what
leads from one state to another is `advance`'s business.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["Pipeline", "Stage", "Action"]

_OPEN_PIPELINE = {"Stopping", "Stopped", "Succeeded", "Superseded", "Failed", "Cancelled"}
_OPEN_STAGE = {"Stopping", "Stopped", "Succeeded", "Failed", "Cancelled"}

TRANSITIONS: dict[Level, dict[str, set[str]]] = {
    "Pipeline": {
        "": {"InProgress"},
        "InProgress": _OPEN_PIPELINE,
        "Stopping": {"Stopped", "Failed", "Succeeded", "Cancelled"},
        "Failed": {"InProgress"},
        "Stopped": {"InProgress"},
    },
    "Stage": {
        "": {"InProgress"},
        "InProgress": _OPEN_STAGE,
        "Stopping": {"Stopped", "Failed", "Succeeded", "Cancelled"},
        "Failed": {"InProgress"},
        "Stopped": {"InProgress"},
    },
    "Action": {"": {"InProgress"}, "InProgress": {"Succeeded", "Failed", "Abandoned"}},
}
"""What may follow what. A state without an entry is final; Failed and Stopped are left only by a retry of the stage."""

RUNNING = frozenset({"InProgress", "Stopping"})
RETRYABLE = frozenset({"Failed", "Stopped"})


class IllegalTransition(Exception):
    """The engine tried a step that the tables do not know: a bug, never an answer to bad input."""


def move(level: Level, current: str, following: str) -> str:
    """`following`, if it may come after `current`."""
    if following not in TRANSITIONS[level].get(current, ()):
        raise IllegalTransition(f"{level}: {current or 'nothing'} to {following}")
    return following


class ActionRun(msgspec.Struct, frozen=True):
    """An action of a stage run: its execution id and status."""

    id: str
    status: str


class StageRun(msgspec.Struct, frozen=True):
    """What became of a stage in one execution; `actions` holds those that were started."""

    status: str
    actions: dict[str, ActionRun] = msgspec.field(default_factory=dict)


class Execution(msgspec.Struct, frozen=True):
    """One execution as the engine keeps it. `number` counts up in the pipeline; `stage` is where it is or waits."""

    id: str
    number: int
    status: str
    stage: str
    waiting: bool = False
    runs: dict[str, StageRun] = msgspec.field(default_factory=dict)


class Stage(msgspec.Struct, frozen=True):
    """A stage of the pipeline: who holds its lock, who waits before it, and whether its doors are open."""

    holder: str = ""
    waiting: tuple[str, ...] = ()
    inbound: bool = True
    outbound: bool = True
    latest: str = ""
    """The execution that entered last (empty: none)."""


class State(msgspec.Struct, frozen=True):
    """All the engine knows of a pipeline: its stages by name, and the executions that still matter, by id."""

    stages: dict[str, Stage] = msgspec.field(default_factory=dict)
    executions: dict[str, Execution] = msgspec.field(default_factory=dict)
