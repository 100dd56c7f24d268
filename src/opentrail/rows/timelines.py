"""Which trails log a line: every trail's configurations over time, held in memory and renewed when one changes.

Both the delivery of log files and the EventBridge rules ask here, so that a rule sees exactly what a trail logs. Reads
the ledger through its port; knows nothing of files, digests or rules.

A configuration holds from the Seq of the call that made it. That call's own line counts for both sides: StartLogging
and StopLogging are themselves logged, and so is a PutEventSelectors that leaves out what selected it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from opentrail.ports import Key, Ledger, Seq, Versioned
from opentrail.record.event_selectors import Predicate, RecordHead, compile_selectors
from opentrail.rows.cloudtrail import CHANGE_KEY, CONFIGS, DELIVERY_PRINCIPAL, TrailConfig
from opentrail.state import SCAN_PAGE

GLOBAL_SOURCES = frozenset({"iam.amazonaws.com", "cloudfront.amazonaws.com", "route53.amazonaws.com"})
"""Services whose events all lie in us-east-1 and are governed by IncludeGlobalServiceEvents. cloudtrail.md §4.3.
STS is not among them: its regional events look the same, and leaving out evidence is the worse mistake."""


class Period:
    """A configuration and the Seq from which it holds. Its selectors are compiled when first asked."""

    __slots__ = ("_selects", "config", "row", "since")

    def __init__(self, row: Versioned) -> None:
        self.row = row
        self.since = row.version
        self.config = CONFIGS.decode(row.value)
        self._selects: Predicate | None = None

    def logs(self, record: RecordHead) -> bool:
        """Would a trail configured so log this record of its own account?"""
        config = self.config
        if not config.logging or not _in_reach(config, record):
            return False
        if self._selects is None:
            self._selects = compile_selectors(config.event_selectors, config.advanced_event_selectors)
        return self._selects(record) and (config.recursive or not is_delivery_into(config.bucket, record))


class Timeline:
    """One trail: its configurations, oldest first."""

    __slots__ = ("_since", "id", "periods", "whole")

    def __init__(self, trail_id: str, periods: Sequence[Period], *, whole: bool) -> None:
        self.id = trail_id
        self.periods = periods
        self.whole = whole
        """Its first configuration is still kept; otherwise the oldest kept stands for those cleared away."""
        self._since = [period.since for period in periods]

    @property
    def newest(self) -> TrailConfig:
        return self.periods[-1].config

    def at(self, seq: Seq) -> Iterator[Period]:
        """The configurations that count for a line: the one in force, and the one that the line's own call ended."""
        index = bisect_right(self._since, seq) - 1
        if index < 0:
            if not self.whole:
                yield self.periods[0]
            return
        yield self.periods[index]
        if self._since[index] == seq and index > 0:
            yield self.periods[index - 1]

    def logs(self, record: RecordHead, seq: Seq) -> bool:
        return any(period.logs(record) for period in self.at(seq))


class Timelines:
    """All trails by account. `refresh` before asking about lines just read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: Versioned | None = None
        self._kept: dict[Key, Period] = {}
        self._by_account: dict[str, list[Timeline]] = {}
        self._by_id: dict[str, Timeline] = {}

    def refresh(self) -> bool:
        """Take over changed configurations; True if there were any. Costs one lookup when there were none."""
        change = self._ledger.get(CHANGE_KEY)
        if change == self._seen:
            return False
        self._seen = change
        self._reload()
        return True

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Timeline]:
        return iter(list(self._by_id.values()))

    def get(self, trail_id: str) -> Timeline | None:
        return self._by_id.get(trail_id)

    def of_account(self, account_id: str) -> Sequence[Timeline]:
        return self._by_account.get(account_id, ())

    def logging(self, record: RecordHead, seq: Seq) -> list[Timeline]:
        """The trails of the record's recipient that log it."""
        trails = self._by_account.get(record.recipient_account_id, ())
        return [trail for trail in trails if trail.logs(record, seq)]

    def logged(self, record: RecordHead, seq: Seq) -> bool:
        """Does any trail of the record's recipient log it?"""
        trails = self._by_account.get(record.recipient_account_id, ())
        return any(trail.logs(record, seq) for trail in trails)

    def _reload(self) -> None:
        kept: dict[Key, Period] = {}
        series: dict[str, list[tuple[int, Period]]] = {}
        for key, row in self._rows():
            old = self._kept.get(key)
            period = old if old is not None and old.row == row else Period(row)
            kept[key] = period
            trail_id, revision = CONFIGS.parts(key)
            series.setdefault(trail_id, []).append((int(revision), period))
        self._kept = kept
        self._by_id = {
            trail_id: Timeline(trail_id, [period for _, period in rows], whole=rows[0][0] == 1)
            for trail_id, rows in series.items()
        }
        self._by_account = {}
        for timeline in self._by_id.values():
            self._by_account.setdefault(timeline.newest.account_id, []).append(timeline)

    def _rows(self) -> Iterator[tuple[Key, Versioned]]:
        prefix = CONFIGS.key("")
        after = b""
        while True:
            rows = self._ledger.scan(prefix, after, SCAN_PAGE)
            yield from rows
            if len(rows) < SCAN_PAGE:
                return
            after = rows[-1][0]


def is_delivery_into(bucket: str, record: RecordHead) -> bool:
    """Is this CloudTrail itself writing into `bucket`? A trail never feeds on its own log files unless told to."""
    return (
        record.event_name == "PutObject"
        and record.user_identity.type == "AWSService"
        and record.user_identity.invoked_by == DELIVERY_PRINCIPAL
        and any(found.arn == f"arn:aws:s3:::{bucket}" for found in record.resources)
    )


def _in_reach(config: TrailConfig, record: RecordHead) -> bool:
    """Region and global events: does the trail cover where this happened?"""
    if config.multi_region:
        return True
    if record.aws_region != config.home_region:
        return False
    return config.global_events or record.event_source not in GLOBAL_SOURCES
