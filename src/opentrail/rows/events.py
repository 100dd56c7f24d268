"""EventBridge's buses, rules and targets as rows: what its operations write and the follower of the rules reads.

Knows nothing of patterns, of the wire or of how an event is delivered. Times are epoch seconds.
"""

from __future__ import annotations

from typing import Any

import msgspec

from opentrail.model.facts import partition
from opentrail.state import Row, Table, Unit

DEFAULT_BUS = "default"
ENABLED = "ENABLED"
DISABLED = "DISABLED"
ENABLED_WITH_READS = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
"""Also receives read-only management events."""


class Bus(Row, frozen=True):
    """An event bus. Keyed by account, region and name. The default bus is there without a row."""

    created: float
    modified: float
    description: str = ""
    kms_key: str = ""
    dead_letter_arn: str = ""
    log_config: dict[str, str] = msgspec.field(default_factory=dict)
    policy: str = ""
    """JSON text as put; empty: only the account itself may put events."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class Rule(Row, frozen=True):
    """A rule. Keyed by account, region, bus and name."""

    name: str
    account_id: str
    region: str
    bus: str
    state: str
    created_by: str
    pattern: str = ""
    schedule: str = ""
    description: str = ""
    role_arn: str = ""
    managed_by: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    changed: float = 0.0

    @property
    def arn(self) -> str:
        return rule_arn(self.account_id, self.region, self.bus, self.name)


class RuleTarget(Row, frozen=True):
    """A target of a rule. Keyed by account, region, bus, rule and target id. `definition` is AWS's shape Target."""

    definition: dict[str, Any]

    @property
    def arn(self) -> str:
        return str(self.definition["Arn"])


class RuleChange(Row, frozen=True):
    """The one row that every change of a rule or target writes, so that a follower notices by one look-up."""

    key: tuple[str, ...]


BUSES: Table[Bus] = Table("events.bus", Bus)
RULES: Table[Rule] = Table("events.rule", Rule)
TARGETS: Table[RuleTarget] = Table("events.target", RuleTarget)
CHANGES: Table[RuleChange] = Table("events.change", RuleChange)
CHANGE_KEY = CHANGES.key("")


def put_rule(unit: Unit, rule: Rule) -> None:
    RULES.put(unit, rule, rule.account_id, rule.region, rule.bus, rule.name)
    note_change(unit, rule)


def note_change(unit: Unit, rule: Rule) -> None:
    """A rule or one of its targets is other than it was."""
    CHANGES.put(unit, RuleChange((rule.account_id, rule.region, rule.bus, rule.name)), "")


def targets_of(unit: Unit, rule: Rule) -> list[tuple[str, RuleTarget]]:
    """(target id, target) in the order of ids."""
    return [(parts[-1], row) for parts, row in TARGETS.all(unit, rule.account_id, rule.region, rule.bus, rule.name)]


def rule_arn(account_id: str, region: str, bus: str, name: str) -> str:
    """Rules of the default bus do not name it."""
    path = name if bus == DEFAULT_BUS else f"{bus}/{name}"
    return f"arn:{partition(region)}:events:{region}:{account_id}:rule/{path}"


def bus_arn(account_id: str, region: str, name: str) -> str:
    return f"arn:{partition(region)}:events:{region}:{account_id}:event-bus/{name}"
