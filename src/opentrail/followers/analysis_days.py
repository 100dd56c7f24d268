"""The days of a storage class analysis: what a day's figures are, what follows from them, and the report that tells them.

Source: S3 user guide, "Amazon S3 analytics - Storage Class Analysis", "Exported file layout". Where it is silent
(docs/reference/fidelity.md): an access ratio is what was read in the last 30 days, over what was stored on average, of an
age group and all older ones; objects are better off in STANDARD_IA from the youngest age of at least 30 days on at which
less is read in 30 days than is stored; that age is recommended once it has been the same for a week. Pure; knows no ledger.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from opentrail.rows.s3_metering import ALL, GROUP_STARTS, GROUPS, AnalysisDay, Figures, Tallied, Uses

OBSERVED_DAYS: Final = 30
"""Days of which a ratio is made at the most; an analysis says nothing before it has so many."""
STABLE_DAYS: Final = 7
TRANSITION_DAYS_MIN: Final = 30
"""No rule moves younger objects to STANDARD_IA."""
WORTH_RATIO: Final = 1.0
"""At AWS's prices a GB of STANDARD_IA saves in a month about what reading it once costs."""
ANALYSED_CLASS: Final = "STANDARD"
HEADER: Final = (
    "Date",
    "ConfigId",
    "Filter",
    "StorageClass",
    "ObjectAge",
    "ObjectCount",
    "DataUploaded_MB",
    "Storage_MB",
    "DataRetrieved_MB",
    "GetRequestCount",
    "CumulativeAccessRatio",
    "ObjectAgeForSIATransition",
    "RecommendedObjectAgeForSIATransition",
)
_MB: Final = 1024 * 1024
_DIGITS: Final = 6

Stored = dict[str, dict[str, tuple[int, int]]]
"""Storage class → age group → (objects, bytes)."""


def close_day(at: float, filter_: str, stored: Stored, uses: Tallied, before: Sequence[AnalysisDay]) -> AnalysisDay:
    """The day that ends at `at` (epoch seconds). `before` are the days before it, the oldest first."""
    figures = {
        name: {
            group: Figures(*stored.get(name, {}).get(group, (0, 0)), uses.get(name, {}).get(group, Uses()))
            for group in (*GROUPS, ALL)
            if group in stored.get(name, {}) or group in uses.get(name, {})
        }
        for name in sorted({*stored, *uses})
    }
    day = AnalysisDay(datetime.fromtimestamp(at, UTC).strftime("%m-%d-%Y"), filter_, figures)
    window = [*before[-OBSERVED_DAYS + 1 :], day]
    rated = {
        name: {group: replace(each, ratio=access_ratio(window, name, group)) for group, each in groups.items()}
        for name, groups in figures.items()
    }
    transition = _transition(window)
    last = [each.transition for each in before[-STABLE_DAYS + 1 :]]
    stable = transition is not None and last == [transition] * (STABLE_DAYS - 1)
    return replace(day, figures=rated, transition=transition, recommended=transition if stable else None)


def access_ratio(days: Sequence[AnalysisDay], name: str, group: str) -> float | None:
    """Bytes read in these days over the bytes stored on average, of the group and all older ones; None of nothing."""
    groups = (ALL,) if group == ALL else GROUPS[GROUPS.index(group) :]
    found = [day.figures[name][each] for day in days for each in groups if each in day.figures.get(name, {})]
    stored = sum(each.stored for each in found) / len(days)
    return round(sum(each.uses.retrieved for each in found) / stored, _DIGITS) if stored else None


def _transition(window: Sequence[AnalysisDay]) -> int | None:
    """The age from which on objects of STANDARD are better off in STANDARD_IA; None while that cannot be said."""
    if len(window) < OBSERVED_DAYS:
        return None
    for start, group in zip(GROUP_STARTS, GROUPS, strict=True):
        ratio = access_ratio(window, ANALYSED_CLASS, group) if start >= TRANSITION_DAYS_MIN else None
        if ratio is not None and ratio < WORTH_RATIO:
            return start
    return None


def filter_text(prefix: str, tags: Sequence[tuple[str, str]]) -> str:
    """How the report shows a filter; empty without one."""
    shown = [f"Prefix={prefix}"] if prefix else []
    return "&".join([*shown, *(f"Tag={key}={value}" for key, value in tags)])


def report(id_: str, days: Sequence[AnalysisDay]) -> bytes:
    """The CSV file: age group by age group, each by date; at the end the rows of ALL."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for group in (*GROUPS, ALL):
        for day in days:
            writer.writerows(_rows(id_, day, group))
    return text.getvalue().encode("utf-8", "surrogatepass")


def _rows(id_: str, day: AnalysisDay, group: str) -> Iterator[tuple[str, ...]]:
    for name, groups in day.figures.items():
        if group not in groups:
            continue
        found = groups[group]
        advised = group == ALL and name == ANALYSED_CLASS
        yield (
            day.date,
            id_,
            day.filter,
            name,
            group,
            str(found.objects),
            _megabytes(found.uses.uploaded),
            _megabytes(found.stored),
            _megabytes(found.uses.retrieved),
            str(found.uses.gets),
            "" if found.ratio is None else _number(found.ratio),
            str(day.transition) if advised and day.transition is not None else "",
            str(day.recommended) if advised and day.recommended is not None else "",
        )


def _megabytes(size: int) -> str:
    return _number(size / _MB)


def _number(value: float) -> str:
    return f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")
