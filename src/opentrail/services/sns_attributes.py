"""SNS: attributes of subscriptions: which there are and what they may be."""

from __future__ import annotations

from collections.abc import Mapping

from opentrail.rows.sns import TopicName
from opentrail.rows.sns_filter import SCOPES, check_filter
from opentrail.rows.sqs import QUEUES
from opentrail.services.sns_common import invalid, json_object
from opentrail.services.sns_retry import check_policy
from opentrail.state import Unit

POLICY_CHARS_MAX = 262_144
NAMES = ("RawMessageDelivery", "FilterPolicy", "FilterPolicyScope", "RedrivePolicy", "DeliveryPolicy")


def read_attributes(unit: Unit, given: Mapping[str, str], name: TopicName) -> dict[str, str]:
    """The attributes as they are kept: without those that say what holds anyway. Raises InvalidParameter."""
    for key, value in given.items():
        _check(unit, key, value, name)
    policy = given.get("FilterPolicy") or ""
    if policy:
        check_filter(policy, given.get("FilterPolicyScope") or SCOPES[0])
    return {key: value for key, value in given.items() if not _is_default(key, value)}


def _is_default(key: str, value: str) -> bool:
    return not value or (key, value) in (("RawMessageDelivery", "false"), ("FilterPolicy", "{}"))


def _check(unit: Unit, key: str, value: str, name: TopicName) -> None:
    if key not in NAMES:
        raise invalid("AttributeName")
    if len(value) > POLICY_CHARS_MAX:
        raise invalid(key)
    if key == "RawMessageDelivery" and value.lower() not in ("true", "false"):
        raise invalid("Attributes Reason: RawMessageDelivery: Invalid value. Must be true or false.")
    if key == "FilterPolicyScope" and value not in SCOPES:
        raise invalid(
            f"FilterPolicyScope: Invalid value [{value[:80]}]. Please use either MessageBody or MessageAttributes"
        )
    if key == "DeliveryPolicy" and value:
        check_policy(value)
    if key == "RedrivePolicy" and value:
        _check_redrive(unit, value, name)


def _check_redrive(unit: Unit, text: str, name: TopicName) -> None:
    arn = json_object(text, "RedrivePolicy").get("deadLetterTargetArn")
    parts = arn.split(":") if isinstance(arn, str) else []
    if len(parts) != 6 or parts[2] != "sqs":
        raise invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn")
    if (parts[4], parts[3]) != (name.account_id, name.region):
        raise invalid("RedrivePolicy: must use a dead-letter queue of the topic's account and region")
    if QUEUES.get(unit, parts[4], parts[3], parts[5]) is None:
        raise invalid("RedrivePolicy: deadLetterTargetArn does not exist")
