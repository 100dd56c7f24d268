"""A record as LookupEvents shows and finds it: its attributes, which are an index of their own beside the record.

Pure: a record in, attributes out. Source: API reference, LookupEvents; events that AWS answered it with.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from opentrail.record.history_head import Caller, Elements, HistoryHead, Parameters, text

RESOURCES_MAX = 50
"""Resources listed of one event."""

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

_NAMES = {
    "EventId": "event_id",
    "EventName": "event_name",
    "EventSource": "event_source",
    "ReadOnly": "read_only",
    "Username": "username",
    "AccessKeyId": "access_key_id",
}


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

    def has(self, key: str, value: str) -> bool:
        """Is this the event's attribute, or one of its?"""
        if key == "ResourceName":
            return any(name == value for _, name in self.resources)
        if key == "ResourceType":
            return any(type_ == value for type_, _ in self.resources)
        told: str = getattr(self, _NAMES[key])
        return told == value

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


def attributes_of(head: HistoryHead) -> EventAttributes:
    """The attributes of a record of any service."""
    caller, named = head.userIdentity, head.insightDetails or head
    return EventAttributes(
        head.eventID,
        named.eventName,
        named.eventSource,
        head.eventTime,
        "true" if head.readOnly else "false",
        username_of(caller),
        caller.accessKeyId,
        _resources(head),
    )


def username_of(caller: Caller) -> str:
    """IAM user name, role session name, `root`, or the name of the service."""
    kind = caller.type
    if kind == "Root":
        return "root"
    if kind == "AWSService":
        return caller.invokedBy
    if kind in ("AssumedRole", "FederatedUser"):
        session = caller.principalId.partition(":")[2]
        return session or caller.arn.rpartition("/")[2]
    return caller.userName or caller.invokedBy


def resource_name(arn: str) -> str:
    """S3 resources go by bucket and key, all others by ARN."""
    return arn.removeprefix("arn:aws:s3:::")


def _resources(head: HistoryHead) -> tuple[tuple[str, str], ...]:
    name, source = head.eventName, head.eventSource
    if (
        source == "s3.amazonaws.com"
        and name.endswith("Configuration")
        and any(map(name.__contains__, _S3_WITHOUT_RESOURCES))
    ):
        return ()
    found = []
    for each in head.resources or ():
        if each.type and (arn := each.ARN or each.ARNPrefix):
            found.append((each.type, resource_name(arn)))
    if head.requestParameters is not None and (members := _PARAMETERS.get(source)):
        found += _named(members, head.requestParameters)
    if head.responseElements is not None and (members := _RESPONSES.get(source)):
        found += _named(members, head.responseElements)
    return tuple(dict.fromkeys(found))[:RESOURCES_MAX] if found else ()


def _named(members: tuple[tuple[str, str], ...], values: Parameters | Elements) -> list[tuple[str, str]]:
    return [(type_, name) for member, type_ in members if (name := text(getattr(values, member)))]
