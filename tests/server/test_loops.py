"""Background work: kept alive, reported, ended; followers go on after a failure."""

from __future__ import annotations

import asyncio
import gc

import pytest

from opentrail.server import loops
from opentrail.server.loops import end, follow, spawn


class Follower:
    """Fails as often as it is told to, then runs until it is cancelled."""

    name = "test"

    def __init__(self, failures: int) -> None:
        self.runs = 0
        self.well = asyncio.Event()
        self._failures = failures

    async def run(self) -> None:
        self.runs += 1
        if self.runs <= self._failures:
            raise ZeroDivisionError("oops")
        self.well.set()
        await asyncio.Event().wait()


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """How long a follower was left alone each time; nobody waits."""
    taken: list[float] = []
    sleep = asyncio.sleep

    async def sleepless(seconds: float) -> None:
        taken.append(seconds)
        await sleep(0)

    monkeypatch.setattr(loops.asyncio, "sleep", sleepless)
    return taken


async def test_a_task_lives_without_anybody_holding_it():
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        done.set()

    spawn(work())
    gc.collect()
    async with asyncio.timeout(60):
        await done.wait()
    await asyncio.sleep(0)
    assert not [task for task in loops._alive if task.done()]


async def test_a_task_that_fails_is_reported(caplog):
    async def work() -> None:
        raise ZeroDivisionError("oops")

    task = spawn(work(), "worker")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert "task worker failed" in caplog.text
    assert "ZeroDivisionError: oops" in caplog.text


async def test_a_follower_goes_on_after_failures_each_pause_longer(pauses, caplog):
    follower = Follower(8)
    task = spawn(follow(follower))
    async with asyncio.timeout(60):
        await follower.well.wait()
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert caplog.text.count("test failed; resuming in") == 8
    await end([task])
    assert task.cancelled()


async def test_a_follower_that_had_been_well_is_resumed_soon(pauses, monkeypatch):
    times = iter([0.0, 1.0, 2.0, 3.0, 4.0, 100.0, 101.0, 102.0])
    monkeypatch.setattr(loops, "monotonic", lambda: next(times))
    follower = Follower(3)
    task = spawn(follow(follower))
    async with asyncio.timeout(60):
        await follower.well.wait()
    assert pauses == [0.5, 1.0, 0.5]
    await end([task])


async def test_ending_waits_for_what_tasks_do_last():
    ended = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    tasks = [spawn(work("a")), spawn(work("b"))]
    await asyncio.sleep(0)
    await end(tasks)
    assert sorted(ended) == ["a", "b"]
