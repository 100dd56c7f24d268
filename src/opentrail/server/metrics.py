"""The page `/_opentrail/metrics`: how far everything that follows the ledger has come, in Prometheus' text format.

Everything is worked out when the page is asked for, from rows and cursors; calls pay nothing for it. Labels are names of
followers, ARNs of trails, and buckets and ids of metrics configurations, of which a bounded number is shown; there are no
secrets. Source of the format: Prometheus, text-based format 0.0.4. Knows rows and `ports.Reading`; no particular follower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from opentrail.ports import Follower, Key, Reading, Seq
from opentrail.rows.cloudtrail import CHAINS, DELIVERY_STATUS, DIGEST_STATUS, NOTICES, PLANNED
from opentrail.rows.timelines import Timeline, Timelines
from opentrail.rows.trail_log_groups import LOG_GROUP_STATUS, LogGroupStatus
from opentrail.server.metrics_requests import request_lines
from opentrail.state import SCAN_PAGE, House, Unit

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TRAILS_MAX = 200
"""Trails shown; `opentrail_trails` tells how many there are."""
COUNTED_MAX = 10_000
"""Undelivered files of a trail that are counted; more are shown as so many."""

Kind = Literal["gauge", "counter"]
Value = tuple[str, float]
"""(value of the label, number)."""


class _Timed(msgspec.Struct):
    """As much of a line as tells its age."""

    eventTime: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class _Family:
    """One metric: its name behind `opentrail_`, what it tells, and how a trail's number is found."""

    name: str
    kind: Kind
    help: str
    of: Callable[[TrailFigures], float]


@dataclass(frozen=True, slots=True)
class TrailFigures:
    """What is told of one trail, all its regions together."""

    arn: str
    logging: bool
    files_waiting: int
    files_oldest: float
    """Age in seconds of the oldest event that is planned and not delivered; 0 when nothing waits."""
    delivered: int
    events: int
    delivery_errors: int
    delivery_failing: bool
    digests: int
    digest_errors: int
    digest_failing: bool
    digest_late: float
    """Seconds by which the most belated chain is behind its next digest; 0 when none is due."""
    notices_waiting: int
    notified: int
    notification_errors: int
    log_events: int
    log_errors: int
    log_failing: bool


_TRAIL: Sequence[_Family] = (
    _Family("trail_logging", "gauge", "1 while the trail is logging.", lambda t: t.logging),
    _Family("trail_undelivered_files", "gauge", "Log files planned and not yet delivered.", lambda t: t.files_waiting),
    _Family(
        "trail_oldest_undelivered_seconds",
        "gauge",
        "Age of the oldest event in a log file that is planned and not yet delivered.",
        lambda t: t.files_oldest,
    ),
    _Family("trail_files_delivered_total", "counter", "Log files delivered.", lambda t: t.delivered),
    _Family("trail_events_delivered_total", "counter", "Records in log files delivered.", lambda t: t.events),
    _Family("trail_delivery_errors_total", "counter", "Failed tries to deliver a file.", lambda t: t.delivery_errors),
    _Family(
        "trail_delivery_failing", "gauge", "1 while the last try to deliver has failed.", lambda t: t.delivery_failing
    ),
    _Family("trail_digests_delivered_total", "counter", "Digests delivered.", lambda t: t.digests),
    _Family("trail_digest_errors_total", "counter", "Failed tries to deliver a digest.", lambda t: t.digest_errors),
    _Family(
        "trail_digest_failing", "gauge", "1 while the last try to deliver a digest has failed.",
        lambda t: t.digest_failing,
    ),
    _Family(
        "trail_digest_late_seconds", "gauge", "How long the next digest has been due, in the most belated region.",
        lambda t: t.digest_late,
    ),
    _Family("trail_notices_waiting", "gauge", "Deliveries of which the topic is not yet told.",
            lambda t: t.notices_waiting),
    _Family("trail_notices_sent_total", "counter", "Deliveries of which the topic was told.", lambda t: t.notified),
    _Family(
        "trail_notification_errors_total", "counter", "Failed tries to tell the topic.",
        lambda t: t.notification_errors,
    ),
    _Family("trail_log_events_delivered_total", "counter", "Events put into the log group.", lambda t: t.log_events),
    _Family("trail_log_delivery_errors_total", "counter", "Failed tries to put events.", lambda t: t.log_errors),
    _Family("trail_log_delivery_failing", "gauge", "1 while the last try to put events has failed.",
            lambda t: t.log_failing),
)  # fmt: skip


