"""SNS: statements of a topic's policy by label. Source: API reference, AddPermission."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import ACCOUNT_ID, Call, Shape
from opentrail.rows.sns import TOPICS
from opentrail.service import Service
from opentrail.services.policy_statements import granting, labels_of, with_statement, without_statement
from opentrail.services.sns_common import find_topic, guard_topic, invalid
from opentrail.services.sns_topics import POLICY_ACTIONS, checked, default_policy
from opentrail.state import Unit

_ACTIONS = frozenset(action.removeprefix("SNS:") for action in POLICY_ACTIONS) | {"Receive"}

service = Service("sns")
service.guard("AddPermission", "RemovePermission")(guard_topic)


@service.operation("AddPermission")
async def add_permission(call: Call, unit: Unit) -> Shape:
    """Let accounts do something with a topic."""
    name, topic = find_topic(call, unit, call.input["TopicArn"])
    given = call.input
    label, accounts, actions = given["Label"], given["AWSAccountId"], given["ActionName"]
    policy = topic.policy or default_policy(name)
    if label in labels_of(policy):
        raise invalid("Statement already exists")
    if not accounts or not all(ACCOUNT_ID.fullmatch(account) for account in accounts):
        raise invalid("Policy Error: PRINCIPAL_NOT_FOUND")
    if not actions or not set(actions) <= _ACTIONS:
        raise invalid("Policy statement action out of service scope!")
    statement = granting(label, accounts, [f"SNS:{action}" for action in actions], name.arn, name.region)
    written = checked("Policy", with_statement(policy, statement, ""))
    TOPICS.put(unit, replace(topic, attributes=topic.attributes | {"Policy": written}), *name)
    return {}


@service.operation("RemovePermission")
async def remove_permission(call: Call, unit: Unit) -> Shape:
    """Take a statement out of a topic's policy."""
    name, topic = find_topic(call, unit, call.input["TopicArn"])
    written = without_statement(topic.policy, call.input["Label"])
    attributes = {key: value for key, value in topic.attributes.items() if key != "Policy"}
    TOPICS.put(unit, replace(topic, attributes=attributes | ({"Policy": written} if written else {})), *name)
    return {}
