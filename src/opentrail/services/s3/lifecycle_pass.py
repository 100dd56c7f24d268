"""What lifecycle rules do, a page of rows at a time: each page's changes are one small commit of the follower's.

Nothing of a bucket is held but the place that was reached. Rules that are changed meanwhile end the pass, so that no rule
works on after it was removed. Locked versions stay. None of it is a CloudTrail event (S3 user guide, "Logging").
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from opentrail.ports import Versioned
from opentrail.record.access_log import UPLOAD_ABORTED
from opentrail.rows.s3 import BUCKETS, LIFECYCLE, OBJECTS, PARTS, UPLOADS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_event import LIFECYCLE_RULE, lifecycle_event
from opentrail.rows.s3_logging import KIND as LOGGING
from opentrail.rows.s3_notices import KIND as NOTIFICATION
from opentrail.rows.s3_notices import notify
from opentrail.services.s3.access_notes import note_lifecycle, note_own
from opentrail.services.s3.documents import document_text
from opentrail.services.s3.lifecycle_rules import (
    Plan,
    abort_due,
    expiry,
    marker_is_due,
    next_class,
    next_noncurrent_class,
    noncurrent_is_due,
    read_plan,
)
from opentrail.services.s3.lock_rules import is_protected
from opentrail.services.s3.parts import drop_bytes, part_place
from opentrail.services.s3.versions import next_identity, put_version, remove_version, replace_version
from opentrail.state import Unit

PAGE_ROWS = 100
"""Rows looked at for one commit."""
PHASES = ("objects", "versions", "uploads")


class Place(NamedTuple):
    """How far a pass over a bucket has come: rules, phase, prefix within it, the last row's key.

    Among versions also the key of the last row, when that version was written, and how many noncurrent ones of the key
    have been seen."""

    rules: str
    phase: int = 0
    prefix: int = 0
    after: bytes = b""
    name: str = ""
    since: float = 0.0
    newer: int = 0


def lifecycle_step(unit: Unit, bucket_name: str, place: Place | None) -> Place | None:
    """Do what is due on the next page of rows; the place behind it, or None when the pass over the bucket is over."""
    bucket = BUCKETS.get(unit, bucket_name)
    rules = "" if bucket is None else document_text(unit, bucket, LIFECYCLE)
    if bucket is None or not rules or (place is not None and place.rules != rules):
        return None
    step = _Step(unit, bucket, read_plan(rules))
    return step.take(place or Place(rules))


class _Step:
    """One page of one bucket."""

    def __init__(self, unit: Unit, bucket: Bucket, plan: Plan) -> None:
        self._unit = unit
        self._bucket = bucket
        self._plan = plan
        self._day = unit.house.settings.lifecycle_day

    def take(self, place: Place) -> Place | None:
        phase = PHASES[place.phase]
        prefixes = self._plan.prefixes(phase)
        if place.prefix >= len(prefixes) or (phase == "versions" and not self._bucket.versioning):
            following = place.phase + 1
            return Place(place.rules, following) if following < len(PHASES) else None
        act = (self._objects, self._versions, self._uploads)[place.phase]
        reached, more = act(place, prefixes[place.prefix])
        return reached if more else Place(place.rules, place.phase, place.prefix + 1)

    # Current versions

    def _objects(self, place: Place, prefix: str) -> tuple[Place, bool]:
        rows = self._unit.scan(OBJECTS.key(self._bucket.name, prefix), place.after, PAGE_ROWS)
        for _, found in rows:
            self._current(OBJECTS.decode(found.value))
        return _behind(place, rows)

    def _current(self, version: ObjectVersion) -> None:
        """Expire it or move it, or both: what expires in a versioned bucket stays beneath a delete marker."""
        unit, bucket, now = self._unit, self._bucket, self._unit.now
        due = expiry(self._plan, version, self._day)
        expires = due is not None and due[0] <= now
        target = next_class(self._plan, version, now, self._day)
        if not expires and not target:
            return
        if OBJECTS.get(unit, bucket.name, version.key) != version:  # by this read the commit is guarded
            return
        if expires and not bucket.versioning:
            remove_version(unit, bucket, version)
            self._tell("LifecycleExpiration:Delete", version)
            return
        if target:
            version = self._move(version, target)
        if expires:
            version_id, order = next_identity(unit, bucket, version)
            marker = ObjectVersion(version.key, version_id, order, now, bucket.owner, delete_marker=True)
            put_version(unit, bucket, marker, version)
            self._tell("LifecycleExpiration:DeleteMarkerCreated", marker)

    def _move(self, version: ObjectVersion, storage_class: str) -> ObjectVersion:
        moved = replace(version, storage_class=storage_class, restored_until=0.0)
        replace_version(self._unit, self._bucket, moved)
        self._tell("LifecycleTransition", moved)
        return moved

    def _tell(self, name: str, version: ObjectVersion) -> None:
        """For buckets that notify somebody, or are logged."""
        if LOGGING in self._bucket.configured:
            note_lifecycle(self._unit, self._bucket, name, version)
        if NOTIFICATION in self._bucket.configured:
            notify(
                self._unit, self._bucket, lifecycle_event(name, self._bucket, version, self._unit.now), LIFECYCLE_RULE
            )

    # Versions beneath, and delete markers with nothing beneath

    def _versions(self, place: Place, prefix: str) -> tuple[Place, bool]:
        rows = self._unit.scan(VERSIONS.key(self._bucket.name, prefix), place.after, PAGE_ROWS)
        for _, found in rows:
            version = VERSIONS.decode(found.value)
            if version.key != place.name:
                self._newest(version)
                place = place._replace(name=version.key, newer=0)
            else:
                self._noncurrent(version, place.since, place.newer)
                place = place._replace(newer=place.newer + (not version.delete_marker))
            place = place._replace(since=version.modified)
        return _behind(place, rows)

    def _newest(self, version: ObjectVersion) -> None:
        if not version.delete_marker or not marker_is_due(self._plan, version, self._unit.now, self._day):
            return
        if len(VERSIONS.page(self._unit, self._bucket.name, version.key, limit=2)) == 1 and self._is_still(version):
            remove_version(self._unit, self._bucket, version)
            self._tell("LifecycleExpiration:Delete", version)

    def _noncurrent(self, version: ObjectVersion, since: float, newer: int) -> None:
        now = self._unit.now
        goes = noncurrent_is_due(self._plan, version, since, newer, now, self._day) and not is_protected(version, now)
        if goes and self._is_still(version):
            remove_version(self._unit, self._bucket, version)
            self._tell("LifecycleExpiration:Delete", version)
            return
        if version.delete_marker:
            return
        target = next_noncurrent_class(self._plan, version, since, newer, now, self._day)
        if target and self._is_still(version):
            self._move(version, target)

    def _is_still(self, version: ObjectVersion) -> bool:
        """Is the version as it was scanned? By this read the commit is guarded."""
        return VERSIONS.get(self._unit, self._bucket.name, version.key, order_part(version.order)) == version

    # Uploads under way

    def _uploads(self, place: Place, prefix: str) -> tuple[Place, bool]:
        rows = self._unit.scan(UPLOADS.key(self._bucket.name, prefix), place.after, PAGE_ROWS)
        for key, found in rows:
            upload = UPLOADS.decode(found.value)
            due = abort_due(self._plan, upload, self._day)
            if due is None or due[0] > self._unit.now:
                continue
            if UPLOADS.get(self._unit, upload.bucket, upload.template.key, upload.upload_id) is None:
                continue
            for _, part in list(PARTS.all(self._unit, upload.upload_id)):
                drop_bytes(self._unit, part)
                PARTS.delete(self._unit, upload.upload_id, part_place(part.number))
            UPLOADS.delete(self._unit, upload.bucket, upload.template.key, upload.upload_id)
            if LOGGING in self._bucket.configured:
                note_own(self._unit, self._bucket, UPLOAD_ABORTED, upload.template.key)
            return place._replace(after=key), True  # it may have had thousands of parts: enough for one commit
        return _behind(place, rows)


def _behind(place: Place, rows: list[tuple[bytes, Versioned]]) -> tuple[Place, bool]:
    """(the place behind the rows, whether there may be more)."""
    return (place._replace(after=rows[-1][0]) if rows else place), len(rows) == PAGE_ROWS
