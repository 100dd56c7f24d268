"""SQS: what a receipt handle is good for: deleting a received message, or hiding it for longer or shorter.

A handle that a later receive has outdated deletes nothing and says so to nobody, as the API reference has it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.sqs import MESSAGES, Message, Queue, change_message, drop_message
from opentrail.service import Service
from opentrail.services.message_attributes import shown
from opentrail.services.sqs_common import batch, find_queue, guard_queue, invalid_reason, whole
from opentrail.state import Unit

HIDDEN_SECONDS_MAX = 43_200
_HANDLE = re.compile(r"([0-9a-z]{24})/([0-9a-z]{25})/([0-9a-z]{20})")

service = Service("sqs")
service.guard("DeleteMessage", "DeleteMessageBatch")(guard_queue)
service.guard("ChangeMessageVisibility", "ChangeMessageVisibilityBatch")(guard_queue)


@service.operation("DeleteMessage")
async def delete_message(call: Call, unit: Unit) -> Shape:
    """Delete a message that was received."""
    _, queue = find_queue(call, unit)
    return _delete(unit, queue, call.input)


@service.operation("DeleteMessageBatch")
async def delete_message_batch(call: Call, unit: Unit) -> Shape:
    """Delete up to ten messages that were received."""
    _, queue = find_queue(call, unit)
    return batch(call, lambda entry: _delete(unit, queue, entry))


def _delete(unit: Unit, queue: Queue, given: Mapping[str, Any]) -> Shape:
    found = _find(unit, queue, given["ReceiptHandle"])
    if found is not None:
        drop_message(unit, queue.box, *found)
    return {}


@service.operation("ChangeMessageVisibility")
async def change_message_visibility(call: Call, unit: Unit) -> Shape:
    """Let a message in flight be received again at another time."""
    _, queue = find_queue(call, unit)
    return _hide(unit, queue, call.input)


@service.operation("ChangeMessageVisibilityBatch")
async def change_message_visibility_batch(call: Call, unit: Unit) -> Shape:
    """The same for up to ten messages."""
    _, queue = find_queue(call, unit)
    return batch(call, lambda entry: _hide(unit, queue, entry))


def _hide(unit: Unit, queue: Queue, given: Mapping[str, Any]) -> Shape:
    seconds = whole(given.get("VisibilityTimeout", 0), "VisibilityTimeout", 0, HIDDEN_SECONDS_MAX)
    handle = given["ReceiptHandle"]
    found = _find(unit, queue, handle)
    now_ms = int(unit.now * 1000)
    if found is None:
        reason = "Message does not exist or is not available for visibility timeout change."
        raise invalid_reason(handle, "ReceiptHandle", reason)
    spot, message = found
    if message.due_ms <= now_ms:
        message_ = f"Value {shown(handle)} for parameter ReceiptHandle is invalid. Reason: Message is not in flight."
        raise AwsError("AWS.SimpleQueueService.MessageNotInflight", message_, 400)
    change_message(unit, queue.box, spot, message, replace(message, due_ms=now_ms + seconds * 1000))
    return {}


def _find(unit: Unit, queue: Queue, handle: str) -> tuple[str, Message] | None:
    """(place, message) that a handle of this queue stands for; None if it was deleted, purged or received again."""
    box, spot, receipt = _read(handle)
    message = MESSAGES.get(unit, queue.box, spot) if box == queue.box else None
    return (spot, message) if message is not None and message.receipt == receipt else None


def _read(handle: str) -> tuple[str, str, str]:
    try:
        found = _HANDLE.fullmatch(base64.b64decode(handle.encode("ascii"), validate=True).decode("ascii"))
    except (binascii.Error, UnicodeError):
        found = None
    if found is None:
        message = f'The input receipt handle "{shown(handle)}" is not a valid receipt handle.'
        raise AwsError("ReceiptHandleIsInvalid", message, 404)
    return found[1], found[2], found[3]
