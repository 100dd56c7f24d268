"""PutObject, GetObject, HeadObject: the hot road of S3."""

from __future__ import annotations

from datetime import datetime

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, Bucket, ObjectVersion
from opentrail.rows.s3_replication import READING
from opentrail.rows.s3_select_jobs import SELECTING
from opentrail.service import Service
from opentrail.services.s3 import encryption, lifecycle_rules, lock_rules
from opentrail.services.s3.archive import ARCHIVED, NOT_ALWAYS_READY, note_access, refuse_archived, restore_header
from opentrail.services.s3.customer_key import MEMBERS as CUSTOMER_MEMBERS
from opentrail.services.s3.directory_rules import directory_class
from opentrail.services.s3.encryption import KeyRing, check_reader, key_ring, opening, refuse_on_read
from opentrail.services.s3.grants import request_acl
from opentrail.services.s3.guard import may_know, no_such_bucket
from opentrail.services.s3.payload import Payload, inline_data, keep, sealed, take_payload
from opentrail.services.s3.reading import (
    STORED_HEADERS,
    check_conditions,
    chosen_run,
    describe,
    etag_matches,
    open_run,
    precondition_failed,
)
from opentrail.services.s3.tag_rules import parse_tagging
from opentrail.services.s3.versions import (
    current_version,
    find_version,
    next_identity,
    put_version,
)
from opentrail.state import Unit

METADATA_BYTES_MAX = 2 * 1024
"""Names and values of user metadata, as S3 counts them."""
UNBUILT = frozenset(
    {
        "WriteOffsetBytes",
        "ObjectLockEventHold",
        "ObjectLockEventHoldDurationDays",
        "ObjectLockEventHoldDurationYears",
    }
)
STORAGE_CLASSES = ARCHIVED | {
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
}  # fmt: skip

family = Service("s3")


def bucket_of(call: Call, unit: Unit) -> Bucket:
    """The bucket of the call (the guard has seen it; it may have gone while a body came in)."""
    name = call.input["Bucket"]
    bucket = BUCKETS.get(unit, name)
    if bucket is None:
        raise no_such_bucket(name)
    return bucket


@family.operation("PutObject")
async def put_object(call: Call, unit: Unit) -> Shape:
    """Store an object, or a new version of it."""
    template = new_object(call, unit, bucket_of(call, unit))
    payload = await take_payload(call, unit)
    bucket, version = store(call, unit, template, payload)
    return written(call, unit, bucket, version)


def store(call: Call, unit: Unit, template: ObjectVersion, payload: Payload) -> tuple[Bucket, ObjectVersion]:
    """Make the object that a call brought the newest version of its key, if the call's conditions hold."""
    bucket = bucket_of(call, unit)
    current = current_version(unit, bucket, template.key)
    check_write_conditions(call, current)
    version = finish(unit, bucket, template, payload, current)
    put_version(unit, bucket, version, current)
    call.evidence.object_size = version.size
    return bucket, version


def new_object(call: Call, unit: Unit, bucket: Bucket) -> ObjectVersion:
    """An object's row as its request describes it, still without bytes, id and time."""
    given = call.input
    refuse_unbuilt(given)
    storage_class = given.get("StorageClass", "STANDARD")
    if bucket.zone:
        storage_class = directory_class(storage_class if "StorageClass" in given else "")
    elif storage_class not in STORAGE_CLASSES:
        raise AwsError("InvalidStorageClass", "The storage class you specified is not valid", 400)
    owner = _owner(call, bucket)
    template = ObjectVersion(
        key=given["Key"],
        version_id="",
        order=0,
        modified=0.0,
        owner=owner,
        content_type=given.get("ContentType") or "binary/octet-stream",
        headers=_stored_headers(call),
        metadata=_metadata(given.get("Metadata") or {}),
        tags=parse_tagging(given.get("Tagging", "")),
        acl=request_acl(call, unit, bucket, owner),
        storage_class=storage_class,
    )
    if bucket.encryption or not encryption.WRITE_MEMBERS.isdisjoint(given):
        template = encryption.protected(call, unit, bucket, template)
    if bucket.object_lock or not lock_rules.REQUEST_MEMBERS.isdisjoint(given):
        return lock_rules.requested_lock(call, unit, bucket, template)
    return template


