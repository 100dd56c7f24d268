"""CloudWatch Logs: taking in log events. Source: PutLogEvents in the API reference, for limits and for what is rejected."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from opentrail.call import Access, Call, Resource, Shape
from opentrail.rows.log_blocks import EVENT_OVERHEAD, put_events
from opentrail.rows.log_groups import DAY_MS, GROUPS, LogGroup
from opentrail.service import Service
from opentrail.services.logs_common import find_group, find_stream, invalid, place_of_call, question
from opentrail.services.logs_streams import sequence_token
from opentrail.state import Unit

BATCH_BYTES_MAX = 1_048_576
"""Bytes of a batch: each message in UTF-8, and 26 more."""
EVENT_BYTES_MAX = 1_048_576
SPAN_MS_MAX = DAY_MS
OLD_MS_MAX = 14 * DAY_MS
NEW_MS_MAX = 7_200_000
"""How far in the past or the future an event may lie."""

service = Service("logs")


@service.guard("PutLogEvents")
def guard_put(call: Call, unit: Unit) -> Sequence[Access]:
    """On the stream; recorded as a data event on the group."""
    place = place_of_call(call)
    if GROUPS.get(unit, *place) is not None:
        call.evidence.resources[:] = [Resource("AWS::Logs::LogGroup", place.arn, place.account_id)]
    return [question(call, unit, place, call.input["logStreamName"])]


@service.operation("PutLogEvents")
async def put_log_events(call: Call, unit: Unit) -> Shape:
    """Put a batch of log events into a stream; those too old or too new are told and left out."""
    _, group = find_group(call, unit)
    name = call.input["logStreamName"]
    stream = find_stream(unit, group, name)
    events, sizes = _checked(call.input["logEvents"])
    start, end, rejected = _window(group, [time for time, _ in events], unit.now)
    if end > start:
        if events[end - 1][0] - events[start][0] > SPAN_MS_MAX:
            message = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
            raise invalid(message)
        put_events(unit, group, name, stream, events[start:end], sizes[start:end])
    answer: Shape = {"nextSequenceToken": sequence_token(stream.number, stream.puts + 1)}
    if rejected:
        answer["rejectedLogEventsInfo"] = rejected
    if call.input.get("entity"):
        answer["rejectedEntityInfo"] = {"errorType": "UnsupportedLogGroupType"}
    return answer


def _checked(given: Sequence[dict[str, Any]]) -> tuple[list[tuple[int, str]], list[int]]:
    """Times and messages, and the bytes of each message; raises InvalidParameterException."""
    events = [(each["timestamp"], each["message"]) for each in given]
    try:
        sizes = [len(message.encode()) for _, message in events]
    except UnicodeEncodeError as error:
        raise invalid("Log events must be valid UTF-8.") from error
    largest = max(sizes)
    if largest > EVENT_BYTES_MAX:
        raise invalid(f"Log event too large: {largest} bytes exceeds limit of {EVENT_BYTES_MAX}")
    total = sum(sizes) + EVENT_OVERHEAD * len(sizes)
    if total > BATCH_BYTES_MAX:
        raise invalid(f"Upload too large: {total} bytes exceeds limit of {BATCH_BYTES_MAX}")
    if any(events[index][0] > events[index + 1][0] for index in range(len(events) - 1)):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    return events, sizes


def _window(group: LogGroup, times: Sequence[int], now: float) -> tuple[int, int, dict[str, int]]:
    """Which events are taken in, and what the answer says of the others."""
    now_ms = int(now * 1000)
    too_old = bisect_left(times, now_ms - OLD_MS_MAX)
    expired = bisect_left(times, group.oldest(now))
    too_new = bisect_left(times, now_ms + NEW_MS_MAX + 1)
    rejected = {}
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired > too_old:
        rejected["expiredLogEventEndIndex"] = expired
    if too_new < len(times):
        rejected["tooNewLogEventStartIndex"] = too_new
    return max(too_old, expired), too_new, rejected
