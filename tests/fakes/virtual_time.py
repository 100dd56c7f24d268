"""An event loop whose time passes only while everybody waits: intervals take no time, and a busy machine changes nothing in
the order of things. For work in memory; what a thread is asked to do is done on the spot."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import pytest

P = ParamSpec("P")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, puts the loop's time forward."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.time += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.time


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that runs on such a loop."""

    async def at_once(task: Callable[..., Any], *given: Any) -> Any:
        return task(*given)

    @functools.wraps(test)
    def run(*args: P.args, **given: P.kwargs) -> None:
        loop = _Loop()
        try:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(asyncio, "to_thread", at_once)
                loop.run_until_complete(test(*args, **given))
        finally:
            loop.close()

    return run
