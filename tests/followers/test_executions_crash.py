"""A pipeline through a crash at every commit, before and after it took effect; and on the real embedded ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from opentrail.ports import Line, Seq, Writes
from opentrail.stores.ledger_sqlite import SqliteLedger
from tests.fakes.ledger import FakeLedger
from tests.pipeline.made import approval, deploy
from tests.services.codepipeline_world import World, zip_of

STAGES = (
    {"name": "Ask", "actions": [approval()]},
    {"name": "Deploy", "actions": [deploy(), deploy("Too", runOrder=2)]},
)
COMMITS = 5
"""Fetch ended, Ask waits, Ask approved, Ship ended, Too ended."""


class DyingLedger(FakeLedger):
    """Dies at the commit numbered `last` of those that change something: takes it or not, and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0
        self.takes_it = True
        self.dead = asyncio.Event()

    async def commit(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        self.last -= bool(writes.puts)
        if self.last == 0 and writes.puts:
            if self.takes_it:
                await super().commit(writes, lines)
            self.dead.set()
            await asyncio.Event().wait()
        return await super().commit(writes, lines)


async def approve_when_asked(world: World) -> None:
    while True:
        latest = (await world.action(1)).get("latestExecution", {})
        if latest.get("token") and "expire" in world.work():
            result = {"summary": "", "status": "Approved"}
            asked = {"pipelineName": "site", "stageName": "Ask", "actionName": "Ask", "result": result}
            await world.call("PutApprovalResult", {**asked, "token": latest["token"]})
            return
        await asyncio.sleep(0)


def prepared(ledger: FakeLedger | SqliteLedger) -> World:
    world = World()
    rows = world.house.ledger.rows
    world.house.ledger = ledger
    if isinstance(ledger, FakeLedger):
        ledger.rows.update(rows)
    world.road.add("src", "app.zip", zip_of(index_html="hi"))
    return world


@pytest.mark.parametrize("takes_it", [True, False])
@pytest.mark.parametrize("last", range(1, COMMITS + 1))
async def test_a_crash_at_any_commit_loses_and_repeats_nothing(last, takes_it):
    ledger = DyingLedger()
    world = prepared(ledger)
    execution_id = await world.create(*STAGES)
    ledger.last, ledger.takes_it = last, takes_it
    follower = asyncio.ensure_future(world.follower().run())
    approver = asyncio.ensure_future(approve_when_asked(world))
    ended = asyncio.ensure_future(world.until(execution_id, "Succeeded"))
    died = asyncio.ensure_future(ledger.dead.wait())
    await asyncio.wait((ended, died), return_when=asyncio.FIRST_COMPLETED)
    assert ledger.dead.is_set()
    for task in (follower, approver, ended, died):
        task.cancel()
    await asyncio.wait((follower, approver, ended, died))
    ledger.last = 0
    async with world.following():
        if (await world.action(1)).get("latestExecution", {}).get("status") != "Succeeded":
            await approve_when_asked(world)
        await world.until(execution_id, "Succeeded")
    told = world.told()
    assert len(told) == len(set(told))
    assert [line for line in told if line.endswith("FAILED")] == []
    assert told[-1] == "SUCCEEDED"
    assert world.work() == []


async def test_on_the_embedded_ledger_through_a_restart(tmp_path: Path):
    ledger = SqliteLedger(tmp_path / "ledger")
    world = prepared(ledger)
    unit_role = World().house.ledger.rows
    await ledger.commit(Writes(puts={key: row.value for key, row in unit_role.items()}), [])
    execution_id = await world.create(*STAGES)
    async with world.following(), asyncio.timeout(60):
        while world.work() != ["expire"]:
            await asyncio.sleep(0.001)
    await ledger.close()
    world.house.ledger = SqliteLedger(tmp_path / "ledger")
    async with world.following():
        await approve_when_asked(world)
        shown = await world.until(execution_id, "Succeeded")
    assert shown["artifactRevisions"][0]["revisionId"] == "v1"
    await world.house.ledger.close()
