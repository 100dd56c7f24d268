"""SQS: receiving messages, waiting for them, and what happens to those that were received too often.

Source: API reference, ReceiveMessage; developer guide, "Amazon SQS visibility timeout", "short and long polling",
"dead-letter queues". What is received is a commit like any other: the message's next due time, count and receipt.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import Any, Final

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.messages import Attributes, as_shape
from opentrail.rows.sqs import (
    BELL,
    MESSAGES,
    QUEUES,
    Message,
    Queue,
    change_message,
    drop_message,
    dues_after,
    dues_from,
    put_message,
)
from opentrail.service import Service
from opentrail.services.message_attributes import attributes_md5
from opentrail.services.sqs_attributes import number, redrive_of
from opentrail.services.sqs_common import Place, find_queue, guard_queue, whole
from opentrail.services.sqs_send import body_md5, drop_expired
from opentrail.state import Unit

MESSAGES_MAX: Final = 10
EXPIRED_AT_ONCE: Final = 100
"""Messages past their retention that one receive takes away."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""How often a waiting call looks unasked, for what another process may have written."""
ROUNDS_MAX: Final = 50
"""Pages of due messages looked through by one call, since each may hold only what is moved away."""
RECEIPT_CHARACTERS, RECEIPT_LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 20
SYSTEM_NAMES: Final = frozenset(
    {
        *("All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"),
        *("SequenceNumber", "MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn"),
    }
)

service = Service("sqs")
service.guard("ReceiveMessage")(guard_queue)


@service.operation("ReceiveMessage")
async def receive_message(call: Call, unit: Unit) -> Shape:
    """Receive up to ten messages, waiting up to twenty seconds for the first."""
    place, queue = find_queue(call, unit)
    most = whole(call.input.get("MaxNumberOfMessages", 1), "MaxNumberOfMessages", 1, MESSAGES_MAX)
    hidden = call.input.get("VisibilityTimeout")
    if hidden is not None:
        whole(hidden, "VisibilityTimeout", 0, 43_200)
    _check_names(call)
    drop_expired(unit, queue, EXPIRED_AT_ONCE)
    taken = take(unit, place, queue, most, hidden)
    wait = call.input.get("WaitTimeSeconds")
    seconds = number(queue, "ReceiveMessageWaitTimeSeconds") if wait is None else whole(wait, "WaitTimeSeconds", 0, 20)
    if not taken and seconds and not _wrote(unit):
        taken = await _wait(call, unit, place, seconds, most, hidden)
    return {"Messages": [_shown(call, *each) for each in taken]} if taken else {}


async def _wait(
    call: Call, unit: Unit, place: Place, seconds: int, most: int, hidden: int | None
) -> list[tuple[str, Message, str]]:
    """Look whenever something is put into the queue or becomes due; empty when the time is over.

    The time counts from the call's first walk, so that a conflict does not make it longer.
    """
    clock = unit.house.clock
    deadline = call.stash.setdefault("deadline", clock.now() + seconds)
    while True:
        queue = QUEUES.get(unit, *place)
        if queue is None:
            return []
        rung = asyncio.Event()
        BELL.listen(queue.box, rung.set)
        try:
            unit.now = clock.now()
            taken = take(unit, place, queue, most, hidden)
            if taken or _wrote(unit) or unit.now >= deadline or unit.house.ending:
                return taken
            await _rest(rung, unit, queue, deadline)
        finally:
            BELL.leave(queue.box, rung.set)


def _wrote(unit: Unit) -> bool:
    """Whether something was moved or taken away, which must not wait with the call."""
    return bool(unit.writes.puts or unit.writes.deletes)


async def _rest(rung: asyncio.Event, unit: Unit, queue: Queue, deadline: float) -> None:
    """Until the bell rings, a message becomes due, or it is time to look again."""
    following = dues_from(unit, queue.box, int(unit.now * 1000) + 1, 1)
    until = min(deadline, unit.now + LOOK_AGAIN_SECONDS, following[0][1] / 1000 if following else deadline)
    with suppress(TimeoutError):  # nothing came; time to look all the same
        async with asyncio.timeout(max(0.001, until - unit.now)):
            await rung.wait()


