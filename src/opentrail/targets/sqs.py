"""Target queue: sends the event in the commit in which the delivery ends. Also what dead-letter queues are reached by.

EventBridge acts as itself, so the queue's policy must admit it, or in the target's role when there is one. Source:
EventBridge user guide, "Using resource-based policies for Amazon EventBridge". Knows nothing of rules.
"""

from __future__ import annotations

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.rows.event_delivery import Sending, Undeliverable
from opentrail.rows.sqs import internal_url
from opentrail.service import RoleSession
from opentrail.state import House
from opentrail.targets.role import sender


class QueueTarget:
    """A `TargetPlug`."""

    def __init__(self, role_session: RoleSession) -> None:
        self._role_session = role_session

    async def deliver(self, sending: Sending, house: House) -> None:
        """SendMessage with the event as the body."""
        delivery = sending.delivery
        arn = delivery.target_arn
        try:
            url = internal_url(arn)
        except ValueError as error:
            raise Undeliverable("NO_RESOURCE", f"{arn} is not the ARN of a queue.") from error
        given: Shape = {"QueueUrl": url, "MessageBody": delivery.payload.decode("utf-8", "replace")}
        attributes = delivery.target.get("MessageAttributes") if delivery.dead_letter else None
        if attributes:
            given["MessageAttributes"] = {
                name: {"DataType": "String", "StringValue": _clean(value) or "-"} for name, value in attributes.items()
            }
        principal = sender(delivery, self._role_session, house)
        try:
            await house.road.call(principal, "sqs", "SendMessage", given, region=arn.split(":")[3], also=sending.done())
        except AwsError as error:
            if error.code == "AWS.SimpleQueueService.NonExistentQueue":
                raise Undeliverable("NO_RESOURCE", f"{error.code}: {error.message}") from error
            raise


def _clean(text: str) -> str:
    """Without the characters that no message may contain: a dead letter must not fail for the words of its failure."""
    return "".join(each if each.isprintable() else "?" for each in text)
