"""What the families of SQS's operations share: finding the queue, the permission question, batches, errors.

Source: SQS API reference and developer guide ("Limitations of custom policies": what no other account may do).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from opentrail.call import Access, Call, Resource, Shape
from opentrail.errors import AwsError
from opentrail.rows.sqs import QUEUES, Queue, queue_arn
from opentrail.services.message_attributes import FORBIDDEN, shown
from opentrail.state import Unit

BATCH_ENTRIES_MAX = 10
OWNER_ONLY = frozenset(
    {
        *("AddPermission", "DeleteQueue", "ListQueueTags", "RemovePermission", "SetQueueAttributes"),
        *("TagQueue", "UntagQueue"),
    }
)
"""Operations that a queue's policy cannot open to other accounts."""

_URL = re.compile(r"https?://[^/\s]{1,255}/(?:queue/)?(\d{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)", re.ASCII)
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Place(NamedTuple):
    """Where a queue lies: its key."""

    account_id: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return queue_arn(*self)


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message, 400)


def invalid_reason(value: object, name: str, reason: str) -> AwsError:
    return invalid(f"Value {shown(str(value))} for parameter {name} is invalid. Reason: {reason}")


def unsupported(message: str) -> AwsError:
    return AwsError("AWS.SimpleQueueService.UnsupportedOperation", message, 400)


def no_queue() -> AwsError:
    return AwsError("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.", 400)


def place_of_call(call: Call) -> Place:
    """The queue that QueueUrl names, whatever the host in it; raises InvalidAddress."""
    found = _URL.fullmatch(call.input["QueueUrl"])
    if found is None:
        raise AwsError(
            "InvalidAddress", f"The address {shown(call.input['QueueUrl'])} is not valid for this endpoint.", 404
        )
    return Place(found[1], call.region, found[2])


def find_queue(call: Call, unit: Unit) -> tuple[Place, Queue]:
    """The queue that QueueUrl names; raises NonExistentQueue."""
    place = place_of_call(call)
    queue = QUEUES.get(unit, *place)
    if queue is None:
        raise no_queue()
    return place, queue


def question(call: Call, unit: Unit, place: Place) -> Access:
    """May the caller do this operation on a queue? From now on it is recorded for the queue's owner as well."""
    queue = QUEUES.get(unit, *place)
    facts = call.operation.facts
    policy = ""
    if queue is not None:
        call.evidence.owner_account_id = place.account_id
        if facts.category == "Data":
            call.evidence.resources.append(Resource("AWS::SQS::Queue", place.arn, place.account_id))
        if place.account_id == call.account_id or call.operation.name not in OWNER_ONLY:
            policy = queue.policy
    return Access(facts.actions[0], place.arn, place.account_id, policy)


def guard_queue(call: Call, unit: Unit) -> Sequence[Access]:
    """The operation's own action on the queue that QueueUrl names."""
    return [question(call, unit, place_of_call(call))]


def whole(value: Any, name: str, least: int, most: int) -> int:  # noqa: ANN401  (an input of any kind)
    """A number within its limits; raises InvalidParameterValue."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid_reason(value, name, f"Must be >= {least} and <= {most}, if provided.")
    return value


def batch(call: Call, one: Callable[[Mapping[str, Any]], Shape]) -> Shape:
    """Do an operation for each entry; a refused one does not keep the others from happening."""
    entries: Sequence[Mapping[str, Any]] = call.input.get("Entries") or ()
    check_entries(entries, call.operation.name)
    done: list[Shape] = []
    failed: list[Shape] = []
    for entry in entries:
        try:
            done.append({"Id": entry["Id"], **one(entry)})
        except AwsError as error:
            failed.append({"Id": entry["Id"], "SenderFault": True, "Code": error.code, "Message": error.message})
    return {"Successful": done, "Failed": failed} if failed else {"Successful": done}


def check_entries(entries: Sequence[Mapping[str, Any]], operation: str) -> None:
    prefix = "AWS.SimpleQueueService."
    if not entries:
        message = f"There should be at least one {operation}RequestEntry in the request."
        raise AwsError(prefix + "EmptyBatchRequest", message, 400)
    if len(entries) > BATCH_ENTRIES_MAX:
        message = f"Maximum number of entries per request are {BATCH_ENTRIES_MAX}. You have sent {len(entries)}."
        raise AwsError(prefix + "TooManyEntriesInBatchRequest", message, 400)
    ids = [str(entry["Id"]) for entry in entries]
    if not all(_ENTRY_ID.fullmatch(each) for each in ids):
        message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
        message += "It can be at most 80 letters long."
        raise AwsError(prefix + "InvalidBatchEntryId", message, 400)
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice is not None:
        raise AwsError(prefix + "BatchEntryIdsNotDistinct", f"Id {twice} repeated.", 400)


def check_characters(text: str) -> None:
    """Raise InvalidMessageContents for characters that XML 1.0 does not have."""
    if FORBIDDEN.search(text):
        raise AwsError("InvalidMessageContents", "Invalid binary character was found in the message body.", 400)
