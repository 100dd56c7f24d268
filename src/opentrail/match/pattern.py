"""Event pattern text → a compiled pattern that says whether an event matches. PATTERNS.md is the specification.

Pure: no clock, disk or log. A bad pattern raises AwsError("InvalidEventPatternException") with AWS's reason and nothing
else; matching never raises. A pattern is a disjunction of conjunctions (what `$or` multiplies out to), each a list of
(path, test) in the order of the paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from opentrail.errors import AwsError
from opentrail.match.arrays import Conjunction, satisfied
from opentrail.match.complexity import too_complex
from opentrail.match.flatten import Leaves, Paths, flatten, parse_event
from opentrail.match.matchers import add_expression, add_number, add_string
from opentrail.match.scan import (
    ARRAY,
    ARRAY_END,
    FALSE,
    NULL,
    NUMBER,
    OBJECT,
    OBJECT_END,
    STRING,
    TRUE,
    Refused,
    Scanner,
)
from opentrail.match.values import FieldTest

PATTERN_CHARS_MAX: Final = 4_096
ALTERNATIVES_MAX: Final = 1_000
"""Conjunctions that the `$or` of one pattern may multiply out to."""
PATTERNS_CACHED: Final = 2_048

_Branch: TypeAlias = dict[str, FieldTest]

_RESERVED: Final = frozenset(
    (
        *("exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr"),
        *("=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case"),
        *("date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range"),
        *("ip-address-in-range", "ip-address-not-in-range"),
    )
)
_TOO_COMPLEX: Final = (
    "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a "
    "wildcard character"
)


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A valid event pattern."""

    alternatives: tuple[Conjunction, ...]
    paths: Paths

    def matches(self, event: str | bytes) -> bool:
        """Whether the event (JSON text) matches; raises ValueError if it is no JSON object (see flatten)."""
        return self.matches_leaves(flatten(parse_event(event), self.paths))

    def matches_leaves(self, leaves: Leaves) -> bool:
        """As `matches`, for an event flattened along at least this pattern's paths."""
        return any(satisfied(alternative, leaves) for alternative in self.alternatives)


@lru_cache(PATTERNS_CACHED)
def compile_pattern(text: str) -> Pattern:
    """The pattern of a rule; raises AwsError("InvalidEventPatternException")."""
    try:
        branches = _compile(text)
    except Refused as refused:
        raise invalid_pattern(refused.reason) from refused
    alternatives = tuple(tuple(sorted(branch.items(), key=_utf16)) for branch in branches)
    return Pattern(alternatives, Paths(path for branch in branches for path in branch))


def invalid_pattern(reason: str) -> AwsError:
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}", 400)


def _utf16(item: tuple[str, FieldTest]) -> bytes:
    return item[0].encode("utf-16-be", "surrogatepass")


def _compile(text: str) -> list[_Branch]:
    if len(text) > PATTERN_CHARS_MAX:
        raise Refused(f"Event pattern is longer than {PATTERN_CHARS_MAX} characters")
    scan = Scanner(text)
    if scan.next() != OBJECT:
        raise scan.refuse("Filter is not an object")
    branches: list[_Branch] = []
    _read_object(branches, (), scan, inside_or=False)
    for branch in branches:
        if any(test.globs and too_complex(test.globs) for test in branch.values()):
            raise Refused(_TOO_COMPLEX)
    return branches


def _read_object(branches: list[_Branch], path: tuple[str, ...], scan: Scanner, *, inside_or: bool) -> None:
    empty = True
    while scan.next() != OBJECT_END:
        empty = False
        name = scan.name
        if name == "$or":
            _read_or(branches, path, scan)
            continue
        if inside_or and name in _RESERVED:
            raise scan.refuse(f"{name} is Ruler reserved fieldName which cannot be used inside $or.")
        kind = scan.next()
        if kind == OBJECT:
            _read_object(branches, (*path, name), scan, inside_or=inside_or)
        elif kind == ARRAY:
            test = _read_values(scan)
            for branch in branches or _first(branches):
                branch[".".join((*path, name))] = test
        else:
            raise scan.refuse(f'"{name}" must be an object or an array')
    if empty:
        raise scan.refuse("Empty objects are not allowed")


def _first(branches: list[_Branch]) -> list[_Branch]:
    branches.append({})
    return branches


def _read_or(branches: list[_Branch], path: tuple[str, ...], scan: Scanner) -> None:
    """Replace `branches` by their product with the alternatives."""
    before = branches or [{}]
    if scan.next() != ARRAY:
        raise scan.refuse("It must be an Array followed with $or.")
    product: list[_Branch] = []
    count = 0
    while scan.next() != ARRAY_END:
        count += 1
        if scan.kind != OBJECT:
            raise scan.refuse("Only JSON object is allowed in array of $or relationship.")
        alternatives = [dict(branch) for branch in before]
        _read_object(alternatives, path, scan, inside_or=True)
        product += alternatives
        if len(product) > ALTERNATIVES_MAX:
            raise Refused(f"Rule is too complex - $or makes more than {ALTERNATIVES_MAX} combinations")
    if count < 2:
        raise scan.refuse("There must have at least 2 Objects in $or relationship.")
    branches[:] = product


def _read_values(scan: Scanner) -> FieldTest:
    test = FieldTest()
    empty = True
    while (kind := scan.next()) != ARRAY_END:
        empty = False
        if kind == OBJECT:
            add_expression(test, scan)
        elif kind == STRING:
            add_string(test, scan.text())
        elif kind == NUMBER:
            add_number(test, scan.text())
        elif kind in (TRUE, FALSE, NULL):
            test.tokens.add(kind)
        else:
            raise scan.refuse("Match value must be String, number, true, false, or null")
    if empty:
        raise scan.refuse("Empty arrays are not allowed")
    return test
