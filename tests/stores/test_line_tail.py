"""The newest lines in memory: the same as reading them again, as far back as they go."""

from __future__ import annotations

import pytest

from opentrail.ports import Line
from opentrail.stores import line_tail
from opentrail.stores.line_tail import LineTail


def run(first: int, last: int) -> list[tuple[int, Line]]:
    return [(seq, Line("record", b"x" * 100)) for seq in range(first, last + 1)]


def seqs(found: list[tuple[int, Line]] | None) -> list[int] | None:
    return None if found is None else [seq for seq, _ in found]


def test_what_was_before_it_is_not_known() -> None:
    tail = LineTail(10)
    assert tail.read(9, 5) is None
    assert tail.read(10, 5) == []


def test_reads_on_from_anywhere() -> None:
    tail = LineTail(0)
    tail.add(run(1, 3))
    tail.add([])
    tail.add(run(5, 6))  # 4 was a commit without lines
    assert seqs(tail.read(0, 100)) == [1, 2, 3, 5, 6]
    assert seqs(tail.read(2, 100)) == [3, 5, 6]
    assert seqs(tail.read(3, 100)) == [5, 6]
    assert seqs(tail.read(4, 100)) == [5, 6]
    assert seqs(tail.read(6, 100)) == []


def test_a_read_ends_with_the_run_that_reached_its_limit() -> None:
    tail = LineTail(0)
    for first in (1, 11, 21):
        tail.add(run(first, first + 9))
    assert seqs(tail.read(0, 10)) == list(range(1, 11))
    assert seqs(tail.read(5, 10)) == list(range(6, 21))


def test_it_forgets_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_tail, "TAIL_BYTES_MAX", 20 * (100 + line_tail.LINE_OVERHEAD_BYTES))
    tail = LineTail(0)
    for first in range(1, 100, 5):
        tail.add(run(first, first + 4))
    assert tail.read(79, 100) is None
    assert seqs(tail.read(80, 100)) == list(range(81, 101))
    tail.add(run(101, 500))  # more than there is room for
    assert tail.read(499, 100) is None
    assert tail.read(500, 100) == []
