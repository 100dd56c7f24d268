"""Writes the reports of storage class analysis: closes a day of each when it is over, and puts the report into its bucket.

A day counts from when the configuration was put. Closing it (what is stored now, and the requests that were counted since
the last one) is one commit; so is the report, with the note that it tells of that day, so that after a crash nothing is
counted or written twice. A report that its destination refuses is tried again in every pass, and then tells of all days.
Files are put by S3 itself, so the destination's policy must let it. Follows the clock; `request_meter` follows the lines.
Source: S3 user guide, "Amazon S3 analytics - Storage Class Analysis".
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from opentrail.call import Shape
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.analysis_days import Stored, close_day, filter_text, report
from opentrail.followers.request_watch import TURN_MATCHES, Choice, Watched
from opentrail.rows.s3 import BUCKETS, CONFIGS, OBJECTS, Bucket, ObjectVersion
from opentrail.rows.s3_metering import (
    ANALYSES,
    ANALYTICS,
    DAYS,
    DAYS_MAX,
    METERED,
    TALLIES,
    AnalysisRun,
    Tally,
    day_part,
    export_of,
    filter_parts,
    groups_of,
)
from opentrail.rows.s3_notices import as_s3
from opentrail.state import House, Unit

PASSES_PER_DAY = 24
PASS_SECONDS_MIN = 0.05
BUCKETS_PAGE = 100
PAGE_ROWS = 500
"""Objects looked at before requests get their turn."""
PAUSE_SECONDS = 0.001
CONTENT_TYPE = "text/csv"

log = logging.getLogger("opentrail.analysis")


class Analysis(NamedTuple):
    """A configuration whose report is exported. `put_at` is epoch seconds."""

    watched: Watched
    document: dict[str, Any]
    put_at: float


class AnalysisFollower:
    """A `ports.Follower`."""

    name = "analysis"

    def __init__(self, house: House) -> None:
        self._house = house
        self._day = house.settings.lifecycle_day
        self._interval = max(self._day / PASSES_PER_DAY, PASS_SECONDS_MIN)

    async def run(self) -> None:
        """Pass for ever, from the server's start."""
        while True:
            try:
                await self.sweep()
            except LedgerUnavailable as failure:
                log.warning("analyses wait for the ledger: %s", failure)
            await asyncio.sleep(self._interval)

    async def sweep(self) -> None:
        """Close what is over, and write what is not yet told."""
        after = b""
        while rows := METERED.page(self._unit(), after=after, limit=BUCKETS_PAGE):
            for key, _ in rows:
                bucket = BUCKETS.get(self._unit(), METERED.parts(key)[0])
                if bucket is not None and ANALYTICS in bucket.configured:
                    await self._settle(bucket)
            after = rows[-1][0]
            await asyncio.sleep(PAUSE_SECONDS)

    def _unit(self) -> Unit:
        return Unit(self._house, self._house.clock.now())

    async def _settle(self, bucket: Bucket) -> None:
        """One bucket's analyses. What somebody else changed meanwhile is taken up in the next pass."""
        try:
            analyses = self._analyses(bucket)
            due = [each for each in analyses if self._is_due(bucket, each)]
            if due:
                stored = await self._walk(bucket, due)
                for each in due:
                    await self._close(bucket, each, stored[each.watched.id])
            for each in analyses:
                await self._tell(bucket, each)
        except Conflict:
            log.info("the analyses of %s are taken up in the next pass", bucket.name)

    def _analyses(self, bucket: Bucket) -> list[Analysis]:
        found = []
        for key, row in CONFIGS.all(self._unit(), bucket.name, ANALYTICS):
            document = msgspec.json.decode(row.document)
            if export_of(document) is not None:
                prefix, tags = filter_parts(document.get("Filter"))
                found.append(Analysis(Watched(key[-1], 0, prefix, frozenset(tags)), document, row.put_at))
        return found

    # Days

    def _is_due(self, bucket: Bucket, analysis: Analysis) -> bool:
        unit = self._unit()
        return unit.now >= self._last_end(unit, bucket, analysis) + self._day

    def _last_end(self, unit: Unit, bucket: Bucket, analysis: Analysis) -> float:
        """When the last day ended, or the first one began."""
        run = ANALYSES.get(unit, bucket.name, analysis.watched.id)
        return max(run.closed if run else 0.0, analysis.put_at)

    async def _walk(self, bucket: Bucket, due: list[Analysis]) -> dict[str, Stored]:
        """What each analysis' objects hold: one walk for all of a bucket's."""
        found: dict[str, Stored] = {each.watched.id: {} for each in due}
        choice = Choice(each.watched for each in due)
        after, matches = b"", 0
        while rows := OBJECTS.page(unit := self._unit(), bucket.name, after=after, limit=PAGE_ROWS):
            for _, version in rows:
                groups = groups_of((unit.now - version.modified) / self._day, version.size)
                for each in choice.of(version.key, version):
                    _add(found[each.id], version, groups)
                    matches += 1
                if matches >= TURN_MATCHES:
                    matches = 0
                    await asyncio.sleep(0)
            after = rows[-1][0]
            await asyncio.sleep(PAUSE_SECONDS)
        return found

    async def _close(self, bucket: Bucket, analysis: Analysis, stored: Stored) -> None:
        """Make the day that is over a row. Raises Conflict."""
        unit, place = self._unit(), (bucket.name, analysis.watched.id)
        end = self._last_end(unit, bucket, analysis)
        end += (unit.now - end) // self._day * self._day
        run = ANALYSES.get(unit, *place) or AnalysisRun(end)
        if not self._is_unchanged(unit, bucket, analysis):
            return
        tally = TALLIES.get(unit, *place) or Tally()
        before = [row for _, row in DAYS.all(unit, *place)]
        shown = filter_text(*filter_parts(analysis.document.get("Filter")))
        DAYS.put(unit, close_day(end, shown, stored, tally.uses, before), *place, day_part(run.days))
        if run.days >= DAYS_MAX:
            DAYS.delete(unit, *place, day_part(run.days - DAYS_MAX))
        TALLIES.delete(unit, *place)
        ANALYSES.put(unit, replace(run, closed=end, days=run.days + 1), *place)
        await self._house.ledger.commit(unit.writes, ())

    def _is_unchanged(self, unit: Unit, bucket: Bucket, analysis: Analysis) -> bool:
        """Is the configuration still this one? By this read the commit is guarded."""
        row = CONFIGS.get(unit, bucket.name, ANALYTICS, analysis.watched.id)
        return row is not None and row.put_at == analysis.put_at

    # Reports

    async def _tell(self, bucket: Bucket, analysis: Analysis) -> None:
        """Put the report, if there are days that it does not tell of. Raises Conflict."""
        unit, place = self._unit(), (bucket.name, analysis.watched.id)
        run = ANALYSES.get(unit, *place)
        if run is None or run.written >= run.days or not self._is_unchanged(unit, bucket, analysis):
            return
        days = [row for _, row in DAYS.all(Unit(self._house, unit.now), *place)]
        body = await asyncio.to_thread(report, analysis.watched.id, days)
        ANALYSES.put(unit, replace(run, written=run.days), *place)
        principal = as_s3(f"arn:aws:s3:::{bucket.name}", bucket.owner)
        given = put_input(bucket.name, analysis)
        try:
            await self._house.road.call(
                principal, "s3", "PutObject", given, region=bucket.region, body=body, also=unit.writes
            )
        except AwsError as failure:
            log.warning("the analysis %s of %s waits: %s", analysis.watched.id, bucket.name, failure)


def put_input(source: str, analysis: Analysis) -> Shape:
    """PutObject's input for a report, as the destination's policy may ask for it."""
    target = export_of(analysis.document) or {}
    prefix = target.get("Prefix", "").rstrip("/")
    key = f"{source}/{analysis.watched.id}.csv"
    shape: Shape = {
        "Bucket": target["Bucket"].rpartition(":")[2],
        "Key": f"{prefix}/{key}" if prefix else key,
        "ACL": "bucket-owner-full-control",
        "ContentType": CONTENT_TYPE,
    }
    if target.get("BucketAccountId"):
        shape["ExpectedBucketOwner"] = target["BucketAccountId"]
    return shape


def _add(stored: Stored, version: ObjectVersion, groups: tuple[str, ...]) -> None:
    mine = stored.setdefault(version.storage_class, {})
    for group in groups:
        objects, size = mine.get(group, (0, 0))
        mine[group] = (objects + 1, size + version.size)
