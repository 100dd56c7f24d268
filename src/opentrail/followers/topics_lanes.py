"""Couriers of topics: make the deliveries that are due, some at a time, try again, and give up in sight.

A delivery to a queue of this server ends in the commit that puts the message there, so it is made once; one over HTTP
ends in a commit of its own and may be made again after a crash. Rows stay in the ledger; in memory are only the keys
under way. Knows nothing of subscriptions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from opentrail.call import Principal, Shape
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.followers.post import Gatekeeper, NoAnswer, NotAllowed, post
from opentrail.ports import Key, Seq, Writes
from opentrail.rows import sns
from opentrail.rows.messages import Attribute, as_shape
from opentrail.rows.sns import BELL, DELIVERIES, DELIVERY_BELL, Delivery, put_delivery, topic_arn
from opentrail.rows.sns_retry import QUEUE_AGE_SECONDS_MAX, http_pause, queue_pause
from opentrail.rows.sqs import internal_url
from opentrail.state import House, Unit

COURIERS: Final = 16
"""Deliveries of a lane under way at the same time."""
LOOK_AGAIN_SECONDS: Final = 5.0
ERROR_CHARS_MAX: Final = 256
"""Characters of an error kept with a dead letter."""
SERVICE_PRINCIPAL: Final = "sns.amazonaws.com"
AGENT: Final = "Amazon Simple Notification Service Agent"

log = logging.getLogger("opentrail.topics")


class Failed(Exception):
    """A delivery was not made. `again`: trying later may help."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.why = why
        self.again = again


Send = Callable[[Delivery, Writes], Awaitable[None]]
"""Make a delivery; what is passed is made durable with it, or right after it. Raises Failed."""
Pause = Callable[[Delivery, float], float | None]
"""Seconds to wait before the next try of a delivery at a time, None if there is to be none."""


class Lane:
    """Deliveries of one kind."""

    def __init__(self, house: House, name: sns.Lane, send: Send, pause: Pause) -> None:
        self._house = house
        self._name: sns.Lane = name
        self._send = send
        self._pause = pause
        self._busy: set[Key] = set()
        self._rung = asyncio.Event()

    async def run(self) -> None:
        """Deliver for ever."""
        self._busy.clear()
        with hearing(BELL, DELIVERY_BELL) as self._rung:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._rung.clear()
                    for key in self._due():
                        self._busy.add(key)
                        group.create_task(self._carry(key))
                    await self._rest()

    async def flush(self) -> None:
        """Try every delivery that is due once."""
        tried: set[Key] = set()
        while keys := [key for key in self._due() if key not in tried]:
            for key in keys:
                tried.add(key)
                await self._deliver(key)

    def _keys(self) -> list[Key]:
        """The first keys of the lane in order of time, as many as there may be couriers besides those at work."""
        prefix = DELIVERIES.key(self._name, "")
        rows = Unit(self._house, 0.0).scan(prefix, b"", len(self._busy) + COURIERS)
        return [key for key, _ in rows if key not in self._busy]

    def _due(self) -> list[Key]:
        now = self._house.clock.now()
        return [key for key in self._keys() if sns.due_of(key) <= now][: COURIERS - len(self._busy)]

    async def _rest(self) -> None:
        """Until the bell rings, a courier is back, or the next delivery is due."""
        pause = LOOK_AGAIN_SECONDS
        if len(self._busy) < COURIERS:
            waiting = self._keys()
            if waiting:
                pause = min(pause, max(0.01, sns.due_of(waiting[0]) - self._house.clock.now()))
        await rest(self._rung, pause)

    async def _carry(self, key: Key) -> None:
        try:
            await self._deliver(key)
        except (Conflict, LedgerUnavailable):
            log.warning("a delivery could not be noted; it is tried again")
            await asyncio.sleep(1.0)
        finally:
            self._busy.discard(key)
            self._rung.set()

    async def _deliver(self, key: Key) -> None:
        found = self._house.ledger.get(key)
        if found is None:
            return
        row = DELIVERIES.decode(found.value)
        done = Writes(deletes={key}, reads={key: found.version})
        try:
            await self._send(row, done)
        except Failed as failure:
            await self._settle(key, found.version, row, failure)
        except (Conflict, LedgerUnavailable):
            raise
        except Exception:
            log.exception("a delivery to %s failed unexpectedly", row.endpoint)
            await self._settle(key, found.version, row, Failed("InternalError", again=True))

    async def _settle(self, key: Key, version: Seq, row: Delivery, failure: Failed) -> None:
        """Note a failure: try again later, hand over to the dead-letter queue, or give up."""
        unit = Unit(self._house, self._house.clock.now())
        unit.writes.reads[key] = version
        unit.delete(key)
        number = DELIVERIES.parts(key)[2]
        pause = self._pause(row, unit.now) if failure.again else None
        if pause is not None:
            put_delivery(unit, self._name, unit.now + pause, number, replace(row, attempts=row.attempts + 1))
        else:
            log.warning("%s to %s: %s", topic_arn(*row.topic), row.endpoint, failure.why)
            if row.redrive and not row.dead:
                put_delivery(unit, "sqs", unit.now, number + "-dead", _dead_letter(row, failure, unit.now))
        await self._house.ledger.commit(unit.writes, ())


