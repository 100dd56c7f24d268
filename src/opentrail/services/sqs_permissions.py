"""SQS: statements of a queue's policy by label. Source: API reference, AddPermission."""

from __future__ import annotations

import re

from msgspec.structs import replace

from opentrail.call import ACCOUNT_ID, Call, Shape
from opentrail.rows.sqs import QUEUES
from opentrail.service import Service
from opentrail.services.policy_statements import granting, labels_of, with_statement, without_statement
from opentrail.services.sqs_attributes import changed
from opentrail.services.sqs_common import find_queue, guard_queue, invalid_reason
from opentrail.state import Unit

ACTIONS = frozenset(
    {
        *("*", "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"),
        *("GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue"),
    }
)
ACTIONS_MAX = 7
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,80}")

service = Service("sqs")
service.guard("AddPermission", "RemovePermission")(guard_queue)


@service.operation("AddPermission")
async def add_permission(call: Call, unit: Unit) -> Shape:
    """Let accounts do something with a queue."""
    place, queue = find_queue(call, unit)
    given = call.input
    label, accounts, actions = given["Label"], given["AWSAccountIds"], given["Actions"]
    if not _LABEL.fullmatch(label) or label in labels_of(queue.policy):
        raise invalid_reason(label, "Label", "Already exists, or not 1 to 80 letters, digits, hyphens, underscores.")
    if not accounts or not all(ACCOUNT_ID.fullmatch(account) for account in accounts):
        raise invalid_reason(accounts, "PrincipalId", "Unable to verify.")
    if not 1 <= len(actions) <= ACTIONS_MAX or not set(actions) <= ACTIONS:
        raise invalid_reason(actions, "ActionName", "Please refer to the appropriate WSDL for a list of valid actions.")
    statement = granting(label, accounts, [f"SQS:{action}" for action in actions], place.arn, place.region)
    policy = with_statement(queue.policy, statement, f"{place.arn}/SQSDefaultPolicy")
    attributes = changed(unit, place, queue.attributes, {"Policy": policy})
    QUEUES.put(unit, replace(queue, attributes=attributes, modified=unit.now), *place)
    return {}


@service.operation("RemovePermission")
async def remove_permission(call: Call, unit: Unit) -> Shape:
    """Take a statement out of a queue's policy."""
    place, queue = find_queue(call, unit)
    label = call.input["Label"]
    if label not in labels_of(queue.policy):
        raise invalid_reason(label, "Label", "can't find label on existing policy.")
    attributes = changed(unit, place, queue.attributes, {"Policy": without_statement(queue.policy, label)})
    QUEUES.put(unit, replace(queue, attributes=attributes, modified=unit.now), *place)
    return {}