def refuse_unbuilt(given: Shape) -> None:
    """Parameters whose meaning is not built are refused, never ignored."""
    if not UNBUILT.isdisjoint(given):
        raise encryption.not_implemented(min(UNBUILT & given.keys()))


def _owner(call: Call, bucket: Bucket) -> str:
    """The account that owns a new object: the bucket's, unless ACLs are in force and somebody else writes it."""
    if bucket.ownership == "BucketOwnerEnforced" or call.principal.type in ("Anonymous", "AWSService"):
        return bucket.owner
    if bucket.ownership == "BucketOwnerPreferred" and call.input.get("ACL") == "bucket-owner-full-control":
        return bucket.owner
    return call.principal.account_id


def _stored_headers(call: Call) -> dict[str, str]:
    given = call.input
    headers = {name: given[member] for member, name in STORED_HEADERS.items() if member in given}
    encoding = headers.get("content-encoding")
    if encoding is not None:
        kept = ", ".join(part.strip() for part in encoding.split(",") if part.strip().lower() != "aws-chunked")
        headers["content-encoding"] = kept
        if not kept:
            del headers["content-encoding"]
    if "Expires" in given:
        expires = given["Expires"]
        text = expires.strftime("%a, %d %b %Y %H:%M:%S GMT") if isinstance(expires, datetime) else str(expires)
        headers["expires"] = call.request.headers.get("expires", text)
    return headers


def _metadata(given: dict[str, str]) -> dict[str, str]:
    size = sum(len(name.encode()) + len(value.encode("utf-8", "surrogatepass")) for name, value in given.items())
    if size > METADATA_BYTES_MAX:
        message = "Your metadata headers exceed the maximum allowed metadata size"
        fields = {"Size": str(size), "MaxSizeAllowed": str(METADATA_BYTES_MAX)}
        raise AwsError("MetadataTooLarge", message, 400, headers=None, **fields)
    return {name.lower(): value for name, value in given.items()}


def check_write_conditions(call: Call, current: ObjectVersion | None) -> None:
    """If-None-Match: * and If-Match of a write."""
    live = current if current is not None and not current.delete_marker else None
    none_match, match = call.input.get("IfNoneMatch"), call.input.get("IfMatch")
    if none_match is not None:
        if none_match.strip() != "*":
            message = "A header you provided implies functionality that is not implemented"
            raise AwsError("NotImplemented", message, 501, Header="If-None-Match")
        if live is not None:
            raise precondition_failed("If-None-Match")
    if match is not None:
        if live is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404, Key=call.input["Key"])
        if not etag_matches(match, live.etag):
            raise precondition_failed("If-Match")


def finish(
    unit: Unit, bucket: Bucket, template: ObjectVersion, payload: Payload, current: ObjectVersion | None
) -> ObjectVersion:
    """The row with its bytes, id and time."""
    inline, parts = keep(unit, payload)
    version_id, order = next_identity(unit, bucket, current)
    version = ObjectVersion(
        key=template.key,
        version_id=version_id,
        order=order,
        modified=unit.now,
        owner=template.owner,
        etag=payload.etag,
        size=payload.size,
        inline=inline,
        parts=parts,
        content_type=template.content_type,
        headers=template.headers,
        metadata=template.metadata,
        checksums=payload.checksums,
        checksum_type="FULL_OBJECT",
        tags=template.tags,
        acl=template.acl,
        storage_class=template.storage_class,
    )
    if payload.envelope is not None:
        version = sealed(unit, bucket.name, version, payload.envelope)
    return lock_rules.locked(unit, bucket, version, template) if bucket.object_lock else version


