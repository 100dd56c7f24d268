"""Leaf values and the tests that one value can pass: literals, ranges of numbers, addresses, texts.

Knows nothing of events, paths or pattern syntax. All tests take time linear in the value (no backtracking). Source:
`PATTERNS.md`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import Final, TypeAlias

NUMBERS_CACHED: Final = 4_096
ADDRESSES_CACHED: Final = 4_096
NUMBER_CHARS_MAX: Final = 1_000
"""A longer number is a text that compares with nothing."""


class Number(str):
    """A JSON number as it was written. Two spellings of one value are equal only to tests of numbers."""

    __slots__ = ()


Value: TypeAlias = str | Number | bool | None
Test: TypeAlias = Callable[[Value], bool]


@lru_cache(NUMBERS_CACHED)
def comparable(text: str) -> float | None:
    """The double that `text` spells, or None where no double is exactly that number (17 digits, 1e400)."""
    if len(text) > NUMBER_CHARS_MAX:
        return None
    try:
        number = float(text)
        exact = Decimal(text) == Decimal(repr(number))
    except (ValueError, DecimalException):
        return None
    return number if exact else None


_IPV4 = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_IPV6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_IPV4_CHARS_MAX: Final = 15


def looks_like_address(text: str) -> bool:
    return _IPV4.fullmatch(text) is not None or _IPV6.fullmatch(text) is not None


@lru_cache(ADDRESSES_CACHED)
def address(text: str) -> str | None:
    """Upper-case hex digits of an IPv4 (8) or IPv6 (32) address; None if it is none. Leading zeros are decimal."""
    if _IPV4.fullmatch(text):
        octets = [int(part) for part in text.split(".")] if len(text) <= _IPV4_CHARS_MAX else [256]
        return None if max(octets) > 255 else bytes(octets).hex().upper()
    if not _IPV6.fullmatch(text):
        return None
    try:
        parsed = ipaddress.IPv6Address(text)
    except ipaddress.AddressValueError:
        return None
    mapped = parsed.ipv4_mapped
    return (mapped or parsed).packed.hex().upper()


@dataclass(frozen=True, slots=True)
class Addresses:
    """A closed range of addresses as hex digits. A family other than the range's is compared by its leading digits,
    strictly inside where it is the shorter one (so any IPv4 address but the edges lies in `::/0`), as AWS does."""

    first: str
    last: str

    def holds(self, digits: str) -> bool:
        size = len(self.first)
        if len(digits) >= size:
            return self.first <= digits[:size] <= self.last
        return self.first[: len(digits)] < digits < self.last[: len(digits)]


@dataclass(frozen=True, slots=True)
class Span:
    """A range of numbers; None leaves a side open."""

    low: float | None = None
    low_open: bool = False
    high: float | None = None
    high_open: bool = False

    def holds(self, number: float) -> bool:
        low, high = self.low, self.high
        if low is not None and (number < low or (self.low_open and number == low)):
            return False
        return not (high is not None and (number > high or (self.high_open and number == high)))


@dataclass(slots=True)
class FieldTest:
    """All that a pattern says of one field: the field passes if one of its values passes any of it."""

    strings: set[str] = field(default_factory=set)
    """Strings equal to one of these."""
    tokens: set[str] = field(default_factory=set)
    """Numbers of this very text, or `true`, `false`, `null`."""
    numbers: set[float] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    addresses: list[Addresses] = field(default_factory=list)
    texts: list[Callable[[str], bool]] = field(default_factory=list)
    """Tests of strings."""
    excluding: list[Test] = field(default_factory=list)
    """Tests of any value (anything-but)."""
    exists: bool = False
    absent: bool = False
    """`exists: false`: the field may also be missing."""
    compares: bool = False
    """Numbers are compared by value here (a literal, numeric, anything-but of numbers)."""
    globs: list[list[str]] = field(default_factory=list)
    """Wildcard texts, by matcher, for the complexity limit."""

    def passes(self, value: Value) -> bool:
        if self.exists:
            return True
        if type(value) is str:
            found = value in self.strings or (bool(self.texts) and any(test(value) for test in self.texts))
            found = found or (bool(self.addresses) and self._in_addresses(value))
        elif type(value) is Number:
            found = value in self.tokens or self._is_number(value) or self._is_digits_of_address(value)
        else:
            found = _TOKENS[value] in self.tokens  # type: ignore[index]
        return found or (bool(self.excluding) and any(test(value) for test in self.excluding))

    def only_strings(self) -> frozenset[str] | None:
        """The strings, if being equal to one of them is all that the field can pass by."""
        more = self.tokens or self.numbers or self.spans or self.addresses or self.texts or self.excluding
        return None if more or self.exists or self.absent else frozenset(self.strings)

    def _in_addresses(self, value: str) -> bool:
        digits = address(value)
        return digits is not None and any(known.holds(digits) for known in self.addresses)

    def _is_number(self, value: Number) -> bool:
        if not self.numbers and not self.spans:
            return False
        number = comparable(value)
        return number is not None and (number in self.numbers or any(span.holds(number) for span in self.spans))

    def _is_digits_of_address(self, value: Number) -> bool:
        """AWS takes the digits of a number for hex digits of an address where numbers are not compared by value."""
        if not self.addresses or (self.compares and comparable(value) is not None):
            return False
        found = _HEX_DIGITS.match(value)
        digits = found.group() if found else ""
        return any(known.holds(digits) for known in self.addresses)


_HEX_DIGITS = re.compile("[0-9A-F]*")
_TOKENS = {True: "true", False: "false", None: "null"}


def glob(text: str) -> Callable[[str], bool]:
    """A test for a wildcard text whose escapes are valid: `*` is any run of characters, `\\*` and `\\\\` stand for
    themselves. Linear: every piece is sought once, from left to right."""
    pieces = glob_pieces(text)
    if len(pieces) == 1:
        only = pieces[0]
        return lambda value: value == only
    first, middle, last = pieces[0], [piece for piece in pieces[1:-1] if piece], pieces[-1]
    shortest = sum(map(len, pieces))

    def matches(value: str) -> bool:
        if len(value) < shortest or not value.startswith(first) or not value.endswith(last):
            return False
        at, end = len(first), len(value) - len(last)
        for piece in middle:
            found = value.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches


def glob_pieces(text: str) -> list[str]:
    """The literal pieces between the stars, escapes resolved."""
    pieces, escaped = [""], False
    for char in text:
        if escaped or char not in "*\\":
            pieces[-1] += char
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            pieces.append("")
    return pieces


def same_letters(text: str, *, backwards: bool = False) -> re.Pattern[str]:
    """A regular expression that begins to match what equals `text` but for case: each character as its own lower or
    upper form (`ß` also as `SS`). The forms of a character differ in their first letter, so matching is linear."""
    forms = [_forms(char, backwards=backwards) for char in text]
    return re.compile("".join(reversed(forms) if backwards else forms))


def _forms(char: str, *, backwards: bool) -> str:
    lower, upper = char.lower(), char.upper()
    if lower == upper:
        return re.escape(lower)
    if len(lower) == len(upper) == 1:
        return f"[{re.escape(lower)}{re.escape(upper)}]"
    forms = (re.escape(form[::-1] if backwards else form) for form in (lower, upper))
    return f"(?:{'|'.join(forms)})"
