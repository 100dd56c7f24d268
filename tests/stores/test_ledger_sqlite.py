"""The embedded ledger around its writer process: batches, a writer that dies, and what was accepted meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from opentrail.errors import LedgerUnavailable
from opentrail.ports import Line, Writes
from opentrail.stores import ledger_sqlite
from opentrail.stores.ledger_sqlite import SqliteLedger


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    await opened.close()


def writer(ledger: SqliteLedger) -> int:
    return ledger._channel._process.pid


def record(text: str) -> Line:
    return Line("record", text.encode())


async def accept(ledger: SqliteLedger, *units: Writes) -> list[asyncio.Task[int]]:
    tasks = [asyncio.ensure_future(ledger.commit(writes, [record("x")])) for writes in units]
    await asyncio.sleep(0)
    return tasks


async def test_commits_of_one_turn_of_the_loop_are_one_batch(ledger, tmp_path):
    await asyncio.gather(*(ledger.commit(Writes(puts={b"k%d" % n: b""}), [record(f"{n}")]) for n in range(50)))
    rows = ledger._reader.execute("SELECT count(*), max(last) FROM batches").fetchone()
    assert rows == (1, 50)


async def test_a_writer_killed_before_it_wrote_takes_everything_accepted_with_it(ledger):
    seen = await ledger.commit(Writes(puts={b"k": b"old"}), [record("before")])
    os.kill(writer(ledger), signal.SIGSTOP)
    first = await accept(ledger, Writes(puts={b"k": b"new"}))
    await asyncio.sleep(0)  # the first is under way; what follows waits behind it and has read it
    second = await accept(ledger, Writes(puts={b"l": b"new"}, reads={b"k": ledger.get(b"k").version}))
    assert ledger.get(b"k").value == b"new"
    os.kill(writer(ledger), signal.SIGKILL)
    for task in (*first, *second):
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(task, 60)
    assert (ledger.get(b"k").value, ledger.get(b"k").version) == (b"old", seen)
    assert ledger.get(b"l") is None
    assert ledger.head() == seen
    again = await asyncio.wait_for(ledger.commit(Writes(puts={b"k": b"newer"}, reads={b"k": seen}), [record("y")]), 60)
    assert ledger.read(seen, 9) == [(again, record("y"))]


async def test_a_writer_killed_after_it_wrote_loses_nothing(ledger):
    await ledger.commit(Writes(), [record("1")])
    channel = ledger._channel
    ledger._loop.remove_reader(channel._socket.fileno())  # its answer stays unread until it is dead
    (task,) = await accept(ledger, Writes(puts={b"k": b"v"}))
    while ledger._reader.execute("SELECT max(last) FROM batches").fetchone() != (2,):
        await asyncio.sleep(0.001)
    os.kill(writer(ledger), signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, writer(ledger), 0)
    channel._socket.recv(1_000)  # as if the answer had been lost
    ledger._loop.add_reader(channel._socket.fileno(), channel._hear)
    assert await asyncio.wait_for(task, 60) == 2
    assert ledger.head() == 2
    assert ledger.get(b"k").version == 2


async def test_an_idle_writer_that_dies_is_replaced(ledger):
    await ledger.commit(Writes(), [record("1")])
    gone = writer(ledger)
    os.kill(gone, signal.SIGKILL)
    while writer(ledger) == gone:
        await asyncio.sleep(0.001)
    assert await asyncio.wait_for(ledger.commit(Writes(puts={b"k": b"v"}), [record("2")]), 60) == 2


async def test_deletions_in_several_batches_never_let_an_older_value_through(ledger, monkeypatch):
    monkeypatch.setattr(ledger_sqlite, "BATCH_COMMITS_MAX", 1)
    await ledger.commit(Writes(puts={b"t\0k": b"0"}), [])
    tasks = await accept(
        ledger, Writes(deletes={b"t\0k"}), Writes(puts={b"t\0k": b"1"}), Writes(deletes={b"t\0k"}), Writes()
    )
    while not tasks[-1].done():
        assert ledger.get(b"t\0k") is None
        assert ledger.scan(b"t\0", b"", 9) == []
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=0.001)


async def test_more_commits_than_the_disk_keeps_up_with_are_refused(ledger, monkeypatch):
    monkeypatch.setattr(ledger_sqlite, "PENDING_COMMITS_MAX", 10)
    commits = [ledger.commit(Writes(puts={b"%d" % n: b""}), []) for n in range(12)]
    results = await asyncio.gather(*commits, return_exceptions=True)
    assert [isinstance(result, LedgerUnavailable) for result in results] == [False] * 10 + [True] * 2
    assert ledger.get(b"11") is None
    assert isinstance(await ledger.commit(Writes(puts={b"11": b""}), []), int)


async def test_a_batch_larger_than_the_socket_takes_goes_out_in_parts(ledger):
    big = {b"%02d" % n: bytes([n]) * 1_000_000 for n in range(30)}
    seq = await ledger.commit(Writes(puts=big), [])
    assert all(ledger.get(key).value == value for key, value in big.items())
    assert ledger.get(b"00").version == seq


async def test_a_batch_cut_off_by_the_writers_death_did_not_happen(ledger):
    await ledger.commit(Writes(), [])
    os.kill(writer(ledger), signal.SIGSTOP)
    (task,) = await accept(ledger, Writes(puts={b"big": bytes(30_000_000)}))
    while not ledger._channel._unsent:
        await asyncio.sleep(0.001)
    os.kill(writer(ledger), signal.SIGKILL)
    with pytest.raises(LedgerUnavailable):
        await asyncio.wait_for(task, 60)
    assert ledger.get(b"big") is None
    assert await asyncio.wait_for(ledger.commit(Writes(), [record("next")]), 60)


async def test_the_writer_ends_with_its_ledger_and_holds_what_it_was_given_until_then(tmp_path):
    held, inherited = os.pipe()
    ledger = SqliteLedger(tmp_path / "ledger.db", keep_open=(inherited,))
    os.close(inherited)
    await ledger.commit(Writes(), [])
    os.set_blocking(held, False)
    with pytest.raises(BlockingIOError):
        os.read(held, 1)  # somebody still has the other end: the writer
    await ledger.close()
    assert os.read(held, 1) == b""
    os.close(held)
