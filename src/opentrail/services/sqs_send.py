"""SQS: putting messages into a queue."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.messages import Attributes, size_of
from opentrail.rows.sqs import MESSAGES, Message, Queue, drop_message, oldest, place_of, put_message
from opentrail.service import Service
from opentrail.services.message_attributes import attributes_md5, read_attributes
from opentrail.services.sqs_attributes import number
from opentrail.services.sqs_common import batch, check_characters, find_queue, guard_queue, invalid, whole
from opentrail.state import Unit

BATCH_BYTES_MAX = 1_048_576
"""Bytes of all messages of a batch, attributes included."""
EXPIRED_AT_ONCE = 4
"""Messages past their retention that one send takes away: more than it adds, so that a queue nobody reads stays finite."""
PLACE_CHARACTERS, PLACE_LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 10
TRACE_HEADER = "AWSTraceHeader"

service = Service("sqs")
service.guard("SendMessage", "SendMessageBatch")(guard_queue)


class Draft(NamedTuple):
    """A message that has been checked."""

    body: str
    attributes: Attributes
    trace: Attributes
    delay: int

    @property
    def size(self) -> int:
        return len(self.body.encode()) + size_of(self.attributes)


@service.operation("SendMessage")
async def send_message(call: Call, unit: Unit) -> Shape:
    """Put a message into a queue."""
    _, queue = find_queue(call, unit)
    draft = _draft(call.input, queue)
    return _sent(call, unit, queue, draft)


@service.operation("SendMessageBatch")
async def send_message_batch(call: Call, unit: Unit) -> Shape:
    """Put up to ten messages into a queue."""
    _, queue = find_queue(call, unit)
    size = sum(len(str(entry["MessageBody"]).encode("utf-8", "replace")) for entry in call.input.get("Entries") or ())
    if size > BATCH_BYTES_MAX:
        message = f"Batch requests cannot be longer than {BATCH_BYTES_MAX} bytes. You have sent {size} bytes."
        raise AwsError("AWS.SimpleQueueService.BatchRequestTooLong", message, 400)
    return batch(call, lambda entry: _sent(call, unit, queue, _draft(entry, queue)))


def _draft(given: Mapping[str, Any], queue: Queue) -> Draft:
    body = given["MessageBody"]
    if not body:
        raise AwsError("MissingParameter", "The request must contain the parameter MessageBody.", 400)
    check_characters(body)
    if given.get("MessageDeduplicationId"):
        raise invalid("The request includes a parameter that is not valid for this queue type.")
    delay = given.get("DelaySeconds")
    draft = Draft(
        body,
        read_attributes(given.get("MessageAttributes"), invalid),
        _system(given.get("MessageSystemAttributes") or {}),
        number(queue, "DelaySeconds") if delay is None else whole(delay, "DelaySeconds", 0, 900),
    )
    most = number(queue, "MaximumMessageSize")
    if draft.size > most:
        raise invalid(f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes.")
    return draft


def _system(given: Mapping[str, Any]) -> Attributes:
    if set(given) - {TRACE_HEADER}:
        raise invalid(f"Only {TRACE_HEADER} can be sent as a system attribute.")
    return {
        name: read_attributes({"_" + name: value}, invalid)["_" + name] for name, value in given.items()
    }  # the names of system attributes are those that others may not have


def _sent(call: Call, unit: Unit, queue: Queue, draft: Draft) -> Shape:
    clock, now_ms = unit.house.clock, int(unit.now * 1000)
    message = Message(
        message_id=clock.uuid(),
        body=draft.body,
        sender=call.principal.principal_id or call.principal.invoked_by or call.account_id,
        sent_ms=now_ms,
        due_ms=now_ms + draft.delay * 1000,
        attributes=draft.attributes,
        trace=draft.trace[TRACE_HEADER].text if draft.trace else "",
    )
    drop_expired(unit, queue, EXPIRED_AT_ONCE)
    put_message(unit, queue.box, place_of(now_ms, clock.token(PLACE_LENGTH, PLACE_CHARACTERS)), message)
    return _answer(message, draft)


def _answer(message: Message, draft: Draft) -> Shape:
    answer = {"MD5OfMessageBody": body_md5(message.body), "MessageId": message.message_id}
    if draft.attributes:
        answer["MD5OfMessageAttributes"] = attributes_md5(draft.attributes)
    if draft.trace:
        answer["MD5OfMessageSystemAttributes"] = attributes_md5(draft.trace)
    return answer


def body_md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def drop_expired(unit: Unit, queue: Queue, most: int) -> None:
    """Take away up to `most` messages that are older than the queue keeps them."""
    limit = int(unit.now * 1000) - number(queue, "MessageRetentionPeriod") * 1000
    for place, sent_ms in oldest(unit, queue.box, most):
        if sent_ms > limit:
            return
        message = MESSAGES.get(unit, queue.box, place)
        if message is not None:
            drop_message(unit, queue.box, place, message)
