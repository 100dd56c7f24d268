"""Wildcard patterns of policies: `*`, `?` and `${variables}`, compiled once, matched without backtracking.

A pattern is cut at its stars into segments; each is found leftmost behind the one before, which is enough for globs
and never goes back. What a variable brings in is literal text: a tag whose value is `*` matches only a star.
Knows nothing of statements, actions or ARNs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Lookup: TypeAlias = Callable[[str], "tuple[str, ...] | None"]
"""The values of a condition key (lower case); None when the request does not have it."""


class Wild(Enum):
    """The two wildcards."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """`${name}` or `${name, 'default'}`; the name in lower case."""

    name: str
    default: str | None = None


Token: TypeAlias = "str | Wild | Variable"

_SPECIAL = re.compile(r"\$\{|[*?]")
_ESCAPES = {"*", "?", "$"}


def parse(text: str, variables: bool) -> tuple[Token, ...]:
    """The tokens of a pattern. `${*}`, `${?}`, `${$}` are the characters themselves (only with `variables`)."""
    tokens: list[Token] = []
    start = position = 0
    while (found := _SPECIAL.search(text, position)) is not None:
        at = found.start()
        if found.group() == "${":
            end = text.find("}", at) if variables else -1
            if end < 0:
                variables = False
                position = at + 2
                continue
            token = _variable(text[at + 2 : end])
            position = end + 1
        else:
            token = Wild(found.group())
            position = at + 1
        tokens += [text[start:at], token]
        start = position
    tokens.append(text[start:])
    return _joined(tokens)


def _variable(inner: str) -> Token:
    if inner in _ESCAPES:
        return inner
    name, comma, default = inner.partition(",")
    default = default.strip()
    quoted = len(default) >= 2 and default[0] == default[-1] == "'"
    return Variable(name.strip().lower(), default[1:-1] if comma and quoted else None)


def _joined(tokens: Iterable[Token]) -> tuple[Token, ...]:
    """Neighbouring literals as one, stars that follow a star and empty literals left out."""
    out: list[Token] = []
    for token in tokens:
        last = out[-1] if out else None
        if isinstance(token, str):
            if isinstance(last, str):
                out[-1] = last + token
            elif token:
                out.append(token)
        elif not (token is Wild.ANY and last is Wild.ANY):
            out.append(token)
    return tuple(out)


def has_variables(tokens: Sequence[Token]) -> bool:
    return any(isinstance(token, Variable) for token in tokens)


def resolve(tokens: Sequence[Token], lookup: Lookup) -> tuple[Token, ...] | None:
    """The tokens with every variable replaced by its one value; None if one has none (or several)."""
    out: list[Token] = []
    for token in tokens:
        if isinstance(token, Variable):
            values = lookup(token.name)
            value = values[0] if values is not None and len(values) == 1 else token.default
            if value is None:
                return None
            out.append(value)
        else:
            out.append(token)
    return _joined(out)


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """A segment with `?` in it: a regular expression of fixed length, so that it cannot backtrack."""

    regex: re.Pattern[str]
    length: int


Segment: TypeAlias = "str | Fuzzy"


def _segment(tokens: Sequence[Token]) -> Segment:
    if Wild.ONE not in tokens:
        return "".join(str(token) for token in tokens)
    source = "".join(re.escape(token) if isinstance(token, str) else "." for token in tokens)
    length = sum(len(token) if isinstance(token, str) else 1 for token in tokens)
    return Fuzzy(re.compile(source, re.DOTALL), length)


def _length(segment: Segment) -> int:
    return len(segment) if isinstance(segment, str) else segment.length


def _at(segment: Segment, text: str, position: int) -> bool:
    if isinstance(segment, str):
        return text.startswith(segment, position)
    return segment.regex.match(text, position) is not None


def _find(segment: Segment, text: str, position: int, end: int) -> int:
    if isinstance(segment, str):
        return text.find(segment, position, end)
    found = segment.regex.search(text, position, end)
    return -1 if found is None else found.start()


class Glob:
    """A compiled pattern without variables. Case-sensitive."""

    __slots__ = ("_head", "_middle", "_starred", "_tail", "shortest")

    def __init__(self, tokens: Sequence[Token]) -> None:
        segments: list[list[Token]] = [[]]
        for token in tokens:
            if token is Wild.ANY:
                segments.append([])
            else:
                segments[-1].append(token)
        self._starred = len(segments) > 1
        self._head = _segment(segments[0])
        self._tail = _segment(segments[-1]) if self._starred else ""
        self._middle = tuple(_segment(part) for part in segments[1:-1] if part)
        self.shortest = _length(self._head) + _length(self._tail) + sum(map(_length, self._middle))

    def matches(self, text: str) -> bool:
        if len(text) < self.shortest or not _at(self._head, text, 0):
            return False
        if not self._starred:
            return len(text) == self.shortest
        position = _length(self._head)
        end = len(text) - _length(self._tail)
        for segment in self._middle:
            found = _find(segment, text, position, end)
            if found < 0:
                return False
            position = found + _length(segment)
        return _at(self._tail, text, end)


class Patterns:
    """A set of patterns of which one must match. Plain texts and prefixes cost one look."""

    __slots__ = ("_always", "_exact", "_globs", "_prefixes", "_templates")

    def __init__(self, patterns: Iterable[tuple[Token, ...]]) -> None:
        self._always = False
        exact, prefixes = set(), []
        self._globs: list[Glob] = []
        self._templates: list[tuple[Token, ...]] = []
        for tokens in patterns:
            if tokens == (Wild.ANY,):
                self._always = True
            elif has_variables(tokens):
                self._templates.append(tokens)
            elif len(tokens) <= 1 and (not tokens or isinstance(tokens[0], str)):
                exact.add("".join(map(str, tokens)))
            elif len(tokens) == 2 and isinstance(tokens[0], str) and tokens[1] is Wild.ANY:
                prefixes.append(tokens[0])
            else:
                self._globs.append(Glob(tokens))
        self._exact = frozenset(exact)
        self._prefixes = tuple(prefixes)

    def matches(self, text: str, lookup: Lookup) -> bool:
        """A pattern whose variable has no value matches nothing."""
        if self._always or text in self._exact or (self._prefixes and text.startswith(self._prefixes)):
            return True
        for glob in self._globs:
            if glob.matches(text):
                return True
        for tokens in self._templates:
            resolved = resolve(tokens, lookup)
            if resolved is not None and Glob(resolved).matches(text):
                return True
        return False

    def resolvable(self, lookup: Lookup) -> bool:
        """Whether every variable in every pattern has its value."""
        return all(resolve(tokens, lookup) is not None for tokens in self._templates)
