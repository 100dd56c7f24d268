"""Scans of every ledger against a plain dict: limits, bounds, prefixes of any bytes, and commits not yet durable."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.ports import Writes

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALPHABET = (0, 97, 98, 254, 255)
_rounds = itertools.count(1)

parts = st.lists(st.sampled_from(ALPHABET), max_size=4).map(bytes)
changes = st.dictionaries(parts, st.one_of(st.none(), st.binary(max_size=3)), max_size=8)
"""What one commit does: a value to put, None to delete."""
queries = st.lists(st.tuples(parts, st.one_of(st.none(), parts), st.integers(0, 6)), min_size=1, max_size=8)
"""(prefix, bound or none, limit)."""


def writes_of(space: bytes, change: dict[bytes, bytes | None]) -> Writes:
    puts = {space + key: value for key, value in change.items() if value is not None}
    return Writes(puts=puts, deletes={space + key for key, value in change.items() if value is None})


def apply(model: dict[bytes, bytes], writes: Writes) -> None:
    model.update(writes.puts)
    for key in writes.deletes:
        model.pop(key, None)


@given(durable=st.lists(changes, max_size=3), pending=st.lists(changes, max_size=4), asked=queries)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_scans_show_what_a_dict_would(ledger, durable, pending, asked):
    space = b"scan-%06d\0" % next(_rounds)
    model: dict[bytes, bytes] = {}
    done = [writes_of(space, change) for change in durable]
    await asyncio.gather(*(ledger.commit(writes, []) for writes in done))
    under_way = [writes_of(space, change) for change in pending]
    tasks = [asyncio.ensure_future(ledger.commit(writes, [])) for writes in under_way]
    await asyncio.sleep(0)
    for writes in [*done, *under_way]:
        apply(model, writes)
    compare(ledger, model, space, asked)
    await asyncio.gather(*tasks)
    compare(ledger, model, space, asked)


def compare(ledger, model: dict[bytes, bytes], space: bytes, asked) -> None:
    for key, value in model.items():
        assert ledger.get(key).value == value
    for prefix_part, bound_part, limit in asked:
        prefix, bound = space + prefix_part, b"" if bound_part is None else space + bound_part
        keys = sorted(key for key in model if key.startswith(prefix) and key > bound)
        rows = [(key, found.value) for key, found in ledger.scan(prefix, bound, limit)]
        assert rows == [(key, model[key]) for key in keys][:limit]
        assert list(zip(*ledger.scan_columns(prefix, bound, limit), strict=True)) == rows
        keys = sorted((key for key in model if key.startswith(prefix) and (not bound or key < bound)), reverse=True)
        rows = [(key, found.value) for key, found in ledger.scan_back(prefix, bound, limit)]
        assert rows == [(key, model[key]) for key in keys][:limit]
        for delimiter in (b"a", b"ba", b"\0", b"\xff"):
            starts = list(ledger.group_starts(prefix, bound, delimiter, limit))
            assert starts == groups_of(model, prefix, bound, delimiter)[: len(starts)]
            assert len(starts) <= limit


def groups_of(model: dict[bytes, bytes], prefix: bytes, after: bytes, delimiter: bytes) -> list[bytes]:
    """The first key of each group, as far as there are only groups."""
    firsts: dict[bytes, bytes] = {}
    for key in sorted(key for key in model if key.startswith(prefix) and key > after):
        place = key.find(delimiter, len(prefix))
        if place < 0:
            break
        firsts.setdefault(key[:place], key)
    return list(firsts.values())


async def test_group_starts_seek_over_groups(ledger, space):
    rows = [*(b"d/%02d/%d" % (group, row) for group in range(30) for row in range(9)), b"d/15", b"d\0/x"]
    await ledger.commit(Writes(puts={space + key: b"" for key in rows}), [])
    prefix = space + b"d/"
    upper = [prefix + b"%02d/0" % group for group in range(16, 30)]
    assert list(ledger.group_starts(prefix, prefix + b"15/\xff", b"/", 99)) == upper
    assert list(ledger.group_starts(prefix, prefix + b"15/\xff", b"/", 5)) == upper[:5]
    assert list(ledger.group_starts(prefix, b"", b"/", 99)) == [prefix + b"%02d/0" % group for group in range(15)]
    assert list(ledger.group_starts(prefix, prefix + b"14/3", b"/", 99)) == [prefix + b"14/4"]
    assert list(ledger.group_starts(space, b"", b"/", 9)) == [space + b"d\0/x", space + b"d/00/0"]


async def test_a_prefix_of_nothing_but_the_highest_byte(ledger):
    rows = {b"\xff": b"1", b"\xff\xff": b"2", b"\xff\xff\x00": b"3", b"\xff" * 200: b"4"}
    await ledger.commit(Writes(puts=rows), [])
    assert [key for key, _ in ledger.scan(b"\xff\xff", b"", 9)] == sorted(rows)[1:]
    assert [key for key, _ in ledger.scan_back(b"\xff", b"", 9)] == sorted(rows)[::-1]
    await ledger.commit(Writes(deletes=set(rows)), [])


async def test_a_bound_outside_the_prefix(ledger, space):
    rows = {space + key: b"" for key in (b"a", b"b1", b"b2", b"c")}
    await ledger.commit(Writes(puts=rows), [])
    inside = [space + b"b1", space + b"b2"]
    for below in (space, space + b"a", space + b"b"):
        assert [key for key, _ in ledger.scan(space + b"b", below, 9)] == inside
        assert list(ledger.scan_back(space + b"b", below, 9)) == []
    for above in (space + b"c", space + b"b\xff", b"\xff"):
        assert list(ledger.scan(space + b"b", above, 9)) == []
        assert [key for key, _ in ledger.scan_back(space + b"b", above, 9)] == inside[::-1]
