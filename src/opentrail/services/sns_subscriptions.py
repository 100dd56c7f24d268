"""SNS: looking at subscriptions and changing their attributes."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.rows.sns import OWNED, SUBSCRIPTIONS, Subscription, TopicName
from opentrail.service import Service
from opentrail.services.sns_attributes import read_attributes
from opentrail.services.sns_common import (
    find_subscription,
    find_topic,
    guard_subscription,
    guard_topic,
    is_over,
    page,
    parse_subscription,
)
from opentrail.state import Unit

PENDING_ARN = "PendingConfirmation"

service = Service("sns")
service.guard("ListSubscriptionsByTopic")(guard_topic)
service.guard("GetSubscriptionAttributes", "SetSubscriptionAttributes")(guard_subscription)


def _shown(name: TopicName, id_: str, row: Subscription) -> Shape:
    return {
        "SubscriptionArn": f"{name.arn}:{id_}" if row.confirmed else PENDING_ARN,
        "Owner": row.owner,
        "Protocol": row.protocol,
        "Endpoint": row.endpoint,
        "TopicArn": name.arn,
    }


@service.operation("ListSubscriptionsByTopic")
async def list_subscriptions_by_topic(call: Call, unit: Unit) -> Shape:
    """List the subscriptions of a topic."""
    name, _ = find_topic(call, unit, call.input["TopicArn"])
    rows = (
        (parts[3], _shown(name, parts[3], row))
        for parts, row in SUBSCRIPTIONS.all(unit, *name)
        if not is_over(row, unit.now)
    )
    found, more = page(call, rows)
    return {"Subscriptions": found, **more}


@service.operation("ListSubscriptions")
async def list_subscriptions(call: Call, unit: Unit) -> Shape:
    """List the subscriptions that an account made in a region."""
    found, more = page(call, _owned(call, unit))
    return {"Subscriptions": found, **more}


def _owned(call: Call, unit: Unit) -> Iterator[tuple[str, Shape]]:
    for parts, _ in OWNED.all(unit, call.account_id, call.region):
        name, id_ = parse_subscription(parts[2])
        row = SUBSCRIPTIONS.get(unit, *name, id_)
        if row is not None and not is_over(row, unit.now):
            yield parts[2], _shown(name, id_, row)


@service.operation("GetSubscriptionAttributes")
async def get_subscription_attributes(call: Call, unit: Unit) -> Shape:
    """Show a subscription."""
    name, id_, row = find_subscription(call, unit, call.input["SubscriptionArn"])
    shown = {
        "SubscriptionArn": f"{name.arn}:{id_}",
        "TopicArn": name.arn,
        "Owner": row.owner,
        "Protocol": row.protocol,
        "Endpoint": row.endpoint,
        "PendingConfirmation": "false" if row.confirmed else "true",
        "ConfirmationWasAuthenticated": "true" if row.authenticated else "false",
        "RawMessageDelivery": "false",
        "SubscriptionPrincipal": f"arn:{name.arn.split(':')[1]}:iam::{row.owner}:root",
    }
    if "FilterPolicy" in row.attributes:
        shown["FilterPolicyScope"] = "MessageAttributes"
    return {"Attributes": shown | row.attributes}


@service.operation("SetSubscriptionAttributes")
async def set_subscription_attributes(call: Call, unit: Unit) -> Shape:
    """Change one attribute of a subscription."""
    name, id_, row = find_subscription(call, unit, call.input["SubscriptionArn"])
    given = {call.input["AttributeName"]: call.input.get("AttributeValue") or ""}
    SUBSCRIPTIONS.put(unit, replace(row, attributes=read_attributes(unit, row.attributes | given, name)), *name, id_)
    return {}
