"""A line of the ledger → the EventBridge event it is, and what a target is sent of it.

Pure but for the decoding of lines. Source: EventBridge user guide, "AWS service events delivered via AWS
CloudTrail" and "Amazon EventBridge input transformation"; events recorded on AWS.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from opentrail.match.transform import Context, Transformer, render, select
from opentrail.rows.bus_event import read_bus_event, read_event_head
from opentrail.rows.event_delivery import Delivery
from opentrail.rows.events import DEFAULT_BUS, Rule

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
        if self.event_type == "AwsCloudTrailInsight":
            return "aws.cloudtrail"  # such records name no source of their own
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


def delivery_of(event: Event, rule: Rule, target_id: str, target: dict[str, Any], now: float) -> Delivery | None:
    """The delivery of an event to a target of a rule; None where AWS drops it (see `payload_of`)."""
    payload = payload_of(target, event.data, Context(rule.arn, rule.name, iso8601(now)))
    if payload is None:
        return None
    return Delivery(
        account_id=rule.account_id,
        region=rule.region,
        bus=rule.bus,
        rule=rule.name,
        target_id=target_id,
        target=target,
        role_arn=target.get("RoleArn") or rule.role_arn,
        payload=payload,
        matched=now,
        event_id=event.id,
        forwarded=event.forwarded,
    )


def scheduled_event(rule: Rule, due: float) -> Event:
    """What a rule with a schedule sends when it is due."""
    event_id = str(uuid.uuid5(_NAMESPACE, f"{rule.arn} {due:.0f}"))
    envelope = {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": rule.account_id,
        "time": iso8601(due),
        "region": rule.region,
        "resources": [rule.arn],
        "detail": {},
    }
    return Event(rule.account_id, rule.region, rule.bus, event_id, msgspec.json.encode(envelope))


def iso8601(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
