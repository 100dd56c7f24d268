"""Versions of an object: which one a request means, and how a new one takes its place.

A bucket that never had versioning keeps only the current version, in `s3.object`. Once versioning was set, every version
is also in `s3.version`, newest first, and `s3.object` has the newest if it is no delete marker. The version written
before versioning (`null`) gets its row in `s3.version` when something is put above it.
"""

from __future__ import annotations

from opentrail.errors import AwsError
from opentrail.rows.s3 import (
    ACCESSES,
    NULL_VERSION,
    OBJECTS,
    ORDER_MAX,
    VERSIONS,
    Bucket,
    ObjectVersion,
    data_key,
    order_part,
)
from opentrail.rows.s3_annotations import drop_set
from opentrail.state import Unit

TIERED = "INTELLIGENT_TIERING"
"""The class whose reads are noted."""
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER_DIGITS = 11
_RANDOM_DIGITS = 21
VERSION_ID_LENGTH = _ORDER_DIGITS + _RANDOM_DIGITS


def new_version_id(unit: Unit, order: int) -> str:
    """32 letters and digits; the first eleven are the version's order, so that its row is found by its id."""
    digits = ""
    while order:
        order, digit = divmod(order, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(_ORDER_DIGITS, "0") + unit.house.clock.token(_RANDOM_DIGITS, _BASE62)


def order_of(version_id: str) -> int | None:
    """The order in a version id of ours; None for anything else."""
    if len(version_id) != VERSION_ID_LENGTH:
        return None
    order = 0
    for letter in version_id[:_ORDER_DIGITS]:
        digit = _BASE62.find(letter)
        if digit < 0:
            return None
        order = order * 62 + digit
    return order if order <= ORDER_MAX else None


def current_version(unit: Unit, bucket: Bucket, key: str) -> ObjectVersion | None:
    """The newest version, delete markers included; None when the key has none."""
    live = OBJECTS.get(unit, bucket.name, key)
    if live is not None or not bucket.versioning:
        return live
    rows = VERSIONS.page(unit, bucket.name, key, limit=1)
    return rows[0][1] if rows else None


def find_version(unit: Unit, bucket: Bucket, key: str, version_id: str) -> ObjectVersion | None:
    """The version of that id; without an id the newest. May be a delete marker."""
    if not version_id:
        return current_version(unit, bucket, key)
    if version_id == NULL_VERSION:
        return _null_version(unit, bucket, key)
    order = order_of(version_id)
    if order is None:
        fields = {"ArgumentName": "versionId", "ArgumentValue": version_id}
        raise AwsError("InvalidArgument", "Invalid version id specified", 400, headers=None, **fields)
    found = VERSIONS.get(unit, bucket.name, key, order_part(order))
    return found if found is not None and found.version_id == version_id else None


def _null_version(unit: Unit, bucket: Bucket, key: str) -> ObjectVersion | None:
    live = OBJECTS.get(unit, bucket.name, key)
    if live is not None and live.version_id == NULL_VERSION:
        return live
    if not bucket.versioning:
        return None
    return next((row for _, row in VERSIONS.all(unit, bucket.name, key) if row.version_id == NULL_VERSION), None)


def next_order(unit: Unit, current: ObjectVersion | None) -> int:
    """Microseconds since the epoch, always greater than the newest version's."""
    now = int(unit.now * 1_000_000)
    return now if current is None else max(now, current.order + 1)


def next_identity(unit: Unit, bucket: Bucket, current: ObjectVersion | None) -> tuple[str, int]:
    """(version id, order) that the next version of a key gets."""
    order = next_order(unit, current)
    return (new_version_id(unit, order) if bucket.versioning == "Enabled" else NULL_VERSION), order


def put_version(unit: Unit, bucket: Bucket, new: ObjectVersion, current: ObjectVersion | None) -> None:
    """Make `new` the newest version of its key; what it replaces for good is let go."""
    if not bucket.versioning:
        if current is not None:
            release(unit, current)
    else:
        if current is not None and current.version_id == NULL_VERSION:
            VERSIONS.put(unit, current, bucket.name, current.key, order_part(current.order))
        if new.version_id == NULL_VERSION:
            replaced = _null_version(unit, bucket, new.key)
            if replaced is not None:
                release(unit, replaced)
                VERSIONS.delete(unit, bucket.name, new.key, order_part(replaced.order))
        VERSIONS.put(unit, new, bucket.name, new.key, order_part(new.order))
    if new.delete_marker:
        OBJECTS.delete(unit, bucket.name, new.key)
    else:
        OBJECTS.put(unit, new, bucket.name, new.key)


def remove_version(unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    """Remove one version for good; the one before it becomes the newest if this was it."""
    release(unit, version)
    live = OBJECTS.get(unit, bucket.name, version.key)
    was_live = live is not None and live.version_id == version.version_id
    if was_live:
        OBJECTS.delete(unit, bucket.name, version.key)
    if not bucket.versioning:
        return
    VERSIONS.delete(unit, bucket.name, version.key, order_part(version.order))
    if live is not None and not was_live:
        return
    rows = VERSIONS.page(unit, bucket.name, version.key, limit=1)
    if rows and not rows[0][1].delete_marker:
        OBJECTS.put(unit, rows[0][1], bucket.name, version.key)


def replace_version(unit: Unit, bucket: Bucket, changed: ObjectVersion) -> None:
    """Rewrite the row of an existing version (its tags, ACL, lock), the bytes staying where they are."""
    live = OBJECTS.get(unit, bucket.name, changed.key)
    if live is not None and live.version_id == changed.version_id:
        OBJECTS.put(unit, changed, bucket.name, changed.key)
    if bucket.versioning:
        VERSIONS.put(unit, changed, bucket.name, changed.key, order_part(changed.order))


def release(unit: Unit, version: ObjectVersion) -> None:
    """Let go the bytes of a version, and its annotations."""
    if version.annotated:
        drop_set(unit, version.annotated)
    if version.inline:
        unit.delete(data_key(version.inline))
    if version.storage_class == TIERED and version.parts:
        ACCESSES.delete(unit, version.parts[0].ref)
    unit.writes.dropped_blobs += [part.ref for part in version.parts]
