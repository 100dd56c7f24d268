"""The outbox: deliveries that are durable and not yet made, sent by a few couriers, retried, and given up in sight.

A delivery is over when its row is gone, which happens in the commit of its effect; a crash in between repeats neither.
Knows neither rules nor any kind of target: a plug is chosen by the service in the target's ARN.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.ports import Key
from opentrail.rows.event_delivery import (
    FAILED,
    OUTBOX,
    REASON_MAX,
    RETRIES_MAX,
    RETRY_SECONDS_MAX,
    Delivery,
    FailedInvocations,
    Sending,
    TargetPlug,
    Undeliverable,
)
from opentrail.state import House, Unit

COURIERS: Final = 16
"""Deliveries under way at the same time."""
PAUSE_MIN_SECONDS: Final = 1.0
PAUSE_MAX_SECONDS: Final = 480.0
"""Pause before a retry; it doubles with each. 185 retries at the most last a day."""

log = logging.getLogger("opentrail.rules")


class Outbox:
    """Deliveries by when they are due. Holds their keys; the rows stay in the ledger."""

    def __init__(self, house: House, plugs: Mapping[str, TargetPlug]) -> None:
        self._house = house
        self._plugs = plugs
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._later: list[tuple[float, Key]] = []
        self._earlier = asyncio.Event()

    def resume(self) -> None:
        """Take up every delivery that a former run left."""
        self._ready = asyncio.Queue()
        self._later = []
        for parts, row in OUTBOX.all(Unit(self._house, 0.0)):
            self.add(OUTBOX.key(*parts), row.due)

    def add(self, key: Key, due: float = 0.0) -> None:
        """A delivery that is durable."""
        if due <= self._house.clock.now():
            self._ready.put_nowait(key)
        else:
            heapq.heappush(self._later, (due, key))
            self._earlier.set()

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(COURIERS):
                group.create_task(self._carry())
            group.create_task(self._watch())

    async def flush(self) -> None:
        """Try every delivery that is due now once."""
        self._release()
        for _ in range(self._ready.qsize()):
            await self._deliver(self._ready.get_nowait())

    async def _carry(self) -> None:
        while True:
            await self._deliver(await self._ready.get())

    async def _watch(self) -> None:
        """Make ready what becomes due."""
        while True:
            self._release()
            self._earlier.clear()
            pause = self._later[0][0] - self._house.clock.now() if self._later else None
            try:
                async with asyncio.timeout(pause):  # wait_for may swallow a cancellation
                    await self._earlier.wait()
            except TimeoutError:
                continue

    def _release(self) -> None:
        now = self._house.clock.now()
        while self._later and self._later[0][0] <= now:
            self._ready.put_nowait(heapq.heappop(self._later)[1])

    async def _deliver(self, key: Key) -> None:
        found = self._house.ledger.get(key)
        if found is None:
            return
        sending = Sending(key, found.version, OUTBOX.decode(found.value))
        try:
            await self._plug(sending.delivery).deliver(sending, self._house)
        except Exception as error:  # noqa: BLE001  (a courier must outlive any plug; the failure is kept and told)
            await self._settle(sending, failure_of(error))

    def _plug(self, delivery: Delivery) -> TargetPlug:
        kind = delivery.target_arn.split(":")[2]
        plug = self._plugs.get(kind)
        if plug is None:
            raise Undeliverable("NO_RESOURCE", f"Targets of {kind} are not served here.")
        return plug

    async def _settle(self, sending: Sending, failure: Undeliverable) -> None:
        """Note a failure: try again later, hand over to the dead letter queue, or give up."""
        found = self._house.ledger.get(sending.key)
        if found is None or found.version != sending.version:
            return  # somebody else has delivered it, or is about to
        delivery, now = sending.delivery, self._house.clock.now()
        exhausted = _exhausted(delivery, now)
        if failure.retry and not exhausted:
            pause = min(PAUSE_MIN_SECONDS * 2**delivery.attempts, PAUSE_MAX_SECONDS)
            await self._put(sending, replace(delivery, attempts=delivery.attempts + 1, due=now + pause))
            return
        log.warning("%s to %s: %s %s", delivery.rule_arn, delivery.target_arn, failure.code, failure.reason)
        queue = (delivery.target.get("DeadLetterConfig") or {}).get("Arn")
        if queue and not delivery.dead_letter:
            await self._put(sending, _dead_letter(delivery, queue, failure, exhausted, now))
        else:
            await self._give_up(sending, failure)

    async def _put(self, sending: Sending, delivery: Delivery) -> None:
        unit = Unit(self._house, self._house.clock.now())
        unit.writes.reads[sending.key] = sending.version
        OUTBOX.put(unit, delivery, *OUTBOX.parts(sending.key))
        await self._commit(unit, sending.key, delivery.due)
        self.add(sending.key, delivery.due)

    async def _give_up(self, sending: Sending, failure: Undeliverable) -> None:
        delivery = sending.delivery
        unit = Unit(self._house, self._house.clock.now())
        unit.writes.include(sending.done())
        where = (delivery.account_id, delivery.region, delivery.bus, delivery.rule)
        count_failure(unit, where, delivery.target_id, delivery.target_arn, failure)
        await self._commit(unit, sending.key, unit.now + PAUSE_MIN_SECONDS)

    async def _commit(self, unit: Unit, key: Key, again: float) -> None:
        """A failure that cannot be noted now is met again."""
        try:
            await self._house.ledger.commit(unit.writes, ())
        except (Conflict, LedgerUnavailable):
            log.warning("delivery %r could not be noted as failed; it is tried again", key)
            self.add(key, again)


def count_failure(
    unit: Unit, where: tuple[str, str, str, str], target_id: str, target_arn: str, failure: Undeliverable
) -> None:
    """One more FailedInvocations of a rule (account, region, bus, name)."""
    known = FAILED.get(unit, *where)
    row = FailedInvocations(
        count=1 if known is None else known.count + 1,
        target_id=target_id,
        target_arn=target_arn,
        code=failure.code,
        reason=failure.reason[:REASON_MAX],
        at=unit.now,
    )
    FAILED.put(unit, row, *where)


NO_JSON: Final = Undeliverable("INVALID_JSON", "The filled-in InputTemplate is no JSON.")


def failure_of(error: Exception) -> Undeliverable:
    """What an exception of a plug means for the delivery."""
    if isinstance(error, Undeliverable):
        return error
    if isinstance(error, (Conflict, LedgerUnavailable)):
        return Undeliverable("INTERNAL_ERROR", "Could not be made durable.", retry=True)
    if not isinstance(error, AwsError):
        log.error("a delivery failed unexpectedly", exc_info=error)
        return Undeliverable("INTERNAL_ERROR", type(error).__name__, retry=True)
    text = f"{error.code}: {error.message}"
    if error.status >= 500 or error.code == "OperationAborted":
        return Undeliverable("INTERNAL_ERROR", text, retry=True)
    if "Throttl" in error.code or "LimitExceeded" in error.code:
        return Undeliverable("THROTTLING", text, retry=True)
    if error.code.startswith("AccessDenied"):
        return Undeliverable("NO_PERMISSIONS", text)
    missing = "NotFound" in error.code or "NoSuch" in error.code
    return Undeliverable("NO_RESOURCE" if missing else "SDK_CLIENT_ERROR", text)


def _exhausted(delivery: Delivery, now: float) -> str:
    """Which limit of the retry policy is reached, or empty."""
    policy = delivery.target.get("RetryPolicy") or {}
    if delivery.attempts >= policy.get("MaximumRetryAttempts", RETRIES_MAX):
        return "MaximumRetryAttempts"
    if now - delivery.matched >= policy.get("MaximumEventAgeInSeconds", RETRY_SECONDS_MAX):
        return "MaximumEventAgeInSeconds"
    return ""


def _dead_letter(delivery: Delivery, queue: str, failure: Undeliverable, exhausted: str, now: float) -> Delivery:
    """The delivery to the queue, with the attributes that EventBridge gives such messages."""
    attributes = {
        "RULE_ARN": delivery.rule_arn,
        "TARGET_ARN": delivery.target_arn,
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": failure.reason[:REASON_MAX],
    }
    if exhausted:
        attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
        attributes["RETRY_ATTEMPTS"] = str(delivery.attempts)
    target = {"Id": delivery.target_id, "Arn": queue, "MessageAttributes": attributes}
    return replace(delivery, target=target, attempts=0, due=0.0, matched=now, dead_letter=True)
