"""What is counted of the requests of buckets that ask for it: by metrics configurations, and for storage class analysis.

    s3.metered          bucket              the buckets that have a configuration of either kind, and when it last changed
    s3.request-count    bucket id           the counters of a metrics configuration
    s3.analysis-tally   bucket id           requests of an analysis since its last day was closed
    s3.analysis-run     bucket id           how far an analysis and its report have come
    s3.analysis-day     bucket id number    a closed day; the number with eight digits
    s3.meter-cursor     name                the line up to which requests are counted

A bucket without such a configuration has no row here. Rows are as many as there are configurations (and DAYS_MAX days of
each), however many requests there are. Source of age groups and figures: S3 user guide, "Amazon S3 analytics - Storage Class
Analysis". Knows no line and no report.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import msgspec

from opentrail.ports import Seq
from opentrail.state import Row, Table, Unit

METRICS, ANALYTICS = "metrics", "analytics"
"""The kinds of configurations for which requests are counted."""
METERED_KINDS = frozenset({METRICS, ANALYTICS})
GROUPS = (
    "000-014",
    "015-029",
    "030-044",
    "045-059",
    "060-074",
    "075-089",
    "090-119",
    "120-149",
    "150-179",
    "180-364",
    "365-729",
    "730+",
)
"""Ages in days."""
GROUP_STARTS = (0, 15, 30, 45, 60, 75, 90, 120, 150, 180, 365, 730)
ALL = "ALL"
"""Every age, small objects included."""
GROUPED_BYTES_MIN = 128 * 1024
"""Smaller objects are in no age group."""
DAYS_MAX = 400
"""Days that a report tells of; the oldest is forgotten."""


class Metered(Row, frozen=True):
    """A bucket with configurations; written anew whenever one of them is put or deleted. `at` is epoch seconds."""

    at: float


class RequestCounts(Row, frozen=True):
    """CloudWatch's name of a metric → its sum since the configuration was put first."""

    counts: dict[str, int] = msgspec.field(default_factory=dict)


class Uses(msgspec.Struct, frozen=True, array_like=True):
    """Requests for the objects of one age group. Bytes."""

    gets: int = 0
    retrieved: int = 0
    uploaded: int = 0

    def plus(self, other: Uses) -> Uses:
        return Uses(self.gets + other.gets, self.retrieved + other.retrieved, self.uploaded + other.uploaded)


Tallied = dict[str, dict[str, Uses]]
"""Storage class → age group → requests."""


class Tally(Row, frozen=True):
    uses: Tallied = msgspec.field(default_factory=dict)


class AnalysisRun(Row, frozen=True):
    """`closed` is when the last day was closed (or the analysis began), epoch seconds; `days` how many were, and `written`
    how many of them the report in the destination tells of."""

    closed: float
    days: int = 0
    written: int = 0


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """A day of one storage class and age group. Bytes."""

    objects: int = 0
    stored: int = 0
    uses: Uses = Uses()
    ratio: float | None = None
    """CumulativeAccessRatio; None where nothing is stored."""


class AnalysisDay(Row, frozen=True):
    """A closed day. `date` is MM-DD-YYYY; ages are days, None where nothing can be said."""

    date: str
    filter: str
    figures: dict[str, dict[str, Figures]] = msgspec.field(default_factory=dict)
    """Storage class → age group → figures."""
    transition: int | None = None
    recommended: int | None = None


class MeterCursor(Row, frozen=True):
    """Every line up to here is counted."""

    through: Seq


METERED: Table[Metered] = Table("s3.metered", Metered)
COUNTS: Table[RequestCounts] = Table("s3.request-count", RequestCounts)
TALLIES: Table[Tally] = Table("s3.analysis-tally", Tally)
ANALYSES: Table[AnalysisRun] = Table("s3.analysis-run", AnalysisRun)
DAYS: Table[AnalysisDay] = Table("s3.analysis-day", AnalysisDay)
METER_CURSORS: Table[MeterCursor] = Table("s3.meter-cursor", MeterCursor)


def touch_metered(unit: Unit, bucket: str) -> None:
    """Let the followers know that the configurations of a bucket are others now."""
    METERED.put(unit, Metered(unit.now), bucket)


def day_part(number: int) -> str:
    return f"{number:08d}"


def groups_of(age: float, size: int) -> tuple[str, ...]:
    """The groups in which an object of that age (in days) counts."""
    if size < GROUPED_BYTES_MIN:
        return (ALL,)
    return (GROUPS[max(bisect_right(GROUP_STARTS, age) - 1, 0)], ALL)


def filter_parts(given: dict[str, Any] | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """(prefix, tags) of a configuration's filter."""
    inner = (given or {}).get("And") or given or {}
    tags = inner.get("Tags", [inner["Tag"]] if "Tag" in inner else [])
    return inner.get("Prefix", ""), tuple((tag["Key"], tag["Value"]) for tag in tags)


def export_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """The destination of an analysis' report; None for one that is not exported, for which nothing is counted."""
    export = (document["StorageClassAnalysis"] or {}).get("DataExport")
    return None if export is None else export["Destination"]["S3BucketDestination"]
