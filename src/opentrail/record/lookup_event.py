"""A record as LookupEvents shows and finds it: its attributes, which are an index of their own beside the record.

Pure: a record in, attributes out. Source: API reference, LookupEvents; events that AWS answered it with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

RESOURCES_MAX = 50
"""Resources listed of one event."""
VALUE_MAX = 2_000
"""Characters of an attribute's value; longer ones cannot be asked for."""

Record = Mapping[str, Any]

_S3_WITHOUT_RESOURCES = ("Accelerate", "Inventory", "Analytics")
"""S3's configurations whose calls list no bucket."""
_PARAMETERS: dict[str, tuple[tuple[str, str], ...]] = {
    "s3.amazonaws.com": (("bucketName", "AWS::S3::Bucket"),),
    "iam.amazonaws.com": (
        ("userName", "AWS::IAM::User"),
        ("roleName", "AWS::IAM::Role"),
        ("groupName", "AWS::IAM::Group"),
        ("policyArn", "AWS::IAM::Policy"),
        ("accessKeyId", "AWS::IAM::AccessKey"),
        ("instanceProfileName", "AWS::IAM::InstanceProfile"),
    ),
    "sts.amazonaws.com": (("roleArn", "AWS::IAM::Role"),),
    "cloudtrail.amazonaws.com": (
        ("name", "AWS::CloudTrail::Trail"),
        ("trailName", "AWS::CloudTrail::Trail"),
        ("s3BucketName", "AWS::S3::Bucket"),
    ),
    "codepipeline.amazonaws.com": (("name", "AWS::CodePipeline::Pipeline"),),
    "events.amazonaws.com": (("name", "AWS::Events::Rule"), ("rule", "AWS::Events::Rule")),
    "sns.amazonaws.com": (("topicArn", "AWS::SNS::Topic"),),
    "sqs.amazonaws.com": (("queueUrl", "AWS::SQS::Queue"),),
}
"""Request parameters that name a resource, by event source."""
_RESPONSES: dict[str, tuple[tuple[str, str], ...]] = {
    "cloudtrail.amazonaws.com": (("trailARN", "AWS::CloudTrail::Trail"),),
    "events.amazonaws.com": (("ruleArn", "AWS::Events::Rule"),),
    "sns.amazonaws.com": (("topicArn", "AWS::SNS::Topic"),),
}
"""Response elements that name a resource: trails and rules are listed by name and by ARN."""


class EventAttributes(msgspec.Struct, frozen=True):
    """What an event is found by. Empty text stands for what the record does not say."""

    event_id: str
    event_name: str
    event_source: str
    event_time: str
    read_only: str
    username: str
    access_key_id: str
    resources: tuple[tuple[str, str], ...]
    """(ResourceType, ResourceName), in order, each pair once."""

    def values(self) -> Iterator[tuple[str, str]]:
        """(AttributeKey, AttributeValue) of everything but the event id."""
        yield "EventName", self.event_name
        yield "EventSource", self.event_source
        yield "ReadOnly", self.read_only
        if self.username:
            yield "Username", self.username
        if self.access_key_id:
            yield "AccessKeyId", self.access_key_id
        for type_ in dict.fromkeys(type_ for type_, _ in self.resources):
            yield "ResourceType", type_
        for name in dict.fromkeys(name for _, name in self.resources):
            yield "ResourceName", name


def attributes_of(record: Record) -> EventAttributes:
    """The attributes of a record of any service."""
    identity = _mapping(record.get("userIdentity"))
    named = _mapping(record.get("insightDetails")) if "insightDetails" in record else record
    return EventAttributes(
        event_id=_text(record.get("eventID")),
        event_name=_text(named.get("eventName")),
        event_source=_text(named.get("eventSource")),
        event_time=_text(record.get("eventTime")),
        read_only="true" if record.get("readOnly") else "false",
        username=username_of(identity),
        access_key_id=_text(identity.get("accessKeyId")),
        resources=tuple(dict.fromkeys(_resources(record)))[:RESOURCES_MAX],
    )


def username_of(identity: Mapping[str, Any]) -> str:
    """IAM user name, role session name, `root`, or the name of the service."""
    kind = identity.get("type")
    if kind == "Root":
        return "root"
    if kind == "AWSService":
        return _text(identity.get("invokedBy"))
    if kind in ("AssumedRole", "FederatedUser"):
        session = _text(identity.get("principalId")).partition(":")[2]
        return session or _text(identity.get("arn")).rpartition("/")[2]
    return _text(identity.get("userName") or identity.get("invokedBy"))


def resource_name(arn: str) -> str:
    """S3 resources go by bucket and key, all others by ARN."""
    return arn.removeprefix("arn:aws:s3:::")


def _resources(record: Record) -> Iterator[tuple[str, str]]:
    name = _text(record.get("eventName"))
    source = _text(record.get("eventSource"))
    if (
        source == "s3.amazonaws.com"
        and name.endswith("Configuration")
        and any(map(name.__contains__, _S3_WITHOUT_RESOURCES))
    ):
        return
    listed = record.get("resources")
    for entry in listed if isinstance(listed, list) else ():
        entry = _mapping(entry)
        arn = _text(entry.get("ARN") or entry.get("ARNPrefix"))
        if arn and entry.get("type"):
            yield _text(entry["type"]), resource_name(arn)
    if source in _PARAMETERS:
        yield from _named(_PARAMETERS[source], _mapping(record.get("requestParameters")))
    if source in _RESPONSES:
        yield from _named(_RESPONSES[source], _mapping(record.get("responseElements")))


def _named(members: tuple[tuple[str, str], ...], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for member, type_ in members:
        value = values.get(member)
        if isinstance(value, str) and value:
            yield type_, value[:VALUE_MAX]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value[:VALUE_MAX] if isinstance(value, str) else ""