def written(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> Shape:
    """What PutObject answers."""
    output: Shape = {"ETag": f'"{version.etag}"'}
    if bucket.versioning == "Enabled":
        output["VersionId"] = version.version_id
    for algorithm, value in version.checksums.items():
        output[f"Checksum{algorithm}"] = value
        output["ChecksumType"] = version.checksum_type
    if version.sse or version.customer_mark:
        encryption.show_written(call, version, output)
    if bucket.object_lock:
        lock_rules.note_lock(call, version)
    if bucket.configured:
        lifecycle_rules.show_expiration(unit, bucket, version, output)
    return output


@family.operation("GetObject")
async def get_object(call: Call, unit: Unit) -> Shape:
    """Read an object, whole or a range of it."""
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    keys = keys_of(call, unit, bucket, version)
    check_conditions(call, version)
    if version.storage_class in NOT_ALWAYS_READY and READING not in call.stash and SELECTING not in call.stash:
        refuse_archived(version, unit.now)
        note_access(unit, bucket, version)
    run = chosen_run(call, version)
    output = describe(call, version, run, bool(bucket.versioning))
    if bucket.object_lock or bucket.configured or version.restored_until:
        _tell_more(call, unit, bucket, version, output)
    if version.parts and run.length:
        call.stream = await open_run(unit.house.blobs, version, run, keys)
    else:
        output["Body"] = inline_data(unit, version, run.offset, run.length, keys)
    call.evidence.object_size = version.size
    return output


def keys_of(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion, *, decrypts: bool = True) -> KeyRing | None:
    """What opens the object, None when it lies in the clear; raises what `encryption.opening` does.

    `decrypts`: something of the object is to be told that takes the right to decrypt where KMS has the key."""
    if encryption.HEADER in call.request.headers:
        refuse_on_read(call)
    if not (version.sse or version.customer_mark) and CUSTOMER_MEMBERS.isdisjoint(call.input):
        return None
    key = call.input["Key"]
    wrapping = opening(call, unit, bucket, key, version) if decrypts else check_reader(call, version)
    return key_ring(unit, bucket, key, wrapping) if version.sse or version.customer_mark else None


@family.operation("HeadObject")
async def head_object(call: Call, unit: Unit) -> Shape:
    """What GetObject would say, without the object."""
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    keys_of(call, unit, bucket, version, decrypts=call.input.get("ChecksumMode") == "ENABLED")
    check_conditions(call, version)
    run = chosen_run(call, version)
    call.evidence.object_size = version.size
    output = describe(call, version, run, bool(bucket.versioning))
    if bucket.object_lock or bucket.configured or version.restored_until:
        _tell_more(call, unit, bucket, version, output)
    return output


def _tell_more(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion, output: Shape) -> None:
    """What few objects have to tell: their lock, when they expire, until when they are restored."""
    if bucket.object_lock:
        lock_rules.show_lock(call, unit, bucket, version, output)
    if bucket.configured and "VersionId" not in call.input:
        lifecycle_rules.show_expiration(unit, bucket, version, output)
    restored = restore_header(version, unit.now)
    if restored:
        output["Restore"] = restored


def readable_version(call: Call, unit: Unit, bucket: Bucket) -> ObjectVersion:
    """The version that is asked for. Who may not list the bucket is not told whether a key exists."""
    key, version_id = call.input["Key"], call.input.get("VersionId", "")
    version = find_version(unit, bucket, key, version_id)
    if version is None:
        if not may_know(call, unit, bucket, key):
            raise AwsError("AccessDenied", "Access Denied", 403)
        raise _missing(key, version_id)
    if version.delete_marker:
        headers = {"x-amz-delete-marker": "true", "x-amz-version-id": version.version_id}
        if version_id:
            message = "The specified method is not allowed against this resource."
            fields = {"Method": call.request.method, "ResourceType": "DeleteMarker"}
            raise AwsError("MethodNotAllowed", message, 405, headers=headers, **fields)
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404, headers=headers, Key=key)
    return version


def _missing(key: str, version_id: str) -> AwsError:
    if version_id:
        fields = {"Key": key, "VersionId": version_id}
        return AwsError("NoSuchVersion", "The specified version does not exist.", 404, headers=None, **fields)
    return AwsError("NoSuchKey", "The specified key does not exist.", 404, Key=key)


def refuse_reading(call: Call, unit: Unit, refusal: AwsError) -> AwsError:
    """Who may not read an object, but may list the bucket, is told that there is none."""
    if call.operation.name not in ("GetObject", "HeadObject"):
        return refusal
    bucket = BUCKETS.get(unit, call.input["Bucket"])
    key, version_id = call.input["Key"], call.input.get("VersionId", "")
    if bucket is None or find_version(unit, bucket, key, version_id) or not may_know(call, unit, bucket, key):
        return refusal
    return _missing(key, version_id)
