"""PutObjectAnnotation, GetObjectAnnotation, ListObjectAnnotations, DeleteObjectAnnotation.

An annotation is up to 1 MiB of text with a name, on one version of an object. Sources: S3 model, these operations; S3 user
guide, "Annotating your objects". Replacing an annotation of a locked version takes what deleting it takes: no source says
so, but what may not be removed must not be written over either.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import INLINE_BYTES_MAX, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_annotations import ANNOTATIONS, ANNOTATIONS_MAX, SETS, AnnotationSet, drop_bytes
from opentrail.rows.s3_replication import REPLICA, status_of
from opentrail.service import Service
from opentrail.services.s3 import lock_rules
from opentrail.services.s3.annotation_rules import (
    NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    check_name,
    inherit_encryption,
    is_spelled_well,
    new_ref,
    new_row,
)
from opentrail.services.s3.cipher import crypt
from opentrail.services.s3.encryption import key_ring, new_envelope, opening
from opentrail.services.s3.listing import make_token, read_token
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.payload import Payload, inline_data, store_blob, taken_before
from opentrail.services.s3.reading import Run, etag_matches, from_epoch, open_run, precondition_failed
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit
from opentrail.wire.payload import DecodedBody

family = Service("s3")


@family.operation("PutObjectAnnotation")
async def put_object_annotation(call: Call, unit: Unit) -> Shape:
    """Attach a named text to an object, or replace it."""
    name = _name(call)
    check_name(name)
    bucket = bucket_of(call, unit)
    version = _target(call, unit, bucket)
    body = call.body
    assert isinstance(body, DecodedBody)
    _check_length(body.length)
    inherit_encryption(call, unit, bucket, version)
    payload = await _take_text(call, unit, body)
    bucket = bucket_of(call, unit)
    version = _target(call, unit, bucket)
    row = _put(call, unit, bucket, version, name, payload)
    output = {"Key": version.key, "AnnotationName": name, "ETag": f'"{row.etag}"', "ServerSideEncryption": row.sse}
    return output | _version_id(bucket, version) | _checksums(row)


def _put(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion, name: str, payload: Payload) -> ObjectVersion:
    """The annotation's new row, put in place of the one it replaces."""
    ref = version.annotated or new_ref(unit)
    found = SETS.get(unit, ref) or AnnotationSet()
    old = ANNOTATIONS.get(unit, ref, name)
    if old is not None:
        _check_lock(call, unit, bucket, version)
        drop_bytes(unit, old)
    elif found.count >= ANNOTATIONS_MAX:
        raise AwsError("AnnotationLimitExceeded", "The object has reached the maximum number of annotations.", 400)
    row = new_row(unit, bucket, version.key, payload)
    ANNOTATIONS.put(unit, row, ref, name)
    SETS.put(unit, AnnotationSet(found.count + (old is None), found.changes + 1), ref)
    if not version.annotated:
        replace_version(unit, bucket, replace(version, annotated=ref))
    return row


def _name(call: Call) -> str:
    name = call.input.get("AnnotationName")
    if name is None:
        message = "The annotationName query parameter is required."
        raise AwsError("InvalidArgument", message, 400, ArgumentName="annotationName")
    return str(name)


def _target(call: Call, unit: Unit, bucket: Bucket) -> ObjectVersion:
    """The version whose annotations are to be changed. By its row the commit is guarded, however it was found: a version
    that goes meanwhile must leave nothing behind."""
    version = readable_version(call, unit, bucket)
    if bucket.versioning:
        VERSIONS.get(unit, bucket.name, version.key, order_part(version.order))
    match = call.input.get("ObjectIfMatch")
    if match is not None and not etag_matches(match, version.etag):
        raise precondition_failed("x-amz-object-if-match")
    return version


