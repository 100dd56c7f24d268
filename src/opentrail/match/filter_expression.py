"""Comparisons of a filter pattern, joined by `&&`, `||` and parentheses: `($.a = 1 && $.b != "x*") || $.c NOT EXISTS`.

`&&` binds tighter than `||`. What stands left of an operator is found by a `Subject`, so that JSON fields and words of a
line share one grammar. Source: CloudWatch Logs user guide, "Filter pattern syntax". A field that is missing is not equal
to anything: `!=` holds for it. Pure; bounded by the length of the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from opentrail.match.filter_value import ORDERED, Literal, Test, equals, ordered

NESTING_MAX: Final = 50
"""Parentheses inside of each other."""
REGEXES_MAX: Final = 2
"""Regular expressions in one pattern. Source: the user guide, quotas of filter patterns."""


class Absent:
    """Stands for a value that is not there."""


ABSENT: Final = Absent()
Get: TypeAlias = Callable[[Any], Any]
"""From what is tested (a JSON value, a word) to the value a comparison asks for, or ABSENT."""

_OPERATOR = re.compile(r"\s*(!=|<=|>=|=|<|>)\s*")
_STATE = re.compile(r"\s+(IS\s+NULL|IS\s+TRUE|IS\s+FALSE|NOT\s+EXISTS)(?![A-Za-z0-9_])")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REGEX = re.compile(r"%([^%]*)%")
_BARE = re.compile(r"[^\s()&|=<>!\"%,{}\[\]]+")
_SPACE = re.compile(r"\s*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class PatternFault(ValueError):
    """The text is no filter pattern; says why."""


class Subject:
    """What can stand left of an operator. `states` allows IS NULL and its like; `words` makes numbers of words."""

    words = False
    states = True

    def read(self, text: str, at: int) -> tuple[Get, int]:
        """The value meant at `at`, and the place behind it; raises PatternFault."""
        raise NotImplementedError


class ExpressionReader:
    """Reads one expression; `at` is where it ends."""

    def __init__(self, text: str, at: int, subject: Subject, stops: str) -> None:
        self.text = text
        self.at = at
        self.regexes = 0
        self._subject = subject
        self._stops = stops

    def read(self) -> Test:
        """The expression up to one of the `stops` (or the end); raises PatternFault."""
        test = self._any(0)
        self._blank()
        if self.at < len(self.text) and self.text[self.at] not in self._stops:
            raise PatternFault(f"unexpected {self.text[self.at]}")
        return test

    def _blank(self) -> None:
        self.at = _end(_SPACE.match(self.text, self.at))

    def _skip(self, token: str) -> bool:
        self._blank()
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def _any(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self._skip("||"):
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else _any_of(tests)

    def _all(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._skip("&&"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else _all_of(tests)

    def _one(self, depth: int) -> Test:
        if not self._skip("("):
            return self._comparison()
        if depth >= NESTING_MAX:
            raise PatternFault(f"parentheses are nested more than {NESTING_MAX} deep")
        test = self._any(depth + 1)
        if not self._skip(")"):
            raise PatternFault("a ( is not closed")
        return test

    def _comparison(self) -> Test:
        self._blank()
        get, self.at = self._subject.read(self.text, self.at)
        state = _STATE.match(self.text, self.at) if self._subject.states else None
        if state is not None:
            self.at = state.end()
            return _state(get, " ".join(state[1].split()))
        operator = _OPERATOR.match(self.text, self.at)
        if operator is None:
            raise PatternFault("an operator is missing")
        self.at = operator.end()
        return self._compared(get, operator[1], self._literal())

    def _compared(self, get: Get, operator: str, literal: Literal) -> Test:
        words = self._subject.words
        try:
            ask = ordered(operator, literal, words=words) if operator in ORDERED else equals(literal, words=words)
        except ValueError as error:
            raise PatternFault(str(error)) from error
        if operator == "!=":
            return lambda whole: (value := get(whole)) is ABSENT or not ask(value)
        return lambda whole: (value := get(whole)) is not ABSENT and ask(value)

    def _literal(self) -> Literal:
        for kind, pattern in (("text", _QUOTED), ("regex", _REGEX), ("bare", _BARE)):
            found = pattern.match(self.text, self.at)
            if found is None:
                continue
            self.at = found.end()
            if kind == "text":
                return Literal(kind, _ESCAPED.sub(r"\1", found[1]))
            if kind == "regex":
                self.regexes += 1
            return Literal(kind, found[0] if kind == "bare" else found[1])
        raise PatternFault("a value is missing")


def _end(found: re.Match[str] | None) -> int:
    return found.end() if found is not None else 0


def _any_of(tests: Sequence[Test]) -> Test:
    return lambda whole: any(test(whole) for test in tests)


def _all_of(tests: Sequence[Test]) -> Test:
    return lambda whole: all(test(whole) for test in tests)


def _state(get: Get, state: str) -> Test:
    if state == "NOT EXISTS":
        return lambda whole: get(whole) is ABSENT
    wanted = {"IS NULL": None, "IS TRUE": True, "IS FALSE": False}[state]
    return lambda whole: get(whole) is wanted


def check_regexes(count: int) -> None:
    if count > REGEXES_MAX:
        raise PatternFault(f"a pattern can have {REGEXES_MAX} regular expressions at most")
