"""Which trails log a line: every trail's configurations over time, held in memory and renewed when one changes.

Both the delivery of log files and the EventBridge rules ask here, so that a rule sees exactly what a trail logs. Reads
the ledger through its port; knows nothing of files, digests or rules.

An organization trail also logs for the members of its organization, from the call that made an account a member to the one
that ended that. A configuration holds from the Seq of the call that made it. That call's own line counts for both sides:
StartLogging and StopLogging are themselves logged, and so is a PutEventSelectors that leaves out what selected it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from opentrail.model.facts import partition
from opentrail.ports import Key, Ledger, Seq, Versioned
from opentrail.record.event_selectors import Predicate, wanted_by
from opentrail.record.insight import INSIGHT
from opentrail.record.record_head import RecordHead
from opentrail.rows.cloudtrail import CHANGE_KEY, CONFIGS, DELIVERY_PRINCIPAL, TrailConfig
from opentrail.rows.organizations import LAST_STEP_KEY, MEMBERS, STEPS
from opentrail.state import SCAN_PAGE

GLOBAL_SOURCES = frozenset({"iam.amazonaws.com", "cloudfront.amazonaws.com", "route53.amazonaws.com"})
"""Services whose events all lie in us-east-1 and are governed by IncludeGlobalServiceEvents.

Source: CloudTrail user guide, "CloudTrail concepts". STS is not among them: its regional events look the same,
and leaving out evidence is the worse mistake."""

PLACES_MAX = 10_000
"""Accounts and regions of which it is remembered what Insight events are wanted."""


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
        if record.event_category == INSIGHT:
            return any(each["InsightType"] == record.insight_details.insight_type for each in config.insight_selectors)
        if self._selects is None:
            self._selects = wanted_by(config.event_selectors, config.advanced_event_selectors)
        if not self._selects(record):
            return False
        return config.recursive or not _is_own_delivery(config, record)


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
        if seq > self._since[-1]:  # nearly every line
            return self.periods[-1].logs(record)
        return any(period.logs(record) for period in self.at(seq))

    def logs_for(self, organization_id: str, record: RecordHead, seq: Seq) -> bool:
        """Does it log this record of a member of the organization?"""
        return any(each.config.organization_id == organization_id and each.logs(record) for each in self.at(seq))

    def organization_at(self, seq: Seq) -> str:
        """The organization whose trail it was at a line, empty if it was none. Where the line's own call changed that,
        what holds from there on."""
        return next((each.config.organization_id for each in self.at(seq)), "")


class Timelines:
    """All trails by account. `refresh` before asking about lines just read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: Versioned | None = None
        self._kept: dict[Key, Period] = {}
        self._by_account: dict[str, list[Timeline]] = {}
        self._by_organization: dict[str, list[Timeline]] = {}
        self._by_id: dict[str, Timeline] = {}
        self.members = Members(ledger)
        self.has_insights = False
        """Does any trail that logs now want Insight events?"""
        self._insights: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}

    def refresh(self) -> bool:
        """Take over changed configurations, and members of organizations that have a trail; True if there were any. Costs
        a lookup or two when there were none."""
        change = self._ledger.get(CHANGE_KEY)
        changed = change != self._seen
        if changed:
            self._seen = change
            self._reload()
        changed = bool(self._by_organization and self.members.refresh()) or changed
        if changed:
            self._insights.clear()
        return changed

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Timeline]:
        return iter(list(self._by_id.values()))

    def get(self, trail_id: str) -> Timeline | None:
        return self._by_id.get(trail_id)

    def insights_of(self, account_id: str, region: str) -> frozenset[tuple[str, str]]:
        """(insight type, event category) of the Insight events that trails of the account, or of its organization, want of
        a region by now."""
        if not self.has_insights:
            return frozenset()
        found = self._insights.get((account_id, region))
        if found is None:
            found = frozenset(self._wanted_insights(account_id, region))
            if len(self._insights) < PLACES_MAX:
                self._insights[account_id, region] = found
        return found

    def _wanted_insights(self, account_id: str, region: str) -> Iterator[tuple[str, str]]:
        head = RecordHead(aws_region=region)
        for trail in self._by_id.values():
            config = trail.newest
            own = config.account_id == account_id or (
                config.organization_id and self.members.belongs(account_id, config.organization_id)
            )
            if own and config.logging and _in_reach(config, head):
                for each in config.insight_selectors:
                    yield from ((each["InsightType"], name) for name in each.get("EventCategories", ["Management"]))

    def logging(self, record: RecordHead, seq: Seq) -> list[Timeline]:
        """The trails that log a record of its recipient: the account's own, and those of its organization."""
        return list(self._logging(record, seq))

    def logged(self, record: RecordHead, seq: Seq) -> bool:
        """Does any trail log it for its recipient?"""
        return next(self._logging(record, seq), None) is not None

    def _logging(self, record: RecordHead, seq: Seq) -> Iterator[Timeline]:
        account_id = record.recipient_account_id
        for trail in self._by_account.get(account_id, ()):
            if trail.logs(record, seq):
                yield trail
        if not self._by_organization:
            return
        for organization_id in self.members.organizations_at(account_id, seq):
            for trail in self._by_organization.get(organization_id, ()):
                if trail.newest.account_id != account_id and trail.logs_for(organization_id, record, seq):
                    yield trail

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
        newest = [timeline.newest for timeline in self._by_id.values()]
        self.has_insights = any(config.logging and config.insight_selectors for config in newest)
        self._by_account = {}
        self._by_organization = {}
        for timeline in self._by_id.values():
            self._by_account.setdefault(timeline.newest.account_id, []).append(timeline)
            for organization_id in sorted({each.config.organization_id for each in timeline.periods} - {""}):
                self._by_organization.setdefault(organization_id, []).append(timeline)

    def _rows(self) -> Iterator[tuple[Key, Versioned]]:
        return scan_rows(self._ledger, CONFIGS.key(""))


