"""SQS: queues, their attributes and tags."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import ACCOUNT_ID, Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.sqs import QUEUES, Queue, abandon_box, queue_arn, queue_url, tally
from opentrail.service import Service
from opentrail.services.page_token import read_token, write_token
from opentrail.services.sqs_attributes import (
    COMPUTED,
    NAMES,
    RANGES,
    SHOWN_ALWAYS,
    changed,
    redrive_of,
)
from opentrail.services.sqs_common import (
    Place,
    find_queue,
    guard_queue,
    invalid,
    no_queue,
    question,
    unsupported,
    whole,
)
from opentrail.state import Unit

PAGE_MAX = 1_000
TAGS_MAX = 50
BOX_CHARACTERS, BOX_LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 24
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")

service = Service("sqs")
service.guard("DeleteQueue", "GetQueueAttributes", "SetQueueAttributes", "PurgeQueue")(guard_queue)
service.guard("TagQueue", "UntagQueue", "ListQueueTags", "ListDeadLetterSourceQueues")(guard_queue)


@service.guard("CreateQueue")
def guard_create(call: Call, _unit: Unit) -> Sequence[Access]:
    """Tags given at once are tags put."""
    arn = queue_arn(call.account_id, call.region, call.input["QueueName"])
    actions = ["sqs:CreateQueue", "sqs:TagQueue"] if call.input.get("tags") else ["sqs:CreateQueue"]
    return [Access(action, arn, call.account_id) for action in actions]


@service.guard("GetQueueUrl")
def guard_url(call: Call, unit: Unit) -> Sequence[Access]:
    return [question(call, unit, _named(call))]


def _named(call: Call) -> Place:
    owner = call.input.get("QueueOwnerAWSAccountId") or call.account_id
    if not ACCOUNT_ID.fullmatch(owner):
        raise no_queue()
    return Place(owner, call.region, call.input["QueueName"])


def _url(call: Call, account_id: str, name: str) -> str:
    """The queue's URL under the host that the caller uses."""
    scheme = "http" if call.request.tls is None else "https"
    return queue_url(f"{scheme}://{call.request.headers.get('host', 'localhost')}", account_id, name)


@service.operation("CreateQueue")
async def create_queue(call: Call, unit: Unit) -> Shape:
    """Create a standard queue, or find the one of that name and those attributes."""
    name = call.input["QueueName"]
    if name.endswith(".fifo"):
        raise unsupported("FIFO queues are not served here.")
    if not _NAME.fullmatch(name):
        raise invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
    place = Place(call.account_id, call.region, name)
    attributes = changed(unit, place, {}, call.input.get("Attributes") or {})
    known = QUEUES.get(unit, *place)
    if known is None:
        tags = _merged({}, call.input.get("tags") or {})
        box = unit.house.clock.token(BOX_LENGTH, BOX_CHARACTERS)
        QUEUES.put(unit, Queue(box, unit.now, unit.now, attributes, tags), *place)
    else:
        _check_same(known, attributes)
    return {"QueueUrl": _url(call, call.account_id, name)}


def _check_same(known: Queue, attributes: dict[str, str]) -> None:
    """A queue that is there must have the attributes asked for."""
    for name, value in attributes.items():
        default = str(RANGES[name][2]) if name in RANGES else ""
        if known.attributes.get(name, default) != value:
            message = f"A queue already exists with the same name and a different value for attribute {name}"
            raise AwsError("QueueAlreadyExists", message, 400)


@service.operation("GetQueueUrl")
async def get_queue_url(call: Call, unit: Unit) -> Shape:
    """Tell the URL of a queue."""
    place = _named(call)
    if QUEUES.get(unit, *place) is None:
        raise no_queue()
    return {"QueueUrl": _url(call, place.account_id, place.name)}


@service.operation("ListQueues")
async def list_queues(call: Call, unit: Unit) -> Shape:
    """List the queues of an account in a region."""
    prefix = call.input.get("QueueNamePrefix") or ""
    names = (parts[2] for parts, _ in QUEUES.all(unit, call.account_id, call.region) if parts[2].startswith(prefix))
    return _page(call, [_url(call, call.account_id, name) for name in names], "QueueUrls")


@service.operation("ListDeadLetterSourceQueues")
async def list_dead_letter_source_queues(call: Call, unit: Unit) -> Shape:
    """List the queues whose messages end in this one."""
    place, _ = find_queue(call, unit)
    sources = []
    for parts, queue in QUEUES.all(unit, place.account_id, place.region):
        redrive = redrive_of(queue)
        if redrive is not None and redrive.arn == place.arn:
            sources.append(_url(call, place.account_id, parts[2]))
    return _page(call, sources, "queueUrls")


