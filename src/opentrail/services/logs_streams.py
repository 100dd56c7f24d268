"""CloudWatch Logs: log streams, made, shown and removed."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.log_blocks import first_time
from opentrail.rows.log_groups import GROUPS, NEWEST, STREAMS, LogStream, drop_stream, put_stream
from opentrail.service import Service
from opentrail.services.logs_common import (
    Place,
    bad_token,
    find_group,
    find_stream,
    invalid,
    join_token,
    page_size,
    split_token,
)
from opentrail.state import Table, Unit

PAGE = 50
BY_TIME = "LastEventTime"

service = Service("logs")


@service.operation("CreateLogStream")
async def create_log_stream(call: Call, unit: Unit) -> Shape:
    """Create a log stream in a log group."""
    place, group = find_group(call, unit)
    name = call.input["logStreamName"]
    if STREAMS.get(unit, group.id, name) is not None:
        raise AwsError("ResourceAlreadyExistsException", "The specified log stream already exists", 400)
    number = group.streams_made + 1
    GROUPS.put(unit, replace(group, streams_made=number), *place)
    put_stream(unit, group.id, name, None, LogStream(number=number, created=int(unit.now * 1000)))
    return {}


@service.operation("DeleteLogStream")
async def delete_log_stream(call: Call, unit: Unit) -> Shape:
    """Delete a log stream with its events."""
    _, group = find_group(call, unit)
    name = call.input["logStreamName"]
    drop_stream(unit, group.id, name, find_stream(unit, group, name))
    return {}


@service.operation("DescribeLogStreams")
async def describe_log_streams(call: Call, unit: Unit) -> Shape:
    """Show the streams of a log group, by name or by their newest event."""
    place, group = find_group(call, unit)
    given = call.input
    by_time = given.get("orderBy") == BY_TIME
    prefix = given.get("logStreamNamePrefix") or ""
    if by_time and prefix:
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    limit = page_size(given, PAGE)
    keys = _keys(call, unit, group.id, prefix, limit + 1, by_time=by_time)
    shown = []
    for parts in keys[:limit]:
        name = "\0".join(parts[2 if by_time else 1 :])
        shown.append(_shown(unit, place, group.id, name, find_stream(unit, group, name)))
    if len(keys) <= limit:
        return {"logStreams": shown}
    return {"logStreams": shown, "nextToken": join_token(BY_TIME if by_time else "", *keys[limit - 1][1:])}


def _keys(call: Call, unit: Unit, group_id: str, prefix: str, limit: int, *, by_time: bool) -> list[tuple[str, ...]]:
    """The parts of the keys of the streams (or of their newest events) behind the token, in the order asked for."""
    token = call.input.get("nextToken")
    after = split_token(token, 2) if token else []
    if after and after[0] != (BY_TIME if by_time else ""):
        raise bad_token()
    tables: tuple[Table, Table] = (NEWEST, STREAMS)  # type: ignore[type-arg]
    table = tables[0] if by_time else tables[1]
    start, edge = table.key(group_id, prefix), table.key(group_id, *after[1:]) if after else b""
    scan = unit.house.ledger.scan_back if call.input.get("descending") else unit.house.ledger.scan
    rows = scan(start, edge, limit)
    return [table.parts(key) for key, _ in rows]


def _shown(unit: Unit, place: Place, group_id: str, name: str, stream: LogStream) -> Shape:
    shown: Shape = {
        "logStreamName": name,
        "creationTime": stream.created,
        "arn": f"{place.arn}:log-stream:{name}",
        "storedBytes": 0,  # AWS's answer since June 2019
        "uploadSequenceToken": sequence_token(stream.number, stream.puts),
    }
    if stream.last:
        first = first_time(unit, group_id, stream.number)
        times = {"lastEventTimestamp": stream.last, "lastIngestionTime": stream.ingested}
        shown |= times if first is None else {"firstEventTimestamp": first, **times}
    return shown


def sequence_token(number: int, puts: int) -> str:
    """What clients of old hand back with their next events; nobody looks at it any more. 56 digits, as AWS's."""
    return f"49{number:018d}{puts:036d}"
