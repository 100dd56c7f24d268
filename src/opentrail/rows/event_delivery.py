"""Deliveries of matched events: their rows, and what the follower of the rules and a target's plug agree on.

A delivery is written in the same commit as the follower's cursor and deleted in the same commit as its effect, so that
each happens once. Knows nothing of patterns or of any kind of target. Times are epoch seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from opentrail.ports import Key, Seq, Writes
from opentrail.rows.events import rule_arn
from opentrail.state import House, Row, Table

RETRY_SECONDS_MAX = 86_400
"""Age at which a delivery is given up when the target sets no limit (MaximumEventAgeInSeconds)."""
RETRIES_MAX = 185
"""Retries when the target sets no limit (MaximumRetryAttempts)."""
REASON_MAX = 1_024
"""Characters kept of why a delivery failed."""
SEQ_DIGITS = 19


class Delivery(Row, frozen=True):
    """One event for one target. Keyed by the Seq of its line and a number within it."""

    account_id: str
    region: str
    bus: str
    rule: str
    target_id: str
    target: dict[str, Any]
    """AWS's shape Target as it was when the event matched."""
    role_arn: str
    """The target's role, else the rule's."""
    payload: bytes
    """What the target gets: the event, the part of it, or the text that the target asked for."""
    matched: float
    event_id: str = ""
    attempts: int = 0
    due: float = 0.0
    dead_letter: bool = False
    """It goes to the dead letter queue of the target that could not be reached."""
    forwarded: bool = False
    """The event came from another bus already, so it goes on to no further one."""

    @property
    def rule_arn(self) -> str:
        return rule_arn(self.account_id, self.region, self.bus, self.rule)

    @property
    def target_arn(self) -> str:
        return str(self.target["Arn"])


class FailedInvocations(Row, frozen=True):
    """Deliveries of a rule that were given up: how many, and the last of them. Keyed as rules are."""

    count: int
    target_id: str
    target_arn: str
    code: str
    reason: str
    at: float


class Fired(Row, frozen=True):
    """When a rule with a schedule was last due and sent. Keyed as rules are."""

    due: float


class RulesCursor(Row, frozen=True):
    """The Seq up to which lines have been matched."""

    seq: Seq


OUTBOX: Table[Delivery] = Table("events.outbox", Delivery)
FAILED: Table[FailedInvocations] = Table("events.failed", FailedInvocations)
FIRED: Table[Fired] = Table("events.fired", Fired)
CURSORS: Table[RulesCursor] = Table("events.cursor", RulesCursor)


@dataclass(frozen=True, slots=True)
class Sending:
    """A delivery under way: its row, where it lies and which version of it was read."""

    key: Key
    version: Seq
    delivery: Delivery

    def done(self) -> Writes:
        """What the effect's commit has to include: the delivery is gone, and was still there."""
        return Writes(deletes={self.key}, reads={self.key: self.version})


class Undeliverable(Exception):
    """A target's plug cannot deliver. `code` is one of EventBridge's (NO_PERMISSIONS, NO_RESOURCE, …)."""

    def __init__(self, code: str, reason: str, *, retry: bool = False) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.retry = retry
        """Whether trying again later may help."""


class TargetPlug(Protocol):
    """How one kind of target (by the service in its ARN) is reached."""

    async def deliver(self, sending: Sending, house: House) -> None:
        """Make the effect and `sending.done()` durable in one commit. MUST raise Undeliverable or an AwsError if it
        did not happen; MUST NOT return before it is durable."""
        ...
