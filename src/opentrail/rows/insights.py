"""What Insights remember: how often each API was called (or failed) lately, and what is unusual right now.

Written by the follower that watches the lines; nobody else reads it. Keyed by account, region and a series' name. Knows
no record and no rule of what is unusual.
"""

from __future__ import annotations

import msgspec

from opentrail.ports import Seq
from opentrail.state import Row, Table


class InsightCursor(Row, frozen=True):
    """Everything up to here is counted in minutes that are closed. Keyed by nothing."""

    through: Seq
    minute: int = 0
    """The last closed minute, since the epoch."""


class InsightWatch(Row, frozen=True):
    """Since when an account's calls in a region are counted without a gap. Keyed by account and region."""

    since: int
    """Minute since the epoch."""


class Shares(msgspec.Struct, frozen=True):
    """How often each identity, user agent and error code was seen: kind → value → count; an empty value is none."""

    counts: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


class Unusual(Row, frozen=True):
    """Something unusual that goes on."""

    shared_id: str
    started: int
    """First unusual minute."""
    last: int
    """Last unusual minute."""
    average: float
    """Calls a minute before it began."""
    minutes: int
    """How many minutes that average is of."""
    calls: int
    """Calls since it began, up to the last unusual minute."""
    pending: int = 0
    """Calls since the last unusual minute."""
    before: Shares = Shares()
    during: Shares = Shares()


class Series(Row, frozen=True):
    """One API's calls in one account and region, or its calls that failed in one way. Keyed by account, region, name."""

    hours: dict[int, int] = msgspec.field(default_factory=dict)
    """Calls by hour since the epoch, of the last seven days."""
    days: dict[int, Shares] = msgspec.field(default_factory=dict)
    """Who called, by day since the epoch."""
    unusual: Unusual | None = None


CURSORS = Table("insight-cursor", InsightCursor)
WATCHES = Table("insight-watch", InsightWatch)
SERIES = Table("insight-series", Series)
