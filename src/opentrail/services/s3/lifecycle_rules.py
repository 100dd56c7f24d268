"""A bucket's lifecycle rules as they are followed: which rule means which version, and when what is due.

Source: S3 user guide, "Lifecycle configuration elements", "Expiring objects", "Transitioning objects". Reads rows, changes
nothing; the rules' document was checked by `lifecycle_check` when it was put.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from opentrail.call import Shape
from opentrail.rows.s3 import LIFECYCLE, Bucket, ObjectVersion, Upload
from opentrail.services.s3.archive import http_date
from opentrail.services.s3.documents import document_text
from opentrail.state import Unit

DAY_SECONDS = 86_400.0
LATEST = 253_402_214_400.0
"""The last midnight that a date can name, 9999-12-31."""
DOCUMENTS_CACHED = 64
"""Documents whose plan is kept in memory; one has at most a thousand rules."""
PRINTABLE = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"
"""What needs no percent-encoding to be safe in a header."""
DEPTH = ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
"""Storage classes from the warmest to the coldest; transitions only go down."""
NO_WAY_DOWN = frozenset({("ONEZONE_IA", "GLACIER_IR")})
TRANSITION_BYTES_MIN = 128 * 1024
"""Smaller objects stay where they are, unless the rule's filter speaks of sizes."""
ALL_128K, BY_CLASS = "all_storage_classes_128K", "varies_by_storage_class"
COLDEST = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class Filter(msgspec.Struct, frozen=True):
    """Which objects a rule means. Sizes are bytes; both ends excluded."""

    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    larger: int | None = None
    smaller: int | None = None

    def matches(self, version: ObjectVersion) -> bool:
        """A delete marker has neither tags nor a size, so only prefixes mean it."""
        if not version.key.startswith(self.prefix):
            return False
        if version.delete_marker:
            return not self.tags and not self.sized
        if self.larger is not None and version.size <= self.larger:
            return False
        if self.smaller is not None and version.size >= self.smaller:
            return False
        return not self.tags or set(self.tags) <= set(version.tags)

    @property
    def sized(self) -> bool:
        return self.larger is not None or self.smaller is not None


class Move(msgspec.Struct, frozen=True):
    """A transition: after `days` or at epoch second `date`; of noncurrent versions behind the `newer` newest."""

    storage_class: str
    days: int | None = None
    date: float = 0.0
    newer: int = 0


class Rule(msgspec.Struct, frozen=True):
    """An enabled rule. Counts are days; 0 and None: the rule has no such action."""

    id: str
    filter: Filter
    days: int = 0
    date: float = 0.0
    markers: bool = False
    """ExpiredObjectDeleteMarker."""
    moves: tuple[Move, ...] = ()
    noncurrent_days: int = 0
    newer: int = 0
    noncurrent_moves: tuple[Move, ...] = ()
    abort_days: int = 0

    @property
    def expires(self) -> bool:
        return bool(self.days or self.date)

    def concerns(self, phase: str) -> bool:
        """Has the rule anything to do among the rows of a phase: `objects`, `versions`, `uploads`?"""
        if phase == "objects":
            return self.expires or bool(self.moves)
        if phase == "versions":
            return self.expires or self.markers or bool(self.noncurrent_days or self.noncurrent_moves)
        return bool(self.abort_days)


class Plan(msgspec.Struct, frozen=True):
    """The enabled rules of a bucket."""

    rules: tuple[Rule, ...]
    minimum: str = ALL_128K

    def prefixes(self, phase: str) -> list[str]:
        """The prefixes below which a phase has something to do, none within another, in order."""
        kept: list[str] = []
        for prefix in sorted({rule.filter.prefix for rule in self.rules if rule.concerns(phase)}):
            if not kept or not prefix.startswith(kept[-1]):
                kept.append(prefix)
        return kept


@lru_cache(maxsize=DOCUMENTS_CACHED)
def read_plan(text: str) -> Plan:
    """The plan of a stored document; of an empty text, one without rules."""
    document = msgspec.json.decode(text) if text else {}
    enabled = [rule for rule in document.get("Rules", ()) if rule["Status"] == "Enabled"]
    return Plan(tuple(_rule(each) for each in enabled), document.get("TransitionDefaultMinimumObjectSize", ALL_128K))


def _rule(given: Shape) -> Rule:
    expiration, noncurrent = given.get("Expiration", {}), given.get("NoncurrentVersionExpiration", {})
    return Rule(
        id=given["ID"],
        filter=read_filter(given),
        days=expiration.get("Days", 0),
        date=_epoch(expiration.get("Date")),
        markers=expiration.get("ExpiredObjectDeleteMarker", False),
        moves=tuple(
            Move(m["StorageClass"], m.get("Days"), _epoch(m.get("Date"))) for m in given.get("Transitions", ())
        ),
        noncurrent_days=noncurrent.get("NoncurrentDays", 0),
        newer=noncurrent.get("NewerNoncurrentVersions", 0),
        noncurrent_moves=tuple(
            Move(m["StorageClass"], m["NoncurrentDays"], newer=m.get("NewerNoncurrentVersions", 0))
            for m in given.get("NoncurrentVersionTransitions", ())
        ),
        abort_days=given.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation", 0),
    )


