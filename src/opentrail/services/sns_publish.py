"""SNS: publishing. The message is kept in the same commit as the call's record; it is spread to subscribers afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.messages import Attributes, size_of
from opentrail.rows.sns import Outgoing, TopicName, put_outgoing
from opentrail.service import Service
from opentrail.services.message_attributes import FORBIDDEN, read_attributes
from opentrail.services.sns_common import find_topic, guard_topic, invalid, json_object, parse_topic, question
from opentrail.state import Unit

MESSAGE_BYTES_MAX = 262_144
"""Bytes of a message, or of all of a batch, attributes included."""
SUBJECT_CHARS_MAX = 100
BATCH_ENTRIES_MAX = 10
ATTRIBUTES_MAX = 50
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SUBJECT = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~][ -~]*")

service = Service("sns")
service.guard("PublishBatch")(guard_topic)


@service.guard("Publish")
def guard_publish(call: Call, unit: Unit) -> Sequence[Access]:
    return [question(call, unit, parse_topic(_target(call)))]


def _target(call: Call) -> str:
    """The topic, which some name as TargetArn; phones and devices are not served."""
    arn = call.input.get("TopicArn") or call.input.get("TargetArn")
    if not arn:
        raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
    return str(arn)


@service.operation("Publish")
async def publish(call: Call, unit: Unit) -> Shape:
    """Send a message to all subscribers of a topic."""
    name, _ = find_topic(call, unit, _target(call))
    return _published(unit, _outgoing(unit, name, call.input))


@service.operation("PublishBatch")
async def publish_batch(call: Call, unit: Unit) -> Shape:
    """Send up to ten messages to all subscribers of a topic."""
    name, _ = find_topic(call, unit, call.input["TopicArn"])
    entries = call.input["PublishBatchRequestEntries"]
    _check_entries(entries)
    done: list[Shape] = []
    failed: list[Shape] = []
    for entry in entries:
        try:
            done.append({"Id": entry["Id"], **_published(unit, _outgoing(unit, name, entry))})
        except AwsError as error:
            failed.append({"Id": entry["Id"], "SenderFault": True, "Code": error.code, "Message": error.message})
    return {"Successful": done, "Failed": failed}


def _check_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    if not entries:
        raise AwsError("EmptyBatchRequest", "The batch request doesn't contain any entries.", 400)
    if len(entries) > BATCH_ENTRIES_MAX:
        raise AwsError("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.", 400)
    ids = [str(entry["Id"]) for entry in entries]
    if not all(_ENTRY_ID.fullmatch(each) for each in ids):
        raise AwsError("InvalidBatchEntryId", "The Id of a batch entry in a batch request does not fit.", 400)
    if len(set(ids)) < len(ids):
        message = "Two or more batch entries in the request have the same Id."
        raise AwsError("BatchEntryIdsNotDistinct", message, 400)
    if sum(len(str(entry["Message"]).encode("utf-8", "replace")) for entry in entries) > MESSAGE_BYTES_MAX:
        raise AwsError("BatchRequestTooLong", "The length of all the batch messages put together is too long.", 400)


def _published(unit: Unit, row: Outgoing) -> Shape:
    put_outgoing(unit, row)
    return {"MessageId": row.message_id}


def _outgoing(unit: Unit, name: TopicName, given: Mapping[str, Any]) -> Outgoing:
    """The message, checked."""
    message, subject = given["Message"], given.get("Subject") or ""
    if given.get("PhoneNumber"):
        raise invalid("PhoneNumber: text messages are not served here")
    if given.get("MessageGroupId") or given.get("MessageDeduplicationId"):
        raise invalid("MessageGroupId or MessageDeduplicationId: only for FIFO topics")
    if not message:
        raise invalid("Empty message")
    if FORBIDDEN.search(message):
        raise invalid("Message")
    if subject and (len(subject) > SUBJECT_CHARS_MAX or not _SUBJECT.fullmatch(subject)):
        raise invalid("Subject")
    attributes = _attributes(given)
    if len(message.encode()) + size_of(attributes) > MESSAGE_BYTES_MAX:
        raise invalid("Message too long")
    default, others = _by_protocol(message, given.get("MessageStructure") or "")
    clock = unit.house.clock
    return Outgoing(
        "Notification",
        (name.account_id, name.region, name.name),
        clock.uuid(),
        default,
        unit.now,
        subject,
        others,
        attributes,
    )


def _attributes(given: Mapping[str, Any]) -> Attributes:
    return read_attributes(
        given.get("MessageAttributes"),
        lambda message: AwsError("ParameterValueInvalid", message, 400),
        ATTRIBUTES_MAX,
    )


def _by_protocol(message: str, structure: str) -> tuple[str, dict[str, str]]:
    """The message for everybody, and other texts by protocol (MessageStructure json)."""
    if not structure:
        return message, {}
    if structure != "json":
        raise invalid("MessageStructure")
    document = json_object(message, "Message Structure - JSON message body")
    if "default" not in document:
        raise invalid("Message Structure - No default entry in JSON message body")
    texts = {name: text for name, text in document.items() if isinstance(text, str)}
    if not isinstance(document["default"], str) or any(FORBIDDEN.search(text) for text in texts.values()):
        raise invalid("Message Structure - JSON message body")
    return texts.pop("default"), {name: text for name, text in texts.items() if name in ("http", "https", "sqs")}
