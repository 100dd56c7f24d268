"""Keys of pipelines' rows sort as they must, and the steps keep rows and engine together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opentrail.rows.codepipeline import WORK, ascending, descending, due_of, work_parts

NUMBERS = st.integers(0, 10**10 - 1)


@given(NUMBERS, NUMBERS)
def test_numbers_sort_as_text(one, other):
    assert (ascending(one) < ascending(other)) == (one < other)
    assert (descending(one) < descending(other)) == (one > other)


@given(st.integers(0, 10**14 - 1), st.integers(0, 10**14 - 1))
def test_work_sorts_by_when_it_is_due(one, other):
    first, second = WORK.key(*work_parts(one, "p")), WORK.key(*work_parts(other, "p"))
    assert (first < second) == (one < other)
    assert due_of(first) == one
