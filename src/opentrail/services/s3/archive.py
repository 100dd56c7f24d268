"""Archived objects: kept as readily as all others here, but readable, as in S3, only once they were restored.

Source: API reference, RestoreObject and GetObject; S3 user guide, "Restoring an archived object".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import ACCESSES, Access, Bucket, ObjectVersion
from opentrail.state import Unit

TIERED = "INTELLIGENT_TIERING"
"""The class whose objects may lie in an archive, or not."""
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes that need RestoreObject before an object can be read; GLACIER_IR does not."""


class Archivable(Protocol):
    """What of an object's row tells whether it is archived and restored."""

    @property
    def storage_class(self) -> str: ...
    @property
    def restored_until(self) -> float: ...


TIERING = "intelligent-tiering"
"""The kind of configuration that has objects of that class archived."""
TIERED_BYTES_MIN = 128 * 1024
"""Smaller objects are never archived, so their reads are not noted."""
NOT_ALWAYS_READY = ARCHIVED | {TIERED}
"""Classes whose objects are looked at before they are read."""


def note_access(unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    """Remember that an object was read, unless that is known of this day."""
    if TIERING not in bucket.configured or version.size < TIERED_BYTES_MIN or not version.parts:
        return
    known = ACCESSES.get(unit, version.parts[0].ref)
    if known is None or unit.now - known.at >= unit.house.settings.lifecycle_day:
        ACCESSES.put(unit, Access(unit.now), version.parts[0].ref)


def is_restored(version: Archivable, now: float) -> bool:
    """Is there a temporary copy to read?"""
    return version.restored_until > now


def refuse_archived(version: ObjectVersion, now: float) -> None:
    """Raise AwsError InvalidObjectState for an archived version that was not restored, or not for long enough."""
    if version.access_tier:
        message = "The operation is not valid for the object's access tier"
        fields = {"StorageClass": version.storage_class, "AccessTier": version.access_tier}
        raise AwsError("InvalidObjectState", message, 403, headers=None, **fields)
    if version.storage_class in ARCHIVED and not is_restored(version, now):
        message = "The operation is not valid for the object's storage class"
        raise AwsError("InvalidObjectState", message, 403, StorageClass=version.storage_class)


def restore_header(version: ObjectVersion, now: float) -> str:
    """The text of x-amz-restore; empty where nothing is restored. A restore is never under way: it is done at once."""
    if not is_restored(version, now):
        return ""
    return f'ongoing-request="false", expiry-date="{http_date(version.restored_until)}"'


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC).replace(microsecond=0), usegmt=True)


def restore_statuses(call: Call, listed: Iterable[Archivable]) -> list[Shape | None]:
    """RestoreStatus of each entry of a listing that asks for it: of archived objects that are restored. Else empty."""
    if "RestoreStatus" not in (call.input.get("OptionalObjectAttributes") or ()):
        return []
    return [_restore_status(version, call.started_at) for version in listed]


def _restore_status(version: Archivable, now: float) -> Shape | None:
    if version.storage_class not in ARCHIVED or not is_restored(version, now):
        return None
    return {
        "IsRestoreInProgress": False,
        "RestoreExpiryDate": datetime.fromtimestamp(version.restored_until, UTC),
    }
