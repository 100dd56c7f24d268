"""DeleteObjects: up to a thousand deletions in one call, each allowed, refused or failed by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.deleting import delete_one
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.guard import enter_bucket, question
from opentrail.services.s3.lock_rules import refuse_bypass_without_lock
from opentrail.services.s3.mfa_delete import ON, require_mfa
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.reading import etag_matches, precondition_failed
from opentrail.services.s3.required_digest import require_digest
from opentrail.services.s3.versions import find_version
from opentrail.state import Unit

OBJECTS_MAX = 1_000
"""Objects named in one call."""
KEY_BYTES_MAX = 1_024

family = Service("s3")


@family.guard("DeleteObjects")
def delete_objects_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """The bucket must be there; who may delete what is asked key by key."""
    enter_bucket(call, unit, call.input["Bucket"])
    return ()


@family.operation("DeleteObjects")
async def delete_objects(call: Call, unit: Unit) -> Shape:
    """Delete many objects, each answered for by itself."""
    require_digest(call)
    bucket = bucket_of(call, unit)
    refuse_bypass_without_lock(call, bucket)
    asked, quiet = _asked(call)
    if bucket.mfa_delete == ON and ("MFA" in call.input or any(each.get("VersionId") for each in asked)):
        require_mfa(call, unit, bucket)  # for all or for none: "the entire request will fail" (API reference)
    outcomes: list[tuple[bool, dict[str, Any]]] = [(False, {})] * len(asked)
    # From the last to the first: clients name the newest version first, and removing that last costs no search for
    # the version that would become the newest in between.
    for place in reversed(range(len(asked))):
        outcomes[place] = _delete(call, unit, bucket, asked[place])
    output: Shape = {"Errors": [told for deleted, told in outcomes if not deleted]}
    if not quiet:
        output["Deleted"] = [told for deleted, told in outcomes if deleted]
    return output


def _asked(call: Call) -> tuple[list[dict[str, Any]], bool]:
    """The objects named, and whether only errors are to be told."""
    delete = call.input.get("Delete") or {}
    objects = delete.get("Objects") or []
    if not 1 <= len(objects) <= OBJECTS_MAX or not all(isinstance(each, dict) and each.get("Key") for each in objects):
        raise malformed()
    return objects, bool(delete.get("Quiet"))


def _delete(call: Call, unit: Unit, bucket: Bucket, asked: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """(deleted, its entry in the answer)."""
    key, version_id = asked["Key"], asked.get("VersionId") or ""
    told = {"Key": key, "VersionId": version_id} if version_id else {"Key": key}
    try:
        if len(key.encode("utf-8", "surrogatepass")) > KEY_BYTES_MAX:
            raise AwsError("KeyTooLongError", "Your key is too long", 400)
        _check_allowed(call, unit, bucket, key, version_id)
        _check_conditions(asked, find_version(unit, bucket, key, version_id))
        done = delete_one(call, unit, bucket, key, version_id)
    except AwsError as error:
        return False, {**told, "Code": error.code, "Message": error.message}
    if done.get("DeleteMarker"):
        told["DeleteMarker"] = True
        told["DeleteMarkerVersionId"] = done["VersionId"]
    return True, told


def _check_allowed(call: Call, unit: Unit, bucket: Bucket, key: str, version_id: str) -> None:
    action = "s3:DeleteObjectVersion" if version_id else "s3:DeleteObject"
    access = question(call, unit, bucket, action, key)
    if version_id:
        access = replace(access, context={**access.context, "s3:versionid": (version_id,)})
    if not call.may(access):
        raise AwsError("AccessDenied", "Access Denied", 403)


def _check_conditions(asked: dict[str, Any], target: ObjectVersion | None) -> None:
    """ETag, size and time of last change must be those of what is deleted, if that is there at all."""
    if target is None:
        return
    etag, size, modified = asked.get("ETag"), asked.get("Size"), asked.get("LastModifiedTime")
    if etag is not None and not etag_matches(etag, target.etag):
        raise precondition_failed("If-Match")
    if size is not None and size != target.size:
        raise precondition_failed("x-amz-if-match-size")
    if modified is not None and int(modified.timestamp()) != int(target.modified):
        raise precondition_failed("x-amz-if-match-last-modified-time")
