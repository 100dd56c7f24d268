"""Tasks that outlive a request: kept alive, reported when they fail, ended in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from opentrail.ports import Follower

RESTART_SECONDS_MIN, RESTART_SECONDS_MAX = 0.5, 30.0
"""A follower that fails is started again after this long, twice as long each time until it runs well for a while."""

log = logging.getLogger("opentrail.loops")
_alive: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
    """Run in the background. The task is held until it ends; a failure is logged."""
    task = asyncio.get_running_loop().create_task(work, name=name or None)
    _alive.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _alive.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task %s failed", task.get_name(), exc_info=error)


async def follow(follower: Follower) -> None:
    """Run a follower for ever; after a failure it resumes from its cursor."""
    pause = RESTART_SECONDS_MIN
    while True:
        started = monotonic()
        try:
            await follower.run()
        except Exception:  # the follower loop: its cursor says where to go on
            if monotonic() - started > RESTART_SECONDS_MAX:
                pause = RESTART_SECONDS_MIN  # it had been well
            log.exception("%s failed; resuming in %.1f s", follower.name, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_SECONDS_MAX)


async def end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel and wait."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
