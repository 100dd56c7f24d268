"""What a ledger still knows after it was closed, and after its process was killed at once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Line, Writes
from tests.contracts.engines import ENGINES

pytestmark = pytest.mark.asyncio(loop_scope="module")


def record(text: str) -> Line:
    return Line("record", text.encode())


async def test_everything_is_there_after_a_restart(engine, space):
    if not engine.survives:
        pytest.skip("in memory")
    ledger = await engine.open()
    start = ledger.head()
    seq = await ledger.commit(Writes(puts={space + b"a": b"1", space + b"b": b"2"}, blobs=["kept"]), [record("x")])
    gap = await ledger.commit(Writes(deletes={space + b"a"}), [])
    rows = [(key, found.value, found.version) for key, found in ledger.scan(space, b"", 9)]
    await ledger.close()
    again = await engine.open()
    assert [(key, found.value, found.version) for key, found in again.scan(space, b"", 9)] == rows
    assert again.get(space + b"a") is None
    assert again.get(space + b"b").version == seq
    assert again.is_referenced("kept")
    assert again.head() == gap
    assert again.read(start, 9) == [(seq, record("x"))]
    assert await again.commit(Writes(), [record("y")]) > gap
    with pytest.raises(Conflict):
        await again.commit(Writes(puts={space + b"b": b""}, reads={space + b"b": seq - 1}), [])
    await again.commit(Writes(puts={space + b"b": b""}, reads={space + b"b": seq}), [])
    await again.close()


async def test_closing_makes_durable_what_was_accepted_and_then_refuses(engine, space):
    ledger = await engine.open()
    tasks = [asyncio.ensure_future(ledger.commit(Writes(puts={space: b"v"}), [record("x")])) for _ in range(3)]
    await asyncio.sleep(0)
    await ledger.close()
    assert sorted(await asyncio.wait_for(asyncio.gather(*tasks), 60)) == [task.result() for task in tasks]
    with pytest.raises(LedgerUnavailable):
        await asyncio.wait_for(ledger.commit(Writes(), [record("late")]), 60)


ENDLESS_COMMITS = """
import asyncio, sys
from pathlib import Path
from opentrail.ports import Line, Writes
from tests.contracts.engines import ENGINES
from tests.contracts.engines import ENGINES

async def commits(ledger, worker):
    for n in range(1_000_000):
        key, line = b"w%d" % worker, b"%d %d" % (worker, n)
        seq = await ledger.commit(Writes(puts={key: line, key + b"-copy": line}), [Line("record", line)] * 2)
        print(seq, worker, n, flush=True)

async def main():
    engine = await ENGINES[sys.argv[1]](Path(sys.argv[2]))
    ledger = await engine.open()
    await asyncio.gather(*(commits(ledger, worker) for worker in range(4)))

asyncio.run(main())
"""
"""A process that says aloud what it was told is durable."""


async def test_what_was_told_durable_survives_kill_9_and_nothing_is_half_there(engine, tmp_path):
    if not engine.survives:
        pytest.skip("in memory")
    own = await ENGINES[engine.kind](tmp_path)
    told = await asyncio.to_thread(kill_while_committing, engine.kind, tmp_path)
    ledger = await own.open()
    lines = ledger.read(0, 1_000_000)
    assert told
    assert {(seq, line) for seq, line in told} <= {(seq, line.data) for seq, line in lines}
    counts = [line.data for _, line in lines]
    assert all(counts.count(data) == 2 for data in set(counts))
    for worker in range(4):
        mine = [line.data for _, line in lines if line.data.startswith(b"%d " % worker)]
        assert ledger.get(b"w%d" % worker).value == ledger.get(b"w%d-copy" % worker).value == mine[-1]
    await ledger.close()


def kill_while_committing(kind: str, directory) -> list[tuple[int, bytes]]:
    """(Seq, line) of every commit that was told durable before the kill."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS_COMMITS, kind, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    whole = [line.split() for line in said if line.endswith(b"\n")]
    return [(int(seq), worker + b" " + n) for seq, worker, n in whole]
