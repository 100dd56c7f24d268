"""CloudWatch Logs: reading events back: of one stream in both directions, or of a group through a filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Any

from opentrail.call import Access, Call, Shape
from opentrail.match.filter_pattern import compile_filter
from opentrail.rows.log_blocks import (
    PLACE_DIGITS,
    Block,
    Found,
    LogEvent,
    group_blocks,
    place_of,
    stream_blocks,
    time_of,
)
from opentrail.rows.log_groups import STREAMS, LogGroup
from opentrail.service import Service
from opentrail.services.logs_common import (
    bad_token,
    find_group,
    find_stream,
    invalid,
    page_size,
    place_of_call,
    question,
)
from opentrail.services.logs_gather import PAGE_EVENTS_MAX, Page, Range, gather
from opentrail.state import Unit

TIME_MAX = 10**15
"""Milliseconds; later times than this mean this one."""
_CURSOR = re.compile(r"([fb])/(\d{56})/s", re.ASCII)
_PLACE = re.compile(r"([fb])(\d{56})", re.ASCII)

service = Service("logs")


@service.guard("GetLogEvents", "FilterLogEvents")
def guard_read(call: Call, unit: Unit) -> Sequence[Access]:
    """Seeing what is masked is a right of its own."""
    place = place_of_call(call)
    asked = question(call, unit, place, call.input.get("logStreamName", ""))
    if not call.input.get("unmask"):
        return [asked]
    return [asked, Access("logs:Unmask", asked.resource, place.account_id, context=asked.context)]


@service.operation("GetLogEvents")
async def get_log_events(call: Call, unit: Unit) -> Shape:
    """Read a stream's events, forwards or backwards from where a token says."""
    _, group = find_group(call, unit)
    given = call.input
    stream = find_stream(unit, group, given["logStreamName"])
    within = _range(group, given, unit.now)
    back = not given.get("startFromHead")
    if given.get("nextToken"):
        found = _CURSOR.fullmatch(given["nextToken"])
        if found is None:
            raise bad_token()
        back = found[1] == "b"
        within = _beyond(within, int(found[2]), back=back)
    blocks = stream_blocks(unit.house.ledger, group.id, stream.number, *_times(within), back=back)
    page = await gather(blocks, within, page_size(given, PAGE_EVENTS_MAX), back=back)
    first, last = _ends(page, within, back=back)
    return {
        "events": [
            {"timestamp": each.time, "message": each.message, "ingestionTime": each.ingested} for each in page.events
        ],
        "nextForwardToken": f"f/{max(0, last):0{PLACE_DIGITS}d}/s",
        "nextBackwardToken": f"b/{first:0{PLACE_DIGITS}d}/s",
    }


def _ends(page: Page, within: Range, *, back: bool) -> tuple[int, int]:
    """The places from which to go back and to go on. Without events: where this reader came from, so that a client sees
    its own token again and knows that there is nothing more."""
    if page.more is not None and not page.events:
        return (page.more, page.more - 1) if back else (page.more + 1, page.more)
    if not page.events:
        return (within.high, within.high - 1) if back else (within.low + 1, within.low)
    first, last = page.events[0].place, page.events[-1].place
    if page.more is not None:
        return (page.more, last) if back else (first, page.more)
    return first, last


@service.operation("FilterLogEvents")
async def filter_log_events(call: Call, unit: Unit) -> Shape:
    """Search a log group, or some of its streams, by time and filter pattern."""
    _, group = find_group(call, unit)
    given = call.input
    names, prefix = given.get("logStreamNames"), given.get("logStreamNamePrefix")
    if names and prefix:
        raise invalid("Parameters logStreamNames and logStreamNamePrefix are mutually exclusive.")
    back = given.get("startFromHead") is False
    within = _range(group, given, unit.now)
    if given.get("nextToken"):
        found = _PLACE.fullmatch(given["nextToken"])
        if found is None or (found[1] == "b") is not back:
            raise bad_token()
        within = _beyond(within, int(found[2]), back=back)
    wants = compile_filter(given.get("filterPattern") or "")
    page = await gather(
        _blocks(unit, group, names, within, back=back),
        within,
        page_size(given, PAGE_EVENTS_MAX),
        wanted=lambda event: wants(event.message),
        belongs=_alive(unit, group, prefix or ""),
        back=back,
    )
    shown = page.events[::-1] if back else page.events
    answer: Shape = {"events": [_shown(each) for each in shown], "searchedLogStreams": []}
    if page.more is not None:
        answer["nextToken"] = f"{'b' if back else 'f'}{page.more:0{PLACE_DIGITS}d}"
    return answer


def _shown(event: LogEvent) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.time,
        "message": event.message,
        "ingestionTime": event.ingested,
        "eventId": f"{event.place:0{PLACE_DIGITS}d}",
    }


def _blocks(unit: Unit, group: LogGroup, names: Sequence[str] | None, within: Range, *, back: bool) -> Iterator[Found]:
    """Blocks of the group, or of the streams that are named, in order."""
    ledger = unit.house.ledger
    low, high = _times(within)
    if not names:
        return group_blocks(ledger, group.id, low, high, back=back)
    numbers = {find_stream(unit, group, name).number for name in names}
    each = [stream_blocks(ledger, group.id, number, low, high, back=back) for number in sorted(numbers)]
    return merge(*each, key=lambda found: found.first, reverse=back)


def _alive(unit: Unit, group: LogGroup, prefix: str) -> Callable[[Block], bool]:
    """Whether a block's stream is still there and has a name that is wanted. Remembers for one page."""
    known: dict[int, bool] = {}

    def alive(block: Block) -> bool:
        answer = known.get(block.number)
        if answer is None:
            stream = STREAMS.get(unit, group.id, block.stream)
            answer = stream is not None and stream.number == block.number and block.stream.startswith(prefix)
            known[block.number] = answer
        return answer

    return alive


def _range(group: LogGroup, given: Mapping[str, Any], now: float) -> Range:
    """The places that `startTime`, `endTime` and the group's retention leave; raises InvalidParameterException."""
    start, end = given.get("startTime"), given.get("endTime")
    if start is not None and end is not None and start > end:
        raise invalid("The startTime must not be later than the endTime.")
    low = max(min(start or 0, TIME_MAX), group.oldest(now))
    high = TIME_MAX if end is None else min(end, TIME_MAX)
    return Range(place_of(max(0, low)) - 1 if low > 0 else 0, place_of(high))


def _beyond(within: Range, place: int, *, back: bool) -> Range:
    """What is left of a range on the far side of a place."""
    return Range(within.low, min(within.high, place)) if back else Range(max(within.low, place), within.high)


def _times(within: Range) -> tuple[int, int]:
    return time_of(within.low), time_of(within.high)