class Members:
    """Which accounts belonged to which organization when, by Seq. `refresh` before asking about lines just read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: Versioned | None = None
        self._last: tuple[Key, Versioned | None] | None = None
        """The last step that was read, its key empty before the first; None until members are first asked for."""
        self._steps: dict[str, dict[str, list[tuple[Seq, bool]]]] = {}
        """Account → organization → (Seq, joined), in order."""
        self.newest: Seq = 0
        """The last change of all."""

    def refresh(self) -> bool:
        """Take over changes; True if there were any. Reads only what is new, unless a step that was seen has been taken
        back since (its commit never became durable)."""
        change = self._ledger.get(LAST_STEP_KEY)
        if self._last is not None and change == self._seen:
            return False
        self._seen = change
        if self._last is None or (self._last[0] and self._ledger.get(self._last[0]) != self._last[1]):
            self._start()
        last = self._last or (b"", None)
        for key, row in scan_rows(self._ledger, STEPS.key(""), last[0]):
            step = STEPS.decode(row.value)
            steps = self._steps.setdefault(step.account_id, {}).setdefault(step.organization_id, [])
            steps.append((row.version, step.joined))
            self.newest, last = row.version, (key, row)
        self._last = last
        return True

    def _start(self) -> None:
        """Begin with the members from before steps were kept: those of no step."""
        self._last, self._steps, self.newest = None, {}, 0
        stepped = {
            (step.organization_id, step.account_id)
            for step in (STEPS.decode(row.value) for _, row in scan_rows(self._ledger, STEPS.key("")))
        }
        for key, _ in scan_rows(self._ledger, MEMBERS.key("")):
            organization_id, account_id = MEMBERS.parts(key)
            if (organization_id, account_id) not in stepped:
                self._steps.setdefault(account_id, {})[organization_id] = [(0, True)]

    def organizations_at(self, account_id: str, seq: Seq) -> list[str]:
        """The organizations that the account belonged to at a line; the lines of the calls that made it a member and ended
        that count."""
        found = self._steps.get(account_id)
        if found is None:
            return []
        return [organization_id for organization_id, steps in found.items() if _belonged(steps, seq)]

    def belongs(self, account_id: str, organization_id: str) -> bool:
        """Does the account belong to it by now?"""
        steps = self._steps.get(account_id, {}).get(organization_id)
        return steps is not None and steps[-1][1]

    def changed_at(self, account_id: str) -> Seq:
        """Where the account last came into an organization, or left one; 0 for never."""
        return max((steps[-1][0] for steps in self._steps.get(account_id, {}).values()), default=0)


def _belonged(steps: Sequence[tuple[Seq, bool]], seq: Seq) -> bool:
    belongs = not steps[0][1]
    for at, joined in steps:
        if at >= seq:
            return belongs or (at == seq and joined)
        belongs = joined
    return belongs


def scan_rows(ledger: Ledger, prefix: Key, after: Key = b"") -> Iterator[tuple[Key, Versioned]]:
    """Every row below a prefix and behind a key, in order, a page at a time."""
    while True:
        rows = ledger.scan(prefix, after, SCAN_PAGE)
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


def _is_own_delivery(config: TrailConfig, record: RecordHead) -> bool:
    """Is this CloudTrail delivering for such a trail? Looked into for CloudTrail's own calls only."""
    if record.user_identity.invoked_by != DELIVERY_PRINCIPAL:
        return False
    return is_delivery_into(config.bucket, record) or is_delivery_into_group(config.log_group_arn, record)


def is_delivery_into_group(group_arn: str, record: RecordHead) -> bool:
    """Is this CloudTrail itself putting events into the log group (whose ARN ends `:*`), in a trail's role?"""
    return record.event_name == "PutLogEvents" and any(f"{found.arn}:*" == group_arn for found in record.resources)


def _in_reach(config: TrailConfig, record: RecordHead) -> bool:
    """Region and global events: does the trail cover where this happened?"""
    if config.multi_region:
        return partition(record.aws_region) == partition(config.home_region)
    if record.aws_region != config.home_region:
        return False
    return config.global_events or record.event_source not in GLOBAL_SOURCES
