"""A line of the ledger → the EventBridge event it is, and what a target is sent of it.

Pure but for the decoding of lines. Source: cloudtrail reference §11, events-codepipeline reference §2.3 and §2.5.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from opentrail.match.transform import Context, Transformer, render, select
from opentrail.rows.bus_event import read_bus_event, read_event_head
from opentrail.rows.events import DEFAULT_BUS

EVENT_BYTES_MAX: Final = 262_144
"""Larger events are not delivered."""
DETAIL_TYPES: Final = {
    "AwsApiCall": "AWS API Call via CloudTrail",
    "AwsServiceEvent": "AWS Service Event via CloudTrail",
    "AwsConsoleSignIn": "AWS Console Sign In via CloudTrail",
    "AwsConsoleAction": "AWS Console Action via CloudTrail",
    "AwsCloudTrailInsight": "AWS Insight via CloudTrail",
}
DELIVERED_READS: Final = frozenset({"GetFederationToken", "GetSessionToken"})
"""Read-only calls of STS that ordinary rules get all the same."""
_NAMESPACE: Final = uuid.UUID("6d6f0c5e-33a4-4e0b-9a52-0e7f6b4c8a11")
"""Ids of events made of records are derived from the record's, so that a line read again makes the same event."""


class RecordSummary(msgspec.Struct, frozen=True, rename="camel"):
    """The few members of a record by which most lines are passed over."""

    event_source: str = ""
    event_name: str = ""
    event_type: str = ""
    aws_region: str = ""
    recipient_account_id: str = ""
    event_time: str = ""
    event_id: str = msgspec.field(default="", name="eventID")
    read_only: bool | None = None
    management_event: bool | None = None

    @property
    def source(self) -> str:
        return "aws." + self.event_source.removesuffix(".amazonaws.com")

    @property
    def detail_type(self) -> str:
        return DETAIL_TYPES.get(self.event_type, DETAIL_TYPES["AwsApiCall"])

    @property
    def is_quiet_read(self) -> bool:
        """A read-only management event, which only rules that ask for all of them get."""
        if not (self.read_only and self.management_event):
            return False
        return not (self.event_source == "sts.amazonaws.com" and self.event_name in DELIVERED_READS)


summarise = msgspec.json.Decoder(RecordSummary).decode


@dataclass(frozen=True, slots=True)
class Event:
    """An event and the bus it is on. `data` is the envelope's JSON."""

    account_id: str
    region: str
    bus: str
    id: str
    data: bytes
    quiet_read: bool = False
    forwarded: bool = False


def event_of_record(record: RecordSummary, data: bytes) -> Event:
    """The event that CloudTrail makes of a record, on the default bus of its recipient."""
    account_id, region = record.recipient_account_id, record.aws_region
    event_id = str(uuid.uuid5(_NAMESPACE, f"{record.event_id} {account_id}"))
    head = msgspec.json.encode(
        {
            "version": "0",
            "id": event_id,
            "detail-type": record.detail_type,
            "source": record.source,
            "account": account_id,
            "time": record.event_time,
            "region": region,
            "resources": [],
        }
    )
    envelope = b"".join((head[:-1], b',"detail":', data, b"}"))
    return Event(account_id, region, DEFAULT_BUS, event_id, envelope, record.is_quiet_read)


def event_of_line(data: bytes) -> tuple[Event, str, str]:
    """The event of an `event` line, with its source and detail-type."""
    line = read_bus_event(data)
    envelope = bytes(line.event)
    head = read_event_head(envelope)
    event = Event(
        line.account or head.account,
        line.region or head.region,
        line.bus,
        head.id,
        envelope,
        forwarded=line.forwarded,
    )
    return event, head.source, head.detail_type


def payload_of(target: dict[str, Any], event: bytes, context: Context) -> bytes | None:
    """What a target (AWS's shape) is sent; None where AWS drops the delivery because the template fills in to no JSON."""
    if target.get("Input") is not None:
        return str(target["Input"]).encode()
    if target.get("InputPath") is not None:
        return select(json.loads(event), target["InputPath"])
    transformer = target.get("InputTransformer")
    if transformer is None:
        return event
    made = Transformer(transformer["InputTemplate"], transformer.get("InputPathsMap") or {})
    return render(json.loads(event), made, context)
