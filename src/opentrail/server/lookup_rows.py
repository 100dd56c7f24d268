"""One event as `opentrail lookup` shows it: the columns of its table and of its CSV file. Pure: a record in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from opentrail.record.history_head import head_of
from opentrail.record.history_words import category_of
from opentrail.record.lookup_event import attributes_of

CATEGORY_NAMES = {"M": "Management", "D": "Data", "I": "Insight", "X": "NetworkActivity"}
RESOURCES_SEPARATOR = " "


@dataclass(frozen=True, slots=True)
class EventRow:
    """What is shown of a record. What it does not say is empty."""

    time: str
    account: str
    region: str
    user: str
    event: str
    source: str
    ip: str
    bucket: str
    key: str
    resources: str
    error: str
    message: str
    read_only: str
    category: str
    event_id: str
    request_id: str
    access_key: str
    user_agent: str

    @property
    def target(self) -> str:
        """What was touched, in one cell: the object, the bucket, or the first resource."""
        if self.bucket:
            return f"{self.bucket}/{self.key}" if self.key else self.bucket
        return self.resources.partition(RESOURCES_SEPARATOR)[0]


CSV_COLUMNS: dict[str, Callable[[EventRow], str]] = {
    "time": lambda row: row.time,
    "account": lambda row: row.account,
    "region": lambda row: row.region,
    "user": lambda row: row.user,
    "event": lambda row: row.event,
    "source": lambda row: row.source,
    "ip": lambda row: row.ip,
    "bucket": lambda row: row.bucket,
    "key": lambda row: row.key,
    "resources": lambda row: row.resources,
    "error": lambda row: row.error,
    "error_message": lambda row: row.message,
    "read_only": lambda row: row.read_only,
    "category": lambda row: row.category,
    "event_id": lambda row: row.event_id,
    "request_id": lambda row: row.request_id,
    "access_key": lambda row: row.access_key,
    "user_agent": lambda row: row.user_agent,
}
"""The columns of the CSV file, in order; times are UTC."""


def row_of(data: bytes) -> EventRow:
    """The columns of a record as the history keeps it."""
    record: Mapping[str, Any] = msgspec.json.decode(data)
    head = head_of(record)
    attributes = attributes_of(head)
    identity, parameters = _mapping(record.get("userIdentity")), _mapping(record.get("requestParameters"))
    return EventRow(
        time=attributes.event_time,
        account=_text(record.get("recipientAccountId")) or _text(identity.get("accountId")),
        region=_text(record.get("awsRegion")),
        user=attributes.username or _text(identity.get("type")),
        event=attributes.event_name,
        source=attributes.event_source,
        ip=_text(record.get("sourceIPAddress")),
        bucket=_text(parameters.get("bucketName")),
        key=_text(parameters.get("key")),
        resources=RESOURCES_SEPARATOR.join(name for _, name in attributes.resources),
        error=_text(record.get("errorCode")),
        message=_text(record.get("errorMessage")),
        read_only=attributes.read_only,
        category=CATEGORY_NAMES[category_of(head)],
        event_id=attributes.event_id,
        request_id=_text(record.get("requestID")),
        access_key=attributes.access_key_id,
        user_agent=_text(record.get("userAgent")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
