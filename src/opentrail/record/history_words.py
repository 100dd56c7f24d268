"""The words that an event is found by in the event history: `n` + event name, `b` + bucket, `LM` + account, region, …

A word is one letter that says its kind and the text. Two families: plain words, one for each thing that `opentrail lookup`
filters by, and LookupEvents' own (`L` + category + account, region, attribute), so that its answers, which show one
account, one region and one category only, are single lists and never intersections. Pure: a record in, words out. Records
of every version are read; what one lacks is left out. Knows nothing of how words are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opentrail.record.lookup_event import EventAttributes, attributes_of

ACCOUNT, REGION, CATEGORY, EVENT, SOURCE, USER, IP, BUCKET, ERROR, READ_ONLY, ARN = "agcnsuibeop"
"""Kinds whose values are few, or are counted."""
KEY, ACCESS_KEY, REQUEST_ID, EVENT_ID, RESOURCE = "kKqdr"
"""Kinds whose values are many: keys are object keys without their bucket."""
COUNTED = frozenset("agcnsuibeop")
ANY_ERROR = "E"
"""The word of every event that tells an error."""
LOOKUP = "L"
CATEGORIES = {"Management": "M", "Data": "D", "Insight": "I", "NetworkActivity": "X"}
SHOWN = {"M": "Management", "I": "Insight"}
"""What LookupEvents can show, by the category's letter."""
WORD_MAX = 2_000
"""Characters of a word's text; no attribute that is longer can be asked for."""
TIME_MAX = (1 << 32) - 1
"""Epoch seconds; later events have no place."""

_S3 = "s3.amazonaws.com"
_S3_DATA_WITHOUT_KEY = frozenset({"ListObjects", "ListObjectVersions", "HeadBucket", "DeleteObjects"})
"""S3's data events that name no object; needed for records from before `eventCategory` (1.07) and `managementEvent`."""
_DATA_EVENTS = frozenset({("lambda.amazonaws.com", "Invoke"), ("lambda.amazonaws.com", "InvokeExecution")})
_OBJECT_ARN = "arn:aws:s3:::"

Record = Mapping[str, Any]


class Unplaceable(ValueError):
    """A record that tells no time: it has no place in a history."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a history keeps of a record. `time` is epoch seconds, `category` one letter of CATEGORIES."""

    time: int
    account_id: str
    region: str
    category: str
    event_id: str
    words: tuple[str, ...]


def found_by(record: Record) -> Found:
    """Place and words of a record of any service and version. Raises Unplaceable."""
    attributes = attributes_of(record)
    time = _time(attributes.event_time)
    identity = _mapping(record.get("userIdentity"))
    account_id = _text(record.get("recipientAccountId")) or _text(identity.get("accountId"))
    region = _text(record.get("awsRegion"))
    category = category_of(record)
    words = dict.fromkeys(_plain(record, identity, attributes, account_id, region, category))
    if category in SHOWN:
        words.update(dict.fromkeys(_shown(attributes, account_id, region, category)))
    return Found(time, account_id, region, category, attributes.event_id, tuple(words))


def place_word(account_id: str, region: str, category: str) -> str:
    """The word of everything that LookupEvents shows of a category in one account and region."""
    return f"{LOOKUP}{category}{account_id}\0{region}"


def attribute_word(account_id: str, region: str, category: str, key: str, value: str) -> str:
    """The word of a LookupEvents attribute other than EventId, which is EVENT_ID's plain word."""
    return f"{LOOKUP}{category}{account_id}\0{region}\0{key}\0{value}"


def category_of(record: Record) -> str:
    """One letter of CATEGORIES, also for records that do not tell their category."""
    told = CATEGORIES.get(_text(record.get("eventCategory")))
    if told is not None:
        return told
    if isinstance(record.get("managementEvent"), bool):
        return "M" if record["managementEvent"] else "D"
    if record.get("eventType") == "AwsCloudTrailInsight":
        return "I"
    source, name = _text(record.get("eventSource")), _text(record.get("eventName"))
    if source == _S3:
        data = "key" in _mapping(record.get("requestParameters")) or name in _S3_DATA_WITHOUT_KEY
        return "D" if data else "M"
    return "D" if (source, name) in _DATA_EVENTS else "M"


def _plain(
    record: Record, identity: Record, attributes: EventAttributes, account_id: str, region: str, category: str
) -> Iterator[str]:
    yield CATEGORY + category
    yield ACCOUNT + account_id
    yield REGION + region
    yield EVENT + attributes.event_name
    yield SOURCE + attributes.event_source
    yield READ_ONLY + attributes.read_only
    if attributes.username:
        yield USER + attributes.username
    if attributes.access_key_id:
        yield ACCESS_KEY + attributes.access_key_id
    for kind, value in (
        (ARN, identity.get("arn")),
        (IP, record.get("sourceIPAddress")),
        (ERROR, record.get("errorCode")),
        (REQUEST_ID, record.get("requestID")),
        (EVENT_ID, attributes.event_id),
    ):
        text = _text(value)
        if text:
            yield kind + text
    if record.get("errorCode") or record.get("errorMessage"):
        yield ANY_ERROR
    yield from _objects(record, attributes)


def _objects(record: Record, attributes: EventAttributes) -> Iterator[str]:
    """Buckets, object keys and resources."""
    parameters = _mapping(record.get("requestParameters"))
    bucket, key = _text(parameters.get("bucketName")), _text(parameters.get("key"))
    if bucket:
        yield BUCKET + bucket
    if key:
        yield KEY + key
    for type_, name in attributes.resources:
        yield RESOURCE + name
        if type_ == "AWS::S3::Object":
            bucket, _, key = name.partition("/")
            yield BUCKET + bucket
            if key:
                yield KEY + key
        elif type_ == "AWS::S3::Bucket":
            yield BUCKET + name


def _shown(attributes: EventAttributes, account_id: str, region: str, category: str) -> Iterator[str]:
    place = place_word(account_id, region, category)
    yield place
    for key, value in attributes.values():
        yield f"{place}\0{key}\0{value}"


def _time(text: str) -> int:
    try:
        told = datetime.fromisoformat(text)
        moment = int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise Unplaceable(f"eventTime is {text!r}") from error
    if not 0 <= moment <= TIME_MAX:
        raise Unplaceable(f"eventTime is {text!r}")
    return moment


def _mapping(value: object) -> Record:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value[:WORD_MAX] if isinstance(value, str) else ""
