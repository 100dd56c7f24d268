"""What follows from an event: the next state of a pipeline, and what has to be done and told.

`advance` is a pure function. Whoever calls it stores the state, carries out the commands and emits the events in one
commit. An event about an action that has already ended, or that a newer attempt has replaced, changes nothing, so
every event may be delivered twice. Source: the CodePipeline user guide (how pipeline executions work).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from opentrail.pipeline.definition import Plan
from opentrail.pipeline.desk import AbandonAction, Command, Desk, Emit, StartAction
from opentrail.pipeline.states import RUNNING, ActionRun, Execution, StageRun, State

__all__ = [
    "AbandonAction",
    "ActionFailed",
    "ActionSucceeded",
    "Command",
    "Emit",
    "Event",
    "PipelineReplaced",
    "StageRetried",
    "StageTransition",
    "StartAction",
    "Started",
    "Step",
    "StopRequested",
    "advance",
]


@dataclass(frozen=True, slots=True)
class Started:
    """A new execution, with the next number of its pipeline."""

    execution_id: str
    number: int


@dataclass(frozen=True, slots=True)
class ActionSucceeded:
    execution_id: str
    stage: str
    action: str
    action_execution_id: str


@dataclass(frozen=True, slots=True)
class ActionFailed:
    execution_id: str
    stage: str
    action: str
    action_execution_id: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Stop an execution: let running actions finish, or abandon them."""

    execution_id: str
    abandon: bool = False


@dataclass(frozen=True, slots=True)
class StageTransition:
    """The door before (Inbound) or behind (Outbound) a stage is opened or closed."""

    stage: str
    kind: Literal["Inbound", "Outbound"]
    enabled: bool


@dataclass(frozen=True, slots=True)
class StageRetried:
    """Run a failed or stopped stage again: its failed actions only, or all of them."""

    execution_id: str
    stage: str
    all_actions: bool = False


@dataclass(frozen=True, slots=True)
class PipelineReplaced:
    """The declaration was changed (`plan` is the new one) or removed: what is under way is cancelled."""

    plan: Plan


Event = Started | ActionSucceeded | ActionFailed | StopRequested | StageTransition | StageRetried | PipelineReplaced


@dataclass(frozen=True, slots=True)
class Step:
    """What came of an event. `commands` are in the order in which they are to be carried out and told."""

    state: State
    commands: tuple[Command, ...]


def advance(plan: Plan, state: State, event: Event, new_id: Callable[[], str]) -> Step:
    """The state after `event`, and what follows. `new_id` makes action execution ids."""
    desk = Desk(plan, state, new_id)
    match event:
        case Started():
            _start(desk, event)
        case ActionSucceeded():
            _action_ended(desk, event, "Succeeded")
        case ActionFailed():
            _action_ended(desk, event, "Failed")
        case StopRequested():
            _stop(desk, event)
        case StageTransition():
            _transition(desk, event)
        case StageRetried():
            _retry(desk, event)
        case PipelineReplaced():
            _replace(desk, event)
    return Step(desk.state(), tuple(desk.commands))


def _start(desk: Desk, event: Started) -> None:
    if event.execution_id in desk.executions:
        return
    first = desk.plan.stages[0].name
    desk.executions[event.execution_id] = Execution(event.execution_id, event.number, "", first)
    desk.move_pipeline(event.execution_id, "InProgress", "STARTED")
    _approach(desk, event.execution_id, first)


def _approach(desk: Desk, execution_id: str, stage: str) -> None:
    """Bring an execution before a stage; it enters if it may, else it waits or is superseded."""
    desk.change_execution(execution_id, stage=stage, waiting=True)
    if desk.plan.mode == "PARALLEL":
        _enter(desk, execution_id, stage)
        return
    queue = [*desk.stages[stage].waiting, execution_id]
    if desk.plan.mode == "SUPERSEDED":
        queue.sort(key=lambda each: desk.executions[each].number)
        *older, newest = queue
        for each in older:
            _supersede(desk, each)
        queue = [newest]
    desk.change_stage(stage, waiting=tuple(queue))
    _admit(desk, stage)


def _supersede(desk: Desk, execution_id: str) -> None:
    desk.change_execution(execution_id, waiting=False)
    desk.move_pipeline(execution_id, "Superseded", "SUPERSEDED")


def _admit(desk: Desk, stage: str) -> None:
    """Let the first in the queue in, if the stage is free and its door open."""
    place = desk.stages[stage]
    if place.holder or not place.waiting or not desk.door_open(stage):
        return
    first, *rest = place.waiting
    desk.change_stage(stage, waiting=tuple(rest))
    _enter(desk, first, stage)


def _enter(desk: Desk, execution_id: str, stage: str) -> None:
    desk.change_stage(stage, latest=execution_id)
    if desk.plan.mode != "PARALLEL":
        desk.change_stage(stage, holder=execution_id)
    desk.change_execution(execution_id, waiting=False)
    desk.move_stage(execution_id, stage, "InProgress", "STARTED")
    _start_next_group(desk, execution_id, stage)


