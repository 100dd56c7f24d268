"""The writing end of the PostgreSQL ledger: a thread that turns batches into transactions, and finds out what became of one
whose answer was lost.

A connection that breaks before COMMIT was sent leaves nothing. One that breaks while COMMIT is under way leaves the
question open; it is answered by a new session once that holds the lock of the old one, which is then known to have ended:
the head says whether the batch is in. Until then whoever waits, waits. Knows keys, bytes and sequence numbers only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import msgspec
import psycopg

from opentrail.errors import LedgerUnavailable

LOCK = 0x4F70656E54726169
"""The advisory lock of the one node that writes ("OpenTrai")."""
LOCK_SECONDS_MAX = 5
"""How long to wait for the end of the node, or of the session, before this one."""
RETRY_SECONDS = 0.5
"""Between two attempts to find out what became of a batch."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS opentrail_rows (key bytea PRIMARY KEY, version bigint NOT NULL, value bytea NOT NULL);
CREATE TABLE IF NOT EXISTS opentrail_lines (seq bigint PRIMARY KEY, kind smallint NOT NULL, data bytea NOT NULL);
CREATE TABLE IF NOT EXISTS opentrail_head (id boolean PRIMARY KEY DEFAULT true CHECK (id), seq bigint NOT NULL);
INSERT INTO opentrail_head (seq) VALUES (0) ON CONFLICT DO NOTHING;
"""
_PUT = """
INSERT INTO opentrail_rows SELECT * FROM unnest(%b::bytea[], %b::bigint[], %b::bytea[])
ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value
"""
_DELETE = "DELETE FROM opentrail_rows WHERE key = ANY(%b::bytea[])"
_APPEND = "INSERT INTO opentrail_lines SELECT * FROM unnest(%b::bigint[], %b::smallint[], %b::bytea[])"

log = logging.getLogger("opentrail.ledger")
Connection = psycopg.Connection[tuple[Any, ...]]


class Batch(msgspec.Struct, frozen=True):
    """What becomes durable together. `last` is the Seq of its last commit."""

    last: int
    puts: Sequence[tuple[bytes, int, bytes]]
    deletes: Sequence[bytes]
    lines: Sequence[tuple[int, int, bytes]]


def connect(conninfo: str) -> Connection:
    """A session whose commits are durable when they return. Raises psycopg.OperationalError."""
    connection = psycopg.connect(conninfo, autocommit=True, connect_timeout=5)
    connection.execute("SET synchronous_commit = on")
    return connection


def durable_head(connection: Connection) -> int:
    """The newest durable Seq."""
    row = connection.execute("SELECT seq FROM opentrail_head").fetchone()
    assert row is not None
    return int(row[0])


class WriterThread:
    """One batch at a time; `told(last, failure)` answers each, from the thread."""

    def __init__(self, conninfo: str, told: Callable[[int, str], None]) -> None:
        self._conninfo = conninfo
        self._told = told
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._connection = self._open()
        self._connection.execute(SCHEMA)
        self._head = durable_head(self._connection)
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def send(self, batch: Batch) -> None:
        self._batches.put(batch)

    def close(self) -> None:
        """End the thread; blocks until it has."""
        self._batches.put(None)
        self._thread.join()
        self._connection.close()

    def _open(self) -> Connection:
        """A session that is the only writer. Raises psycopg.OperationalError, and LedgerUnavailable."""
        connection = connect(self._conninfo)
        try:
            connection.execute(f"SET lock_timeout = '{LOCK_SECONDS_MAX}s'")
            connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        except psycopg.errors.LockNotAvailable as error:
            connection.close()
            raise LedgerUnavailable("another node works on this database") from error
        return connection

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._told(batch.last, self._write(batch))

    def _write(self, batch: Batch) -> str:
        """Empty, or why nothing of the batch happened."""
        try:
            if self._connection.closed:
                self._connection = self._open()
            self._connection.execute("BEGIN")
            self._move_head(batch.last)
            self._fill(batch)
        except (psycopg.Error, LedgerUnavailable) as error:
            self._let_go()
            return str(error) or type(error).__name__
        try:
            self._commit()
        except psycopg.Error as error:
            self._let_go()
            if not self._is_in(batch):
                return str(error)
        self._head = batch.last
        return ""

    def _move_head(self, last: int) -> None:
        """Only from where this node knows it to be: whoever lost the lock for a while must not go on as if nothing were."""
        moved = self._connection.execute("UPDATE opentrail_head SET seq = %s WHERE seq = %s", (last, self._head))
        if moved.rowcount != 1:
            raise LedgerUnavailable("another node has written to this database; this one must start again")

    def _fill(self, batch: Batch) -> None:
        run = self._connection.execute
        if batch.puts:
            run(_PUT, [list(column) for column in zip(*batch.puts, strict=True)])
        if batch.deletes:
            run(_DELETE, [list(batch.deletes)])
        if batch.lines:
            run(_APPEND, [list(column) for column in zip(*batch.lines, strict=True)])

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _let_go(self) -> None:
        """End the session, and with it whatever it had begun."""
        self._connection.close()

    def _is_in(self, batch: Batch) -> bool:
        """Was the batch committed? Asked by a session that holds the lock, so that the one before has surely ended."""
        while True:
            try:
                self._connection = self._open()
                return durable_head(self._connection) >= batch.last
            except (psycopg.Error, LedgerUnavailable) as error:
                log.error("it is not known yet whether a batch was committed: %s", error)
            time.sleep(RETRY_SECONDS)
