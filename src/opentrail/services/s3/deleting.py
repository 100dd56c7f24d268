"""DeleteObject, and what it does for one key: a version goes for good, or a delete marker takes its place."""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3 import lock_rules, mfa_delete
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.reading import etag_matches, precondition_failed
from opentrail.services.s3.versions import current_version, find_version, next_identity, put_version, remove_version
from opentrail.state import Unit

family = Service("s3")


@family.operation("DeleteObject")
async def delete_object(call: Call, unit: Unit) -> Shape:
    """Delete an object, put a delete marker on it, or remove one version for good."""
    bucket = bucket_of(call, unit)
    if bucket.mfa_delete == mfa_delete.ON and "VersionId" in call.input:
        mfa_delete.require_mfa(call, unit, bucket)
    lock_rules.refuse_bypass_without_lock(call, bucket)
    return delete_one(call, unit, bucket, call.input["Key"], call.input.get("VersionId", ""))


def delete_one(call: Call, unit: Unit, bucket: Bucket, key: str, version_id: str) -> Shape:
    """As DeleteObject and DeleteObjects do for one key; their output members `DeleteMarker` and `VersionId`."""
    if version_id:
        version = find_version(unit, bucket, key, version_id)
        output: Shape = {"VersionId": version_id}
        if version is not None:
            _check_delete_conditions(call, version)
            if bucket.object_lock:
                _check_lock(call, unit, bucket, version)
            remove_version(unit, bucket, version)
            if version.delete_marker:
                output["DeleteMarker"] = True
        return output
    current = current_version(unit, bucket, key)
    _check_delete_conditions(call, current)
    if not bucket.versioning:
        if current is not None:
            remove_version(unit, bucket, current)
        return {}
    return _put_delete_marker(unit, bucket, key, current)


def _check_lock(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    lock_rules.check_removal(call, unit, bucket, version)
    if call.operation.name == "DeleteObject":  # records of DeleteObjects tell nothing of single objects
        lock_rules.note_lock(call, version)


def _check_delete_conditions(call: Call, current: ObjectVersion | None) -> None:
    match = call.input.get("IfMatch")
    if match is None:
        return
    if current is None or current.delete_marker:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404, Key=call.input.get("Key", ""))
    if not etag_matches(match, current.etag):
        raise precondition_failed("If-Match")


def _put_delete_marker(unit: Unit, bucket: Bucket, key: str, current: ObjectVersion | None) -> Shape:
    version_id, order = next_identity(unit, bucket, current)
    marker = ObjectVersion(key, version_id, order, unit.now, bucket.owner, delete_marker=True)
    put_version(unit, bucket, marker, current)
    return {"DeleteMarker": True, "VersionId": version_id}
