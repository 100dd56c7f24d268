"""The row cache stays within its bytes and keeps what is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.ports import Versioned
from opentrail.stores import row_cache
from opentrail.stores.row_cache import ROW_OVERHEAD_BYTES, RowCache

ROOM = 10 * (ROW_OVERHEAD_BYTES + 3 + 10)


@pytest.fixture
def small(monkeypatch) -> RowCache:
    """Room for ten rows of three bytes of key and ten of value."""
    monkeypatch.setattr(row_cache, "CACHE_BYTES_MAX", ROOM)
    return RowCache()


def hit(cache: RowCache, key: bytes) -> Versioned | None:
    """What the ledger does on a hit."""
    cache.hits.add(key)
    return cache.rows[key]


def add(cache: RowCache, *numbers: int) -> None:
    for number in numbers:
        cache.add(b"%03d" % number, Versioned(b"x" * 10, number))


def test_it_holds_as_many_rows_as_there_is_room_for(small):
    add(small, *range(10))
    assert len(small.rows) == 10
    add(small, *range(10, 1_000))
    assert sorted(small.rows) == [b"%03d" % number for number in range(990, 1_000)]


def test_rows_that_were_hit_get_another_round(small):
    add(small, *range(10))
    for number in (0, 1):
        assert hit(small, b"%03d" % number).version == number
    add(small, 10, 11)
    assert {b"000", b"001"} <= small.rows.keys()
    assert {b"002", b"003"}.isdisjoint(small.rows)
    add(small, *range(20, 40))  # not hit again: gone with the next round
    assert {b"000", b"001"}.isdisjoint(small.rows)


def test_when_every_row_was_hit_one_still_goes(small):
    add(small, *range(10))
    for number in range(10):
        hit(small, b"%03d" % number)
    add(small, 10)
    assert len(small.rows) == 10


def test_absent_rows_are_remembered(small):
    small.add(b"abc", None)
    assert hit(small, b"abc") is None
    small.add(b"abc", Versioned(b"v", 1))
    assert hit(small, b"abc").value == b"v"


def test_of_rows_that_are_written_those_that_are_deleted_are_not_kept(small):
    small.add(b"abc", Versioned(b"v", 1))
    hit(small, b"abc")
    small.settle(b"abc", None)
    small.settle(b"abd", Versioned(b"v", 2))
    small.settle(b"abe", None)
    assert list(small.rows) == [b"abd"]
    assert not small.hits
    assert small._bytes == ROW_OVERHEAD_BYTES + 3 + 1


def test_a_row_that_grows_counts_once(small):
    for size in (1, 2_000, 5, 2_000):
        small.add(b"abc", Versioned(b"x" * size, 1))
    assert small._bytes == ROW_OVERHEAD_BYTES + 3 + 2_000
    assert len(small.rows) == 1


def test_a_row_too_large_is_not_kept_and_drives_out_its_older_self(small, monkeypatch):
    monkeypatch.setattr(row_cache, "CACHED_VALUE_BYTES_MAX", 100)
    small.add(b"abc", Versioned(b"small", 1))
    hit(small, b"abc")
    small.add(b"abc", Versioned(b"x" * 101, 2))
    assert b"abc" not in small.rows
    assert small._bytes == 0
    small.add(b"abc", Versioned(b"x" * 100, 3))
    assert hit(small, b"abc").version == 3


keys = st.integers(0, 30).map(lambda number: b"%03d" % number)
steps = st.lists(
    st.tuples(st.sampled_from(["add", "absent", "hit", "deleted"]), keys, st.integers(0, 3_000)), max_size=80
)


@given(steps)
def test_whatever_happens_it_is_bounded_and_never_wrong(taken):
    cache, truth, bound = RowCache(), {}, row_cache.CACHE_BYTES_MAX
    row_cache.CACHE_BYTES_MAX = ROOM
    try:
        for step, key, size in taken:
            if step == "hit":
                if key in cache.rows:
                    assert hit(cache, key) is truth[key]
            elif step == "deleted":
                truth.pop(key, None)
                cache.settle(key, None)
            else:
                truth[key] = None if step == "absent" else Versioned(b"x" * size, size)
                cache.add(key, truth[key])
            weights = sum(
                len(key) + ROW_OVERHEAD_BYTES + (0 if found is None else len(found.value))
                for key, found in cache.rows.items()
            )
            assert cache._bytes == weights <= ROOM
            assert cache.hits <= cache.rows.keys()
    finally:
        row_cache.CACHE_BYTES_MAX = bound
