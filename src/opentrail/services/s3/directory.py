"""CreateSession, ListDirectoryBuckets, RenameObject: what only directory buckets have. Their making is `directory_create`'s.

Source: API reference of the three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_
from datetime import datetime
from urllib.parse import unquote

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import new_key_id, new_secret
from opentrail.rows.s3 import OBJECTS, OWNED_DIRECTORIES, Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.directory_rules import SESSION_SECONDS, ExpressSession, issue_session
from opentrail.services.s3.encryption import SSE_S3, Envelope, Protection, key_ring, not_implemented
from opentrail.services.s3.listing import make_token, read_token
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.reading import etag_matches, from_epoch, precondition_failed
from opentrail.services.s3.versions import release
from opentrail.state import Unit

MODES = frozenset({"ReadOnly", "ReadWrite"})
BUCKETS_PAGE_MAX = 1_000
"""Buckets of one answer."""
RENAMED_BY = "rename:"
"""Before the client's token, in the row of a renamed object: asked again with it, the call has been done."""
EXPRESS = "arn:aws:s3express:"

family = Service("s3")


@family.operation("CreateSession")
async def create_session(call: Call, unit: Unit) -> Shape:
    """Credentials for five minutes of calls on one directory bucket."""
    bucket, mode = bucket_of(call, unit), call.input.get("SessionMode") or "ReadWrite"
    if not bucket.zone:
        raise AwsError("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
    if mode not in MODES:
        fields = {"ArgumentName": "x-amz-create-session-mode", "ArgumentValue": mode}
        raise AwsError("InvalidArgument", "Invalid session mode.", 400, headers=None, **fields)
    if call.input.get("ServerSideEncryption", SSE_S3) != SSE_S3:
        raise not_implemented("x-amz-server-side-encryption")
    clock, until = unit.house.clock, unit.now + SESSION_SECONDS
    principal = with_(call.principal, access_key_id=new_key_id(clock, "ASIA", call.principal.account_id))
    session = ExpressSession(new_secret(clock), principal, bucket.name, mode, until)
    credentials = {
        "AccessKeyId": principal.access_key_id,
        "SecretAccessKey": session.secret,
        "SessionToken": issue_session(unit.house.seal, session),
        "Expiration": from_epoch(int(until)),
    }
    return {"Credentials": credentials, "ServerSideEncryption": SSE_S3}


@family.guard("ListDirectoryBuckets")
def list_directory_buckets_guard(call: Call, _unit: Unit) -> Sequence[Access]:
    """The action on the directory buckets of the caller's account."""
    account = call.principal.account_id
    return [Access("s3express:ListAllMyDirectoryBuckets", f"{EXPRESS}{call.region}:{account}:bucket/*", account)]


@family.operation("ListDirectoryBuckets")
async def list_directory_buckets(call: Call, unit: Unit) -> Shape:
    """The directory buckets of the caller's account in a region, by name, a page at a time."""
    owner, limit = call.principal.account_id, call.input.get("MaxDirectoryBuckets", BUCKETS_PAGE_MAX)
    if not 0 <= limit <= BUCKETS_PAGE_MAX:
        message = f"Argument max-directory-buckets must be an integer between 0 and {BUCKETS_PAGE_MAX}"
        raise AwsError("InvalidArgument", message, 400)
    token = call.input.get("ContinuationToken")
    after = OWNED_DIRECTORIES.key(owner, call.region, read_token(token)) if token else b""
    rows = OWNED_DIRECTORIES.page(unit, owner, call.region, after=after, limit=limit + 1) if limit else []
    shown = [(OWNED_DIRECTORIES.parts(key)[-1], row) for key, row in rows[:limit]]
    entries = [
        {
            "Name": name,
            "CreationDate": from_epoch(int(row.created_at)),
            "BucketRegion": row.region,
            "BucketArn": f"{EXPRESS}{row.region}:{owner}:bucket/{name}",
        }
        for name, row in shown
    ]
    more = {"ContinuationToken": make_token(shown[-1][0])} if len(rows) > limit else {}
    return {"Buckets": entries, **more}


@family.operation("RenameObject")
async def rename_object(call: Call, unit: Unit) -> Shape:
    """Give an object of a directory bucket another key, at once and without touching its bytes."""
    bucket, given = bucket_of(call, unit), call.input
    if not bucket.zone:
        raise AwsError("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
    source_key, key = unquote(given.get("RenameSource", "")), given["Key"]
    mark = RENAMED_BY + given.get("ClientToken", "")
    source, target = OBJECTS.get(unit, bucket.name, source_key), OBJECTS.get(unit, bucket.name, key)
    if source is None:
        if given.get("ClientToken") and target is not None and target.upload_id == mark:
            return {}
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404, Key=source_key)
    if source_key == key:
        raise AwsError("InvalidRequest", "The source and the destination of a rename must differ.", 400)
    _check(call, "Source", source)
    _check(call, "Destination", target)
    if target is not None:
        release(unit, target)
    OBJECTS.delete(unit, bucket.name, source_key)
    moved = _resealed(unit, bucket, source, key)
    OBJECTS.put(unit, replace(moved, key=key, upload_id=mark), bucket.name, key)
    call.evidence.object_size = source.size
    return {}


def _check(call: Call, side: str, version: ObjectVersion | None) -> None:
    """The conditions on one side of a rename."""
    given = call.input
    match, none_match = given.get(f"{side}IfMatch"), given.get(f"{side}IfNoneMatch")
    if match is not None and (version is None or not etag_matches(match, version.etag)):
        raise precondition_failed("If-Match")
    if none_match is not None and version is not None and etag_matches(none_match, version.etag):
        raise precondition_failed("If-None-Match")
    modified = 0 if version is None else int(version.modified)
    since, unless = given.get(f"{side}IfModifiedSince"), given.get(f"{side}IfUnmodifiedSince")
    if isinstance(since, datetime) and version is not None and modified <= since.timestamp():
        raise precondition_failed("If-Modified-Since")
    if isinstance(unless, datetime) and version is not None and modified > unless.timestamp():
        raise precondition_failed("If-Unmodified-Since")


def _resealed(unit: Unit, bucket: Bucket, version: ObjectVersion, key: str) -> ObjectVersion:
    """Data keys are bound to the object's key, so they are sealed anew under the one it gets."""
    if not version.sse and not version.customer_mark:
        return version
    if version.sse != SSE_S3:
        raise not_implemented("x-amz-rename-source")
    ring = key_ring(unit, bucket, version.key, b"")

    def again(ref: str, sealed: bytes) -> bytes:
        return Envelope(ring.open(ref, sealed), Protection(sse=SSE_S3)).seal(unit, bucket.name, key, ref)

    parts = tuple(replace(part, sealed_key=again(part.ref, part.sealed_key)) for part in version.parts)
    own = again(version.inline, version.sealed_key) if version.inline else b""
    return replace(version, parts=parts, sealed_key=own)
