"""A bell is heard, but never waited for alone; and whoever is stopped while he waits, stops."""

from __future__ import annotations

import asyncio

import pytest

from opentrail.followers.hearing import hearing, rest
from opentrail.rows.bell import Bell


async def test_a_ring_ends_the_rest_also_one_from_before_it():
    bell = Bell()
    with hearing(bell, "rows") as rung:
        bell.ring("rows")
        await rest(rung, 60.0)
        rung.clear()
        bell.ring("other rows")
        await rest(rung, 0.001)
        assert not rung.is_set()


async def test_nobody_listens_any_more_whatever_ended_it():
    bell = Bell()
    with pytest.raises(ValueError, match="a defect"), hearing(bell, "rows") as rung:
        raise ValueError("a defect")
    bell.ring("rows")
    assert not rung.is_set()


async def test_a_cancelled_rest_ends():
    task = asyncio.ensure_future(rest(asyncio.Event(), 60.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
