"""What AWS's models say, as plain data: services, operations, shapes. Built by `model.load`, read by everybody.

These classes know nothing of botocore, protocols' code or our services. They are built once and never changed; shapes
may be recursive, which is why they are not frozen dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Protocol = Literal["rest-xml", "rest-json", "json", "query", "ec2", "smithy-rpc-v2-cbor"]
ShapeType = Literal[
    "structure", "list", "map", "string", "integer", "long", "float", "double", "boolean", "blob", "timestamp"
]
Location = Literal["", "header", "headers", "querystring", "uri", "statusCode"]
Category = Literal["Management", "Data"]
Level = Literal["service", "bucket", "object"]


@dataclass(slots=True, eq=False)
class Member:
    """A member of a structure, the item of a list, or the key or value of a map."""

    name: str
    shape: ShapeModel
    wire_name: str
    """The name on the wire: `locationName`, else the member's own name."""
    location: Location = ""
    required: bool = False
    flattened: bool = False
    xml_attribute: bool = False
    xml_namespace: tuple[str, str] | None = None
    """(prefix, uri)."""
    timestamp_format: str = ""
    """`iso8601`, `rfc822`, `unixTimestamp`, or empty for the protocol's own."""
    query_name: str = ""
    """EC2: the name in a form when it differs (`queryName`)."""
    jsonvalue: bool = False
    streaming: bool = False
    host_label: bool = False
    idempotency_token: bool = False


@dataclass(slots=True, eq=False, repr=False)
class ShapeModel:
    """A shape. Only the fields that its type uses are set."""

    name: str
    type: ShapeType
    members: dict[str, Member] = field(default_factory=dict)
    payload: str = ""
    """Name of the member that is the HTTP body (rest protocols)."""
    item: Member | None = None
    key: Member | None = None
    value: Member | None = None
    enum: frozenset[str] = frozenset()
    min: float | None = None
    max: float | None = None
    pattern: str = ""
    flattened: bool = False
    timestamp_format: str = ""
    wire_name: str = ""
    """`locationName` of the shape itself (an XML root's name)."""
    xml_namespace: tuple[str, str] | None = None
    union: bool = False
    document: bool = False
    streaming: bool = False
    eventstream: bool = False
    sensitive: bool = False
    error_code: str = ""
    """Errors: the code on the wire (`error.code`, else the shape's name)."""
    error_status: int = 0
    error_sender: bool = False
    query_compatible_code: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the models do not say about an operation. Source: `model/overlays`, each with its own."""

    event_source: str
    """`s3.amazonaws.com`."""
    event_name: str
    documented_name: str
    """The spelling of the S3 guide's lists where it differs from real records; else `event_name`."""
    category: Category
    read_only: bool
    actions: tuple[str, ...]
    """IAM actions the caller needs (`s3:PutObject`), the first being the one named in a refusal."""
    resource: str
    """Template of the IAM resource ARN (`arn:{partition}:events:{region}:{account}:rule/{Name}`), or `*`."""
    level: Level = "service"
    """S3 only: what the operation addresses."""
    global_service: bool = False
    """Recorded in us-east-1 whatever the endpoint (IAM, global STS)."""
    secrets: frozenset[str] = frozenset()
    """Dotted paths of members that never appear in a record (`AccessKey.SecretAccessKey`)."""
    recorded: bool = True


@dataclass(slots=True, eq=False, repr=False)
class Operation:
    """An operation of a service's API."""

    service: ServiceModel
    name: str
    method: str
    uri: str
    """Request URI template of the rest protocols: `/{Bucket}/{Key+}?tagging`."""
    status: int
    input: ShapeModel | None
    output: ShapeModel | None
    errors: tuple[ShapeModel, ...]
    facts: Facts
    result_wrapper: str = ""
    input_wire_name: str = ""
    """XML root of the input when the model names one at the operation."""
    input_xml_namespace: tuple[str, str] | None = None
    deprecated: bool = False


@dataclass(slots=True, eq=False, repr=False)
class ServiceModel:
    """A service of AWS's: how it is addressed and what it offers."""

    name: str
    """botocore's name: `s3`, `cloudtrail`, `events`."""
    service_id: str
    api_version: str
    protocol: Protocol
    """The one we answer unknown clients in."""
    protocols: tuple[Protocol, ...]
    json_version: str
    target_prefix: str
    signing_name: str
    endpoint_prefix: str
    xml_namespace: str
    operations: dict[str, Operation] = field(default_factory=dict)
    error_codes: dict[str, ShapeModel] = field(default_factory=dict)
    """Modelled errors of the whole service by wire code and by shape name."""