def read_filter(rule: Shape) -> Filter:
    """The filter of a checked rule, whichever of its forms it has."""
    given: dict[str, Any] = rule.get("Filter") or {}
    inner = given.get("And") or given
    tags = inner.get("Tags") or ([inner["Tag"]] if "Tag" in inner else [])
    return Filter(
        inner.get("Prefix", rule.get("Prefix")) or "",
        tuple((tag["Key"], tag.get("Value", "")) for tag in tags),
        inner.get("ObjectSizeGreaterThan"),
        inner.get("ObjectSizeLessThan"),
    )


def _epoch(text: str | None) -> float:
    return 0.0 if text is None else datetime.fromisoformat(text).timestamp()


# When what is due


def after_days(since: float, days: int, day: float = DAY_SECONDS) -> float:
    """The moment `days` after `since`, put off to the next midnight UTC; a day of a test's length is not rounded."""
    at = since + days * day
    return min(math.ceil(at / day) * day if day == DAY_SECONDS else at, LATEST)


def expiry(plan: Plan, version: ObjectVersion, day: float = DAY_SECONDS) -> tuple[float, str] | None:
    """(when, rule id) a current version expires; None if no rule says so."""
    found = [
        (rule.date or after_days(version.modified, rule.days, day), rule.id)
        for rule in plan.rules
        if rule.expires and rule.filter.matches(version)
    ]
    return min(found, default=None)


def marker_is_due(plan: Plan, marker: ObjectVersion, now: float, day: float) -> bool:
    """May a delete marker go under which no version is left? Rules that expire objects by age do it as well."""
    if any(rule.markers and rule.filter.matches(marker) for rule in plan.rules):
        return True
    due = expiry(plan, marker, day)
    return due is not None and due[0] <= now


def noncurrent_is_due(plan: Plan, version: ObjectVersion, since: float, newer: int, now: float, day: float) -> bool:
    """May a version go that is noncurrent since then, with so many newer noncurrent ones?"""
    return any(
        rule.noncurrent_days
        and newer >= rule.newer
        and after_days(since, rule.noncurrent_days, day) <= now
        and rule.filter.matches(version)
        for rule in plan.rules
    )


def next_class(plan: Plan, version: ObjectVersion, now: float, day: float) -> str:
    """The storage class a current version is to move to now; empty when it stays."""
    return _coldest(
        plan,
        version,
        (
            (rule, move)
            for rule in plan.rules
            for move in rule.moves
            if (move.date or after_days(version.modified, move.days or 0, day)) <= now
        ),
    )


def next_noncurrent_class(plan: Plan, version: ObjectVersion, since: float, newer: int, now: float, day: float) -> str:
    """As `next_class`, of a version that is noncurrent."""
    return _coldest(
        plan,
        version,
        (
            (rule, move)
            for rule in plan.rules
            for move in rule.noncurrent_moves
            if newer >= move.newer and after_days(since, move.days or 0, day) <= now
        ),
    )


def _coldest(plan: Plan, version: ObjectVersion, due: Iterable[tuple[Rule, Move]]) -> str:
    classes = [
        move.storage_class
        for rule, move in due
        if _goes_down(version.storage_class, move.storage_class)
        and rule.filter.matches(version)
        and (rule.filter.sized or _is_large_enough(plan, version, move))
    ]
    return max(classes, key=DEPTH.index, default="")


def _goes_down(present: str, wanted: str) -> bool:
    depth = DEPTH.index(present) if present in DEPTH else 0
    return DEPTH.index(wanted) > depth and (present, wanted) not in NO_WAY_DOWN


def _is_large_enough(plan: Plan, version: ObjectVersion, move: Move) -> bool:
    if version.size >= TRANSITION_BYTES_MIN:
        return True
    return plan.minimum == BY_CLASS and move.storage_class in COLDEST


def abort_due(plan: Plan, upload: Upload, day: float = DAY_SECONDS) -> tuple[float, str] | None:
    """(when, rule id) an unfinished upload is given up; None if no rule says so."""
    found = [
        (after_days(upload.started_at, rule.abort_days, day), rule.id)
        for rule in plan.rules
        if rule.abort_days and upload.template.key.startswith(rule.filter.prefix)
    ]
    return min(found, default=None)


# What answers tell of it


def show_expiration(unit: Unit, bucket: Bucket, version: ObjectVersion, output: Shape) -> None:
    """x-amz-expiration of a current version, if a rule expires it."""
    due = expiry(read_plan(document_text(unit, bucket, LIFECYCLE)), version)
    if due is not None and not version.delete_marker:
        output["Expiration"] = f'expiry-date="{http_date(due[0])}", rule-id="{quote(due[1], safe="")}"'


def show_abort(unit: Unit, bucket: Bucket, upload: Upload, output: Shape) -> None:
    """x-amz-abort-date and x-amz-abort-rule-id of an upload, if a rule gives it up."""
    due = abort_due(read_plan(document_text(unit, bucket, LIFECYCLE)), upload)
    if due is not None:
        output["AbortDate"] = datetime.fromtimestamp(due[0], UTC)
        output["AbortRuleId"] = quote(due[1], safe=PRINTABLE)
