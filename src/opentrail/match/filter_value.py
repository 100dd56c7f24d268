"""What a filter pattern compares with: a number, a text with stars, a regular expression.

Pure; knows neither where a value was found nor how comparisons are combined.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from opentrail.match.filter_regex import compile_regex

NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
NUMBER_CHARS_MAX: Final = 400
"""Longer text is no number; it keeps reading one cheap."""
ORDERED: Final = ("<", ">", "<=", ">=")

Test: TypeAlias = Callable[[Any], bool]
"""Asks a value that is present."""


class Literal(NamedTuple):
    """What stands right of an operator. `kind` is `text` (quoted), `bare` or `regex`."""

    kind: str
    text: str


def number_of(text: str) -> int | float | None:
    """The number that a text is; None if it is none."""
    if len(text) > NUMBER_CHARS_MAX or not NUMBER.fullmatch(text):
        return None
    plain = text.lstrip("+-").isdigit()
    return int(text) if plain else float(text)


def text_of(value: Any) -> str | None:  # noqa: ANN401  (any JSON value)
    """The text of a value as JSON writes it, without quotes; None for objects, arrays and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return None


def wildcard(text: str) -> Callable[[str], bool]:
    """A test for text in which `*` stands for any characters. Each part is found leftmost: no backtracking."""
    first, *rest = text.split("*")
    if not rest:
        return lambda value: value == text
    last = rest.pop()
    middle = [part for part in rest if part]

    def test(value: str) -> bool:
        end = len(value) - len(last)
        at = len(first)
        if at > end or not value.startswith(first) or not value.endswith(last):
            return False
        for part in middle:
            found = value.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    return test


def equals(literal: Literal, *, words: bool) -> Test:
    """A test of equality. `words`: values are words of a line, which may be numbers; otherwise JSON values."""
    if literal.kind == "regex":
        search = compile_regex(literal.text).search
        return lambda value: (text := text_of(value)) is not None and search(text)
    if literal.kind == "bare" and literal.text == "*":
        return lambda value: value is not None
    number = number_of(literal.text) if literal.kind == "bare" else None
    matches = wildcard(literal.text)

    def test(value: Any) -> bool:  # noqa: ANN401
        if number is not None:
            other = _number(value, words=words)
            if other is not None:
                return other == number
        text = text_of(value)
        return text is not None and matches(text)

    return test


def ordered(operator: str, literal: Literal, *, words: bool) -> Test:
    """A test of `<`, `>`, `<=`, `>=`; raises ValueError if the literal is no number."""
    number = number_of(literal.text) if literal.kind == "bare" else None
    if number is None:
        raise ValueError(f"{operator} must be followed by a number")

    def test(value: Any) -> bool:  # noqa: ANN401
        other = _number(value, words=words)
        if other is None:
            return False
        if operator == "<":
            return other < number
        if operator == ">":
            return other > number
        return other <= number if operator == "<=" else other >= number

    return test


def _number(value: Any, *, words: bool) -> int | float | None:  # noqa: ANN401
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    return number_of(value) if words and isinstance(value, str) else None