def _check_lock(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    """What deleting a locked version takes. The model has no member for the header, but names it."""
    if bucket.object_lock and REPLICA not in call.stash:  # what the source's lock let pass, a replica takes over
        bypass = call.request.headers.get(lock_rules.BYPASS_HEADER, "")
        call.input["BypassGovernanceRetention"] = bypass.lower() == "true"
        lock_rules.check_removal(call, unit, bucket, version)


async def _take_text(call: Call, unit: Unit, body: DecodedBody) -> Payload:
    """The payload of the call, as `payload.take_payload` takes an object's; raises AWS's error for what is no text."""
    taken = taken_before(call, call.stash.get("payload"))
    if taken is not None:
        return taken
    envelope = new_envelope(call)
    assert envelope is not None
    data, part = None, None
    if body.length is not None and body.length <= INLINE_BYTES_MAX:
        text = await body.read_all(INLINE_BYTES_MAX)
        _checked_text(codecs.getincrementaldecoder("utf-8")(), text, final=True)
        data = crypt(envelope.key, 0, text)
    else:
        part = await store_blob(call, unit, _text(aiter(body)), envelope)
    payload = Payload(body.size, envelope.etag(body.md5), body.checksums, data, part, envelope)
    call.stash["payload"] = payload
    return payload


def _check_length(length: int | None) -> None:
    if length is None:
        raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if length == 0:
        raise AwsError("InvalidRequest", "An annotation payload must be at least 1 byte long.", 400)
    if length > PAYLOAD_BYTES_MAX:
        message = "Your proposed upload exceeds the maximum allowed size"
        sizes = {"ProposedSize": str(length), "MaxSizeAllowed": str(PAYLOAD_BYTES_MAX)}
        raise AwsError("EntityTooLarge", message, 400, headers=None, **sizes)


async def _text(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream, as long as it is UTF-8. Holds no more than a chunk."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    async for chunk in chunks:
        _checked_text(decoder, chunk, final=False)
        yield chunk
    _checked_text(decoder, b"", final=True)


def _checked_text(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool) -> None:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        message = "The annotation payload is not valid UTF-8 encoded text."
        raise AwsError("UnsupportedMediaType", message, 415) from error


@family.operation("GetObjectAnnotation")
async def get_object_annotation(call: Call, unit: Unit) -> Shape:
    """Read an annotation of an object."""
    bucket, name = bucket_of(call, unit), _name(call)
    version = readable_version(call, unit, bucket)
    row = ANNOTATIONS.get(unit, version.annotated, name) if version.annotated else None
    if row is None:
        raise AwsError("NoSuchAnnotation", "The specified annotation does not exist.", 404)
    keys = key_ring(unit, bucket, version.key, opening(call, unit, bucket, version.key, row))
    output: Shape = {
        "LastModified": from_epoch(int(row.modified)),
        "ContentLength": row.size,
        "ETag": f'"{row.etag}"',
        "ServerSideEncryption": row.sse,
        **_version_id(bucket, version),
    }
    if row.replication:
        output["ReplicationStatus"] = status_of(row)
    if call.input.get("ChecksumMode") == "ENABLED":
        output |= _checksums(row)
    if row.parts:
        call.stream = await open_run(unit.house.blobs, row, Run(0, row.size), keys)
    else:
        output["AnnotationPayload"] = inline_data(unit, row, 0, row.size, keys)
    return output


def _checksums(row: ObjectVersion) -> Shape:
    shown: Shape = {f"Checksum{algorithm}": value for algorithm, value in row.checksums.items()}
    return shown | {"ChecksumType": row.checksum_type}


def _version_id(bucket: Bucket, version: ObjectVersion) -> Shape:
    return {"ObjectVersionId": version.version_id} if bucket.versioning else {}


@family.operation("ListObjectAnnotations")
async def list_object_annotations(call: Call, unit: Unit) -> Shape:
    """List the annotations of an object by name."""
    given, bucket = call.input, bucket_of(call, unit)
    limit, prefix, token = _limit(call), _prefix(call), given.get("ContinuationToken")
    after = read_token(token) if token is not None else ""
    version = readable_version(call, unit, bucket)
    ref, rows = version.annotated, []
    if ref:
        rows = unit.scan(ANNOTATIONS.key(ref, prefix), ANNOTATIONS.key(ref, after) if after else b"", limit + 1)
    shown = [_entry(ANNOTATIONS.parts(key)[1], ANNOTATIONS.decode(found.value)) for key, found in rows[:limit]]
    output: Shape = {
        "Annotations": shown,
        "Bucket": bucket.name,
        "Key": version.key,
        "MaxAnnotationResults": limit,
        "AnnotationCount": len(shown),
        "AnnotationPrefix": prefix or None,
        "ContinuationToken": token,
        **_version_id(bucket, version),
    }
    if len(rows) > limit:
        output["NextContinuationToken"] = make_token(shown[-1]["AnnotationName"])
    return output


def _limit(call: Call) -> int:
    limit = call.input.get("MaxAnnotationResults", ANNOTATIONS_MAX)
    if not 1 <= limit <= ANNOTATIONS_MAX:
        name = "max-annotation-results"
        message = f"Argument {name} must be an integer between 1 and {ANNOTATIONS_MAX}"
        raise AwsError("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue=str(limit))
    return int(limit)


def _prefix(call: Call) -> str:
    prefix = str(call.input.get("AnnotationPrefix") or "")
    if len(prefix.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX or not is_spelled_well(prefix):
        raise AwsError("InvalidPrefix", "The annotation prefix you provided is invalid.", 400)
    return prefix


def _entry(name: str, row: ObjectVersion) -> Shape:
    return {
        "AnnotationName": name,
        "LastModified": from_epoch(row.modified),
        "ETag": f'"{row.etag}"',
        "ChecksumAlgorithm": list(row.checksums),
        "Size": row.size,
        "ReplicationStatus": status_of(row) or None,
    }


@family.operation("DeleteObjectAnnotation")
async def delete_object_annotation(call: Call, unit: Unit) -> Shape:
    """Remove an annotation of an object for good; one that is not there is no error."""
    bucket, name = bucket_of(call, unit), _name(call)
    version = _target(call, unit, bucket)
    ref = version.annotated
    row = ANNOTATIONS.get(unit, ref, name) if ref else None
    found = SETS.get(unit, ref) if ref else None
    if row is not None and found is not None:
        _check_lock(call, unit, bucket, version)
        drop_bytes(unit, row)
        ANNOTATIONS.delete(unit, ref, name)
        SETS.put(unit, AnnotationSet(found.count - 1, found.changes + 1), ref)
    return _version_id(bucket, version)
