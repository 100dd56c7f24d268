"""Notices of what happened to objects: written in the commit of the effect, deleted in the commit of their delivery.

So a notice is neither lost nor made twice. A bucket without a notification configuration costs nothing here: nobody asks.
Knows no operation; what is told is `s3_event`'s. Source: S3 user guide, "Amazon S3 Event Notifications".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from opentrail.call import Principal, Shape
from opentrail.ports import Key
from opentrail.rows.bell import Bell
from opentrail.rows.bus_event import bus_event
from opentrail.rows.key_time import time_of, time_part
from opentrail.rows.s3 import CONFIGS, Bucket
from opentrail.rows.s3_event import ObjectEvent, Source, bridge_event, bucket_arn, message
from opentrail.rows.sqs import internal_url
from opentrail.state import Row, Table, Unit

KIND = "notification"
"""The kind of the bucket's document."""
MEMBERS = {
    "TopicConfigurations": "TopicArn",
    "QueueConfigurations": "QueueArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
"""Kinds of destinations, and the member that names one."""
DOCUMENTS_CACHED = 256
ID_ALPHABET, ID_LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 12
NOTICE_BELL = "notice"
SERVICE_PRINCIPAL = "s3.amazonaws.com"
SUBJECT = "Amazon S3 Notification"


class Notice(Row, frozen=True):
    """A message on its way. Keyed by due time in milliseconds and a random id. Times are epoch seconds."""

    destination: str
    """ARN of a queue or a topic."""
    body: str
    bucket: str
    """Name of the bucket it is about."""
    bucket_arn: str
    owner: str
    """Account of the bucket."""
    first: float
    """When it was first to be delivered."""
    attempts: int = 0


NOTICES: Table[Notice] = Table("s3.notice", Notice)
BELL = Bell()
"""Rings NOTICE_BELL."""


class Destination(NamedTuple):
    """Who wants to hear of which events, of keys that begin and end in a certain way."""

    arn: str
    id: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    def wants(self, event: ObjectEvent) -> bool:
        if not (event.key.startswith(self.prefix) and event.key.endswith(self.suffix)):
            return False
        return event.name in self.events or f"{event.name.partition(':')[0]}:*" in self.events


class Plan(NamedTuple):
    """A bucket's notification configuration, ready to be asked."""

    destinations: tuple[Destination, ...]
    event_bridge: bool


@lru_cache(maxsize=DOCUMENTS_CACHED)
def read_plan(text: str) -> Plan:
    """The plan of a stored document."""
    given = msgspec.json.decode(text)
    found = [_destination(each, member) for kind, member in MEMBERS.items() for each in given.get(kind) or ()]
    return Plan(tuple(found), given.get("EventBridgeConfiguration") is not None)


def _destination(given: Mapping[str, Any], member: str) -> Destination:
    prefix, suffix = affixes(given)
    events = tuple(event.removeprefix("s3:") for event in given["Events"])
    return Destination(given[member], given.get("Id") or "", events, prefix, suffix)


def affixes(given: Mapping[str, Any]) -> tuple[str, str]:
    """(prefix, suffix) that a configuration's filter asks of keys."""
    rules = ((given.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    found = {str(rule.get("Name", "")).lower(): rule.get("Value") or "" for rule in rules}
    return found.get("prefix", ""), found.get("suffix", "")


def notify(unit: Unit, bucket: Bucket, event: ObjectEvent, source: Source) -> None:
    """Tell everybody who wants to hear of it, once this unit is durable. Only for a bucket that has a configuration."""
    found = CONFIGS.get(unit, bucket.name, KIND)
    if found is None:
        return
    plan = read_plan(found.document)
    for destination in plan.destinations:
        if destination.wants(event):
            body = message(bucket, event, source, destination.id, unit.now)
            put_notice(
                unit, Notice(destination.arn, body, bucket.name, bucket_arn(bucket), bucket.owner, unit.now), unit.now
            )
    if plan.event_bridge:
        unit.emit(bus_event(bridge_event(bucket, event, source, unit.house.clock.uuid(), unit.now)))


class Sending(NamedTuple):
    """The call that brings a text to a queue or a topic."""

    service: str
    operation: str
    given: Shape
    region: str


def sending(arn: str, text: str) -> Sending | None:
    """The call for the destination of that ARN; None if it is neither a queue nor a topic."""
    service, region = arn.split(":")[2:4]
    if service == "sqs":
        return Sending(service, "SendMessage", {"QueueUrl": internal_url(arn), "MessageBody": text}, region)
    if service == "sns":
        return Sending(service, "Publish", {"TopicArn": arn, "Message": text, "Subject": SUBJECT}, region)
    return None


def as_s3(bucket: str, owner: str) -> Principal:
    """S3 itself, on behalf of a bucket (ARN) of an account."""
    return Principal(
        type="AWSService", account_id=owner, invoked_by=SERVICE_PRINCIPAL, source_arn=bucket, source_account=owner
    )


def put_notice(unit: Unit, notice: Notice, due: float) -> None:
    """Let a notice be delivered from `due` on."""
    id_ = unit.house.clock.token(ID_LENGTH, ID_ALPHABET)
    NOTICES.put(unit, notice, time_part(due), id_)
    BELL.ring(NOTICE_BELL)


def due_of(key: Key) -> float:
    return time_of(NOTICES.parts(key)[0])
