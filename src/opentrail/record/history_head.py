"""As much of a record as the history finds and shows it by, read without making objects of the rest.

Records come from here and from elsewhere, of every version and by the million. Nothing is refused (`record_head` refuses
lines that are not ours): what a member says counts only if it is of the type that CloudTrail gives it, text as far as
somebody may ask for it. Pure: bytes in, a HistoryHead out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec

TEXT_MAX = 2_000
"""Characters of a member that count; no attribute that is longer can be asked for."""

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]


class Caller(msgspec.Struct, frozen=True, gc=False):
    """`userIdentity`."""

    type: Text = ""
    principalId: Text = ""
    arn: Text = ""
    accountId: Text = ""
    accessKeyId: Text = ""
    userName: Text = ""
    invokedBy: Text = ""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """One of `resources`."""

    type: Text = ""
    ARN: Text = ""
    ARNPrefix: Text = ""


class Parameters(msgspec.Struct, frozen=True):
    """Those of `requestParameters` that name a resource in some service. They may be of any type."""

    bucketName: Any = None
    key: Any = msgspec.UNSET
    userName: Any = None
    roleName: Any = None
    groupName: Any = None
    policyArn: Any = None
    accessKeyId: Any = None
    instanceProfileName: Any = None
    roleArn: Any = None
    name: Any = None
    trailName: Any = None
    s3BucketName: Any = None
    rule: Any = None
    topicArn: Any = None
    queueUrl: Any = None


class Elements(msgspec.Struct, frozen=True):
    """Those of `responseElements`."""

    trailARN: Any = None
    ruleArn: Any = None
    topicArn: Any = None


class Insight(msgspec.Struct, frozen=True, gc=False):
    """`insightDetails`, which tells what the insight is about."""

    eventName: Text = ""
    eventSource: Text = ""


class HistoryHead(msgspec.Struct, frozen=True):
    """A record. Empty text stands for what it does not say."""

    eventTime: Text = ""
    logstash_time: Text = msgspec.field(default="", name="@timestamp")
    """Where records that went through Logstash tell their eventTime."""
    eventSource: Text = ""
    eventName: Text = ""
    awsRegion: Text = ""
    sourceIPAddress: Text = ""
    errorCode: Text = ""
    errorMessage: Any = None
    requestID: Text = ""
    eventID: Text = ""
    readOnly: Any = None
    eventType: Text = ""
    managementEvent: Any = None
    recipientAccountId: Text = ""
    eventCategory: Text = ""
    userIdentity: Caller = Caller()
    requestParameters: Parameters | None = None
    responseElements: Elements | None = None
    resources: list[Resource] | None = None
    insightDetails: Insight | None = None


Part = TypeVar("Part", bound=msgspec.Struct)

_decode = msgspec.json.Decoder(HistoryHead).decode


def read_head(record: bytes) -> HistoryHead:
    """The head of a record's JSON. Raises msgspec.MsgspecError if it is no object, UnicodeDecodeError, RecursionError."""
    try:
        return _decode(record)
    except msgspec.ValidationError:  # a member of an odd type
        whole = msgspec.json.decode(record)
        if not isinstance(whole, dict):
            raise
        return head_of(whole)


def head_of(record: Mapping[str, Any]) -> HistoryHead:
    """The head of a decoded record, whatever its members are."""
    listed, insight = record.get("resources"), record.get("insightDetails")
    found = [_part(Resource, each) for each in listed] if isinstance(listed, list) else []
    return msgspec.structs.replace(
        _part(HistoryHead, record) or HistoryHead(),
        userIdentity=_part(Caller, record.get("userIdentity")) or Caller(),
        requestParameters=_part(Parameters, record.get("requestParameters")),
        responseElements=_part(Elements, record.get("responseElements")),
        resources=[resource for resource in found if resource is not None],
        insightDetails=None if insight is None else _part(Insight, insight) or Insight(),
    )


def _part(kind: type[Part], told: object) -> Part | None:
    """What an object tells of a struct's members. Text that is none counts as not told, and long text is cut."""
    if not isinstance(told, Mapping):
        return None
    given = {}
    for name, attribute, is_text in _members(kind):
        if name in told:
            given[attribute] = text(told[name]) if is_text else told[name]
    return kind(**given)


@cache
def _members(kind: type[msgspec.Struct]) -> list[tuple[str, str, bool]]:
    """(its name in JSON, its name, is it text) of each member of a struct."""
    return [(each.encode_name, each.name, each.default == "") for each in msgspec.structs.fields(kind)]


def text(value: object) -> str:
    """As much of a member as counts."""
    return value[:TEXT_MAX] if isinstance(value, str) else ""
