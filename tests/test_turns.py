"""Turns: so many a second, and no more."""

from __future__ import annotations

from opentrail import turns
from opentrail.turns import MISSES_FREE, WAIT_SECONDS, WAIT_SECONDS_MAX, Misses, Turns


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


def test_who_misses_has_to_wait_longer_each_time():
    misses, now, waits = Misses(), 0.0, []
    for _guess in range(MISSES_FREE + 9):
        assert misses.may("a", now)
        misses.missed("a", now)
        wait = 0.0
        while not misses.may("a", now + wait):
            misses.missed("a", now + wait)  # which is none
            wait += WAIT_SECONDS
        waits.append(wait)
        now += wait
    assert waits[: MISSES_FREE - 1] == [0.0] * (MISSES_FREE - 1)
    assert waits[MISSES_FREE - 1 :] == [min(WAIT_SECONDS * 2**n, WAIT_SECONDS_MAX) for n in range(10)]
    assert misses.may("b", now)
    misses.forget("a")
    misses.missed("a", now)
    assert misses.may("a", now)


def test_only_so_many_guessers_are_remembered(monkeypatch):
    monkeypatch.setattr(turns, "CALLERS_MAX", 2)
    misses = Misses()
    for guesser in ("a", "b", "c"):
        for _guess in range(MISSES_FREE):
            misses.missed(guesser, 0.0)
    assert [misses.may(guesser, 1.0) for guesser in ("a", "b", "c")] == [True, False, False]