def take(unit: Unit, place: Place, queue: Queue, most: int, hidden: int | None) -> list[tuple[str, Message, str]]:
    """(place, message, receipt handle) of up to `most` messages that are due, hidden from now on."""
    now_ms = int(unit.now * 1000)
    keep_ms = number(queue, "MessageRetentionPeriod") * 1000
    seconds = number(queue, "VisibilityTimeout") if hidden is None else hidden
    taken: dict[str, tuple[str, Message, str]] = {}
    after = b""
    for _ in range(ROUNDS_MAX):
        rows = dues_after(unit, queue.box, after, MESSAGES_MAX)
        for key, due_ms, spot in rows:
            if due_ms > now_ms or len(taken) == most:
                return list(taken.values())
            after = key
            message = MESSAGES.get(unit, queue.box, spot)
            if message is None or spot in taken:
                continue
            if message.sent_ms <= now_ms - keep_ms:
                drop_message(unit, queue.box, spot, message)
            elif not _moved(unit, place, queue, spot, message):
                taken[spot] = _received(unit, queue, spot, message, now_ms + seconds * 1000)
        if len(rows) < MESSAGES_MAX:
            break
    return list(taken.values())


def _received(unit: Unit, queue: Queue, spot: str, message: Message, due_ms: int) -> tuple[str, Message, str]:
    receipt = unit.house.clock.token(RECEIPT_LENGTH, RECEIPT_CHARACTERS)
    received = replace(
        message,
        due_ms=due_ms,
        received=message.received + 1,
        first_received_ms=message.first_received_ms or int(unit.now * 1000),
        receipt=receipt,
    )
    change_message(unit, queue.box, spot, message, received)
    return spot, received, base64.b64encode(f"{queue.box}/{spot}/{receipt}".encode()).decode()


def _moved(unit: Unit, place: Place, queue: Queue, spot: str, message: Message) -> bool:
    """Whether the message was received often enough to go to the dead-letter queue, and went there."""
    redrive = redrive_of(queue)
    if redrive is None or message.received < redrive.receives_max:
        return False
    _, _, _, region, account, name = redrive.arn.split(":")
    dead = QUEUES.get(unit, account, region, name)
    if dead is None or dead.box == queue.box:
        return False
    drop_message(unit, queue.box, spot, message)
    moved = replace(message, due_ms=int(unit.now * 1000), receipt="", source_arn=message.source_arn or place.arn)
    put_message(unit, dead.box, spot, moved)
    return True


def _check_names(call: Call) -> None:
    for member in ("AttributeNames", "MessageSystemAttributeNames"):
        for name in call.input.get(member) or ():
            if name not in SYSTEM_NAMES:
                raise AwsError("InvalidAttributeName", f"Unknown Attribute {name[:80]}.", 400)


def _shown(call: Call, _spot: str, message: Message, handle: str) -> Shape:
    answer: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": handle,
        "MD5OfBody": body_md5(message.body),
        "Body": message.body,
    }
    given = call.input
    system = _system(message, {*(given.get("AttributeNames") or ()), *(given.get("MessageSystemAttributeNames") or ())})
    if system:
        answer["Attributes"] = system
    wanted = _wanted(message.attributes, given.get("MessageAttributeNames") or [])
    if wanted:
        answer["MD5OfMessageAttributes"] = attributes_md5(wanted)
        answer["MessageAttributes"] = as_shape(wanted)
    return answer


def _system(message: Message, names: set[str]) -> dict[str, str]:
    known = {
        "SenderId": message.sender,
        "SentTimestamp": str(message.sent_ms),
        "ApproximateReceiveCount": str(message.received),
        "ApproximateFirstReceiveTimestamp": str(message.first_received_ms),
        "AWSTraceHeader": message.trace,
        "DeadLetterQueueSourceArn": message.source_arn,
    }
    return {name: value for name, value in known.items() if value and ("All" in names or name in names)}


def _wanted(attributes: Attributes, names: list[str]) -> Attributes:
    """Those asked for by name, by `prefix.*`, or all of them."""
    if not names or not attributes:
        return {}
    prefixes = tuple("" if name == "All" else name[:-2] for name in names if name == "All" or name.endswith(".*"))
    return {
        name: each for name, each in attributes.items() if name in names or (prefixes and name.startswith(prefixes))
    }
