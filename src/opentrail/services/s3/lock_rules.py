"""What Object Lock forbids, what a new version gets of it, and how a version tells of it. Shared by S3's families.

Source: S3 user guide, "How S3 Object Lock works"; API reference, PutObjectRetention; recorded answers and records of S3.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion
from opentrail.services.s3.documents import document_text
from opentrail.services.s3.guard import question
from opentrail.services.s3.required_digest import brings_digest
from opentrail.state import Unit

GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"
MODES = frozenset({GOVERNANCE, COMPLIANCE})
KIND = "object-lock"
"""The kind of the bucket's document, which holds its default retention."""
DAY_SECONDS = 86_400.0
DAYS_OF_YEAR = 365
PROTECTED = "Access Denied because object protected by object lock."
PAST = "The retain until date must be in the future!"
TOGETHER = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
BYPASS_HEADER = "x-amz-bypass-governance-retention"
REQUEST_MEMBERS = frozenset({"ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"})
"""Members of a write that lock what it writes."""
DOCUMENTS_CACHED = 256


# What is forbidden


def refuse_bypass_without_lock(call: Call, bucket: Bucket) -> None:
    """The header means nothing where nothing can be locked, so S3 refuses it, even if it says `false`."""
    if "BypassGovernanceRetention" in call.input and not bucket.object_lock:
        message = "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets."
        raise AwsError("InvalidArgument", message, 400, ArgumentName=BYPASS_HEADER)


def is_retained(version: ObjectVersion, now: float) -> bool:
    """Is its retention still running?"""
    return bool(version.lock_mode) and version.lock_until > now


def is_protected(version: ObjectVersion, now: float) -> bool:
    """May nobody remove it without a bypass?"""
    return version.legal_hold or is_retained(version, now)


