"""The engine as conversations: what is said to it, what it answers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.pipeline.advance import (
    AbandonAction,
    ActionFailed,
    ActionSucceeded,
    Emit,
    PipelineReplaced,
    StageRetried,
    StageTransition,
    StartAction,
    Started,
    StopRequested,
    advance,
)
from opentrail.pipeline.definition import Plan
from opentrail.pipeline.states import RUNNING, TRANSITIONS, IllegalTransition, State, move
from tests.pipeline.made import plan


class Conversation:
    """Says events to the engine by short names and hears its answers as short text."""

    def __init__(self, text: str, mode: str = "SUPERSEDED") -> None:
        self.plan: Plan = plan(text, mode)
        self.state = State()
        self._ids = (f"i{n}" for n in itertools.count(1))
        self._numbers = itertools.count(1)

    def say(self, event) -> list[str]:
        step = advance(self.plan, self.state, event, lambda: next(self._ids))
        self.state = step.state
        return [_text(command) for command in step.commands]

    def start(self, execution: str) -> list[str]:
        return self.say(Started(execution, next(self._numbers)))

    def end(self, execution: str, stage: str, action: str, *, well: bool = True) -> list[str]:
        attempt = self.state.executions[execution].runs[stage].actions[action].id
        kind = ActionSucceeded if well else ActionFailed
        return self.say(kind(execution, stage, action, attempt))

    def status(self, execution: str) -> str:
        return self.state.executions[execution].status


def _text(command) -> str:
    match command:
        case Emit(level="Pipeline"):
            return f"{command.execution_id} {command.state}"
        case Emit(level="Stage"):
            return f"{command.execution_id}/{command.stage} {command.state}"
        case Emit():
            return f"{command.execution_id}/{command.stage}/{command.action} {command.state}"
        case StartAction():
            return f"run {command.execution_id}/{command.stage}/{command.action}"
        case AbandonAction():
            return f"drop {command.execution_id}/{command.stage}/{command.action}"
    raise AssertionError(command)


def test_from_start_to_success():
    talk = Conversation("A: a; B: b")
    assert talk.start("x") == ["x STARTED", "x/A STARTED", "run x/A/a", "x/A/a STARTED"]
    assert talk.end("x", "A", "a") == [
        "x/A/a SUCCEEDED",
        "x/A SUCCEEDED",
        "x/B STARTED",
        "run x/B/b",
        "x/B/b STARTED",
    ]
    assert talk.end("x", "B", "b") == ["x/B/b SUCCEEDED", "x/B SUCCEEDED", "x SUCCEEDED"]
    assert talk.status("x") == "Succeeded"


def test_groups_run_together_and_in_order():
    talk = Conversation("A: a b, c; B: d")
    assert [t for t in talk.start("x") if t.startswith("run")] == ["run x/A/a", "run x/A/b"]
    assert talk.end("x", "A", "b") == ["x/A/b SUCCEEDED"]
    assert talk.end("x", "A", "a") == ["x/A/a SUCCEEDED", "run x/A/c", "x/A/c STARTED"]


def test_a_failure_lets_its_group_finish_and_then_fails_the_stage():
    talk = Conversation("A: a b, c; B: d")
    talk.start("x")
    assert talk.end("x", "A", "a", well=False) == ["x/A/a FAILED"]
    assert talk.end("x", "A", "b") == ["x/A/b SUCCEEDED", "x/A FAILED", "x FAILED"]
    assert talk.state.stages["A"].holder == ""


def test_the_same_end_twice_changes_nothing():
    talk = Conversation("A: a; B: b")
    talk.start("x")
    event = ActionSucceeded("x", "A", "a", "i1")
    talk.say(event)
    before = talk.state
    assert talk.say(event) == []
    assert talk.say(ActionFailed("x", "A", "a", "i1")) == []
    assert talk.say(ActionFailed("unknown", "A", "a", "i1")) == []
    assert talk.say(Started("x", 9)) == []
    assert talk.state == before


def test_a_newer_execution_supersedes_the_waiting_one():
    talk = Conversation("A: a; B: b")
    talk.start("x")
    assert talk.start("y") == ["y STARTED"]
    assert talk.start("z") == ["z STARTED", "y SUPERSEDED"]
    assert "y" not in talk.state.executions
    ended = talk.end("x", "A", "a")
    assert ended[-3:] == ["z/A STARTED", "run z/A/a", "z/A/a STARTED"]
    assert "x/B STARTED" in ended


def test_an_execution_that_waits_between_stages_holds_none():
    talk = Conversation("A: a; B: b")
    talk.start("x")
    talk.end("x", "A", "a")
    talk.start("y")
    assert talk.end("y", "A", "a") == ["y/A/a SUCCEEDED", "y/A SUCCEEDED"]
    assert talk.state.stages["B"].waiting == ("y",)
    assert talk.state.stages["A"].holder == ""
    assert talk.end("x", "B", "b", well=False)[-3:] == ["y/B STARTED", "run y/B/b", "y/B/b STARTED"]


def test_queued_executions_enter_in_order():
    talk = Conversation("A: a; B: b", "QUEUED")
    for name in "xyz":
        talk.start(name)
    assert talk.state.stages["A"].waiting == ("y", "z")
    assert "run y/A/a" in talk.end("x", "A", "a")
    assert talk.state.stages["A"].waiting == ("z",)


def test_parallel_executions_do_not_meet():
    talk = Conversation("A: a; B: b", "PARALLEL")
    assert "run x/A/a" in talk.start("x")
    assert "run y/A/a" in talk.start("y")
    assert "run y/B/b" in talk.end("y", "A", "a")
    assert talk.end("x", "A", "a")[-1] == "x/B/b STARTED"


def test_a_closed_door_holds_and_only_the_newest_goes_on():
    talk = Conversation("A: a; B: b")
    talk.say(StageTransition("B", "Inbound", False))
    for name in "xy":
        talk.start(name)
        talk.end(name, "A", "a")
    assert talk.state.stages["B"].waiting == ("y",)
    assert talk.say(StageTransition("B", "Inbound", True)) == ["y/B STARTED", "run y/B/b", "y/B/b STARTED"]


def test_the_door_behind_a_stage_is_a_door_too():
    talk = Conversation("A: a; B: b")
    talk.say(StageTransition("A", "Outbound", False))
    talk.start("x")
    assert talk.end("x", "A", "a") == ["x/A/a SUCCEEDED", "x/A SUCCEEDED"]
    assert "run x/B/b" in talk.say(StageTransition("A", "Outbound", True))


def test_stop_waits_for_what_runs():
    talk = Conversation("A: a; B: b")
    talk.start("x")
    assert talk.say(StopRequested("x")) == ["x STOPPING", "x/A STOPPING"]
    assert talk.say(StopRequested("x")) == []
    assert talk.end("x", "A", "a") == ["x/A/a SUCCEEDED", "x/A STOPPED", "x STOPPED"]


def test_stop_and_abandon_is_at_once_and_lets_the_next_in():
    talk = Conversation("A: a b; B: c")
    talk.start("x")
    talk.start("y")
    assert talk.say(StopRequested("x", abandon=True)) == [
        "x STOPPING",
        "x/A STOPPING",
        "drop x/A/a",
        "x/A/a ABANDONED",
        "drop x/A/b",
        "x/A/b ABANDONED",
        "x/A STOPPED",
        "x STOPPED",
        "y/A STARTED",
        "run y/A/a",
        "y/A/a STARTED",
        "run y/A/b",
        "y/A/b STARTED",
    ]


def test_a_stop_can_be_hardened():
    talk = Conversation("A: a; B: b")
    talk.start("x")
    talk.say(StopRequested("x"))
    assert talk.say(StopRequested("x", abandon=True)) == [
        "drop x/A/a",
        "x/A/a ABANDONED",
        "x/A STOPPED",
        "x STOPPED",
    ]


def test_stopping_one_that_waits():
    talk = Conversation("A: a; B: b")
    talk.start("x")
    talk.start("y")
    assert talk.say(StopRequested("y")) == ["y STOPPING", "y STOPPED"]
    assert talk.state.stages["A"].waiting == ()


def test_retry_of_the_failed_actions():
    talk = Conversation("A: a b; B: c")
    talk.start("x")
    talk.end("x", "A", "a")
    talk.end("x", "A", "b", well=False)
    assert talk.say(StageRetried("x", "A")) == ["x RESUMED", "x/A RESUMED", "run x/A/b", "x/A/b STARTED"]
    assert talk.say(ActionSucceeded("x", "A", "b", "i2")) == []
    assert "x/B STARTED" in talk.end("x", "A", "b")


def test_retry_of_all_actions():
    talk = Conversation("A: a, b; B: c")
    talk.start("x")
    talk.end("x", "A", "a")
    talk.end("x", "A", "b", well=False)
    assert talk.say(StageRetried("x", "A", all_actions=True))[2:] == ["run x/A/a", "x/A/a STARTED"]


def test_retry_when_everything_had_succeeded_goes_on():
    talk = Conversation("A: a; B: b")
    talk.start("x")
    talk.say(StopRequested("x"))
    talk.end("x", "A", "a")
    assert talk.say(StageRetried("x", "A"))[:4] == ["x RESUMED", "x/A RESUMED", "x/A SUCCEEDED", "x/B STARTED"]


def test_a_new_declaration_cancels_what_is_under_way():
    talk = Conversation("A: a; B: b")
    talk.say(StageTransition("B", "Inbound", False))
    talk.start("x")
    talk.end("x", "A", "a")
    talk.start("y")
    talk.start("z")
    new = plan("A2: a; B: b")
    assert talk.say(PipelineReplaced(new)) == [
        "x CANCELED",
        "drop y/A/a",
        "y/A/a CANCELED",
        "y/A CANCELED",
        "y CANCELED",
        "z CANCELED",
    ]
    talk.plan = new
    assert talk.state.executions == {}
    assert list(talk.state.stages) == ["A2", "B"]
    assert talk.state.stages["B"].inbound is False
    assert "run w/A2/a" in talk.start("w")


@pytest.mark.parametrize("level", TRANSITIONS)
def test_final_states_are_final(level):
    with pytest.raises(IllegalTransition):
        move(level, "Succeeded", "InProgress")


EVENTS = st.lists(
    st.tuples(st.sampled_from("SSSEEEEEFsakoOrR"), st.integers(0, 5), st.sampled_from(["A", "B", "C"])), max_size=40
)


@given(EVENTS, st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL"]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_said_the_locks_hold(events, mode):
    """No illegal transition; one execution in a stage; nobody waits before a free stage with open doors."""
    talk = Conversation("A: a b; B: c, d; C: e", mode)
    talk.start("x000")
    for kind, which, stage in events:
        _say_something(talk, kind, which, stage)
        _check_invariants(talk, mode)


def _say_something(talk: Conversation, kind: str, which: int, stage: str) -> None:
    alive = sorted(talk.state.executions)
    if kind == "S":
        talk.start(f"x{next(talk._numbers):03}")
    elif kind in "oO":
        talk.say(StageTransition(stage, "Inbound" if which % 2 else "Outbound", kind == "O"))
    elif alive:
        execution = talk.state.executions[alive[which % len(alive)]]
        if kind in "EF":
            running = [
                (name, action)
                for name, run in execution.runs.items()
                for action, attempt in run.actions.items()
                if attempt.status == "InProgress"
            ]
            if running:
                talk.end(execution.id, *running[which % len(running)], well=kind == "E")
        elif kind in "sa":
            talk.say(StopRequested(execution.id, kind == "a"))
        elif kind in "rR":
            place = talk.state.stages[execution.stage]
            if execution.status in ("Failed", "Stopped") and place.latest == execution.id and not place.holder:
                run = execution.runs.get(execution.stage)
                if run is not None and run.status in ("Failed", "Stopped"):
                    talk.say(StageRetried(execution.id, execution.stage, kind == "R"))
        elif kind == "k":
            talk.say(PipelineReplaced(talk.plan))


def _check_invariants(talk: Conversation, mode: str) -> None:
    state = talk.state
    inside: dict[str, list[str]] = {}
    for execution in state.executions.values():
        if execution.status in RUNNING and not execution.waiting:
            inside.setdefault(execution.stage, []).append(execution.id)
            attempts = execution.runs[execution.stage].actions.values()
            assert any(attempt.status == "InProgress" for attempt in attempts)
    for index, stage in enumerate(talk.plan.stages):
        place = state.stages[stage.name]
        before = state.stages[talk.plan.stages[index - 1].name].outbound if index else True
        if mode != "PARALLEL":
            assert inside.get(stage.name, []) == ([place.holder] if place.holder else [])
            assert place.holder or not place.waiting or not (place.inbound and before)
        if mode == "SUPERSEDED":
            assert len(place.waiting) <= 1
        assert all(state.executions[each].waiting for each in place.waiting)
