"""The engines of `ports.Ledger` under one handle: open, make fail, reopen. The contract suite knows nothing else of them."""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentrail.stores.ledger_postgres import PostgresLedger
from opentrail.stores.ledger_sqlite import SqliteLedger
from tests.contracts.postgres import cluster, end_session
from tests.fakes.ledger import FakeLedger


class FakeEngine:
    """The in-memory engine. What it holds is gone with it, so it is never reopened."""

    kind = "fake"
    survives = False

    async def open(self) -> FakeLedger:
        return FakeLedger()

    @contextmanager
    def broken(self, ledger: FakeLedger) -> Iterator[None]:
        """The next commit cannot be made durable."""
        ledger.fail_next = True
        yield
        ledger.fail_next = False

    async def end(self) -> None:
        return None


class SqliteEngine:
    """The embedded engine, on a file system that can be full."""

    kind = "sqlite"
    survives = True

    def __init__(self, directory: Path) -> None:
        self.path = directory / "ledger.db"

    async def open(self) -> SqliteLedger:
        return SqliteLedger(self.path)

    @contextmanager
    def broken(self, ledger: SqliteLedger) -> Iterator[None]:
        """The writer process can write nothing more: its files may not grow or be written at any place."""
        writer = ledger._channel._process.pid
        limits = resource.prlimit(writer, resource.RLIMIT_FSIZE)
        resource.prlimit(writer, resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            yield
        finally:
            resource.prlimit(writer, resource.RLIMIT_FSIZE, limits)

    async def end(self) -> None:
        return None


class PostgresEngine:
    """A database of its own in the tests' cluster. The directory remembers which, for other processes."""

    kind = "postgres"
    survives = True

    def __init__(self, directory: Path) -> None:
        note = directory / "conninfo"
        if not note.exists():
            note.write_text(cluster().new_database())
        self.conninfo = note.read_text()

    async def open(self) -> PostgresLedger:
        return PostgresLedger(self.conninfo)

    @contextmanager
    def broken(self, ledger: PostgresLedger) -> Iterator[None]:
        """The writer's session is ended by the server."""
        end_session(self.conninfo, ledger._writer._connection.info.backend_pid)
        yield

    async def end(self) -> None:
        return None


async def build_fake(_directory: Path) -> Any:
    return FakeEngine()


async def build_sqlite(directory: Path) -> Any:
    return SqliteEngine(directory)


async def build_postgres(directory: Path) -> Any:
    return PostgresEngine(directory)


ENGINES: dict[str, Callable[[Path], Awaitable[Any]]] = {
    "fake": build_fake,
    "sqlite": build_sqlite,
    "postgres": build_postgres,
}