def _start_next_group(desk: Desk, execution_id: str, stage: str) -> bool:
    """Start what is missing of the first group that has not succeeded; False if all have."""
    for group in desk.plan.stages[desk.plan.index(stage)].groups:
        done = desk.executions[execution_id].runs[stage].actions
        missing = [name for name in group if name not in done or done[name].status != "Succeeded"]
        for name in missing:
            desk.start_action(execution_id, stage, name)
        if missing:
            return True
    return False


def _action_ended(desk: Desk, event: ActionSucceeded | ActionFailed, status: str) -> None:
    if not desk.is_running(event.execution_id, event.stage, event.action, event.action_execution_id):
        return
    desk.move_action(event.execution_id, event.stage, event.action, status, status.upper())
    run = desk.executions[event.execution_id].runs[event.stage]
    statuses = {action.status for action in run.actions.values()}
    if "InProgress" in statuses:
        return
    if desk.executions[event.execution_id].status == "Stopping":
        _end(desk, event.execution_id, event.stage, "Stopped")
    elif "Failed" in statuses:
        _end(desk, event.execution_id, event.stage, "Failed")
    elif not _start_next_group(desk, event.execution_id, event.stage):
        _pass(desk, event.execution_id, event.stage)


def _end(desk: Desk, execution_id: str, stage: str, status: str) -> None:
    """The execution ends in this stage; the next in the queue may enter."""
    desk.move_stage(execution_id, stage, status, _event_name(status))
    desk.move_pipeline(execution_id, status, _event_name(status))
    _leave(desk, execution_id, stage)


def _pass(desk: Desk, execution_id: str, stage: str) -> None:
    """The stage succeeded: go on to the next one, or be done."""
    desk.move_stage(execution_id, stage, "Succeeded", "SUCCEEDED")
    following = desk.plan.index(stage) + 1
    if following == len(desk.plan.stages):
        desk.move_pipeline(execution_id, "Succeeded", "SUCCEEDED")
    else:
        _approach(desk, execution_id, desk.plan.stages[following].name)
    _leave(desk, execution_id, stage)


def _leave(desk: Desk, execution_id: str, stage: str) -> None:
    if desk.stages[stage].holder == execution_id:
        desk.change_stage(stage, holder="")
        _admit(desk, stage)


def _event_name(status: str) -> str:
    return "CANCELED" if status == "Cancelled" else status.upper()


def _stop(desk: Desk, event: StopRequested) -> None:
    found = desk.executions.get(event.execution_id)
    if found is None or found.status not in RUNNING:
        return
    if found.status == "InProgress":
        desk.move_pipeline(found.id, "Stopping", "STOPPING")
    if found.waiting:
        _leave_queue(desk, found.id, found.stage)
        desk.move_pipeline(found.id, "Stopped", "STOPPED")
        return
    if found.runs[found.stage].status == "InProgress":
        desk.move_stage(found.id, found.stage, "Stopping", "STOPPING")
    if event.abandon:
        _abandon_actions(desk, found.id, found.stage, "ABANDONED")
        _end(desk, found.id, found.stage, "Stopped")


def _leave_queue(desk: Desk, execution_id: str, stage: str) -> None:
    queue = tuple(each for each in desk.stages[stage].waiting if each != execution_id)
    desk.change_stage(stage, waiting=queue)
    desk.change_execution(execution_id, waiting=False)


def _abandon_actions(desk: Desk, execution_id: str, stage: str, told_as: str) -> None:
    for name, action in desk.executions[execution_id].runs[stage].actions.items():
        if action.status == "InProgress":
            desk.commands.append(AbandonAction(execution_id, stage, name, action.id))
            desk.move_action(execution_id, stage, name, "Abandoned", told_as)


def _transition(desk: Desk, event: StageTransition) -> None:
    if event.kind == "Inbound":
        desk.change_stage(event.stage, inbound=event.enabled)
    else:
        desk.change_stage(event.stage, outbound=event.enabled)
    for stage in desk.plan.stages:
        _admit(desk, stage.name)


def _retry(desk: Desk, event: StageRetried) -> None:
    found = desk.executions[event.execution_id]
    run = found.runs[event.stage]
    kept: dict[str, ActionRun] = {}
    if not event.all_actions:
        kept = {name: action for name, action in run.actions.items() if action.status == "Succeeded"}
    desk.move_pipeline(found.id, "InProgress", "RESUMED")
    desk.move_stage(found.id, event.stage, "InProgress", "RESUMED")
    desk.change_run(found.id, event.stage, StageRun("InProgress", kept))
    if desk.plan.mode != "PARALLEL":
        desk.change_stage(event.stage, holder=found.id)
    if not _start_next_group(desk, found.id, event.stage):
        _pass(desk, found.id, event.stage)


def _replace(desk: Desk, event: PipelineReplaced) -> None:
    for execution in sorted(desk.executions.values(), key=lambda each: each.number):
        if execution.status in RUNNING:
            _cancel(desk, execution)
    desk.adopt(event.plan)


def _cancel(desk: Desk, execution: Execution) -> None:
    """End an execution without letting anybody else move up."""
    if execution.waiting:
        _leave_queue(desk, execution.id, execution.stage)
    else:
        _abandon_actions(desk, execution.id, execution.stage, "CANCELED")
        desk.move_stage(execution.id, execution.stage, "Cancelled", "CANCELED")
    desk.move_pipeline(execution.id, "Cancelled", "CANCELED")
