"""What the targets share: the identity under which EventBridge calls one, and the parts of its ARN.

It calls in a session of the target's (or the rule's) role, or as itself. Knows no kind of target.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from opentrail.call import Principal
from opentrail.rows.event_delivery import Delivery, Undeliverable
from opentrail.service import RoleSession
from opentrail.state import House, Unit

SERVICE_PRINCIPAL: Final = "events.amazonaws.com"
SESSION_NAME_MAX: Final = 64
ARN_PARTS: Final = 6


def arn_parts(delivery: Delivery, what: str) -> list[str]:
    """The six parts of the target's ARN; raises Undeliverable if it cannot be that of `what`."""
    parts = delivery.target_arn.split(":")
    if len(parts) != ARN_PARTS:
        raise Undeliverable("NO_RESOURCE", f"{delivery.target_arn} is not the ARN of {what}.")
    return parts


def caller(delivery: Delivery, role_session: RoleSession, house: House) -> Principal:
    """A session of the delivery's role that acts on behalf of its rule."""
    if not delivery.role_arn:
        raise Undeliverable("NO_PERMISSIONS", f"RoleArn is required for target {delivery.target_arn}.")
    now = house.clock.now()
    name = f"AWSEvents_{delivery.rule}"[:SESSION_NAME_MAX]
    behalf = {"aws:sourcearn": (delivery.rule_arn,), "aws:sourceaccount": (delivery.account_id,)}
    session = role_session(Unit(house, now), delivery.role_arn, name, SERVICE_PRINCIPAL, now, behalf)
    if session.account_id != delivery.account_id:
        raise Undeliverable("NO_PERMISSIONS", f"Role {delivery.role_arn} belongs to another account than the rule.")
    return replace(
        session, invoked_by=SERVICE_PRINCIPAL, source_arn=delivery.rule_arn, source_account=delivery.account_id
    )


def sender(delivery: Delivery, role_session: RoleSession, house: House) -> Principal:
    """Who delivers to what has a policy of its own: EventBridge itself, unless the target names a role. A dead letter is
    always EventBridge's own."""
    if delivery.target.get("RoleArn") and not delivery.dead_letter:
        return caller(delivery, role_session, house)
    return itself(delivery)


def itself(delivery: Delivery) -> Principal:
    """EventBridge, on behalf of a rule."""
    return Principal(
        type="AWSService",
        account_id=delivery.account_id,
        invoked_by=SERVICE_PRINCIPAL,
        source_arn=delivery.rule_arn,
        source_account=delivery.account_id,
    )
