"""The words that an event is found by in the event history: `n` + event name, `b` + bucket, `LM` + account, region, …

A word is one letter that says its kind and the text. Two families: plain words, one for each thing that `opentrail lookup`
filters by, and LookupEvents' own (`L` + category + account, region, attribute), so that its answers, which show one
account, one region and one category only, are single lists and never intersections. Pure: a record in, words out. Records
of every version are read; what one lacks is left out. Knows nothing of how words are stored.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from opentrail.record.history_head import TEXT_MAX, HistoryHead, text
from opentrail.record.lookup_event import EventAttributes, attributes_of

ACCOUNT, REGION, CATEGORY, EVENT, SOURCE, USER, IP, BUCKET, ERROR, READ_ONLY, ARN = "agcnsuibeop"
"""Kinds whose values are few, or are counted."""
KEY, ACCESS_KEY, REQUEST_ID, EVENT_ID, RESOURCE = "kKqdr"
"""Kinds whose values are many ; keys are object keys without their bucket."""
COUNTED = frozenset("agcnsuibeopE")
ANY_ERROR = "E"
"""The word of every event that tells an error."""
LOOKUP = "L"
CATEGORIES = {"Management": "M", "Data": "D", "Insight": "I", "NetworkActivity": "X"}
SHOWN = {"M": "Management", "I": "Insight"}
"""What LookupEvents can show, by the category's letter."""
WORD_MAX = TEXT_MAX
"""Characters of a word's text."""
TIME_MAX = (1 << 32) - 1
"""Epoch seconds; later events have no place."""
TIMES_REMEMBERED_MAX = 4_096
"""Texts of times; neighbours in a file often share theirs."""

_S3 = "s3.amazonaws.com"
_S3_DATA_WITHOUT_KEY = frozenset({"ListObjects", "ListObjectVersions", "HeadBucket", "DeleteObjects"})
"""S3's data events that name no object; needed for records from before `eventCategory` (1.07) and `managementEvent`."""
_DATA_EVENTS = frozenset({("lambda.amazonaws.com", "Invoke"), ("lambda.amazonaws.com", "InvokeExecution")})


class Unplaceable(ValueError):
    """A record that tells no time: it has no place in a history."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """What a history keeps of a record. `time` is epoch seconds, `category` one letter of CATEGORIES."""

    time: int
    account_id: str
    region: str
    category: str
    event_id: str
    words: tuple[str, ...]
    """Those that many events share."""
    ids: tuple[str, ...]
    """Those that few do."""


def found_by(head: HistoryHead) -> Found:
    """Place and words of a record of any service and version. Raises Unplaceable."""
    attributes = attributes_of(head)
    time = _time(head.eventTime or head.logstash_time)
    account_id, region = head.recipientAccountId or head.userIdentity.accountId, head.awsRegion
    category = category_of(head)
    words = [
        CATEGORY + category,
        ACCOUNT + account_id,
        REGION + region,
        EVENT + attributes.event_name,
        SOURCE + attributes.event_source,
        READ_ONLY + attributes.read_only,
    ]
    ids: list[str] = []
    _add_caller(words, ids, head, attributes)
    _add_objects(words, ids, head, attributes)
    if category in SHOWN:
        place = place_word(account_id, region, category)
        words.append(place)
        words += [f"{place}\0{key}\0{value}" for key, value in attributes.values()]
    few, many = tuple(dict.fromkeys(words)), tuple(dict.fromkeys(ids))
    return Found(time, account_id, region, category, attributes.event_id, few, many)


def place_word(account_id: str, region: str, category: str) -> str:
    """The word of everything that LookupEvents shows of a category in one account and region."""
    return f"{LOOKUP}{category}{account_id}\0{region}"


def attribute_word(account_id: str, region: str, category: str, key: str, value: str) -> str:
    """The word of a LookupEvents attribute other than EventId, which is EVENT_ID's plain word."""
    return f"{LOOKUP}{category}{account_id}\0{region}\0{key}\0{value}"


def category_of(head: HistoryHead) -> str:
    """One letter of CATEGORIES, also for records that do not tell their category."""
    told = CATEGORIES.get(head.eventCategory)
    if told is not None:
        return told
    if isinstance(head.managementEvent, bool):
        return "M" if head.managementEvent else "D"
    if head.eventType == "AwsCloudTrailInsight":
        return "I"
    source, name = head.eventSource, head.eventName
    if source == _S3:
        keyed = head.requestParameters is not None and head.requestParameters.key is not msgspec.UNSET
        return "D" if keyed or name in _S3_DATA_WITHOUT_KEY else "M"
    return "D" if (source, name) in _DATA_EVENTS else "M"


def _add_caller(words: list[str], ids: list[str], head: HistoryHead, attributes: EventAttributes) -> None:
    """Who called, from where, and what came of it."""
    if attributes.username:
        words.append(USER + attributes.username)
    if attributes.access_key_id:
        ids.append(ACCESS_KEY + attributes.access_key_id)
    if attributes.event_id:
        ids.append(EVENT_ID + attributes.event_id)
    if head.userIdentity.arn:
        words.append(ARN + head.userIdentity.arn)
    if head.sourceIPAddress:
        words.append(IP + head.sourceIPAddress)
    if head.requestID:
        ids.append(REQUEST_ID + head.requestID)
    if head.errorCode:
        words.append(ERROR + head.errorCode)
    if head.errorCode or head.errorMessage:
        words.append(ANY_ERROR)


def _add_objects(words: list[str], ids: list[str], head: HistoryHead, attributes: EventAttributes) -> None:
    """Buckets, object keys and resources."""
    if head.requestParameters is not None:
        if bucket := text(head.requestParameters.bucketName):
            words.append(BUCKET + bucket)
        if key := text(head.requestParameters.key):
            ids.append(KEY + key)
    for type_, name in attributes.resources:
        ids.append(RESOURCE + name)
        if type_ == "AWS::S3::Object":
            bucket, _, key = name.partition("/")
            words.append(BUCKET + bucket)
            if key:
                ids.append(KEY + key)
        elif type_ == "AWS::S3::Bucket":
            words.append(BUCKET + name)


@lru_cache(TIMES_REMEMBERED_MAX)
def _time(told: str) -> int:
    try:
        moment = datetime.fromisoformat(told)
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise Unplaceable(f"eventTime is {told!r}") from error
    if not 0 <= seconds <= TIME_MAX:
        raise Unplaceable(f"eventTime is {told!r}")
    return seconds
