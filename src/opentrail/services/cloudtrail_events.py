"""CloudTrail's event history and the public keys of its digests.

A page's token is sealed and says where the page ended, so events that arrive meanwhile shift nothing, and it holds only for
the question it was given for. Source: CloudTrail API reference, LookupEvents and ListPublicKeys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from opentrail.call import Call, Shape
from opentrail.errors import AwsError, HistoryUnavailable
from opentrail.ports import HistoryQuery, PastEvent
from opentrail.record.history_head import read_head
from opentrail.record.lookup_event import EventAttributes, attributes_of
from opentrail.rows.cloudtrail import SIGNING_KEYS
from opentrail.service import Service
from opentrail.state import Unit

DAY_SECONDS = 86_400
RESULTS_MAX = 50
ATTRIBUTE_VALUE_MAX = 2_000
ATTRIBUTE_KEYS = frozenset(
    {"EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId"}
)
TOKEN_PURPOSE = "cloudtrail-lookup-token"
TOKEN_MAX = 1_000
"""Characters of a token that is looked at."""

service = Service("cloudtrail")


@service.operation("LookupEvents")
async def lookup_events(call: Call, unit: Unit) -> Shape:
    """Look up the management events of the last 90 days (or what is set) in this region, newest first, trail or not."""
    _take_turn(call, unit)
    given = call.input
    limit = _results(given)
    attribute = _attribute(given.get("LookupAttributes") or ())
    start, end = _time_range(given, unit.now)
    question = _question(call)
    before = _open_token(unit, given.get("NextToken"), question)
    category = _category(given)
    oldest = int(unit.now) - unit.house.settings.history_days * DAY_SECONDS
    found = await looked_up(
        unit,
        HistoryQuery(
            account_id=call.account_id,
            region=call.region,
            start=max(start, oldest),
            end=end,
            limit=limit + 1,
            attribute=attribute,
            before=before,
            category=category,
        ),
    )
    call.later = partial(_page, unit, question, attribute, found, limit)
    return {}


def _page(
    unit: Unit, question: bytes, attribute: tuple[str, str] | None, found: Sequence[PastEvent], limit: int
) -> Shape:
    answer: Shape = {"Events": list(_events(found[:limit], attribute))}
    if len(found) > limit:
        last = found[limit - 1]
        answer["NextToken"] = _seal_token(unit, question, (last.time, last.seq))
    return answer


async def looked_up(unit: Unit, query: HistoryQuery) -> Sequence[PastEvent]:
    """What the history has; an error rather than less than that."""
    try:
        return await unit.house.history.lookup(query)
    except HistoryUnavailable as failure:
        message = "A part of the event history is damaged or being built again; the server's log says which."
        raise AwsError("ServiceUnavailable", message, 503) from failure


@service.operation("ListPublicKeys")
async def list_public_keys(call: Call, unit: Unit) -> Shape:
    """List the public keys that digests of this region were signed with in a period; by default the current one.

    NextToken is "reserved for future use" (API reference): what it holds is not looked at.
    """
    start, end = _epoch(call.input.get("StartTime")), _epoch(call.input.get("EndTime"))
    low = start if start is not None else (end if end is not None else unit.now)
    high = end if end is not None else unit.now
    if low > high:
        raise AwsError("InvalidTimeRangeException", "The start time must not be after the end time.")
    return {
        "PublicKeyList": [
            {
                "Value": key.public,
                "ValidityStartTime": key.valid_from,
                "ValidityEndTime": key.valid_until,
                "Fingerprint": key.fingerprint,
            }
            for _, key in SIGNING_KEYS.all(unit, call.region)
            if key.valid_from <= high and key.valid_until >= low
        ]
    }


def _events(found: Sequence[PastEvent], attribute: tuple[str, str] | None) -> Iterator[Shape]:
    """The entries of Events. The index goes by hashes; what only shares the hash of the value is left out."""
    for event in found:
        attributes = attributes_of(read_head(event.record))
        if attribute is None or attributes.has(*attribute):
            yield _event(event, attributes)


def _event(found: PastEvent, attributes: EventAttributes) -> Shape:
    """One entry of Events; the record itself is a string in it."""
    shape: Shape = {
        "EventId": attributes.event_id,
        "EventName": attributes.event_name,
        "ReadOnly": attributes.read_only,
        "AccessKeyId": attributes.access_key_id,
        "EventTime": found.time,
        "EventSource": attributes.event_source,
        "Username": attributes.username,
        "Resources": [{"ResourceType": type_, "ResourceName": name} for type_, name in attributes.resources],
        "CloudTrailEvent": found.record.decode(),
    }
    return {name: value for name, value in shape.items() if value != ""} if "" in shape.values() else shape


def _results(given: Mapping[str, Any]) -> int:
    limit = given.get("MaxResults", RESULTS_MAX)
    if not 1 <= limit <= RESULTS_MAX:
        raise AwsError("InvalidMaxResultsException", f"Max results must be between 1 and {RESULTS_MAX}.")
    return int(limit)


def _attribute(given: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    if not given:
        return None
    key, value = str(given[0].get("AttributeKey") or ""), str(given[0].get("AttributeValue") or "")
    if len(given) > 1 or key not in ATTRIBUTE_KEYS:
        raise AwsError("InvalidLookupAttributesException", "You can specify only one lookup attribute, of a known key.")
    text = not any("\ud800" <= letter <= "\udfff" for letter in value)
    fits = 1 <= len(value) <= ATTRIBUTE_VALUE_MAX and text
    if not fits or (key == "ReadOnly" and value not in ("true", "false")):
        raise AwsError("InvalidLookupAttributesException", f"The value of the lookup attribute {key} is not valid.")
    return key, value


def _time_range(given: Mapping[str, Any], now: float) -> tuple[int, int]:
    start, end = _epoch(given.get("StartTime")), _epoch(given.get("EndTime"))
    if start is not None and (start > now or (end is not None and start > end)):
        raise AwsError("InvalidTimeRangeException", "The start time must not lie in the future or after the end time.")
    return int(start or 0), int(end if end is not None else now + 1)


def _epoch(value: datetime | float | None) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else value


def _category(given: Mapping[str, Any]) -> str:
    category = given.get("EventCategory") or ""
    if category not in ("", "insight"):
        raise AwsError("InvalidEventCategoryException", f"Event category {category} is not valid.")
    return "Insight" if category else "Management"


def _take_turn(call: Call, unit: Unit) -> None:
    """Two calls a second in an account and region, or what is set."""
    rate = unit.house.settings.lookup_rate
    if rate and not unit.house.lookup_turns.take((call.account_id, call.region), rate, unit.now):
        raise AwsError("ThrottlingException", "Rate exceeded", 400)


def _question(call: Call) -> bytes:
    """A hash of everything a token is bound to."""
    given = call.input
    asked = [call.account_id, call.region, given.get("LookupAttributes") or [], given.get("EventCategory") or ""]
    times = [_epoch(given.get("StartTime")), _epoch(given.get("EndTime"))]
    return hashlib.sha256(msgspec.json.encode([asked, times])).digest()[:16]


def _seal_token(unit: Unit, question: bytes, position: tuple[int, int]) -> str:
    sealed = unit.house.seal.seal(msgspec.msgpack.encode((question, *position)), TOKEN_PURPOSE)
    return base64.urlsafe_b64encode(sealed).decode()


def _open_token(unit: Unit, token: str | None, question: bytes) -> tuple[int, int] | None:
    if not token:
        return None
    try:
        sealed = base64.b64decode(token[:TOKEN_MAX].encode(), b"-_", validate=True)
        plain = unit.house.seal.open(sealed, TOKEN_PURPOSE)
        asked, time, seq = msgspec.msgpack.decode(plain, type=tuple[bytes, int, int])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise _bad_token() from error
    if asked != question:
        raise _bad_token()
    return time, seq


def _bad_token() -> AwsError:
    return AwsError("InvalidNextTokenException", "The token is not valid, or it belongs to another question.")
