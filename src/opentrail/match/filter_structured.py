"""Filter patterns for lines that have a structure: `{ $.field = … }` for JSON, `[word, word = …, …]` for words.

Source: CloudWatch Logs user guide, "Using filter patterns to match terms in JSON log events" and "… in space-delimited log
events". Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from opentrail.match.filter_expression import (
    ABSENT,
    ExpressionReader,
    Get,
    PatternFault,
    Subject,
    check_regexes,
)
from opentrail.match.filter_value import Test

FIELDS_MAX: Final = 128
"""Words of a space-delimited pattern; the text of a pattern bounds them anyway."""

_SELECTOR = re.compile(r"\$((?:\.[^\s.\[\]()=<>!&|\"'%{},]+|\.?\[\s*(?:\d{1,9}|'[^']+'|\"[^\"]+\")\s*\])+)")
_STEP = re.compile(r"\.([^\s.\[\]]+)|\.?\[\s*(?:(\d+)|'([^']+)'|\"([^\"]+)\")\s*\]")
_NAME = re.compile(r"[A-Za-z0-9_$-]+")
_WORD = re.compile(r'"[^"]*"|\[[^\]]*\]|\S+')
_DECODE = msgspec.json.Decoder().decode


class _JsonField(Subject):
    """`$.a.b[0]`"""

    def read(self, text: str, at: int) -> tuple[Get, int]:
        found = _SELECTOR.match(text, at)
        if found is None:
            raise PatternFault("a property selector such as $.eventName is missing")
        steps: list[str | int] = [
            int(index) if index else name or single or double for name, index, single, double in _STEP.findall(found[1])
        ]
        return _getter(steps), found.end()


def _getter(steps: Sequence[str | int]) -> Get:
    def get(whole: Any) -> Any:  # noqa: ANN401  (JSON)
        for step in steps:
            if isinstance(step, str):
                if not isinstance(whole, dict):
                    return ABSENT
                whole = whole.get(step, ABSENT)
            elif isinstance(whole, list) and step < len(whole):
                whole = whole[step]
            else:
                return ABSENT
        return whole

    return get


class _Word(Subject):
    """The name of the field itself."""

    words = True
    states = False

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, text: str, at: int) -> tuple[Get, int]:
        found = _NAME.match(text, at)
        if found is None or found[0] != self._name:
            raise PatternFault(f"a condition on {self._name} is missing")
        return _itself, found.end()


def _itself(word: Any) -> Any:  # noqa: ANN401  (what is tested)
    return word


def compile_json(text: str) -> Callable[[str], bool]:
    """A test of messages for `{ … }`; raises PatternFault."""
    inner = text.rstrip()
    if not inner.endswith("}"):
        raise PatternFault("a { is not closed")
    reader = ExpressionReader(inner[:-1], 1, _JsonField(), "")
    test = reader.read()
    check_regexes(reader.regexes)

    def matches(message: str) -> bool:
        if "{" not in message:
            return False
        try:
            whole = _DECODE(message)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return False
        return isinstance(whole, dict | list) and test(whole)

    return matches


class _Field(NamedTuple):
    """One word of a pattern; `test` None takes any. `rest` stands for any number of words."""

    test: Test | None
    rest: bool = False


def compile_words(text: str) -> Callable[[str], bool]:
    """A test of messages for `[ … ]`; raises PatternFault."""
    inner = text.rstrip()
    if not inner.endswith("]"):
        raise PatternFault("a [ is not closed")
    fields = _fields(inner[:-1])
    runs: list[list[_Field]] = [[]]
    for field in fields:
        if field.rest:
            runs.append([])
        else:
            runs[-1].append(field)
    least = sum(map(len, runs))

    def matches(message: str) -> bool:
        words = [_bare(word) for word in _WORD.findall(message)]
        if len(words) < least or (len(runs) == 1 and len(words) != least):
            return False
        return _fit(runs, words)

    return matches


def _bare(word: str) -> str:
    """Without the quotes or brackets that made several words one."""
    if len(word) > 1 and (word[0], word[-1]) in (('"', '"'), ("[", "]")):
        return word[1:-1]
    return word


def _fields(text: str) -> list[_Field]:
    at, fields, regexes = 1, [], 0
    while True:
        at += len(text[at:]) - len(text[at:].lstrip())
        if text.startswith("...", at):
            fields.append(_Field(None, rest=True))
            at += 3
        else:
            field, at, used = _field(text, at)
            fields.append(field)
            regexes += used
        at += len(text[at:]) - len(text[at:].lstrip())
        if len(fields) > FIELDS_MAX:
            raise PatternFault(f"a pattern can have {FIELDS_MAX} fields at most")
        if at >= len(text):
            break
        if text[at] != ",":
            raise PatternFault(f"unexpected {text[at]}")
        at += 1
    check_regexes(regexes)
    return fields


def _field(text: str, at: int) -> tuple[_Field, int, int]:
    found = re.compile(r"\(*\s*([A-Za-z0-9_$-]+)\s*").match(text, at)
    if found is None:
        raise PatternFault("the name of a field is missing")
    if found.end() >= len(text) or text[found.end()] == ",":
        return _Field(None), found.end(), 0
    reader = ExpressionReader(text, at, _Word(found[1]), ",")
    test = reader.read()
    return _Field(test), reader.at, reader.regexes


def _fit(runs: Sequence[Sequence[_Field]], words: Sequence[str]) -> bool:
    """The first run at the start, the last at the end, those between leftmost in order: never goes back."""
    first, last = runs[0], runs[-1]
    if not _fits(first, words, 0):
        return False
    if len(runs) == 1:
        return True
    end = len(words) - len(last)
    if not _fits(last, words, end):
        return False
    at = len(first)
    for run in runs[1:-1]:
        place = next((start for start in range(at, end - len(run) + 1) if _fits(run, words, start)), None)
        if place is None:
            return False
        at = place + len(run)
    return at <= end


def _fits(run: Sequence[_Field], words: Sequence[str], start: int) -> bool:
    return all(field.test is None or field.test(words[start + index]) for index, field in enumerate(run))