class Metrics:
    """Makes the page."""

    def __init__(self, house: House, followers: Sequence[Follower]) -> None:
        self._house = house
        self._readers = [each for each in followers if isinstance(each, Reading)]
        self._timelines = Timelines(house.ledger)
        self._timed = msgspec.json.Decoder(_Timed)

    def page(self) -> bytes:
        """The whole page."""
        self._timelines.refresh()
        trails = [self._figures(each) for each in list(self._timelines)[:TRAILS_MAX]]
        lines = [
            *self._ledger(),
            *_family("trails", "gauge", "Trails there are, those included that still deliver after their end.", "",
                     [("", len(self._timelines))]),
        ]  # fmt: skip
        for family in _TRAIL:
            values = [(each.arn, float(family.of(each))) for each in trails]
            lines += _family(family.name, family.kind, family.help, "trail", values)
        lines += request_lines(Unit(self._house, 0.0))
        return "\n".join(lines).encode() + b"\n"

    def _ledger(self) -> Iterator[str]:
        head = self._house.ledger.head()
        yield from _family(
            "ledger_head", "counter", "Seq of the last durable line; grows with every call.", "", [("", head)]
        )
        behind = [(each.name, each.position()) for each in self._readers]
        lag = [(name, float(max(head - at, 0))) for name, at in behind]
        yield from _family("follower_lag_lines", "gauge", "Seqs from the follower to the head.", "follower", lag)
        ages = [(name, self._age(at) if at < head else 0.0) for name, at in behind]
        yield from _family(
            "follower_lag_seconds", "gauge", "Age of the first line that the follower has not read.", "follower", ages
        )

    def _age(self, after: Seq) -> float:
        """How old the line following a Seq is, in seconds; 0 if there is none or it does not say."""
        for _, line in self._house.ledger.read(after, 1)[:1]:
            try:
                timed = self._timed.decode(line.data)
            except msgspec.MsgspecError:
                return 0.0
            return self._since(timed.eventTime or timed.time)
        return 0.0

    def _since(self, moment: str) -> float:
        try:
            return max(0.0, self._house.clock.now() - datetime.fromisoformat(moment).timestamp())
        except ValueError:
            return 0.0

    def _figures(self, timeline: Timeline) -> TrailFigures:
        unit = Unit(self._house, 0.0)
        deliveries = [row for _, row in DELIVERY_STATUS.all(unit, timeline.id)]
        digests = [row for _, row in DIGEST_STATUS.all(unit, timeline.id)]
        group = LOG_GROUP_STATUS.get(unit, timeline.id) or LogGroupStatus()
        first = PLANNED.page(unit, timeline.id, limit=1)
        return TrailFigures(
            arn=timeline.newest.arn,
            logging=timeline.newest.logging,
            files_waiting=_counted(unit, PLANNED.key(timeline.id, "")),
            files_oldest=self._since(first[0][1].oldest) if first else 0.0,
            delivered=sum(row.files for row in deliveries),
            events=sum(row.events for row in deliveries),
            delivery_errors=sum(row.failures for row in deliveries),
            delivery_failing=any(row.error for row in deliveries),
            digests=sum(row.digests for row in digests),
            digest_errors=sum(row.failures for row in digests),
            digest_failing=any(row.error for row in digests),
            digest_late=self._late(unit, timeline),
            notices_waiting=_counted(unit, NOTICES.key(timeline.id, "")),
            notified=sum(row.notices for row in deliveries),
            notification_errors=sum(row.notice_failures for row in deliveries),
            log_events=group.events,
            log_errors=group.failures,
            log_failing=bool(group.error),
        )

    def _late(self, unit: Unit, timeline: Timeline) -> float:
        due = [
            row.end + (self._house.settings.digest_interval if row.signature else 0.0)
            for _, row in CHAINS.all(unit, timeline.id)
            if not row.closed
        ]
        return max(0.0, self._house.clock.now() - min(due)) if due else 0.0


def _counted(unit: Unit, prefix: Key) -> int:
    """How many rows there are, COUNTED_MAX at the most."""
    count, after = 0, b""
    while count < COUNTED_MAX:
        rows = unit.scan(prefix, after)
        count += len(rows)
        if len(rows) < SCAN_PAGE:
            break
        after = rows[-1][0]
    return count


def _family(name: str, kind: Kind, help: str, label: str, values: Sequence[Value]) -> Iterator[str]:
    yield f"# HELP opentrail_{name} {help}"
    yield f"# TYPE opentrail_{name} {kind}"
    for of, number in values:
        labels = f'{{{label}="{_escaped(of)}"}}' if label else ""
        yield f"opentrail_{name}{labels} {number:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
