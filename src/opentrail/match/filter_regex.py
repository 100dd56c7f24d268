"""The regular expressions of log filter patterns: a small language, matched in time that grows with the text alone.

There are no groups, so an expression is a choice of sequences of characters with repetitions. It runs as an automaton that
is in many states at once; the steps it has taken are remembered. Nothing here can backtrack. Source: CloudWatch Logs user
guide, "Supported regular expressions (regex) syntax". Knows no patterns.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

ELEMENTS_MAX: Final = 500
"""Characters that an expression stands for, its repetitions written out."""
STATES_REMEMBERED_MAX: Final = 500
"""States of one automaton whose steps are remembered. A text that needs more new ones is walked without remembering."""
CHARACTERS_REMEMBERED_MAX: Final = 256
"""Steps remembered of one state."""
EXPRESSIONS_REMEMBERED_MAX: Final = 32
LITERAL: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + ":_#=@/;,-" + " ")
"""Characters that stand for themselves. The guide leaves out the blank, its examples do not."""

_ONE, _MAYBE, _MANY = 0, 1, 2
_REPEAT = re.compile(r"\{(\d{1,9})(?:(,)(\d{1,9})?)?\}")
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_DIGITS = frozenset("0123456789")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_BLANK = frozenset(" \t\n\r\f\v")
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": _BLANK}


class RegexFault(ValueError):
    """The text is no expression of this language; says why."""


class _Chars(NamedTuple):
    """A set of characters, or (`negated`) all others."""

    chars: frozenset[str]
    negated: bool = False

    def has(self, char: str) -> bool:
        return (char in self.chars) is not self.negated


class _Element(NamedTuple):
    chars: _Chars
    kind: int


class _Sequence(NamedTuple):
    elements: tuple[_Element, ...]
    at_start: bool
    at_end: bool


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._size = 0

    def read(self) -> list[_Sequence]:
        sequences = [self._sequence()]
        while self._at < len(self._text):
            self._at += 1  # the |
            sequences.append(self._sequence())
        return sequences

    def _sequence(self) -> _Sequence:
        at_start = self._skip("^")
        elements: list[_Element] = []
        at_end = False
        while self._at < len(self._text) and self._text[self._at] != "|":
            if at_end:
                raise RegexFault("$ can only stand at the end")
            if self._skip("$"):
                at_end = True
                continue
            chars = self._chars()
            elements += self._repeated(chars)
        return _Sequence(tuple(elements), at_start, at_end)

    def _skip(self, char: str) -> bool:
        if self._text.startswith(char, self._at):
            self._at += 1
            return True
        return False

    def _chars(self) -> _Chars:
        char = self._text[self._at]
        self._at += 1
        if char == ".":
            return _Chars(frozenset("\n"), True)
        if char == "\\":
            return self._escaped()
        if char == "[":
            return self._class()
        if char not in LITERAL:
            raise RegexFault(f"character {char} is not supported")
        return _Chars(frozenset(char))

    def _escaped(self) -> _Chars:
        if self._at >= len(self._text):
            raise RegexFault("nothing follows the last backslash")
        char = self._text[self._at]
        self._at += 1
        if char.lower() in _CLASSES:
            return _Chars(_CLASSES[char.lower()], char.isupper())
        if char == "x":
            found = _HEX.match(self._text, self._at)
            if found is None:
                raise RegexFault("\\x must be followed by two hexadecimal digits")
            self._at += 2
            return _Chars(frozenset(chr(int(found[0], 16))))
        if char.isalnum() or not char.isascii():
            raise RegexFault(f"\\{char} is not supported")
        return _Chars(frozenset(char))

    def _class(self) -> _Chars:
        negated = self._skip("^")
        found: set[str] = set()
        first = True
        while first or not self._text.startswith("]", self._at):
            if self._at >= len(self._text):
                raise RegexFault("a [ is not closed")
            first = False
            low = self._member()
            if len(low) == 1 and re.match(r"-[^\]]", self._text[self._at : self._at + 2]):
                self._at += 1
                high = self._member()
                if len(high) != 1 or min(high) < min(low):
                    raise RegexFault("a range must go upwards")
                low = frozenset(map(chr, range(ord(min(low)), ord(min(high)) + 1)))
            found |= low
        self._at += 1
        return _Chars(frozenset(found), negated)

    def _member(self) -> frozenset[str]:
        if self._at >= len(self._text):
            raise RegexFault("a [ is not closed")
        char = self._text[self._at]
        self._at += 1
        if char == "\\":
            chars = self._escaped()
            if chars.negated:
                raise RegexFault("negated classes cannot be part of a class")
            return chars.chars
        if not char.isascii():
            raise RegexFault(f"character {char} is not supported")
        return frozenset(char)

    def _repeated(self, chars: _Chars) -> list[_Element]:
        least, most = self._repeat()
        self._size += max(least, most or 0, 1)
        if self._size > ELEMENTS_MAX:
            raise RegexFault(f"repetitions may stand for {ELEMENTS_MAX} characters at most")
        elements = [_Element(chars, _ONE)] * least
        if most is None:
            return [*elements, _Element(chars, _MANY)]
        return elements + [_Element(chars, _MAYBE)] * (most - least)

    def _repeat(self) -> tuple[int, int | None]:
        if self._skip("*"):
            return 0, None
        if self._skip("+"):
            return 1, None
        if self._skip("?"):
            return 0, 1
        if not self._text.startswith("{", self._at):
            return 1, 1
        found = _REPEAT.match(self._text, self._at)
        if found is None:
            raise RegexFault("{ must be followed by one or two numbers and }")
        self._at = found.end()
        least = int(found[1])
        most = least if not found[2] else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise RegexFault("the second number of {m,n} must not be smaller")
        return least, most


class Regex:
    """A compiled expression. States are the bits of a number, one for each place between elements."""

    __slots__ = (
        *(
            "_accept",
            "_accept_at_end",
            "_again",
            "_elements",
            "_literal",
            "_many",
            "_masks",
            "_skip",
            "_start",
            "_steps",
        ),
        "_taken",
    )

    def __init__(self, sequences: list[_Sequence]) -> None:
        self._elements: list[tuple[int, _Element]] = []
        self._skip = self._many = self._start = self._again = self._accept = self._accept_at_end = 0
        bit = 1
        for sequence in sequences:
            self._start |= bit
            if not sequence.at_start:
                self._again |= bit
            for element in sequence.elements:
                self._elements.append((bit, element))
                self._skip |= bit if element.kind != _ONE else 0
                self._many |= bit if element.kind == _MANY else 0
                bit <<= 1
            self._accept_at_end |= bit
            if not sequence.at_end:
                self._accept |= bit
            bit <<= 1
        self._literal = _longest_literal(sequences)
        self._masks: dict[str, int] = {}
        self._steps: dict[int, dict[str, int]] = {}

    def search(self, text: str) -> bool:
        """Whether it matches anywhere in the text."""
        if self._literal not in text:
            return False
        accept, steps = self._accept, self._steps
        state = self._closed(self._start)
        if state & accept:
            return True
        row = steps.setdefault(state, {})
        for at, char in enumerate(text):
            following = row.get(char)
            if following is None:
                if len(steps) > STATES_REMEMBERED_MAX:
                    steps.clear()
                    return self._walk(text, at, state)
                following = self._step(state, self._mask(char))
                if len(row) < CHARACTERS_REMEMBERED_MAX:
                    row[char] = following
            if following & accept:
                return True
            if following != state:
                state = following
                row = steps.get(state) or steps.setdefault(state, {})
        return bool(state & self._accept_at_end)

    def _walk(self, text: str, at: int, state: int) -> bool:
        """The rest of a search, step by step: the text leads through too many states for remembering to pay."""
        for char in text[at:]:
            state = self._step(state, self._masks.get(char) or self._mask(char))
            if state & self._accept:
                return True
        return bool(state & self._accept_at_end)

    def _step(self, state: int, mask: int) -> int:
        moved = state & mask
        stay = moved & self._many
        return self._closed(self._again | stay | (moved ^ stay) << 1)

    def _mask(self, char: str) -> int:
        """The elements that take a character. Those beyond Latin-1 are all alike."""
        char = char if char < "\u0100" else "\u0100"
        mask = self._masks.get(char)
        if mask is None:
            mask = self._masks[char] = sum(bit for bit, element in self._elements if element.chars.has(char))
        return mask

    def _closed(self, state: int) -> int:
        """With the states that are reached by leaving out what may be left out: a carry runs through each run of those."""
        skipped = state & self._skip
        return state | skipped | (self._skip + skipped) ^ self._skip


def _longest_literal(sequences: list[_Sequence]) -> str:
    """Text that must be there for the expression to match; empty when there is none."""
    if len(sequences) != 1:
        return ""
    best = run = ""
    for element in sequences[0].elements:
        single = element.kind == _ONE and len(element.chars.chars) == 1 and not element.chars.negated
        run = run + min(element.chars.chars) if single else ""
        best = max(best, run, key=len)
    return best


@lru_cache(maxsize=EXPRESSIONS_REMEMBERED_MAX)
def compile_regex(text: str) -> Regex:
    """Raises RegexFault."""
    if not text:
        raise RegexFault("the expression is empty")
    return Regex(_Reader(text).read())
