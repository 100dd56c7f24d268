"""SNS: topics and their attributes. Source: SNS API reference. Keys of KMS are refused: nothing would be encrypted."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from opentrail.access.policy import validate_policy
from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.sns import ENDPOINTS, OWNED, SUBSCRIPTIONS, SUBSCRIPTIONS_MAX, TOPICS, Topic, TopicName, topic_arn
from opentrail.service import Service
from opentrail.services.sns_common import find_topic, guard_topic, invalid, merged_tags, page, parse_topic, question
from opentrail.services.sns_retry import check_policy, effective_policy
from opentrail.state import Unit

POLICY_CHARS_MAX = 30_720
DISPLAY_NAME_MAX = 100
POLICY_ACTIONS = (
    *("SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission"),
    *("SNS:DeleteTopic", "SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish"),
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")

service = Service("sns")
service.guard("GetTopicAttributes", "SetTopicAttributes")(guard_topic)


@service.guard("CreateTopic")
def guard_create(call: Call, _unit: Unit) -> Sequence[Access]:
    """Tags given at once are tags put."""
    arn = topic_arn(call.account_id, call.region, call.input["Name"])
    actions = ["sns:CreateTopic", "sns:TagResource"] if call.input.get("Tags") else ["sns:CreateTopic"]
    return [Access(action, arn, call.account_id) for action in actions]


@service.guard("DeleteTopic")
def guard_delete(call: Call, unit: Unit) -> Sequence[Access]:
    return [question(call, unit, parse_topic(call.input["TopicArn"]))]


@service.operation("CreateTopic")
async def create_topic(call: Call, unit: Unit) -> Shape:
    """Create a topic, or find the one of that name and those attributes."""
    given = call.input
    name = TopicName(call.account_id, call.region, given["Name"])
    attributes = dict(given.get("Attributes") or {})
    if name.name.endswith(".fifo") or attributes.pop("FifoTopic", "false") == "true":
        raise invalid("Topic Name: FIFO topics are not served here")
    if not _NAME.fullmatch(name.name):
        raise invalid("Topic Name")
    if given.get("DataProtectionPolicy"):
        raise invalid("DataProtectionPolicy: not served here")
    attributes = {key: value for key, value in attributes.items() if checked(key, value)}
    tags = merged_tags({}, given.get("Tags") or ())
    known = TOPICS.get(unit, *name)
    if known is None:
        TOPICS.put(unit, Topic(unit.now, attributes, tags), *name)
    elif any(known.attributes.get(key) != value for key, value in attributes.items()):
        raise invalid("Attributes Reason: Topic already exists with different attributes")
    elif tags and tags != known.tags:
        raise invalid("Tags Reason: Topic already exists with different tags")
    return {"TopicArn": name.arn}


def checked(name: str, value: str) -> str:
    """The value of an attribute as it is kept; empty takes it away. Raises InvalidParameter."""
    if name == "Policy" and value:
        _check_policy(value)
    elif name == "DisplayName" and (len(value) > DISPLAY_NAME_MAX or not value.isprintable()):
        raise invalid("DisplayName")
    elif name == "DeliveryPolicy" and value:
        check_policy(value)
    elif name == "SignatureVersion" and value not in ("1", "2"):
        raise invalid("SignatureVersion")
    elif name == "TracingConfig" and value != "PassThrough":
        raise invalid("TracingConfig: only PassThrough is served here")
    elif name == "KmsMasterKeyId" and value:
        raise invalid("KmsMasterKeyId: there is no KMS here")
    elif name not in _SETTABLE:
        raise invalid("AttributeName")
    return value


_SETTABLE = frozenset(
    {"Policy", "DisplayName", "DeliveryPolicy", "SignatureVersion", "TracingConfig", "KmsMasterKeyId"}
)


def _check_policy(text: str) -> None:
    if len(text) > POLICY_CHARS_MAX:
        raise invalid("Policy Error: null")
    try:
        policy = validate_policy(text, "resource")
    except AwsError as error:
        raise invalid("Policy Error: null") from error
    actions = [action for statement in policy.statements for action in statement.actions]
    if not all(action == "*" or action.lower().startswith("sns:") for action in actions):
        raise invalid("Policy statement action out of service scope!")


@service.operation("DeleteTopic")
async def delete_topic(call: Call, unit: Unit) -> Shape:
    """Delete a topic and its subscriptions; one that is not there counts as deleted."""
    name = parse_topic(call.input["TopicArn"])
    if TOPICS.get(unit, *name) is None:
        return {}
    TOPICS.delete(unit, *name)
    for key, row in SUBSCRIPTIONS.page(unit, *name, limit=SUBSCRIPTIONS_MAX):
        unit.delete(key)
        OWNED.delete(unit, row.owner, name.region, f"{name.arn}:{SUBSCRIPTIONS.parts(key)[3]}")
    for key, _ in ENDPOINTS.page(unit, *name, limit=SUBSCRIPTIONS_MAX):
        unit.delete(key)
    return {}


@service.operation("ListTopics")
async def list_topics(call: Call, unit: Unit) -> Shape:
    """List the topics of an account in a region."""
    rows = TOPICS.all(unit, call.account_id, call.region)
    topics, more = page(call, ((parts[2], {"TopicArn": topic_arn(*parts)}) for parts, _ in rows))
    return {"Topics": topics, **more}


@service.operation("GetTopicAttributes")
async def get_topic_attributes(call: Call, unit: Unit) -> Shape:
    """Show a topic."""
    name, topic = find_topic(call, unit, call.input["TopicArn"])
    states = [row.confirmed > 0 for _, row in SUBSCRIPTIONS.page(unit, *name, limit=SUBSCRIPTIONS_MAX)]
    shown = {
        "TopicArn": name.arn,
        "Owner": name.account_id,
        "Policy": topic.policy or default_policy(name),
        "DisplayName": "",
        "SubscriptionsConfirmed": str(sum(states)),
        "SubscriptionsPending": str(len(states) - sum(states)),
        "SubscriptionsDeleted": str(topic.deleted),
        "EffectiveDeliveryPolicy": json.dumps({"http": effective_policy(topic.attributes.get("DeliveryPolicy", ""))}),
    }
    return {"Attributes": shown | topic.attributes}


def default_policy(name: TopicName) -> str:
    """The policy shown of a topic that was given none: its owner may do everything with it."""
    statement: dict[str, Any] = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": list(POLICY_ACTIONS),
        "Resource": name.arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": name.account_id}},
    }
    document = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    return json.dumps(document, separators=(",", ":"))


@service.operation("SetTopicAttributes")
async def set_topic_attributes(call: Call, unit: Unit) -> Shape:
    """Change one attribute of a topic."""
    name, topic = find_topic(call, unit, call.input["TopicArn"])
    key = call.input["AttributeName"]
    value = checked(key, call.input.get("AttributeValue") or "")
    attributes = {each: kept for each, kept in topic.attributes.items() if each != key}
    TOPICS.put(unit, replace(topic, attributes=attributes | ({key: value} if value else {})), *name)
    return {}
