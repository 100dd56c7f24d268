"""The working copy of one step of the engine: the changes it may make, and the commands it gathers.

Only `advance` uses it. Every change of a status goes through the transition tables, and is told in the same breath.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from opentrail.pipeline.definition import Plan
from opentrail.pipeline.states import RUNNING, ActionRun, Level, Stage, StageRun, State, move


@dataclass(frozen=True, slots=True)
class StartAction:
    """Run an action."""

    execution_id: str
    stage: str
    action: str
    action_execution_id: str


@dataclass(frozen=True, slots=True)
class AbandonAction:
    """Stop caring for a running action: its outcome no longer counts."""

    execution_id: str
    stage: str
    action: str
    action_execution_id: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell a change of state: an EventBridge event `CodePipeline {level} Execution State Change`."""

    level: Level
    state: str
    execution_id: str
    stage: str = ""
    action: str = ""
    action_execution_id: str = ""


Command = StartAction | AbandonAction | Emit


class Desk:
    """Stages and executions under change."""

    def __init__(self, plan: Plan, state: State, new_id: Callable[[], str]) -> None:
        self.plan = plan
        self.new_id = new_id
        self.stages = {stage.name: state.stages.get(stage.name, Stage()) for stage in plan.stages}
        self.executions = dict(state.executions)
        self.commands: list[Command] = []

    def state(self) -> State:
        """The result, without the executions that nothing refers to any more."""
        latest = {stage.latest for stage in self.stages.values()}
        kept = {key: each for key, each in self.executions.items() if each.status in RUNNING or key in latest}
        return State(dict(self.stages), kept)

    def adopt(self, plan: Plan) -> None:
        """Go on with another plan. A stage that keeps its name keeps its doors and its latest execution."""
        self.plan = plan
        self.stages = {stage.name: self.stages.get(stage.name, Stage()) for stage in plan.stages}
        for name in self.stages:
            self.change_stage(name, holder="", waiting=())

    def door_open(self, stage: str) -> bool:
        index = self.plan.index(stage)
        before = self.stages[self.plan.stages[index - 1].name].outbound if index else True
        return self.stages[stage].inbound and before

    def change_stage(self, stage: str, **changes: Any) -> None:  # noqa: ANN401  (fields of Stage)
        self.stages[stage] = msgspec.structs.replace(self.stages[stage], **changes)

    def change_execution(self, execution_id: str, **changes: Any) -> None:  # noqa: ANN401  (fields of Execution)
        self.executions[execution_id] = msgspec.structs.replace(self.executions[execution_id], **changes)

    def change_run(self, execution_id: str, stage: str, run: StageRun) -> None:
        runs = {**self.executions[execution_id].runs, stage: run}
        self.change_execution(execution_id, runs=runs)

    def move_pipeline(self, execution_id: str, status: str, told_as: str) -> None:
        execution = self.executions[execution_id]
        self.change_execution(execution_id, status=move("Pipeline", execution.status, status))
        self.commands.append(Emit("Pipeline", told_as, execution_id))

    def move_stage(self, execution_id: str, stage: str, status: str, told_as: str) -> None:
        run = self.executions[execution_id].runs.get(stage, StageRun(""))
        self.change_run(execution_id, stage, StageRun(move("Stage", run.status, status), run.actions))
        self.commands.append(Emit("Stage", told_as, execution_id, stage))

    def start_action(self, execution_id: str, stage: str, action: str) -> None:
        action_id = self.new_id()
        self._put_action(execution_id, stage, action, ActionRun(action_id, "InProgress"))
        self.commands.append(StartAction(execution_id, stage, action, action_id))
        self.commands.append(Emit("Action", "STARTED", execution_id, stage, action, action_id))

    def move_action(self, execution_id: str, stage: str, action: str, status: str, told_as: str) -> None:
        run = self.executions[execution_id].runs[stage].actions[action]
        self._put_action(execution_id, stage, action, ActionRun(run.id, move("Action", run.status, status)))
        self.commands.append(Emit("Action", told_as, execution_id, stage, action, run.id))

    def is_running(self, execution_id: str, stage: str, action: str, action_execution_id: str) -> bool:
        """Whether this very attempt of the action is under way."""
        execution = self.executions.get(execution_id)
        if execution is None or stage not in execution.runs:
            return False
        run = execution.runs[stage].actions.get(action)
        return run is not None and run.id == action_execution_id and run.status == "InProgress"

    def _put_action(self, execution_id: str, stage: str, action: str, run: ActionRun) -> None:
        stage_run = self.executions[execution_id].runs[stage]
        self.change_run(execution_id, stage, StageRun(stage_run.status, {**stage_run.actions, action: run}))