def check_removal(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    """Raise AccessDenied if the version must not be removed for good. Delete markers are never locked."""
    if version.legal_hold:
        raise protected()
    if is_retained(version, unit.now):
        if version.lock_mode == COMPLIANCE:
            raise protected()
        check_bypass(call, unit, bucket, version.key)


def check_bypass(call: Call, unit: Unit, bucket: Bucket, key: str) -> None:
    """Governance gives way to a caller who says so in a header and has the permission for it."""
    if not call.input.get("BypassGovernanceRetention"):
        raise protected()
    if not call.may(question(call, unit, bucket, "s3:BypassGovernanceRetention", key)):
        raise AwsError("AccessDenied", "Access Denied", 403)


def protected() -> AwsError:
    return AwsError("AccessDenied", PROTECTED, 403)


def require_lock(bucket: Bucket) -> None:
    """Raise AwsError InvalidRequest for a bucket without Object Lock."""
    if not bucket.object_lock:
        raise AwsError("InvalidRequest", "Bucket is missing Object Lock Configuration", 400)


# What a new version gets


def requested_lock(call: Call, unit: Unit, bucket: Bucket, template: ObjectVersion) -> ObjectVersion:
    """The template of a new version with what its request's headers lock; raises AWS's errors for them."""
    given = call.input
    asked = not REQUEST_MEMBERS.isdisjoint(given)
    if asked:
        require_lock(bucket)
    if call.operation.name == "PutObject" and not brings_digest(call) and (asked or _default(unit, bucket)):
        message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock "
        raise AwsError("InvalidRequest", message + "parameters", 400)
    if not asked:
        return template
    mode, until = _retention_headers(given, unit.now)
    hold = given.get("ObjectLockLegalHoldStatus")
    if hold not in (None, "ON", "OFF"):
        raise _wrong("x-amz-object-lock-legal-hold", "Legal Hold must be either of 'ON' or 'OFF'", hold)
    return replace(
        template,
        lock_mode=mode,
        lock_until=until,
        legal_hold=hold == "ON",
        hold_at=unit.now if hold is not None else 0.0,
    )


def check_part_digest(call: Call, unit: Unit, bucket: Bucket, template: ObjectVersion) -> None:
    """A part of an object that is to be locked must come with a digest."""
    locked = template.lock_mode or template.legal_hold or _default(unit, bucket)
    if locked and not brings_digest(call):
        message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with Object Lock "
        raise AwsError("InvalidRequest", message + "parameters", 400)


def _retention_headers(given: Shape, now: float) -> tuple[str, float]:
    mode, date = given.get("ObjectLockMode"), given.get("ObjectLockRetainUntilDate")
    if mode is None and date is None:
        return "", 0.0
    if date is None:
        raise _wrong("x-amz-object-lock-retain-until-date", TOGETHER)
    if mode is None:
        raise _wrong("x-amz-object-lock-mode", TOGETHER)
    if mode not in MODES:
        raise _wrong("x-amz-object-lock-mode", "Unknown wormMode directive.", mode)
    until = moment(date)
    if until <= now:
        raise _wrong("x-amz-object-lock-retain-until-date", PAST, java_date(until))
    return mode, until


def _wrong(name: str, message: str, value: str | None = None) -> AwsError:
    fields = {"ArgumentName": name} if value is None else {"ArgumentName": name, "ArgumentValue": value}
    return AwsError("InvalidArgument", message, 400, headers=None, **fields)


def moment(date: Any) -> float:  # noqa: ANN401  (what the codec makes of a timestamp)
    """Epoch seconds of a timestamp, to the millisecond, as S3 keeps it."""
    seconds = date.timestamp() if isinstance(date, datetime) else float(date)
    return math.floor(seconds * 1000) / 1000


def java_date(seconds: float) -> str:
    """A time as S3 shows a wrong one in an error; in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%a %b %d %H:%M:%S UTC %Y}"


def locked(unit: Unit, bucket: Bucket, version: ObjectVersion, asked: ObjectVersion) -> ObjectVersion:
    """A new version in a bucket with Object Lock: with the lock its request asked for, else the bucket's default."""
    mode, until = asked.lock_mode, asked.lock_until
    default = None if mode else _default(unit, bucket)
    if default is not None:
        mode, until = default[0], math.floor((unit.now + default[1]) * 1000) / 1000
    if not mode and not asked.hold_at:
        return version
    return replace(
        version,
        lock_mode=mode,
        lock_until=until,
        lock_at=unit.now if mode else 0.0,
        legal_hold=asked.legal_hold,
        hold_at=unit.now if asked.hold_at else 0.0,
    )


def _default(unit: Unit, bucket: Bucket) -> tuple[str, float] | None:
    """(mode, seconds) of the bucket's default retention."""
    return _read_default(document_text(unit, bucket, KIND))


@lru_cache(maxsize=DOCUMENTS_CACHED)
def _read_default(text: str) -> tuple[str, float] | None:
    retention = (msgspec.json.decode(text) if text else {}).get("Rule", {}).get("DefaultRetention")
    if retention is None:
        return None
    return retention["Mode"], (retention.get("Days") or retention["Years"] * DAYS_OF_YEAR) * DAY_SECONDS


# How a version tells of its lock


def note_lock(call: Call, version: ObjectVersion, *, retention: bool = True, hold: bool = True) -> None:
    """`objectRetentionInfo` of the record: the lock of the version touched. Times are milliseconds.

    Whether the caller may see the lock makes no difference to the record (real records of S3)."""
    info: dict[str, Any] = {}
    if retention and version.lock_mode:
        info["retentionInfo"] = {
            "lastModifiedTime": round(version.lock_at * 1000),
            "retainUntilMode": version.lock_mode,
            "retainUntilTime": round(version.lock_until * 1000),
        }
    if hold and version.hold_at:
        info["legalHoldInfo"] = {
            "isUnderLegalHold": version.legal_hold,
            "lastModifiedTime": round(version.hold_at * 1000),
        }
    if info:
        call.evidence.additional["objectRetentionInfo"] = info


def show_lock(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion, output: Shape) -> None:
    """The lock headers of GetObject and HeadObject: each for those who may read it by its own operation."""
    note_lock(call, version)
    if version.lock_mode and call.may(question(call, unit, bucket, "s3:GetObjectRetention", version.key)):
        output["ObjectLockMode"] = version.lock_mode
        output["ObjectLockRetainUntilDate"] = datetime.fromtimestamp(version.lock_until, UTC)
    if version.hold_at and call.may(question(call, unit, bucket, "s3:GetObjectLegalHold", version.key)):
        output["ObjectLockLegalHoldStatus"] = hold_status(version)


def hold_status(version: ObjectVersion) -> str:
    return "ON" if version.legal_hold else "OFF"
