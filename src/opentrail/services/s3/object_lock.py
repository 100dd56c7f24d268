"""Object Lock: a bucket's default retention, and the retention and legal hold of a version.

What a lock forbids is `lock_rules`'. Source: API reference, Put/GetObjectLockConfiguration, Put/GetObjectRetention,
Put/GetObjectLegalHold; S3's answers as others recorded them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3 import lock_rules
from opentrail.services.s3.documents import drop_document, malformed, put_document, read_document
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.required_digest import require_digest
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit

DEFAULT_DAYS_MAX, DEFAULT_YEARS_MAX = 36_500, 100
"""The longest default retention."""

family = Service("s3")


@family.operation("PutObjectLockConfiguration")
async def put_object_lock_configuration(call: Call, unit: Unit) -> Shape:
    """Enable Object Lock on a versioned bucket, and set or remove its default retention."""
    require_digest(call)
    bucket = bucket_of(call, unit)
    given = call.input.get("ObjectLockConfiguration") or {}
    if given.get("ObjectLockEnabled") != "Enabled":
        raise malformed()
    rule = _default_retention(given["Rule"]) if given.get("Rule") is not None else None
    if bucket.versioning != "Enabled":
        message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise AwsError("InvalidBucketState", message, 409)
    if not bucket.object_lock:
        bucket = replace(bucket, object_lock=True)
        BUCKETS.put(unit, bucket, bucket.name)
    if rule is None:
        drop_document(unit, bucket, lock_rules.KIND)
    else:
        put_document(unit, bucket, lock_rules.KIND, {"Rule": {"DefaultRetention": rule}})
    return {}


def _default_retention(rule: Shape) -> Shape:
    """The DefaultRetention of a rule: a mode, and either days or years."""
    retention = rule.get("DefaultRetention") or {}
    if "DefaultEventHold" in retention:
        raise AwsError("NotImplemented", "", 501, Header="DefaultEventHold")
    days, years = retention.get("Days"), retention.get("Years")
    if retention.get("Mode") not in lock_rules.MODES or (days is None) == (years is None):
        raise malformed()
    if (days or years or 0) <= 0:
        raise AwsError("InvalidRetentionPeriod", "Default retention period must be a positive integer value.", 400)
    if (days or 0) > DEFAULT_DAYS_MAX or (years or 0) > DEFAULT_YEARS_MAX:
        message = f"Default retention period must not exceed {DEFAULT_DAYS_MAX} days or {DEFAULT_YEARS_MAX} years."
        raise AwsError("InvalidRetentionPeriod", message, 400)
    period = {"Years": years} if days is None else {"Days": days}
    return {"Mode": retention["Mode"], **period}


@family.operation("GetObjectLockConfiguration")
async def get_object_lock_configuration(call: Call, unit: Unit) -> Shape:
    """Whether Object Lock is enabled, and the default retention."""
    bucket = bucket_of(call, unit)
    if not bucket.object_lock:
        raise AwsError("ObjectLockConfigurationNotFoundError", "", 404, BucketName=bucket.name)
    rule = read_document(unit, bucket, lock_rules.KIND)
    return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", **rule}}


@family.operation("PutObjectRetention")
async def put_object_retention(call: Call, unit: Unit) -> Shape:
    """Set, extend or, with a bypass, shorten or remove the retention of a version."""
    require_digest(call)
    bucket = bucket_of(call, unit)
    lock_rules.require_lock(bucket)
    mode, until = _retention(call, unit)
    version = readable_version(call, unit, bucket)
    _check_change(call, unit, bucket, version, mode, until)
    changed = replace(version, lock_mode=mode, lock_until=until, lock_at=unit.now if mode else 0.0)
    replace_version(unit, bucket, changed)
    lock_rules.note_lock(call, changed)
    return {}


def _retention(call: Call, unit: Unit) -> tuple[str, float]:
    """(mode, until) that the request sets; both empty for an empty document, which removes a retention."""
    given = call.input.get("Retention")
    if given is None:
        raise malformed()
    if "EventHold" in given or "EventHoldDuration" in given:
        raise AwsError("NotImplemented", "", 501, Header="EventHold")
    if not given:
        return "", 0.0
    if given.get("Mode") not in lock_rules.MODES or "RetainUntilDate" not in given:
        raise malformed()
    until = lock_rules.moment(given["RetainUntilDate"])
    if until <= unit.now:
        fields = {"ArgumentName": "RetainUntilDate", "ArgumentValue": lock_rules.java_date(until)}
        raise AwsError("InvalidArgument", lock_rules.PAST, 400, headers=None, **fields)
    return given["Mode"], until


def _check_change(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion, mode: str, until: float) -> None:
    """Whoever may set a retention may extend it. Beyond that, governance gives way to a bypass, compliance to nobody."""
    if not lock_rules.is_retained(version, unit.now) or (mode == version.lock_mode and until >= version.lock_until):
        return
    if version.lock_mode == lock_rules.COMPLIANCE:
        raise lock_rules.protected()
    lock_rules.check_bypass(call, unit, bucket, version.key)


@family.operation("GetObjectRetention")
async def get_object_retention(call: Call, unit: Unit) -> Shape:
    """The retention of a version, run out or not."""
    version = _locked_version(call, unit)
    if not version.lock_mode:
        raise AwsError("NoSuchObjectLockConfiguration", "", 404)
    lock_rules.note_lock(call, version, hold=False)
    until = datetime.fromtimestamp(version.lock_until, UTC)
    return {"Retention": {"Mode": version.lock_mode, "RetainUntilDate": until}}


@family.operation("PutObjectLegalHold")
async def put_object_legal_hold(call: Call, unit: Unit) -> Shape:
    """Put a version under legal hold, or take it off."""
    require_digest(call)
    bucket = bucket_of(call, unit)
    lock_rules.require_lock(bucket)
    status = (call.input.get("LegalHold") or {}).get("Status")
    if status not in ("ON", "OFF"):
        raise malformed()
    version = readable_version(call, unit, bucket)
    changed = replace(version, legal_hold=status == "ON", hold_at=unit.now)
    replace_version(unit, bucket, changed)
    lock_rules.note_lock(call, changed, retention=False)
    return {}


@family.operation("GetObjectLegalHold")
async def get_object_legal_hold(call: Call, unit: Unit) -> Shape:
    """Whether a version is under legal hold."""
    version = _locked_version(call, unit)
    if not version.hold_at:
        raise AwsError("NoSuchObjectLockConfiguration", "", 404)
    lock_rules.note_lock(call, version, retention=False)
    return {"LegalHold": {"Status": lock_rules.hold_status(version)}}


def _locked_version(call: Call, unit: Unit) -> ObjectVersion:
    bucket = bucket_of(call, unit)
    lock_rules.require_lock(bucket)
    return readable_version(call, unit, bucket)
