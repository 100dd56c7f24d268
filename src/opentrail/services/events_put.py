"""EventBridge: PutEvents. Source: EventBridge API reference, PutEvents; answers recorded on AWS.

Each valid entry becomes one line of the ledger, durable with the record of the call; what is wrong with an entry is told
in its place of the answer and leaves the others alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from opentrail.call import Access, Call, Shape
from opentrail.rows.bus_event import bus_event
from opentrail.rows.events import bus_arn
from opentrail.service import Service
from opentrail.services.events_common import find_bus, invalid, parse_bus
from opentrail.state import Unit

ENTRIES_BYTES_MAX = 262_144
"""Size at which the entries of one request are too large (see `_size`)."""
TIME_BYTES = 14
"""What an entry's Time counts."""
_INT64 = range(-(2**63), 2**63)

service = Service("events")


@service.guard("PutEvents")
def guard_put_events(call: Call, unit: Unit) -> Sequence[Access]:
    """PutEvents on every bus named, which its own policy may open to other accounts."""
    buses = {parse_bus(entry.get("EventBusName") or "", call) for entry in call.input.get("Entries") or ()}
    return [_question(unit, *bus) for bus in sorted(buses)]


def _question(unit: Unit, account_id: str, region: str, name: str) -> Access:
    found = find_bus(unit, account_id, region, name)
    policy = found.policy if found is not None else ""
    return Access("events:PutEvents", bus_arn(account_id, region, name), account_id, policy)


@service.operation("PutEvents")
async def put_events(call: Call, unit: Unit) -> Shape:
    """Put events on buses; each entry succeeds or fails by itself."""
    entries = call.input["Entries"]
    if sum(_size(entry) for entry in entries) >= ENTRIES_BYTES_MAX:
        raise invalid("Total size of the entries in the request is over the limit.")
    answers = [_put(entry, call, unit) for entry in entries]
    return {"FailedEntryCount": sum("ErrorCode" in answer for answer in answers), "Entries": answers}


def _size(entry: Shape) -> int:
    """Bytes that an entry counts: Source, DetailType, Detail, Resources, and 14 for a Time."""
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")]
    texts += entry.get("Resources") or []
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return size + (TIME_BYTES if entry.get("Time") is not None else 0)


def _put(entry: Shape, call: Call, unit: Unit) -> Shape:
    """The answer's entry; a valid one is emitted, unless its bus does not exist, which AWS keeps to itself."""
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            required = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": required}
    if entry["Source"].startswith("aws."):
        return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source."}
    detail = compact_object(entry["Detail"])
    if detail is None:
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    account_id, region, name = parse_bus(entry.get("EventBusName") or "", call)
    event_id = unit.house.clock.uuid()
    if find_bus(unit, account_id, region, name) is not None:
        unit.emit(bus_event(_envelope(entry, detail, event_id, call, unit.now), name, account_id, region))
    return {"EventId": event_id}


def _envelope(entry: Shape, detail: bytes, event_id: str, call: Call, now: float) -> dict[str, Any]:
    return {
        "version": "0",
        "id": event_id,
        "detail-type": _clean(entry["DetailType"]),
        "source": _clean(entry["Source"]),
        "account": call.account_id,
        "time": _time(entry.get("Time"), now),
        "region": call.region,
        "resources": [_clean(resource) for resource in entry.get("Resources") or ()],
        "detail": msgspec.Raw(detail),
    }


def _clean(text: str) -> str:
    """Lone surrogates have no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _time(given: datetime | float | None, now: float) -> str:
    moment = given if isinstance(given, datetime) else datetime.fromtimestamp(now if given is None else given, UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def compact_object(text: str) -> bytes | None:
    """The JSON object without its blanks, numbers and repeated keys as they were written; None if it is none, nested
    too deep, or has integers that 64 bits do not hold."""
    try:
        parsed = json.loads(text, parse_constant=_refuse, parse_int=_int64)
        if not isinstance(parsed, dict):
            return None
        return msgspec.json.format(text.encode(), indent=-1)
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _int64(digits: str) -> int:
    number = int(digits)
    if number not in _INT64:
        raise ValueError("not 64 bits")
    return number
