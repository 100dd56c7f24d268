"""Target event bus: puts the event, as it is, on another bus of this server in the commit that ends the delivery.

Source: EventBridge user guide, sending events between buses: the event keeps its account and region, and one that came
over a bus goes on to no third. Knows nothing of rules.
"""

from __future__ import annotations

from typing import Final

from opentrail.access.decide import NO_IDENTITY, decide
from opentrail.call import Access, Principal
from opentrail.ports import Line
from opentrail.rows.bus_event import forwarded_event
from opentrail.rows.event_delivery import Delivery, Sending, Undeliverable
from opentrail.rows.events import BUSES, DEFAULT_BUS
from opentrail.rows.organizations import place_of
from opentrail.state import House, Unit
from opentrail.targets.role import SERVICE_PRINCIPAL, arn_parts

_PREFIX: Final = "event-bus/"


class BusTarget:
    """A `TargetPlug`."""

    async def deliver(self, sending: Sending, house: House) -> None:
        """One line on the other bus."""
        delivery = sending.delivery
        parts = arn_parts(delivery, "an event bus")
        if not parts[5].startswith(_PREFIX):
            raise Undeliverable("NO_RESOURCE", f"{delivery.target_arn} is not the ARN of an event bus.")
        region, account_id, name = parts[3], parts[4], parts[5].removeprefix(_PREFIX)
        unit = Unit(house, house.clock.now())
        bus = BUSES.get(unit, account_id, region, name)
        if bus is None and name != DEFAULT_BUS:
            raise Undeliverable("NO_RESOURCE", f"Event bus {name} does not exist.")
        if account_id != delivery.account_id and not _admits(unit, "" if bus is None else bus.policy, delivery):
            raise Undeliverable("NO_PERMISSIONS", f"Event bus {name} does not admit account {delivery.account_id}.")
        unit.writes.include(sending.done())
        lines = []
        if not delivery.forwarded:
            lines.append(Line("event", forwarded_event(delivery.payload, name, account_id, region)))
        await house.ledger.commit(unit.writes, lines)


def _admits(unit: Unit, policy: str, delivery: Delivery) -> bool:
    """Whether a bus's policy lets another account put events on it."""
    sender = Principal(
        type="Root", account_id=delivery.account_id, arn=f"arn:aws:iam::{delivery.account_id}:root",
        principal_id=delivery.account_id, invoked_by=SERVICE_PRINCIPAL,
    )  # fmt: skip
    parts = delivery.target_arn.split(":")
    question = Access("events:PutEvents", delivery.target_arn, parts[4], policy)
    place = place_of(unit, delivery.account_id)
    context = {"aws:principalorgid": (place.id,), "aws:principalorgpaths": (place.path,)} if place is not None else {}
    return bool(policy) and decide(sender, NO_IDENTITY, question, context).allowed
