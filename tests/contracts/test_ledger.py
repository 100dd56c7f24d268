"""What every `ports.Ledger` MUST do, in the words of the port, on every engine."""

from __future__ import annotations

import asyncio

import pytest

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Line, Writes

pytestmark = pytest.mark.asyncio(loop_scope="module")


def record(text: str) -> Line:
    return Line("record", text.encode())


async def accepted(*commits) -> list[asyncio.Task[int]]:
    """Commits that the ledger has accepted and, on an engine with a disk, not made durable yet."""
    tasks = [asyncio.ensure_future(commit) for commit in commits]
    await asyncio.sleep(0)
    return tasks


async def test_what_was_never_written_is_absent(ledger, space):
    assert ledger.get(space) is None
    assert list(ledger.scan(space, b"", 10)) == []
    assert list(ledger.scan_back(space, b"", 10)) == []


async def test_a_commit_returns_the_seq_of_its_last_line_and_the_rows_bear_it(ledger, space):
    seq = await ledger.commit(Writes(puts={space: b"v"}), [record("1"), record("2")])
    found = ledger.get(space)
    assert (found.value, found.version) == (b"v", seq)
    assert ledger.read(seq - 2, 10) == [(seq - 1, record("1")), (seq, record("2"))]
    assert ledger.head() == seq


async def test_a_commit_without_lines_takes_a_seq_of_its_own(ledger, space):
    before = await ledger.commit(Writes(puts={space: b"1"}), [])
    after = await ledger.commit(Writes(puts={space: b"2"}), [])
    assert after > before
    assert (ledger.get(space).version, ledger.head()) == (after, after)
    assert ledger.read(before - 1, 10) == []
    with_line = await ledger.commit(Writes(), [record("x")])
    assert with_line > after
    assert ledger.read(before, 10) == [(with_line, record("x"))]


async def test_commits_are_ordered_as_they_were_accepted(ledger, space):
    commits = [ledger.commit(Writes(puts={space: b"%d" % n}), [record(f"{n}")] * (n % 3)) for n in range(100)]
    start = ledger.head()
    seqs = await asyncio.gather(*commits)
    assert seqs == sorted(set(seqs))
    assert [line for _, line in ledger.read(start, 1_000)] == [record(f"{n}") for n in range(100) for _ in range(n % 3)]
    assert ledger.get(space).value == b"99"
    assert ledger.get(space).version == seqs[-1]


async def test_lines_keep_their_kind_and_every_byte(ledger):
    lines = [Line("record", bytes(range(256))), Line("event", b""), Line("record", b"x" * 300_000)]
    seq = await ledger.commit(Writes(), lines)
    assert ledger.read(seq - 3, 10) == list(zip(range(seq - 2, seq + 1), lines, strict=True))


async def test_keys_and_values_are_any_bytes(ledger, space):
    rows = {space + bytes([n]) * 3: bytes(range(256)) * n for n in range(0, 256, 5)}
    await ledger.commit(Writes(puts=rows), [])
    assert {key: ledger.get(key).value for key in rows} == rows
    assert [key for key, _ in ledger.scan(space, b"", 1_000)] == sorted(rows)


async def test_a_commit_of_many_rows(ledger, space):
    rows = {space + b"%05d" % n: b"%d" % n for n in range(1_303)}  # no multiple of any statement's size
    await ledger.commit(Writes(puts=rows), [])
    gone = set(list(rows)[: 700 + 33])
    await ledger.commit(Writes(deletes=set(gone)), [])
    assert {key: found.value for key, found in ledger.scan(space, b"", 5_000)} == {
        key: value for key, value in rows.items() if key not in gone
    }


# --- conflicts


async def test_a_stale_read_is_a_conflict_and_nothing_of_the_commit_happens(ledger, space):
    first = await ledger.commit(Writes(puts={space: b"1"}), [])
    second = await ledger.commit(Writes(puts={space: b"2"}, reads={space: first}), [])
    with pytest.raises(Conflict):
        await ledger.commit(Writes(puts={space: b"3", space + b"x": b"3"}, reads={space: first}), [record("lost")])
    assert ledger.get(space).version == second
    assert ledger.get(space + b"x") is None
    assert ledger.read(second, 10) == []


async def test_a_key_seen_absent_must_still_be_absent(ledger, space):
    await ledger.commit(Writes(puts={space: b"1"}, reads={space: 0}), [])
    with pytest.raises(Conflict):
        await ledger.commit(Writes(puts={space: b"2"}, reads={space: 0}), [])


async def test_a_key_seen_must_not_be_deleted(ledger, space):
    seen = await ledger.commit(Writes(puts={space: b"1"}), [])
    await ledger.commit(Writes(deletes={space}, reads={space: seen}), [])
    with pytest.raises(Conflict):
        await ledger.commit(Writes(puts={space: b"2"}, reads={space: seen}), [])
    with pytest.raises(Conflict):
        await ledger.commit(Writes(deletes={space}, reads={space: seen}), [])
    await ledger.commit(Writes(puts={space: b"3"}, reads={space: 0}), [])


async def test_a_commit_is_checked_against_what_was_accepted_before_it(ledger, space):
    tasks = await accepted(
        ledger.commit(Writes(puts={space: b"first"}, reads={space: 0}), []),
        ledger.commit(Writes(puts={space: b"second"}, reads={space: 0}), []),
    )
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, int)
    assert isinstance(second, Conflict)
    assert ledger.get(space).value == b"first"


