"""The source of a copy: which object it is, who may read it, on what conditions, and its bytes taken anew.

Blobs belong to one object each, so that dropping an object needs no counting; a copy therefore copies. Shared by
CopyObject and UploadPartCopy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from opentrail.call import Access, Call, Resource
from opentrail.errors import AwsError, Conflict
from opentrail.rows.s3 import BUCKETS, INLINE_BYTES_MAX, Bucket, ObjectVersion
from opentrail.rows.s3_logging import KIND as LOGGING
from opentrail.service import Service
from opentrail.services.s3.annotation_rules import copies_annotations, has_annotations
from opentrail.services.s3.archive import refuse_archived
from opentrail.services.s3.cipher import crypt
from opentrail.services.s3.encryption import KeyRing, check_reader, key_ring, new_envelope, opening
from opentrail.services.s3.guard import enter_bucket, may_know, no_such_bucket, question, setting_questions
from opentrail.services.s3.payload import OBJECT_BYTES_MAX, Payload, inline_data, store_blob, taken_before
from opentrail.services.s3.reading import Run, etag_matches, open_run, precondition_failed
from opentrail.services.s3.versions import find_version
from opentrail.state import Unit
from opentrail.wire.checksums import Checksum, decode, find

HEADER = "x-amz-copy-source"
SOURCE_KEY = "CopySource"
"""Prefix of the members that bring the customer's key of the source."""
VERSION_MARK = "?versionId="
MD5 = "MD5"
DEFAULT_ALGORITHM = "CRC64NVME"

family = Service("s3")


@dataclass(frozen=True, slots=True)
class CopySource:
    """What is to be copied; whether it is there, nobody has looked yet."""

    bucket: Bucket
    key: str
    version_id: str
    """Empty: the newest version."""


def parse_source(text: str) -> tuple[str, str, str]:
    """(bucket, key, version id) of an x-amz-copy-source header; raises AwsError("InvalidArgument")."""
    path, mark, version_id = text.partition(VERSION_MARK)
    if mark and not version_id:
        raise _invalid("Version id cannot be the empty string", text)
    try:
        path = unquote_to_bytes(path).decode()
    except UnicodeError:
        raise _invalid("Invalid copy source encoding.", text) from None
    bucket, _, key = path.removeprefix("/").partition("/")
    if not bucket or not key or "\0" in path:
        raise _invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", text)
    return bucket, key, version_id


def _invalid(message: str, text: str) -> AwsError:
    return AwsError("InvalidArgument", message, 400, ArgumentName=HEADER, ArgumentValue=text)


def source_of(call: Call, unit: Unit) -> CopySource:
    """The source that the call names; raises NoSuchBucket, or AccessDenied for an owner that is not the one expected."""
    name, key, version_id = parse_source(call.input.get("CopySource", ""))
    bucket = BUCKETS.get(unit, name)
    if bucket is None:
        raise no_such_bucket(name)
    if call.input.get("ExpectedSourceBucketOwner", bucket.owner) != bucket.owner:
        raise AwsError("AccessDenied", "Access Denied", 403)
    return CopySource(bucket, key, version_id)


@family.guard("CopyObject", "UploadPartCopy")
def copy_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """Writing the destination and reading the source must both be allowed, tags included where they are copied."""
    given = call.input
    bucket = enter_bucket(call, unit, given["Bucket"])
    source = source_of(call, unit)
    if LOGGING in source.bucket.configured:
        call.evidence.witnessed = True
    call.evidence.resources.append(Resource("AWS::S3::Object", f"arn:aws:s3:::{source.bucket.name}/{source.key}"))
    write = question(call, unit, bucket, "s3:PutObject", given["Key"])
    reading = "s3:GetObjectVersion" if source.version_id else "s3:GetObject"
    asked = [write, question(call, unit, source.bucket, reading, source.key, source.version_id)]
    if call.operation.name == "CopyObject":
        asked += setting_questions(call, write)
        asked += _copied_tags(call, unit, write, source)
        asked += _copied_annotations(call, unit, write, source)
    return asked


def _copied_tags(call: Call, unit: Unit, write: Access, source: CopySource) -> list[Access]:
    """Tags that come along must be readable at the source and writable at the destination."""
    if call.input.get("TaggingDirective") == "REPLACE":
        return []
    version = find_version(unit, source.bucket, source.key, source.version_id)
    if version is None or not version.tags:
        return []
    reading = "s3:GetObjectVersionTagging" if source.version_id else "s3:GetObjectTagging"
    read = question(call, unit, source.bucket, reading, source.key, source.version_id)
    return [read, replace(write, action="s3:PutObjectTagging", acl=None)]


def _copied_annotations(call: Call, unit: Unit, write: Access, source: CopySource) -> list[Access]:
    """As for tags (S3 model, CopyObject)."""
    version = find_version(unit, source.bucket, source.key, source.version_id)
    if version is None or not version.annotated or not copies_annotations(call) or not has_annotations(unit, version):
        return []
    return annotation_questions(call, unit, write, source)


def annotation_questions(call: Call, unit: Unit, write: Access, source: CopySource) -> list[Access]:
    """What a copy that brings annotations along takes. `write` is the question of writing the destination."""
    reading = "s3:GetObjectVersionAnnotation" if source.version_id else "s3:GetObjectAnnotation"
    read = question(call, unit, source.bucket, reading, source.key, source.version_id)
    return [read, replace(write, action="s3:PutObjectAnnotation", acl=None)]