def _dead_letter(row: Delivery, failure: Failed, now: float) -> Delivery:
    given = {
        "ErrorMessage": Attribute("String", failure.why[:ERROR_CHARS_MAX]),
        "SubscriptionArn": Attribute("String", row.subscription_arn),
    }
    attributes = row.attributes or given
    return replace(row, endpoint=row.redrive, dead=True, attempts=0, first=now, attributes=attributes)


def sqs_lane(house: House) -> Lane:
    """Deliveries to queues of this server, as SNS, on the one road."""

    async def send(row: Delivery, done: Writes) -> None:
        principal = Principal(
            type="AWSService",
            account_id=row.topic[0],
            invoked_by=SERVICE_PRINCIPAL,
            source_arn=topic_arn(*row.topic),
            source_account=row.topic[0],
        )
        given: Shape = {"QueueUrl": internal_url(row.endpoint), "MessageBody": row.body}
        if row.attributes:
            given["MessageAttributes"] = as_shape(row.attributes)
        region = row.endpoint.split(":")[3]
        try:
            await house.road.call(principal, "sqs", "SendMessage", given, region=region, also=done)
        except AwsError as error:
            again = error.status >= 500 or error.code == "OperationAborted"
            raise Failed(f"{error.code}: {error.message}", again=again) from error

    def pause(row: Delivery, now: float) -> float | None:
        return queue_pause(row.attempts) if now - row.first < QUEUE_AGE_SECONDS_MAX else None

    return Lane(house, "sqs", send, pause)


def http_lane(house: House) -> Lane:
    """Deliveries over HTTP and HTTPS."""
    gatekeeper = Gatekeeper(house.settings.post_to)

    async def send(row: Delivery, done: Writes) -> None:
        try:
            status = await post(row.endpoint, _headers(row), row.body.encode(), gatekeeper)
        except NotAllowed as error:
            raise Failed(str(error), again=False) from error
        except (NoAnswer, OSError) as error:
            raise Failed(str(error) or type(error).__name__, again=True) from error
        if not 200 <= status < 300:
            raise Failed(f"HTTP status {status}", again=status >= 500 or status == 429)
        await house.ledger.commit(done, ())

    def pause(row: Delivery, _now: float) -> float | None:
        return http_pause(row.policy, row.attempts + 1)

    return Lane(house, "http", send, pause)


def _headers(row: Delivery) -> dict[str, str]:
    headers = {
        "x-amz-sns-message-type": row.kind,
        "x-amz-sns-message-id": row.message_id,
        "x-amz-sns-topic-arn": topic_arn(*row.topic),
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": AGENT,
    }
    if row.kind == "Notification":
        headers["x-amz-sns-subscription-arn"] = row.subscription_arn
    if row.raw:
        headers["x-amz-sns-rawdelivery"] = "true"
    return headers