async def test_a_commit_that_changes_nothing_is_not_checked(ledger, space):
    await ledger.commit(Writes(puts={space: b"1"}), [])
    seq = await ledger.commit(Writes(reads={space: 0}), [record("it was so when it was read")])
    assert ledger.read(seq - 1, 1) == [(seq, record("it was so when it was read"))]


# --- accepted and durable


async def test_what_was_accepted_is_seen_at_once(ledger, space):
    await ledger.commit(Writes(puts={space + b"a": b"old", space + b"b": b"old", space + b"d": b"old"}), [])
    tasks = await accepted(
        ledger.commit(Writes(puts={space + b"a": b"new", space + b"c": b"new"}, deletes={space + b"b"}), [])
    )
    assert ledger.get(space + b"a").value == b"new"
    assert ledger.get(space + b"b") is None
    expected = [(space + b"a", b"new"), (space + b"c", b"new"), (space + b"d", b"old")]
    assert [(key, found.value) for key, found in ledger.scan(space, b"", 10)] == expected
    assert [(key, found.value) for key, found in ledger.scan_back(space, b"", 10)] == expected[::-1]
    (seq,) = await asyncio.gather(*tasks)
    assert ledger.get(space + b"a").version == seq


async def test_read_and_head_show_only_what_is_durable(engine, ledger, space):
    head = ledger.head()
    tasks = await accepted(ledger.commit(Writes(puts={space: b""}), [record("pending")]))
    assert all(seq <= ledger.head() for seq, _ in ledger.read(head, 10))
    if engine.survives:
        assert ledger.head() == head
        assert ledger.read(head, 10) == []
    (seq,) = await asyncio.gather(*tasks)
    assert ledger.read(head, 10) == [(seq, record("pending"))]


async def test_a_caller_that_goes_away_does_not_undo_its_commit(ledger, space):
    tasks = await accepted(ledger.commit(Writes(puts={space: b"kept"}), [record("kept")]))
    tasks[0].cancel()
    seq = await ledger.commit(Writes(), [record("after")])
    assert ledger.get(space).value == b"kept"
    assert [line for _, line in ledger.read(seq - 2, 10)] == [record("kept"), record("after")]


async def test_a_commit_that_could_not_be_made_durable_did_not_happen(engine, ledger, space):
    seen = await ledger.commit(Writes(puts={space + b"a": b"old", space + b"b": b"old"}), [record("before")])
    writes = Writes(puts={space + b"a": b"new", space + b"c": b"new"}, deletes={space + b"b"}, blobs=["in-vain"])
    with engine.broken(ledger), pytest.raises(LedgerUnavailable):
        await ledger.commit(writes, [record("lost")])
    assert [(key, found.value, found.version) for key, found in ledger.scan(space, b"", 10)] == [
        (space + b"a", b"old", seen),
        (space + b"b", b"old", seen),
    ]
    assert ledger.get(space + b"a").version == ledger.get(space + b"b").version == seen
    assert ledger.get(space + b"c") is None
    assert not ledger.is_referenced("in-vain")
    assert ledger.head() == seen
    assert ledger.read(seen, 10) == []
    seq = await ledger.commit(Writes(puts={space + b"a": b"newer"}, reads={space + b"a": seen}), [record("again")])
    assert seq > seen
    assert ledger.read(seen, 10) == [(seq, record("again"))]


# --- reading lines


async def test_lines_are_read_a_page_at_a_time(ledger):
    start = ledger.head()
    for n in range(7):
        await ledger.commit(Writes(), [record(f"{n}.{part}") for part in range(3)])
    found, after = [], start
    while page := ledger.read(after, 5):
        assert len(page) <= 5 + 3
        assert [seq for seq, _ in page] == sorted(seq for seq, _ in page)
        found += [line for _, line in page]
        after = page[-1][0]
    assert found == [record(f"{n}.{part}") for n in range(7) for part in range(3)]
    assert after == ledger.head()


async def test_reading_starts_behind_any_line(ledger):
    seq = await ledger.commit(Writes(), [record(f"{n}") for n in range(5)])
    for left in range(5):
        assert [line for _, line in ledger.read(seq - left, 10)] == [record(f"{n}") for n in range(5 - left, 5)]
    assert ledger.read(seq + 1_000, 10) == []


# --- waiting


async def test_wait_returns_at_once_when_there_is_something(ledger):
    seq = await ledger.commit(Writes(), [record("x")])
    assert await asyncio.wait_for(ledger.wait(seq - 1), 60) == seq


async def test_every_waiter_is_woken_by_what_it_waits_for(ledger):
    head = ledger.head()
    waiters = await accepted(*[ledger.wait(head) for _ in range(3)], ledger.wait(head + 2))
    waiters[1].cancel()
    first = await ledger.commit(Writes(), [record("x")])
    assert await asyncio.wait_for(asyncio.gather(waiters[0], waiters[2]), 60) == [first, first]
    assert not waiters[3].done()
    last = await ledger.commit(Writes(), [record("x")] * 2)
    assert await asyncio.wait_for(waiters[3], 60) == last


# --- blobs


async def test_the_ledger_knows_which_blobs_are_named(ledger, space):
    ref, other = space.decode()[:-1] + "a", space.decode()[:-1] + "b"
    assert not ledger.is_referenced(ref)
    await ledger.commit(Writes(blobs=[ref, other]), [])
    assert ledger.is_referenced(ref)
    await ledger.commit(Writes(dropped_blobs=[ref]), [])
    assert not ledger.is_referenced(ref)
    assert ledger.is_referenced(other)
    assert ref in ledger.dropped_refs()
    await ledger.forget_dropped([ref])
    assert ref not in ledger.dropped_refs()
    assert ledger.is_referenced(other)
