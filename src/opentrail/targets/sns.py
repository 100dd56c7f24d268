"""Target topic: publishes the event, as it is and without a subject, in the commit in which the delivery ends.

The topic's policy must admit EventBridge, or the target has a role. Source: EventBridge user guide, "Using resource-based
policies for Amazon EventBridge". Knows nothing of rules.
"""

from __future__ import annotations

from opentrail.errors import AwsError
from opentrail.rows.event_delivery import Sending, Undeliverable
from opentrail.service import RoleSession
from opentrail.state import House
from opentrail.targets.role import arn_parts, sender


class TopicTarget:
    """A `TargetPlug`."""

    def __init__(self, role_session: RoleSession) -> None:
        self._role_session = role_session

    async def deliver(self, sending: Sending, house: House) -> None:
        """Publish with the event as the message."""
        delivery = sending.delivery
        parts = arn_parts(delivery, "a topic")
        given = {"TopicArn": delivery.target_arn, "Message": delivery.payload.decode("utf-8", "replace")}
        principal = sender(delivery, self._role_session, house)
        try:
            await house.road.call(principal, "sns", "Publish", given, region=parts[3], also=sending.done())
        except AwsError as error:
            if error.code == "AuthorizationError":
                raise Undeliverable("NO_PERMISSIONS", f"{error.code}: {error.message}") from error
            raise
