"""What a trail has to deliver: lines gathered as Seqs into files of bounded size, and the rows that fix those files.

Lines themselves are not held: a file remembers the runs of Seqs it is made of. Once planned, a file's bucket, key and
lines are decided for good, so that delivering it twice writes the same bytes under the same name. No I/O here.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import Enum

from opentrail.ports import Seq
from opentrail.record.log_file import log_file_key, unique_name
from opentrail.rows.cloudtrail import CURSORS, EVENTS, PLANNED, DeliveryCursor, PlannedFile, TrailConfig, padded
from opentrail.state import Unit

FILE_BYTES_MAX = 8 * 1024 * 1024
"""Uncompressed bytes of the lines of one log file; a file is closed by the line that reaches it."""
FILE_LINES_MAX = 20_000
TRAIL_BYTES_MAX = 2 * FILE_BYTES_MAX
"""Uncompressed bytes that a trail gathers before it delivers ahead of time."""


class Echo(Enum):
    """What a line has to do with CloudTrail's own deliveries."""

    NONE = 0
    """Nothing: somebody called."""
    NEWS = 1
    """CloudTrail delivered something that nobody knew yet: a file with other people's calls in it, a digest."""
    OWN = 2
    """CloudTrail delivered, encrypted or told of what only holds records of its own calls."""
    LOOK = 3
    """CloudTrail looked at a log bucket's ACL before it delivered."""

    @property
    def waits(self) -> bool:
        """A trail does not deliver on account of such lines: they go along with the next one that matters. Looks do not
        wait, since a file of nothing but looks is delivered without another look, and so ends it."""
        return self is Echo.OWN


class OpenFile:
    """A log file being gathered: Seqs, not lines."""

    __slots__ = ("lines", "looks", "newest", "oldest", "quiet", "runs", "size")

    def __init__(self) -> None:
        self.runs: list[tuple[Seq, int]] = []
        self.size = 0
        self.lines = 0
        self.oldest = ""
        self.newest = ""
        self.looks = False
        self.quiet = True

    @property
    def full(self) -> bool:
        return self.size >= FILE_BYTES_MAX or self.lines >= FILE_LINES_MAX

    def add(self, seq: Seq, size: int, event_time: str, echo: Echo) -> None:
        runs = self.runs
        self.looks = self.looks or echo not in (Echo.LOOK, Echo.OWN)
        self.quiet = self.quiet and echo is not Echo.NONE
        if runs and runs[-1][0] + runs[-1][1] == seq:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((seq, 1))
        self.size += size
        self.lines += 1
        if not self.oldest or event_time < self.oldest:
            self.oldest = event_time
        if event_time > self.newest:
            self.newest = event_time


class Pending:
    """What a trail has gathered since its last plan, by organization, recipient account, region and kind."""

    __slots__ = ("due", "files", "size")

    def __init__(self, due: float = math.inf) -> None:
        self.due = due
        """When it has to be delivered, on the loop's clock; never on account of echoes alone."""
        self.files: dict[tuple[str, str, str, str], list[OpenFile]] = {}
        self.size = 0

    def add(
        self,
        account_id: str,
        region: str,
        seq: Seq,
        size: int,
        event_time: str,
        echo: Echo = Echo.NONE,
        organization_id: str = "",
        kind: str = EVENTS,
    ) -> None:
        """Take in one line."""
        files = self.files.setdefault((organization_id, account_id, region, kind), [])
        if not files or files[-1].full:
            files.append(OpenFile())
        files[-1].add(seq, size, event_time, echo)
        self.size += size


def put_plan(
    unit: Unit, trail_id: str, config: TrailConfig, cursor: DeliveryCursor, pending: Pending | None, through: Seq
) -> None:
    """Lay out everything gathered up to `through` as rows, and move the trail's cursor there, in one commit."""
    stamp = max(unit.now, cursor.stamp)
    number = cursor.files
    for (organization_id, account_id, region, kind), files in sorted(pending.files.items()) if pending else ():
        for file in files:
            row = planned_file(trail_id, config, account_id, region, file, stamp, organization_id, kind)
            PLANNED.put(unit, row, trail_id, padded(number))
            number += 1
    CURSORS.put(unit, DeliveryCursor(through=through, stamp=stamp, files=number), trail_id)


def planned_file(
    trail_id: str,
    config: TrailConfig,
    account_id: str,
    region: str,
    file: OpenFile,
    stamp: float,
    organization_id: str = "",
    kind: str = EVENTS,
) -> PlannedFile:
    """The row of a file that is to be delivered where `config` says."""
    return addressed(
        PlannedFile(
            bucket="",
            key="",
            account_id=account_id,
            region=region,
            runs=tuple(file.runs),
            oldest=file.oldest,
            newest=file.newest,
            stamp=stamp,
            looks=file.looks,
            quiet=file.quiet,
            organization_id=organization_id,
            kind=kind,
        ),
        trail_id,
        config,
    )


def addressed(row: PlannedFile, trail_id: str, config: TrailConfig) -> PlannedFile:
    """The same lines, delivered to where `config` says: the unique part of the name depends on the lines only."""
    moment = datetime.fromtimestamp(row.stamp, UTC)
    unique = unique_name(trail_id, row.account_id, row.region, str(row.runs[0][0]))
    return PlannedFile(
        bucket=config.bucket,
        key=log_file_key(config.prefix, row.organization_id, row.account_id, row.region, moment, unique, row.kind),
        account_id=row.account_id,
        region=row.region,
        runs=row.runs,
        oldest=row.oldest,
        newest=row.newest,
        stamp=row.stamp,
        digested=config.validation,
        topic_arn=config.topic_arn,
        looks=row.looks,
        quiet=row.quiet,
        organization_id=row.organization_id,
        kind=row.kind,
    )
