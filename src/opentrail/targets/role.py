"""The identity under which EventBridge calls a target: a session of the target's (or the rule's) role, or its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from opentrail.call import Principal
from opentrail.rows.event_delivery import Delivery, Undeliverable
from opentrail.state import House, Unit

SERVICE_PRINCIPAL: Final = "events.amazonaws.com"
SESSION_NAME_MAX: Final = 64


class RoleSession(Protocol):
    """How STS gives a service a session of a role; raises AwsError if there is no such role or it does not trust the
    service. `context` are condition keys for the role's trust policy."""

    def __call__(
        self,
        unit: Unit,
        role_arn: str,
        session_name: str,
        service: str,
        now: float,
        context: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Principal: ...


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
    return Principal(
        type="AWSService",
        account_id=delivery.account_id,
        invoked_by=SERVICE_PRINCIPAL,
        source_arn=delivery.rule_arn,
        source_account=delivery.account_id,
    )
