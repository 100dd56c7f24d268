"""PutObject, GetObject, HeadObject, DeleteObject: the hot road of S3."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import parse_qsl

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, Bucket, ObjectVersion
from opentrail.rows.s3_replication import READING
from opentrail.service import Service
from opentrail.services.s3 import encryption, lifecycle_rules, lock_rules, mfa_delete
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
from opentrail.services.s3.versions import (
    current_version,
    find_version,
    next_identity,
    put_version,
    remove_version,
)
from opentrail.state import Unit

METADATA_BYTES_MAX = 2 * 1024
"""Names and values of user metadata, as S3 counts them."""
OBJECT_TAGS_MAX = 10
TAG_KEY_MAX, TAG_VALUE_MAX = 128, 256
TAG_TEXT = re.compile(r"[\w .:/=+\-@\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*")
"""Letters, numbers and separators of any script, and some marks (user guide, "Categorizing your objects using tags")."""
TAG_FIELDS_MAX = 1_000
"""Pairs of the tagging header that are looked at."""
TAGGING_HEADER = (
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
    "without tag name duplicates."
)
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


def parse_tagging(text: str) -> tuple[tuple[str, str], ...]:
    """Tags in the form of a query string (header x-amz-tagging)."""
    if not text:
        return ()
    try:
        tags = tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=TAG_FIELDS_MAX))
    except ValueError:  # more fields than anybody's tags
        tags = ()
    if not tags or len({key for key, _ in tags}) != len(tags):
        raise AwsError("InvalidArgument", TAGGING_HEADER, 400, ArgumentName="x-amz-tagging", ArgumentValue=text)
    return check_tags(tags, OBJECT_TAGS_MAX)


def check_tags(tags: tuple[tuple[str, str], ...], most: int) -> tuple[tuple[str, str], ...]:
    """Tags within S3's limits: number, lengths, no key twice, none of AWS's own."""
    if len(tags) > most:
        what = "Object" if most == OBJECT_TAGS_MAX else "Bucket"
        code = "BadRequest" if most == OBJECT_TAGS_MAX else "InvalidTag"
        raise AwsError(code, f"{what} tags cannot be greater than {most}", 400)
    if len({key for key, _ in tags}) != len(tags):
        raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key", 400)
    for key, value in tags:
        if not 1 <= len(key) <= TAG_KEY_MAX or not TAG_TEXT.fullmatch(key):
            raise AwsError("InvalidTag", "The TagKey you have provided is invalid", 400, TagKey=key[:TAG_KEY_MAX])
        if len(value) > TAG_VALUE_MAX or not TAG_TEXT.fullmatch(value):
            raise AwsError("InvalidTag", "The TagValue you have provided is invalid", 400, TagKey=key)
        if key.lower().startswith("aws:"):
            raise AwsError("InvalidTag", "System tags cannot be added/updated by requester", 400, TagKey=key)
    return tags


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
    if version.storage_class in NOT_ALWAYS_READY and READING not in call.stash:
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
