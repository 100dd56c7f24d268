"""Log groups, their streams and what admits services to them, as rows. Times are epoch milliseconds.

Events lie in `rows.log_blocks`. A group and a stream have ids of their own, so that a deleted one can be cleared away while
another of its name is already in use. Knows no operation.
"""

from __future__ import annotations

from typing import Final

import msgspec

from opentrail.model.facts import partition
from opentrail.rows.bell import Bell
from opentrail.state import Row, Table, Unit

MS_DIGITS: Final = 16
"""Digits of milliseconds in a key."""
NUMBER_DIGITS: Final = 14
"""Digits of a stream's number in a key."""
DAY_MS: Final = 86_400_000
GONE: Final = "gone"
"""The bell that rings when a group or stream was deleted."""


class LogGroup(Row, frozen=True):
    """A log group. Keyed by account, region and name."""

    id: str
    created: int
    retention_days: int = 0
    """0: events are kept for ever."""
    log_class: str = "STANDARD"
    protected: bool = False
    """It cannot be deleted."""
    streams_made: int = 0
    """The number of the newest stream."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)

    def oldest(self, now: float) -> int:
        """Events before this time have expired; `now` is epoch seconds."""
        return int(now * 1000) - self.retention_days * DAY_MS if self.retention_days else 0


class LogStream(Row, frozen=True):
    """A log stream. Keyed by group id and name."""

    number: int
    """Tells it from an earlier one of its name."""
    created: int
    last: int = 0
    """Time of the newest event; 0 for none."""
    ingested: int = 0
    """When events were last put."""
    puts: int = 0


class Newest(Row, frozen=True):
    """A stream's place in the order of newest events. Keyed by group id, time of its newest event, and name."""


class Tally(Row, frozen=True):
    """How many bytes of events a group holds, as AWS counts them. Keyed by group id."""

    bytes: int = 0


class GoneLogs(Row, frozen=True):
    """Events without a stream, to be cleared away. Keyed by group id and stream number; an empty one means the group."""

    since: int


class LogPolicy(Row, frozen=True):
    """A resource policy, which admits services. Keyed by account, region, group ARN and name, one of which is empty."""

    document: str
    updated: int
    revision: str = ""


GROUPS: Table[LogGroup] = Table("logs.group", LogGroup)
STREAMS: Table[LogStream] = Table("logs.stream", LogStream)
NEWEST: Table[Newest] = Table("logs.newest", Newest)
TALLIES: Table[Tally] = Table("logs.tally", Tally)
GONE_LOGS: Table[GoneLogs] = Table("logs.gone", GoneLogs)
POLICIES: Table[LogPolicy] = Table("logs.policy", LogPolicy)
BELL = Bell()
"""Rings with GONE."""


def group_arn(account_id: str, region: str, name: str) -> str:
    """Without the `:*` that some members end with."""
    return f"arn:{partition(region)}:logs:{region}:{account_id}:log-group:{name}"


def ms_part(time: int) -> str:
    return f"{time:0{MS_DIGITS}d}"


def number_part(number: int) -> str:
    return f"{number:0{NUMBER_DIGITS}d}"


def put_stream(unit: Unit, group_id: str, name: str, old: LogStream | None, new: LogStream) -> None:
    """Keep a stream, and its place in the order of newest events."""
    STREAMS.put(unit, new, group_id, name)
    if old is None or old.last != new.last:
        if old is not None:
            NEWEST.delete(unit, group_id, ms_part(old.last), name)
        NEWEST.put(unit, Newest(), group_id, ms_part(new.last), name)


def drop_stream(unit: Unit, group_id: str, name: str, stream: LogStream) -> None:
    """Take a stream away at once; its events are cleared away later."""
    STREAMS.delete(unit, group_id, name)
    NEWEST.delete(unit, group_id, ms_part(stream.last), name)
    GONE_LOGS.put(unit, GoneLogs(int(unit.now * 1000)), group_id, number_part(stream.number))
    BELL.ring(GONE)


def drop_group(unit: Unit, account_id: str, region: str, name: str, group: LogGroup) -> None:
    """Take a group away at once; its streams and events are cleared away later."""
    GROUPS.delete(unit, account_id, region, name)
    POLICIES.delete(unit, account_id, region, group_arn(account_id, region, name), "")
    GONE_LOGS.put(unit, GoneLogs(int(unit.now * 1000)), group.id, "")
    BELL.ring(GONE)


def add_bytes(unit: Unit, group_id: str, more: int) -> None:
    known = TALLIES.get(unit, group_id)
    TALLIES.put(unit, Tally(max(0, (known.bytes if known is not None else 0) + more)), group_id)