def _page(call: Call, urls: list[str], member: str) -> Shape:
    """URLs behind NextToken; without MaxResults the first thousand and no token."""
    most = call.input.get("MaxResults")
    limit = PAGE_MAX if most is None else whole(most, "MaxResults", 1, PAGE_MAX)
    token = call.input.get("NextToken")
    if token:
        after = read_token(token, invalid("Invalid or expired next token."))
        urls = [url for url in urls if url.rpartition("/")[2] > after]
    shown: Shape = {member: urls[:limit]} if urls or member == "queueUrls" else {}
    if most is not None and len(urls) > limit:
        shown["NextToken"] = write_token(urls[limit - 1].rpartition("/")[2])
    return shown


@service.operation("DeleteQueue")
async def delete_queue(call: Call, unit: Unit) -> Shape:
    """Delete a queue and what lies in it."""
    place, queue = find_queue(call, unit)
    QUEUES.delete(unit, *place)
    abandon_box(unit, queue.box)
    return {}


@service.operation("PurgeQueue")
async def purge_queue(call: Call, unit: Unit) -> Shape:
    """Empty a queue, messages in flight included."""
    place, queue = find_queue(call, unit)
    box = unit.house.clock.token(BOX_LENGTH, BOX_CHARACTERS)
    QUEUES.put(unit, replace(queue, box=box), *place)
    abandon_box(unit, queue.box)
    return {}


@service.operation("SetQueueAttributes")
async def set_queue_attributes(call: Call, unit: Unit) -> Shape:
    """Change attributes; an empty policy takes it away."""
    place, queue = find_queue(call, unit)
    attributes = changed(unit, place, queue.attributes, call.input["Attributes"])
    QUEUES.put(unit, replace(queue, attributes=attributes, modified=unit.now), *place)
    return {}


@service.operation("GetQueueAttributes")
async def get_queue_attributes(call: Call, unit: Unit) -> Shape:
    """Show attributes and how many messages there are."""
    place, queue = find_queue(call, unit)
    wanted = set(call.input.get("AttributeNames") or ())
    unknown = wanted - NAMES - {"All"}
    if unknown:
        raise AwsError("InvalidAttributeName", f"Unknown Attribute {min(unknown)[:80]}.", 400)
    if not wanted:
        return {}
    shown = {name: str(RANGES[name][2]) for name in SHOWN_ALWAYS} | {"SqsManagedSseEnabled": "false"}
    shown |= queue.attributes | _computed(unit, place, queue)
    if "All" not in wanted:
        shown = {name: value for name, value in shown.items() if name in wanted}
    return {"Attributes": shown} if shown else {}


def _computed(unit: Unit, place: Place, queue: Queue) -> dict[str, str]:
    visible, in_flight, delayed = tally(unit, queue.box, int(unit.now * 1000))
    times = (int(queue.created), int(queue.modified))
    return dict(zip(COMPUTED, [*map(str, (visible, in_flight, delayed, *times)), place.arn], strict=True))


@service.operation("TagQueue")
async def tag_queue(call: Call, unit: Unit) -> Shape:
    """Add tags to a queue, or replace their values."""
    place, queue = find_queue(call, unit)
    QUEUES.put(unit, replace(queue, tags=_merged(queue.tags, call.input["Tags"])), *place)
    return {}


@service.operation("UntagQueue")
async def untag_queue(call: Call, unit: Unit) -> Shape:
    """Remove tags from a queue."""
    place, queue = find_queue(call, unit)
    gone = set(call.input["TagKeys"])
    QUEUES.put(unit, replace(queue, tags={key: tag for key, tag in queue.tags.items() if key not in gone}), *place)
    return {}


@service.operation("ListQueueTags")
async def list_queue_tags(call: Call, unit: Unit) -> Shape:
    """List the tags of a queue."""
    _, queue = find_queue(call, unit)
    return {"Tags": queue.tags} if queue.tags else {}


def _merged(before: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    after = before | given
    if len(after) > TAGS_MAX:
        raise invalid(f"Too many tags added for queue: at most {TAGS_MAX}.")
    if not all(1 <= len(key) <= 128 and len(value) <= 256 for key, value in given.items()):
        raise invalid("Tag keys must be 1 to 128 characters long, their values up to 256.")
    return after
