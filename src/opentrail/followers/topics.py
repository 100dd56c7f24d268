"""Spreads published messages: one delivery for each subscription that wants the message, a page to a commit.

A page and how far the message has come are one commit, so that every subscriber gets one delivery, whenever the process
ends. What is delivered how is `topics_lanes`' business. Source: SNS developer guide,
"Amazon SNS message delivery retries".
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.followers.topics_keys import MessageKey
from opentrail.followers.topics_lanes import Lane, http_lane, sqs_lane
from opentrail.ports import Key
from opentrail.rows.messages import Attributes
from opentrail.rows.sns import (
    BELL,
    OUTGOING,
    OUTGOING_BELL,
    OWNED,
    PENDING_SECONDS,
    SUBSCRIPTIONS,
    TOPICS,
    Delivery,
    Outgoing,
    Subscription,
    Topic,
    put_delivery,
    topic_arn,
)
from opentrail.rows.sns_filter import SCOPES, wants
from opentrail.rows.sns_message import envelope, members, text_for, text_to_sign
from opentrail.state import House, Unit

PAGE: Final = 100
"""Subscriptions a message is spread to in one commit."""
PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""About how much one such commit may write."""
LOOK_AGAIN_SECONDS: Final = 5.0
"""How often is looked unasked for what another process may have written."""

log = logging.getLogger("opentrail.topics")


class TopicsFollower:
    """A `ports.Follower`."""

    name = "topics"

    def __init__(self, house: House) -> None:
        self._house = house
        self._key = MessageKey(house)
        self.lanes: tuple[Lane, ...] = (sqs_lane(house), http_lane(house))

    async def run(self) -> None:
        """Spread and deliver for ever; what a former run left comes first."""
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                group.create_task(lane.run())
            group.create_task(self._follow())

    async def _follow(self) -> None:
        with hearing(BELL, OUTGOING_BELL) as rung:
            while True:
                rung.clear()
                await self.spread()
                await rest(rung, LOOK_AGAIN_SECONDS)

    async def flush(self) -> None:
        """Spread everything that is there, and try every delivery that is due once."""
        await self.spread()
        for lane in self.lanes:
            await lane.flush()

    async def spread(self) -> None:
        """Spread every message that is there now, in the order of publishing."""
        while rows := OUTGOING.page(Unit(self._house, 0.0), limit=1):
            if not await self._spread(rows[0][0], rows[0][1]):
                return

    async def _spread(self, key: Key, row: Outgoing) -> bool:
        """One page of one message; False if that could not be made durable now."""
        try:
            await self._key.open()
            unit = Unit(self._house, self._house.clock.now())
            if OUTGOING.get(unit, *OUTGOING.parts(key)) != row:
                return True
            after = self._page(unit, row)
            if after:
                OUTGOING.put(unit, replace(row, after=after), *OUTGOING.parts(key))
            else:
                unit.delete(key)
            await self._house.ledger.commit(unit.writes, ())
        except (Conflict, LedgerUnavailable):
            log.warning("message %s could not be spread now", row.message_id)
            return False
        return True

    def _page(self, unit: Unit, row: Outgoing) -> str:
        """Write a page of deliveries; the id of its last subscription, or empty when there are no more."""
        topic = TOPICS.get(unit, *row.topic)
        if topic is None:
            return ""
        version = topic.attributes.get("SignatureVersion", "1")
        writer = _Writer(self._key, row, topic, version)
        if row.kind != "Notification":
            found = SUBSCRIPTIONS.get(unit, *row.topic, row.subscription_id)
            if found is not None:
                writer.write(unit, row.subscription_id, found)
            return ""
        limit = max(1, min(PAGE, PAGE_BYTES_MAX // (len(row.message) + 1)))
        start = SUBSCRIPTIONS.key(*row.topic, row.after) if row.after else b""
        rows = SUBSCRIPTIONS.page(unit, *row.topic, after=start, limit=limit)
        _drop_unconfirmed(unit, row.topic, rows)
        for id_, subscription in _wanting(row, rows):
            writer.write(unit, id_, subscription)
        return SUBSCRIPTIONS.parts(rows[-1][0])[3] if len(rows) == limit else ""


def _drop_unconfirmed(unit: Unit, topic: tuple[str, str, str], rows: list[tuple[Key, Subscription]]) -> None:
    """Take away the subscriptions that nobody has confirmed in time."""
    for key, each in rows:
        if not each.confirmed and unit.now - each.created > PENDING_SECONDS:
            unit.delete(key)
            OWNED.delete(unit, each.owner, topic[1], f"{topic_arn(*topic)}:{SUBSCRIPTIONS.parts(key)[3]}")


def _wanting(row: Outgoing, rows: list[tuple[Key, Subscription]]) -> Iterator[tuple[str, Subscription]]:
    """Confirmed before the message was published, and wanting it."""
    for key, each in rows:
        if not each.confirmed or each.confirmed > row.published:
            continue
        scope = each.attributes.get("FilterPolicyScope", SCOPES[0])
        text = text_for(row, each.protocol)
        if wants(each.attributes.get("FilterPolicy", ""), scope, text, row.attributes):
            yield SUBSCRIPTIONS.parts(key)[3], each


class _Writer:
    """Writes deliveries of one message. It is signed once for each protocol, since nothing signed names the subscriber."""

    def __init__(self, key: MessageKey, row: Outgoing, topic: Topic, version: str) -> None:
        self._key = key
        self._row = row
        self._topic = topic
        self._version = version
        self._signatures: dict[str, str] = {}

    def write(self, unit: Unit, id_: str, subscription: Subscription) -> None:
        row = self._row
        raw = row.kind == "Notification" and subscription.attributes.get("RawMessageDelivery", "").lower() == "true"
        arn = f"{topic_arn(*row.topic)}:{id_}"
        redrive = subscription.attributes.get("RedrivePolicy", "")
        attributes: Attributes = row.attributes if raw and subscription.protocol == "sqs" else {}
        delivery = Delivery(
            kind=row.kind,
            topic=row.topic,
            message_id=row.message_id,
            endpoint=subscription.endpoint,
            body=text_for(row, subscription.protocol) if raw else self._envelope(subscription, arn),
            subscription_arn=arn,
            first=unit.now,
            raw=raw,
            attributes=attributes,
            redrive=json.loads(redrive)["deadLetterTargetArn"] if redrive else "",
            policy=subscription.attributes.get("DeliveryPolicy") or self._topic.attributes.get("DeliveryPolicy", ""),
        )
        lane: Final = "sqs" if subscription.protocol == "sqs" else "http"
        put_delivery(unit, lane, unit.now, f"{row.message_id}{id_}", delivery)

    def _envelope(self, subscription: Subscription, arn: str) -> str:
        row, protocol = self._row, subscription.protocol
        signature = self._signatures.get(protocol)
        if signature is None:
            signature = self._key.sign(text_to_sign(members(row, protocol)), self._version)
            self._signatures[protocol] = signature
        signed = (self._version, signature)
        return envelope(row, protocol, signed, self._key.fingerprint, subscription.base, arn)
