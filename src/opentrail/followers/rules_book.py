"""The rules in force, by bus: an index of their patterns and their targets, renewed when a rule or target changes.

A rule or target counts for lines behind the commit that brought it, so that reading old lines again (after a restart)
does not find rules that were not there. Reads the ledger; knows nothing of lines, trails or deliveries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from opentrail.errors import AwsError
from opentrail.match.index import RuleIndex
from opentrail.match.pattern import Pattern, compile_pattern
from opentrail.ports import Key, Ledger, Seq, Versioned
from opentrail.rows.events import CHANGE_KEY, DISABLED, RULES, TARGETS, Rule, RuleTarget
from opentrail.rows.timelines import scan_rows

log = logging.getLogger("opentrail.rules")

BusKey: TypeAlias = tuple[str, str, str]
"""Account, region and name of a bus."""


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule as read. `since`: the Seq behind which its lines lie."""

    found: Versioned
    rule: Rule
    pattern: Pattern | None
    since: Seq


@dataclass(frozen=True, slots=True)
class KeptTarget:
    """A target as read."""

    found: Versioned
    id: str
    target: RuleTarget
    since: Seq


class BusRules:
    """The enabled rules of one bus that have targets."""

    def __init__(self, rules: Mapping[str, KeptRule], targets: Mapping[str, list[KeptTarget]]) -> None:
        self.rules = rules
        self._targets = targets
        self.index = RuleIndex((name, kept.pattern) for name, kept in rules.items() if kept.pattern is not None)

    def targets(self, name: str, seq: Seq) -> list[KeptTarget]:
        """The targets of a rule for a line."""
        return [target for target in self._targets[name] if target.since < seq]


class RuleBook:
    """All buses. `refresh` before asking about lines just read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: Versioned | None = None
        self._rules: dict[Key, KeptRule] = {}
        self._targets: dict[Key, KeptTarget] = {}
        self._buses: dict[BusKey, BusRules] = {}

    def __len__(self) -> int:
        return len(self._buses)

    def refresh(self) -> bool:
        """Take over what changed; True if anything did. Costs one look-up when nothing did."""
        change = self._ledger.get(CHANGE_KEY)
        if change == self._seen:
            return False
        self._seen = change
        self._rules = dict(self._read_rules())
        self._targets = dict(self._read_targets())
        self._buses = self._sorted()
        return True

    def bus(self, account_id: str, region: str, name: str) -> BusRules | None:
        return self._buses.get((account_id, region, name))

    def scheduled(self) -> Iterator[tuple[KeptRule, list[KeptTarget]]]:
        """Enabled rules with a schedule, and their targets."""
        for bus in self._buses.values():
            for name, kept in bus.rules.items():
                if kept.rule.schedule:
                    yield kept, bus._targets[name]

    def _read_rules(self) -> Iterator[tuple[Key, KeptRule]]:
        for key, found in scan_rows(self._ledger, RULES.key("")):
            old = self._rules.get(key)
            if old is not None and old.found == found:
                yield key, old
                continue
            rule = RULES.decode(found.value)
            yield key, KeptRule(found, rule, _pattern(rule), found.version if old is None else old.since)

    def _read_targets(self) -> Iterator[tuple[Key, KeptTarget]]:
        for key, found in scan_rows(self._ledger, TARGETS.key("")):
            old = self._targets.get(key)
            if old is not None and old.found == found:
                yield key, old
                continue
            since = found.version if old is None else old.since
            yield key, KeptTarget(found, TARGETS.parts(key)[-1], TARGETS.decode(found.value), since)

    def _sorted(self) -> dict[BusKey, BusRules]:
        targets: dict[tuple[str, ...], list[KeptTarget]] = {}
        for key, target in self._targets.items():
            targets.setdefault(TARGETS.parts(key)[:-1], []).append(target)
        rules: dict[BusKey, dict[str, KeptRule]] = {}
        for kept in self._rules.values():
            rule = kept.rule
            if rule.state != DISABLED and (rule.account_id, rule.region, rule.bus, rule.name) in targets:
                rules.setdefault((rule.account_id, rule.region, rule.bus), {})[rule.name] = kept
        return {bus: self._bus(bus, named, targets) for bus, named in rules.items()}

    def _bus(
        self, key: BusKey, rules: dict[str, KeptRule], targets: dict[tuple[str, ...], list[KeptTarget]]
    ) -> BusRules:
        """The bus as it was if none of its rules or targets changed, so that its index is kept."""
        own = {name: targets[(*key, name)] for name in rules}
        old = self._buses.get(key)
        return old if old is not None and old.rules == rules and old._targets == own else BusRules(rules, own)


def _pattern(rule: Rule) -> Pattern | None:
    """The compiled pattern. One that was valid when it was put and is no longer matches nothing."""
    try:
        return compile_pattern(rule.pattern) if rule.pattern else None
    except AwsError as error:
        log.error("the pattern of %s is passed over: %s", rule.arn, error.message)
        return None
