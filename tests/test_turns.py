"""Turns: so many a second, and no more."""

from __future__ import annotations

from opentrail import turns
from opentrail.turns import Turns


def test_a_second_brings_as_many_turns_as_the_rate_says():
    given = Turns()
    taken = [given.take("a", 2, now) for now in (0.0, 0.1, 0.2, 0.4, 0.5, 0.6, 1.1, 9.0, 9.0, 9.0)]
    assert taken == [True, True, False, False, True, False, True, True, True, False]
    assert given.take("b", 2, 9.0)


def test_a_clock_that_goes_back_neither_gives_nor_takes():
    given = Turns()
    assert [given.take("a", 1, now) for now in (10.0, 5.0, 5.5, 6.1)] == [True, False, False, True]


def test_only_so_many_callers_are_remembered(monkeypatch):
    monkeypatch.setattr(turns, "CALLERS_MAX", 2)
    given = Turns()
    assert [given.take(caller, 1, 0.0) for caller in ("a", "b", "c", "b", "a")] == [True, True, True, False, True]
