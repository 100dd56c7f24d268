"""Waiting for a bell (`rows.bell`), as followers do that look at rows: it is only a hint, so nobody waits for it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opentrail.rows.bell import Bell


@contextmanager
def hearing(bell: Bell, name: str) -> Iterator[asyncio.Event]:
    """What is set whenever the bell rings. Clear it before looking at the rows, so that nothing is missed meanwhile."""
    rung = asyncio.Event()
    bell.listen(name, rung.set)
    try:
        yield rung
    finally:
        bell.leave(name, rung.set)


async def rest(rung: asyncio.Event, seconds: float) -> None:
    """Until the bell rings; after `seconds` it is time to look all the same."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for may swallow a cancellation
            await rung.wait()
