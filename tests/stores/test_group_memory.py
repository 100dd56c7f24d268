"""Remembered answers of `group_starts`: true after any writes, and kept through those that change nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.ports import Writes
from opentrail.stores import group_memory
from opentrail.stores.group_memory import ANSWERS_MAX, STARTS_MIN, Asked, GroupMemory, Groups
from opentrail.stores.ledger_sqlite import SqliteLedger
from tests.contracts.test_ledger_scan import apply, groups_of, writes_of

FOLDERS = 100


_rounds = itertools.count(1)


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path / "ledger.db")
    yield opened
    await opened.close()


@pytest.fixture
def remembers_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_memory, "STARTS_MIN", 0)


keys = st.builds(
    b"%d%b%d".__mod__, st.tuples(st.integers(0, 3), st.sampled_from([b"/", b"/", b"/", b"/", b"0"]), st.integers(0, 1))
)
commits = st.lists(
    st.tuples(st.dictionaries(keys, st.sampled_from([b"", None]), min_size=1, max_size=2), st.booleans()),
    min_size=3,
    max_size=12,
)
"""Changes (None deletes), and whether they are durable before the next."""
questions = st.lists(st.tuples(st.just(b""), keys, st.sampled_from([b"/", b"0"]), st.integers(1, 6)), max_size=2)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(commits=commits, asked=questions)
async def test_what_is_remembered_is_what_a_dict_would_show(remembers_all, ledger, commits, asked):
    """The same questions again and again, between writes that are durable or not yet."""
    space = b"s-%06d\0" % next(_rounds)
    model = dict.fromkeys([space + b"%d/1" % folder for folder in range(4)], b"")
    tasks = [asyncio.ensure_future(ledger.commit(Writes(puts=dict(model)), []))]
    for change, waits in commits:
        writes = writes_of(space, change)
        tasks.append(asyncio.ensure_future(ledger.commit(writes, [])))
        await (tasks[-1] if waits else asyncio.sleep(0))
        apply(model, writes)
        for prefix, after, mark, limit in [(b"", b"", b"/", 9), *asked]:
            bound = space + after if after else b""
            starts = list(ledger.group_starts(space + prefix, bound, mark, limit))
            expected = groups_of(model, space + prefix, bound, mark)
            assert starts == expected[: len(starts)]
    await asyncio.gather(*tasks)


def folder_key(folder: int, row: int) -> bytes:
    return b"d/%03d/%d" % (folder, row)


async def test_a_folder_is_remembered_until_a_prefix_comes_or_goes(ledger: SqliteLedger):
    rows = {folder_key(folder, row): b"" for folder in range(FOLDERS) for row in range(1, 4)}
    await ledger.commit(Writes(puts=rows), [])

    def groups() -> list[bytes]:
        return [key.split(b"/")[1] for key in ledger.group_starts(b"d/", b"", b"/", 1_000)]

    async def remembered(writes: Writes) -> bool:
        groups()
        task = asyncio.ensure_future(ledger.commit(writes, []))
        await asyncio.sleep(0)
        kept = bool(ledger._groups.kept)
        pending = groups()
        await task
        assert pending == groups()[: len(pending)]
        return kept

    all_of_them = [b"%03d" % folder for folder in range(FOLDERS)]
    assert await remembered(Writes(puts={b"e/": b"", folder_key(5, 2): b"again", folder_key(5, 9): b"new"}))
    assert await remembered(Writes(deletes={folder_key(7, 2), b"d/none", b"e/"}))
    assert groups() == all_of_them
    assert not await remembered(Writes(puts={folder_key(5, 0): b"a new first"}))
    assert not await remembered(Writes(deletes={folder_key(5, 0)}))
    assert groups() == all_of_them
    assert not await remembered(Writes(deletes={folder_key(7, row) for row in range(1, 4)}))
    assert groups() == all_of_them[:7] + all_of_them[8:]
    assert not await remembered(Writes(puts={b"d/007/": b""}))
    assert groups() == all_of_them
    assert not await remembered(Writes(puts={b"d/010-plain": b""}))
    assert groups() == all_of_them[:10]


async def test_what_is_pending_hides_only_what_lies_behind_it(ledger: SqliteLedger):
    await ledger.commit(Writes(puts={folder_key(folder, 1): b"" for folder in range(FOLDERS)}), [])
    task = asyncio.ensure_future(ledger.commit(Writes(puts={b"d/050-/x": b"", folder_key(9, 2): b""}), []))
    await asyncio.sleep(0)
    assert list(ledger.group_starts(b"d/", b"", b"/", 999)) == [folder_key(folder, 1) for folder in range(50)]
    await task
    assert len(ledger.group_starts(b"d/", b"", b"/", 999)) == FOLDERS + 1


def test_few_answers_are_kept():
    memory = GroupMemory()
    for number in range(ANSWERS_MAX + 3):
        starts = [b"%d/%d/x" % (number, group) for group in range(STARTS_MIN)]
        memory.keep(Groups(Asked(b"%d/" % number, b"", b"/", 1_000, b"%d0" % number), starts))
    assert len(memory.kept) == ANSWERS_MAX
    memory.keep(Groups(Asked(b"few/", b"", b"/", 1_000, b"few0"), [b"few/1/x"] * (STARTS_MIN - 1)))
    assert all(asked.prefix != b"few/" for asked in memory.kept)
