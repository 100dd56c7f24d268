"""Array consistency: fields that share an array of objects must be satisfied by the same element of it.

Knows leaves and tests, not pattern syntax. Source: `PATTERNS.md`. Fields are taken in the order of
their paths; a field's choice of a value fixes the elements of the arrays above it, and `exists: false` asks whether the
field is missing from what is fixed by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from opentrail.match.flatten import Leaf, Leaves, Trail
from opentrail.match.values import FieldTest

STEPS_MAX: Final = 200_000
"""Choices tried for one event and conjunction; an event that needs more does not match. Reached only by events made
for it: the work is linear in the leaves of anything that a serialiser writes."""

Conjunction: TypeAlias = tuple[tuple[str, FieldTest], ...]
_Fixed: TypeAlias = frozenset[tuple[int, int]]
_NOWHERE: Final[frozenset[Trail]] = frozenset({()})


def satisfied(conjunction: Conjunction, leaves: Leaves) -> bool:
    """Whether all fields pass at once, by values that lie in the same elements of the arrays they share."""
    fields: list[_Field] = []
    absence = False
    for path, test in conjunction:
        found = leaves.get(path)
        if found is None:
            if test.absent:
                continue
            return False
        chosen = _passing(found, test)
        if not chosen and not test.absent:
            return False
        if chosen is not _NOWHERE or test.absent:
            absence = absence or test.absent
            fields.append(_Field(chosen, {trail for _, trail in found} if test.absent else None))
    if not absence:
        fields = [field for field in fields if not field.anywhere]
        if len(fields) < 2:
            return True
    return _search(fields)


def _passing(found: Sequence[Leaf], test: FieldTest) -> frozenset[Trail]:
    """Where the values lie that pass."""
    if len(found) == 1:
        value, trail = found[0]
        if not test.passes(value):
            return frozenset()
        return frozenset({trail}) if trail else _NOWHERE
    return frozenset(trail for value, trail in found if test.passes(value))


class _Field:
    __slots__ = ("anywhere", "arrays", "chosen", "missing")

    def __init__(self, chosen: frozenset[Trail], missing: set[Trail] | None) -> None:
        self.anywhere = () in chosen
        self.chosen = _Trails(chosen)
        self.missing = None if missing is None else _Trails(missing)
        """Where the field has values, when it may also be absent."""
        self.arrays = frozenset(array for trail in (*chosen, *(missing or ())) for array, _ in trail)


class _Trails:
    """Places of values as a tree of the elements they lie in, so that those within fixed elements are found directly."""

    __slots__ = ("_root",)

    def __init__(self, trails: Iterable[Trail]) -> None:
        self._root = _Element()
        for trail in trails:
            at = self._root
            for array, index in trail:
                at = at.arrays.setdefault(array, {}).setdefault(index, _Element())
            at.trail = trail

    def within(self, fixed: dict[int, int]) -> list[Trail]:
        """Those that agree with the fixed elements."""
        found: list[Trail] = []
        waiting = [self._root]
        while waiting:
            element = waiting.pop()
            if element.trail is not None:
                found.append(element.trail)
            for array, elements in element.arrays.items():
                index = fixed.get(array)
                if index is None:
                    waiting.extend(elements.values())
                elif index in elements:
                    waiting.append(elements[index])
        return found


class _Element:
    __slots__ = ("arrays", "trail")

    def __init__(self) -> None:
        self.arrays: dict[int, dict[int, _Element]] = {}
        self.trail: Trail | None = None


def _search(fields: list[_Field]) -> bool:
    """Whether a chain of choices reaches the end; each (field, fixed elements that still matter) is tried once."""
    matter: list[frozenset[int]] = [frozenset()]
    for field in reversed(fields):
        matter.append(matter[-1] | field.arrays)
    matter.reverse()
    waiting: list[tuple[int, _Fixed]] = [(0, frozenset())]
    seen: set[tuple[int, _Fixed]] = set()
    steps = 0
    while waiting:
        state = waiting.pop()
        number = state[0]
        if number == len(fields):
            return True
        if state in seen:
            continue
        seen.add(state)
        fixed = dict(state[1])
        choices = _choices(fields[number], fixed)
        steps += len(choices) + 1
        if steps > STEPS_MAX:
            return False
        later = matter[number + 1]
        for trail in choices:
            merged = {**fixed, **dict(trail)}
            waiting.append((number + 1, frozenset(item for item in merged.items() if item[0] in later)))
    return False


def _choices(field: _Field, fixed: dict[int, int]) -> list[Trail]:
    choices = field.chosen.within(fixed)
    if field.missing is not None and not field.missing.within(fixed):
        choices.append(())
    return choices
