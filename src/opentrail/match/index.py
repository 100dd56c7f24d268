"""Many patterns at once: the rules that an event matches, without walking all of them.

Every conjunction is filed under the strings of one of its fields: of those that can pass only by being equal to a
string, the one whose strings the fewest others ask for. An event then leads by its own values to the few conjunctions
worth testing in full; those without such a field are always tested. Knows patterns, not rules, targets or records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from opentrail.match.arrays import Conjunction, satisfied
from opentrail.match.flatten import Leaves, Paths, flatten, parse_event
from opentrail.match.pattern import Pattern

HEADS_CACHED: Final = 4_096
"""Kinds of event whose `worth` is remembered."""

Id = TypeVar("Id", bound=Hashable)


class RuleIndex(Generic[Id]):
    """An immutable set of (id, pattern). Built in time linear in its conjunctions."""

    def __init__(self, rules: Iterable[tuple[Id, Pattern]]) -> None:
        filed = [(rule, alternative) for rule, pattern in rules for alternative in pattern.alternatives]
        self._paths = Paths(path for _, alternative in filed for path, _ in alternative)
        self._by_value: dict[str, dict[str, list[tuple[Id, Conjunction]]]] = {}
        self._always: list[tuple[Id, Conjunction]] = []
        self._file(filed)
        self._all = tuple(alternative for _, alternative in filed)
        self._worth: dict[tuple[str, str, str], bool] = {}

    def match(self, event: str | bytes) -> list[Id]:
        """Ids of the rules that match the event (JSON text), each once; raises ValueError if it is no JSON object."""
        return self.match_leaves(flatten(parse_event(event), self._paths)) if self._all else []

    def match_leaves(self, leaves: Leaves) -> list[Id]:
        matched: dict[Id, None] = {}
        for rule, alternative in self._always:
            if rule not in matched and satisfied(alternative, leaves):
                matched[rule] = None
        for path, by_value in self._by_value.items():
            for value in {value for value, _ in leaves.get(path, ()) if type(value) is str}:
                for rule, alternative in by_value.get(value, ()):
                    if rule not in matched and satisfied(alternative, leaves):
                        matched[rule] = None
        return list(matched)

    def worth(self, source: str, detail_type: str, event_name: str) -> bool:
        """Whether any pattern could match an event of this source, detail-type and `detail.eventName` at all. Cheap,
        so that an event which concerns no rule need not be parsed."""
        head = (source, detail_type, event_name)
        known = self._worth.get(head)
        if known is None:
            if len(self._worth) >= HEADS_CACHED:
                self._worth.clear()
            known = any(_could(alternative, head) for alternative in self._all)
            self._worth[head] = known
        return known

    def _file(self, filed: Sequence[tuple[Id, Conjunction]]) -> None:
        asked: Counter[tuple[str, str]] = Counter()
        for _, alternative in filed:
            for path, test in alternative:
                asked.update((path, text) for text in test.only_strings() or ())
        for rule, alternative in filed:
            best = _rarest(alternative, asked)
            if best is None:
                self._always.append((rule, alternative))
                continue
            path, strings = best
            by_value = self._by_value.setdefault(path, {})
            for text in strings:
                by_value.setdefault(text, []).append((rule, alternative))


def _rarest(alternative: Conjunction, asked: Counter[tuple[str, str]]) -> tuple[str, frozenset[str]] | None:
    """The field whose strings the fewest ask for, or None if no field demands a string."""
    best, least = None, 0
    for path, test in alternative:
        strings = test.only_strings()
        if not strings:
            continue
        demand = sum(asked[path, text] for text in strings)
        if best is None or demand < least:
            best, least = (path, strings), demand
    return best


_HEAD_PATHS: Final = ("source", "detail-type", "detail.eventName")


def _could(alternative: Conjunction, head: tuple[str, str, str]) -> bool:
    tests = dict(alternative)
    return all(
        path not in tests or tests[path].passes(value) for path, value in zip(_HEAD_PATHS, head, strict=True) if value
    )
