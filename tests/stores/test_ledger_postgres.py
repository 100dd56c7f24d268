"""The PostgreSQL ledger when sessions end at the wrong moment, and when another node comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from opentrail.errors import LedgerUnavailable
from opentrail.ports import Line, Writes
from opentrail.stores import ledger_postgres_writer
from opentrail.stores.ledger_postgres import PostgresLedger
from tests.contracts.postgres import cluster, end_session

ONE = [Line("record", b"{}")]


@pytest.fixture
def conninfo() -> str:
    return cluster().new_database()


@pytest_asyncio.fixture
async def ledger(conninfo: str) -> AsyncIterator[PostgresLedger]:
    opened = PostgresLedger(conninfo)
    yield opened
    await opened.close()


async def test_a_second_node_is_refused(ledger, conninfo, monkeypatch):
    monkeypatch.setattr(ledger_postgres_writer, "LOCK_SECONDS_MAX", 0.01)
    with pytest.raises(LedgerUnavailable, match="another node"):
        PostgresLedger(conninfo)
    assert await ledger.commit(Writes(), ONE) == 1


async def test_a_commit_whose_answer_was_lost_counts(ledger, conninfo, monkeypatch):
    session = ledger._writer._connection

    def lost() -> None:
        session.execute("COMMIT")
        end_session(conninfo, session.info.backend_pid)
        session.execute("SELECT 1")

    monkeypatch.setattr(ledger._writer, "_commit", lost)
    assert await asyncio.wait_for(ledger.commit(Writes(puts={b"k": b"v"}), ONE), 60) == 1
    monkeypatch.undo()
    assert ledger.head() == 1
    assert await asyncio.wait_for(ledger.commit(Writes(puts={b"k": b"w"}, reads={b"k": 1}), ONE), 60) == 2


async def test_a_commit_that_never_arrived_did_not_happen(ledger, conninfo, monkeypatch):
    session = ledger._writer._connection

    def lost() -> None:
        end_session(conninfo, session.info.backend_pid)
        session.execute("COMMIT")

    monkeypatch.setattr(ledger._writer, "_commit", lost)
    with pytest.raises(LedgerUnavailable):
        await asyncio.wait_for(ledger.commit(Writes(puts={b"k": b"v"}), ONE), 60)
    monkeypatch.undo()
    assert ledger.get(b"k") is None
    assert ledger.read(0, 9) == []
    assert await asyncio.wait_for(ledger.commit(Writes(puts={b"k": b"w"}, reads={b"k": 0}), ONE), 60) > 0


async def test_a_node_that_lost_its_place_does_not_go_on(ledger, conninfo):
    await ledger.commit(Writes(puts={b"k": b"mine"}), ONE)
    end_session(conninfo, ledger._writer._connection.info.backend_pid)
    other = PostgresLedger(conninfo)
    await other.commit(Writes(puts={b"k": b"theirs"}), ONE)
    await other.close()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(ledger.commit(Writes(puts={b"k": b"mine again"}), ONE), 60)
    with psycopg.connect(conninfo) as session:
        assert session.execute("SELECT value FROM opentrail_rows WHERE key = 'k'").fetchall() == [(b"theirs",)]


async def test_a_lost_session_for_reading_is_opened_again(ledger, conninfo):
    await ledger.commit(Writes(puts={b"t\0k": b"v"}), ONE)
    end_session(conninfo, ledger._reader.info.backend_pid)
    assert [key for key, _ in ledger.scan(b"t\0", b"", 9)] == [b"t\0k"]
    assert len(ledger.read(0, 9)) == 1


async def test_deletions_in_several_batches_never_let_an_older_value_through(ledger, monkeypatch):
    monkeypatch.setattr("opentrail.stores.ledger_postgres.BATCH_COMMITS_MAX", 1)
    await ledger.commit(Writes(puts={b"t\0k": b"0"}), [])
    units = [Writes(deletes={b"t\0k"}), Writes(puts={b"t\0k": b"1"}), Writes(deletes={b"t\0k"}), Writes()]
    tasks = [asyncio.ensure_future(ledger.commit(writes, ONE)) for writes in units]
    await asyncio.sleep(0)
    while not tasks[-1].done():
        assert ledger.get(b"t\0k") is None
        assert ledger.scan(b"t\0", b"", 9) == []
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=0.001)
