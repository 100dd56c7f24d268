"""Ledgers that die at a commit, before it or right after it, as a server does that is killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from opentrail.ports import Ledger, Line, Seq, Writes

Commit = Callable[[Writes, Sequence[Line]], Awaitable[Seq]]


class Crash(BaseException):
    """The process would be dead here."""


class Mortal:
    """A ledger that dies at its n-th commit from now; with `durable` that one is kept."""

    def __init__(self, ledger: Ledger, number: int, *, durable: bool) -> None:
        self._ledger, self._left, self._durable = ledger, number, durable

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def commit(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        self._left -= 1
        if self._left == 0:
            if self._durable:
                await self._ledger.commit(writes, lines)
            raise Crash
        return await self._ledger.commit(writes, lines)


class EveryOther:
    """A `commit` that dies every other time, the first time too; `commits` counts the tries."""

    def __init__(self, commit: Commit, *, after: bool) -> None:
        self._commit, self._after, self.commits = commit, after, 0

    async def __call__(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        self.commits += 1
        if self.commits % 2 and not self._after:
            raise Crash
        seq = await self._commit(writes, lines)
        if self.commits % 2:
            raise Crash
        return seq
