"""Runs what pipelines have to do: actions that were started, waits that expire, histories of deleted pipelines.

Work lies in a table in order of when it is due. The follower wakes when something falls due, and for a while after a bell
told that the table is about to change it wakes whenever the ledger has grown; a ledger that grows by other things alone
costs it nothing. An action's end and all that follows from it is one commit. Whatever a crash cut short is still in
the table and is run again; what was acknowledged is not. Knows actions only by their plug, and no other follower.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from opentrail.call import Principal
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing
from opentrail.ports import Key
from opentrail.rows.codepipeline import (
    BELL,
    HISTORY_TABLES,
    WORK,
    WORK_BELL,
    ActionRun,
    Execution,
    Pipeline,
    Work,
    due_of,
    find_execution,
    get_action_run,
)
from opentrail.rows.codepipeline_action import (
    SERVICE_PRINCIPAL,
    ActionContext,
    ActionResult,
    Actions,
    failed,
)
from opentrail.rows.codepipeline_steps import artifact_store, finish_action, load_pipeline, wait_action
from opentrail.service import RoleSession
from opentrail.state import House, Unit

RUNNING_MAX = 64
"""Pieces of work done at the same time."""
WAKE_GAP = 0.01
"""Seconds between two looks at the table, so that a busy ledger does not keep the follower busy."""
ATTENTIVE_SECONDS = 2.0
"""How long the ledger is watched after the bell, which rings before the commit that it tells of."""
LOOK_SECONDS = 1.0
"""How often the table is looked at unasked."""
RETRY_PAUSE = 1.0
"""Seconds until a commit that could not be made durable is tried again."""
PURGE_PAGE = 1_000
"""Rows removed in one commit."""

log = logging.getLogger(__name__)


class ExecutionsFollower:
    """Drives executions of pipelines. One per ledger."""

    name = "executions"

    def __init__(self, house: House, role_session: RoleSession, actions: Actions) -> None:
        self._house = house
        self._role_session = role_session
        self._actions = actions
        self._running: set[Key] = set()
        self._acting: dict[Key, asyncio.Task[object]] = {}
        self._stuck: set[Key] = set()
        self._looked_at = 0.0
        self._rung_at = -ATTENTIVE_SECONDS
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Follow for ever. Cancelling it cancels the actions under way; they are run again at the next start."""
        async with asyncio.TaskGroup() as tasks:
            with hearing(BELL, WORK_BELL) as rung:
                while True:
                    head = self._house.ledger.head()
                    self._freed.clear()
                    if rung.is_set():
                        self._rung_at = asyncio.get_running_loop().time()
                        rung.clear()
                    await self._sleep(rung, head, self._look(tasks))

    def _look(self, tasks: asyncio.TaskGroup) -> float | None:
        """Start what is due; when the next piece will be (epoch seconds; None: nothing is waiting)."""
        self._looked_at = asyncio.get_running_loop().time()
        now = int(self._house.clock.now() * 1000)
        self._cancel_withdrawn()
        for key, row in self._house.ledger.scan(WORK.key(""), b"", 2 * RUNNING_MAX):
            if due_of(key) > now:
                return due_of(key) / 1000
            if key not in self._running and key not in self._stuck and len(self._running) < RUNNING_MAX:
                self._running.add(key)
                task = tasks.create_task(self._do(key, WORK.decode(row.value)))
                task.add_done_callback(partial(self._done, key))
        return None

    def _done(self, key: Key, _task: asyncio.Task[None]) -> None:
        self._running.discard(key)
        self._freed.set()

    def _cancel_withdrawn(self) -> None:
        """An action whose work is gone from the table was abandoned, or answered by somebody else."""
        for key, task in self._acting.items():
            if self._house.ledger.get(key) is None:
                task.cancel()

    async def _sleep(self, rung: asyncio.Event, head: int, next_due: float | None) -> None:
        """Until the bell rings (soon after it: until the ledger has grown), a slot is free, or the next piece of work is
        due; WAKE_GAP at the least."""
        loop = asyncio.get_running_loop()
        pause = LOOK_SECONDS
        if next_due is not None:
            pause = min(max(0.0, next_due - self._house.clock.now()), pause)
        signs: list[Coroutine[Any, Any, object]] = [self._freed.wait(), rung.wait()]
        if self._looked_at - self._rung_at < ATTENTIVE_SECONDS:
            signs.append(self._house.ledger.wait(head))
        waiting = [loop.create_task(sign) for sign in signs]
        try:
            await asyncio.wait(waiting, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        gap = self._looked_at + WAKE_GAP - loop.time()
        if gap > 0:
            await asyncio.sleep(gap)

    async def _do(self, key: Key, work: Work) -> None:
        """One piece of work. A mistake of ours leaves it in the table until the next start, and the others alone."""
        try:
            if work.kind == "purge":
                await self._purge(key, work)
            elif work.kind == "expire":
                await self._finish(key, work, failed("JobFailed", "The approval was not given in time"))
            else:
                await self._finish(key, work, await self._act(key, work))
        except Exception:
            log.exception("work %r of pipeline %s is stuck until the next start", key, work.pipeline)
            self._stuck.add(key)

    async def _act(self, key: Key, work: Work) -> ActionResult:
        """Run the action, so that it can be cancelled when its work is withdrawn (but never while it is committed)."""
        task = asyncio.current_task()
        assert task is not None
        self._acting[key] = task
        try:
            return await self._run_action(key, work)
        finally:
            del self._acting[key]

    async def _run_action(self, key: Key, work: Work) -> ActionResult:
        """Run the action; whatever goes wrong becomes its result."""
        unit = Unit(self._house, self._house.clock.now())
        pipeline, run = _load(unit, work)
        execution = None if pipeline is None or run is None else find_execution(unit, pipeline.id, run.execution_id)
        if pipeline is None or run is None or execution is None:
            return failed("JobFailed", "The action is gone")
        kind = (run.type_id["owner"], run.type_id["category"], run.type_id["provider"])
        action = self._actions.get(kind)
        if action is None:
            return failed("ConfigurationError", f"The action provider {' '.join(kind)} is not available here")
        try:
            async with asyncio.timeout(max(0.0, run.started + run.timeout - unit.now)):
                principal = await self._principal(run)
                return await action.run(self._context(principal, pipeline, run, execution))
        except AwsError as error:
            return failed("JobFailed", f"{error.code}: {error.message}")
        except TimeoutError:
            return failed("JobFailed", f"The action did not end within {run.timeout} seconds")
        except Exception:  # a plug's mistake must not take the follower down, and shows in the action and in the log
            log.exception("action %s of pipeline %s failed unexpectedly (work %r)", run.id, pipeline.arn, key)
            return failed("JobFailed", "An internal error occurred")

    async def _principal(self, run: ActionRun) -> Principal:
        """A session of the role the action runs under."""
        while True:
            unit = Unit(self._house, self._house.clock.now())
            name = str(int(run.started * 1000))
            try:
                session = self._role_session(unit, run.role_arn, name, SERVICE_PRINCIPAL, unit.now)
                if unit.writes.puts or unit.writes.deletes or unit.events:
                    await self._house.ledger.commit(unit.writes, unit.events)
            except Conflict:
                continue
            except AwsError as error:
                message = f"CodePipeline is not authorized to perform AssumeRole on role {run.role_arn}"
                raise AwsError("PermissionError", f"{message} ({error.code})") from error
            return replace(session, invoked_by=SERVICE_PRINCIPAL)

    def _context(self, principal: Principal, pipeline: Pipeline, run: ActionRun, execution: Execution) -> ActionContext:
        store = artifact_store(pipeline, run.region)
        return ActionContext(
            road=self._house.road,
            clock=self._house.clock,
            principal=principal,
            account_id=pipeline.account_id,
            region=run.region,
            pipeline=pipeline.name,
            execution_id=run.execution_id,
            stage=run.stage,
            action=run.action,
            action_execution_id=run.id,
            token=run.token,
            configuration=run.resolved,
            inputs=run.inputs,
            outputs=run.outputs,
            kms_key=(store.get("encryptionKey") or {}).get("id", ""),
            overrides={each.kind: each.value for each in execution.overrides if each.action == run.action},
            started_at=run.started,
            expires_at=run.started + run.timeout,
        )

    async def _finish(self, key: Key, work: Work, result: ActionResult) -> None:
        """Commit what came of an action, unless the work was withdrawn meanwhile."""
        while True:
            unit = Unit(self._house, self._house.clock.now())
            if unit.get(key) is None:
                return
            pipeline, run = _load(unit, work)
            if pipeline is None or run is None or run.status != "InProgress":
                unit.delete(key)
            elif result.status == "Waiting":
                wait_action(unit, pipeline, run)
            else:
                finish_action(unit, pipeline, run, result)
            if await self._commit(unit):
                return

    async def _purge(self, key: Key, work: Work) -> None:
        """Remove what a deleted pipeline left, a page at a time."""
        while True:
            unit = Unit(self._house, self._house.clock.now())
            rows = [k for t in HISTORY_TABLES for k, _ in t.page(unit, work.pipeline_id, limit=PURGE_PAGE)]
            for each in rows[:PURGE_PAGE]:
                unit.delete(each)
            if len(rows) <= PURGE_PAGE:
                unit.delete(key)
            if await self._commit(unit) and len(rows) <= PURGE_PAGE:
                return

    async def _commit(self, unit: Unit) -> bool:
        """Whether it became durable; otherwise the step is to be taken anew."""
        try:
            await self._house.ledger.commit(unit.writes, unit.events)
        except Conflict:
            return False
        except LedgerUnavailable:
            log.exception("a step of a pipeline could not be made durable; it is tried again")
            await asyncio.sleep(RETRY_PAUSE)
            return False
        return True


def _load(unit: Unit, work: Work) -> tuple[Pipeline | None, ActionRun | None]:
    pipeline = load_pipeline(unit, work)
    run = None if pipeline is None else get_action_run(unit, pipeline.id, work.number, work.ordinal)
    return pipeline, run