def source_version(call: Call, unit: Unit, source: CopySource) -> ObjectVersion:
    """The version to be copied, its conditions checked. Who may not list the bucket is not told whether a key exists."""
    version = find_version(unit, source.bucket, source.key, source.version_id)
    if version is None:
        if not may_know(call, unit, source.bucket, source.key):
            raise AwsError("AccessDenied", "Access Denied", 403)
        if source.version_id:
            fields = {"Key": source.key, "VersionId": source.version_id}
            raise AwsError("NoSuchVersion", "The specified version does not exist.", 404, headers=None, **fields)
    elif version.delete_marker and source.version_id:
        message = "The source of a copy request may not specifically refer to a delete marker by version id."
        raise AwsError("InvalidRequest", message, 400)
    if version is None or version.delete_marker:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404, Key=source.key)
    _check_conditions(call, version)
    check_reader(call, version, SOURCE_KEY)
    refuse_archived(version, unit.now)
    return version


def _check_conditions(call: Call, version: ObjectVersion) -> None:
    """x-amz-copy-source-if-*: a matching ETag outweighs an older date, a changed one a newer (S3 API, CopyObject)."""
    given, modified = call.input, int(version.modified)
    match, none_match = given.get("CopySourceIfMatch"), given.get("CopySourceIfNoneMatch")
    since, until = given.get("CopySourceIfModifiedSince"), given.get("CopySourceIfUnmodifiedSince")
    if match is not None:
        if not etag_matches(match, version.etag):
            raise precondition_failed("x-amz-copy-source-If-Match")
    elif until is not None and modified > until.timestamp():
        raise precondition_failed("x-amz-copy-source-If-Unmodified-Since")
    if none_match is not None and etag_matches(none_match, version.etag):
        raise precondition_failed("x-amz-copy-source-If-None-Match")
    if since is not None and modified <= since.timestamp():
        raise precondition_failed("x-amz-copy-source-If-Modified-Since")


def check_size(length: int) -> None:
    """One copy moves at most what one upload does."""
    if length > OBJECT_BYTES_MAX:
        message = "The specified copy source is larger than the maximum allowable size for a copy source: "
        raise AwsError("InvalidRequest", f"{message}{OBJECT_BYTES_MAX}", 400)


def open_source(call: Call, unit: Unit, source: CopySource, version: ObjectVersion) -> KeyRing | None:
    """What opens the source, None when it lies in the clear. A call that is walked again opens it again, since the use of
    a KMS key must be recorded with what comes of it."""
    if not (version.sse or version.customer_mark):
        return None
    wrapping = opening(call, unit, source.bucket, source.key, version, SOURCE_KEY)
    return key_ring(unit, source.bucket, source.key, wrapping)


def copied_algorithm(call: Call, version: ObjectVersion) -> str:
    """The checksum of a copy: the one asked for, else the source's kind, else S3's default."""
    asked = call.input.get("ChecksumAlgorithm")
    if asked is not None:
        return find(asked.upper()).name
    return next(iter(version.checksums), DEFAULT_ALGORITHM)


def copied_before(call: Call, unit: Unit) -> tuple[CopySource, ObjectVersion, Payload] | None:
    """What an earlier walk of this call copied, and kept in `call.stash` under "copied"; the source is opened again."""
    taken = call.stash.get("copied")
    if not isinstance(taken, tuple):
        return None
    source, version, payload = taken
    open_source(call, unit, source, version)
    return source, version, taken_before(call, payload) or payload


async def copy_source_bytes(
    call: Call,
    unit: Unit,
    source: CopySource,
    version: ObjectVersion,
    run: Run,
    algorithm: str,
    inline_max: int = INLINE_BYTES_MAX,
) -> Payload:
    """`copy_bytes` of the version that the call names. Raises Conflict when it is deleted meanwhile: the call is walked
    again, and then finds out what there is."""
    try:
        return await copy_bytes(call, unit, source, version, run, algorithm, inline_max)
    except FileNotFoundError as error:
        raise Conflict(f"{source.bucket.name}/{source.key} was deleted while it was copied") from error


async def copy_bytes(
    call: Call,
    unit: Unit,
    source: CopySource,
    version: ObjectVersion,
    run: Run,
    algorithm: str,
    inline_max: int = INLINE_BYTES_MAX,
) -> Payload:
    """A run of a version's bytes as a payload of its own, with its MD5 and a checksum of `algorithm`.

    Decrypted on the way out and encrypted on the way in, under keys of their own."""
    check_size(run.length)
    keys = open_source(call, unit, source, version)
    hashed = _Hashed(_chunks(unit, version, run, keys), algorithm)
    data, part, envelope = None, None, new_envelope(call)
    if run.length <= inline_max:
        data = b"".join([chunk async for chunk in hashed])
        if envelope is not None:
            data = crypt(envelope.key, 0, data)
    else:
        part = await store_blob(call, unit, aiter(hashed), envelope)
    etag = hashed.etag() if envelope is None else envelope.etag(hashed.etag())
    return Payload(run.length, etag, {algorithm: hashed.checksum.digest()}, data, part, envelope)


async def _chunks(unit: Unit, version: ObjectVersion, run: Run, keys: KeyRing | None) -> AsyncIterator[bytes]:
    if not run.length:
        return
    if not version.parts:
        yield inline_data(unit, version, run.offset, run.length, keys)
        return
    stream = await open_run(unit.house.blobs, version, run, keys)
    try:
        async for chunk in stream.chunks():
            yield chunk
    finally:
        await stream.close()


class _Hashed:
    """A stream that hashes what passes through it."""

    def __init__(self, chunks: AsyncIterator[bytes], algorithm: str) -> None:
        self.checksum = Checksum(algorithm)
        self._md5 = Checksum(MD5)
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.checksum.update(chunk)
            self._md5.update(chunk)
            yield chunk

    def etag(self) -> str:
        return decode(find(MD5), self._md5.digest()).hex()
