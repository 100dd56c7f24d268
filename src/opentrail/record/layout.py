"""The members of a record in the order of real log files. A struct is made and encoded several times faster than a dict.

What a record does not have is UNSET. Knows no calls and no limits.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

_IRREGULAR = {"source_ip_address": "sourceIPAddress", "request_id": "requestID", "event_id": "eventID"}
_IRREGULAR["shared_event_id"] = "sharedEventID"


def _spelled(name: str) -> str:
    """`event_time` is `eventTime`."""
    first, *others = name.split("_")
    return _IRREGULAR.get(name) or first + "".join(word.capitalize() for word in others)


class Record(msgspec.Struct, frozen=True, gc=False, rename=_spelled):
    """One copy of a record (CloudTrail user guide, record contents; the order of real records)."""

    event_version: str
    user_identity: msgspec.Raw | dict[str, Any]
    event_time: str
    event_source: str
    event_name: str
    aws_region: str
    source_ip_address: str
    user_agent: str | UnsetType
    error_code: str | UnsetType
    error_message: str | UnsetType
    request_parameters: dict[str, Any] | None
    response_elements: dict[str, Any] | None
    additional_event_data: S3Additional | dict[str, Any] | UnsetType
    request_id: str
    event_id: str
    read_only: bool
    resources: list[dict[str, str]] | UnsetType
    event_type: str
    api_version: str | UnsetType
    management_event: bool
    recipient_account_id: str
    shared_event_id: str | UnsetType
    vpc_endpoint_id: str | UnsetType
    vpc_endpoint_account_id: str | UnsetType
    event_category: str
    tls_details: dict[str, str] | UnsetType


class NetworkRecord(msgspec.Struct, frozen=True, gc=False, rename=_spelled):
    """A network activity event: what the owner of a VPC endpoint sees of a call that came through it (CloudTrail user
    guide, "Logging network activity events": its examples have neither parameters nor user agent)."""

    event_version: str
    user_identity: msgspec.Raw | dict[str, Any]
    event_time: str
    event_source: str
    event_name: str
    aws_region: str
    source_ip_address: str
    error_code: str | UnsetType
    error_message: str | UnsetType
    request_id: str
    event_id: str
    event_type: str
    recipient_account_id: str
    shared_event_id: str
    vpc_endpoint_id: str
    vpc_endpoint_account_id: str
    event_category: str


_S3_NAMES = {
    "signature_version": "SignatureVersion",
    "cipher_suite": "CipherSuite",
    "object_size": "objectSize",
    "bytes_in": "bytesTransferredIn",
    "authentication_method": "AuthenticationMethod",
    "host_id": "x-amz-id-2",
    "bytes_out": "bytesTransferredOut",
}


class S3Additional(msgspec.Struct, frozen=True, gc=False, rename=_S3_NAMES):
    """additionalEventData of S3's records, but for what a handler adds."""

    signature_version: str | UnsetType
    cipher_suite: str | UnsetType
    object_size: int | UnsetType
    bytes_in: int
    authentication_method: str | UnsetType
    host_id: str
    bytes_out: int


def members(struct: msgspec.Struct) -> dict[str, Any]:
    """The members that are set, under the names they are written with, nested ones of this module's as dicts too."""
    shown: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if value is not UNSET:
            shown[field.encode_name] = members(value) if isinstance(value, msgspec.Struct) else value
    return shown
