"""Queues and their messages as rows. Times are epoch milliseconds where a name says so, else epoch seconds.

Messages lie in a box in the order in which they were sent; a second table has them in the order in which they may be
received next. A purge gives the queue another box, and whoever sweeps empties the old one. Knows no operation.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from opentrail.model.facts import partition
from opentrail.ports import Key
from opentrail.rows.bell import Bell
from opentrail.rows.key_time import MS_DIGITS
from opentrail.rows.messages import Attributes
from opentrail.state import Row, Table, Unit

COUNTED_MAX = 20_000
"""Messages in flight or delayed that are counted one by one; a queue that has more tells this number."""
GONE = "gone"
"""The bell that rings when a box has lost its queue."""


class Queue(Row, frozen=True):
    """A standard queue. Keyed by account, region and name."""

    box: str
    created: float
    modified: float
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    """Those that were set, by AWS's names."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def policy(self) -> str:
        return self.attributes.get("Policy", "")


class Message(Row, frozen=True):
    """A message. Keyed by box and place; places ascend with the time of sending."""

    message_id: str
    body: str
    sender: str
    sent_ms: int
    due_ms: int
    """When it can be received (again)."""
    attributes: Attributes = msgspec.field(default_factory=dict)
    trace: str = ""
    """AWSTraceHeader."""
    received: int = 0
    first_received_ms: int = 0
    receipt: str = ""
    """What its last receipt handle proves itself with."""
    source_arn: str = ""
    """The queue it came from, in a dead-letter queue."""


class Due(Row, frozen=True):
    """A message's place in the order of receiving. Keyed by box, due time and place."""

    received: bool = False


class Count(Row, frozen=True):
    """How many messages lie in a box. Keyed by box."""

    messages: int = 0


class GoneBox(Row, frozen=True):
    """A box without a queue, to be emptied. Keyed by box."""

    since: float


QUEUES: Table[Queue] = Table("sqs.queue", Queue)
MESSAGES: Table[Message] = Table("sqs.message", Message)
DUES: Table[Due] = Table("sqs.due", Due)
COUNTS: Table[Count] = Table("sqs.count", Count)
GONE_BOXES: Table[GoneBox] = Table("sqs.gone", GoneBox)
BELL = Bell()
"""Rings with the name of a box when a message is put into it, and with GONE."""


def queue_arn(account_id: str, region: str, name: str) -> str:
    return f"arn:{partition(region)}:sqs:{region}:{account_id}:{name}"


def queue_url(base: str, account_id: str, name: str) -> str:
    return f"{base}/{account_id}/{name}"


def internal_url(arn: str) -> str:
    """The URL under which OpenTrail's own calls name the queue of an ARN; raises ValueError if it is none."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[2] != "sqs" or not all(parts[3:]):
        raise ValueError(arn)
    return queue_url(f"https://sqs.{parts[3]}.amazonaws.com", parts[4], parts[5])


def place_of(sent_ms: int, token: str) -> str:
    return f"{sent_ms:0{MS_DIGITS}d}{token}"


def _due_part(due_ms: int) -> str:
    return f"{due_ms:0{MS_DIGITS}d}"


def put_message(unit: Unit, box: str, place: str, message: Message) -> None:
    """Put a new message into a box."""
    MESSAGES.put(unit, message, box, place)
    DUES.put(unit, Due(message.received > 0), box, _due_part(message.due_ms), place)
    _count(unit, box, 1)
    BELL.ring(box)


def drop_message(unit: Unit, box: str, place: str, message: Message) -> None:
    MESSAGES.delete(unit, box, place)
    DUES.delete(unit, box, _due_part(message.due_ms), place)
    _count(unit, box, -1)


def change_message(unit: Unit, box: str, place: str, old: Message, new: Message) -> None:
    """Keep a message in other words, or due at another time."""
    MESSAGES.put(unit, new, box, place)
    DUES.delete(unit, box, _due_part(old.due_ms), place)
    DUES.put(unit, Due(new.received > 0), box, _due_part(new.due_ms), place)
    if new.due_ms < old.due_ms:
        BELL.ring(box)


def _count(unit: Unit, box: str, more: int) -> None:
    known = COUNTS.get(unit, box)
    COUNTS.put(unit, Count((known.messages if known is not None else 0) + more), box)


def dues_from(unit: Unit, box: str, due_ms: int, limit: int) -> list[tuple[Key, int, str]]:
    """(key, due, place) of up to `limit` messages due at `due_ms` or later, in that order."""
    after = DUES.key(box, _due_part(due_ms)) if due_ms else b""
    return [_due_row(key) for key, _ in unit.scan(DUES.key(box, ""), after, limit)]


def dues_after(unit: Unit, box: str, after: Key, limit: int) -> list[tuple[Key, int, str]]:
    """As `dues_from`, behind a key; an empty one starts at the first."""
    return [_due_row(key) for key, _ in unit.scan(DUES.key(box, ""), after, limit)]


def _due_row(key: Key) -> tuple[Key, int, str]:
    _, due, place = DUES.parts(key)
    return key, int(due), place


def oldest(unit: Unit, box: str, limit: int) -> list[tuple[str, int]]:
    """(place, sent) of the oldest messages, without reading them."""
    places = [MESSAGES.parts(key)[1] for key, _ in unit.scan(MESSAGES.key(box, ""), b"", limit)]
    return [(place, int(place[:MS_DIGITS])) for place in places]


def tally(unit: Unit, box: str, now_ms: int) -> tuple[int, int, int]:
    """How many messages of a box are visible, in flight and delayed."""
    total = COUNTS.get(unit, box) or Count()
    rows = unit.scan(DUES.key(box, ""), DUES.key(box, _due_part(now_ms + 1)), COUNTED_MAX)
    in_flight = sum(1 for _, found in rows if DUES.decode(found.value).received)
    return max(0, total.messages - len(rows)), in_flight, len(rows) - in_flight


def abandon_box(unit: Unit, box: str) -> None:
    GONE_BOXES.put(unit, GoneBox(unit.now), box)
    BELL.ring(GONE)


def boxed_keys(unit: Unit, box: str, limit: int) -> Iterator[Key]:
    """Keys of up to `limit` rows of each kind that lie in a box."""
    for prefix in (DUES.key(box, ""), MESSAGES.key(box, "")):
        for key, _ in unit.scan(prefix, b"", limit):
            yield key
