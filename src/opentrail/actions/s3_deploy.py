"""The S3 deploy action: puts an artifact, or the files in it, into a bucket.

Source: CodePipeline user guide, action structure reference of Amazon S3 deploy. The artifact goes through a temporary
file, never whole through memory; its members are checked by `unzip` before the first is written.
"""

from __future__ import annotations

import asyncio
import mimetypes
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import IO
from zipfile import ZipFile, ZipInfo

from opentrail.actions.objects import length_of, reading, s3_failure
from opentrail.actions.unzip import BadArchive, MemberStream, open_archive
from opentrail.call import ByteStream, Shape
from opentrail.errors import AwsError
from opentrail.rows.codepipeline_action import ActionContext, ActionResult, failed

ARTIFACT_BYTES_MAX = 5 * 1024**3
IN_MEMORY_MAX = 8 * 1024**2
"""Bytes of an artifact that are held in memory; larger ones lie in a temporary file."""
UPLOADS_MAX = 8
"""Members written at the same time."""
KEY_BYTES_MAX = 1_024
_TYPES = mimetypes.MimeTypes(filenames=())
for _extension, _kind in {
    ".js": "application/javascript",
    ".mjs": "application/javascript",
    ".map": "application/json",
    ".md": "text/markdown",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".zip": "application/zip",
}.items():
    _TYPES.add_type(_kind, _extension)  # where Python's versions differ, or know nothing
_ENCODED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


class S3Deploy:
    """`AWS Deploy S3 1`."""

    async def run(self, context: ActionContext) -> ActionResult:
        artifact = context.inputs[0]
        try:
            async with reading(context, artifact.bucket, artifact.key) as (_, payload):
                if length_of(payload) > ARTIFACT_BYTES_MAX:
                    return failed("JobFailed", f"The artifact is larger than {ARTIFACT_BYTES_MAX} bytes")
                return await self._deploy(context, payload)
        except AwsError as error:
            return s3_failure(error, artifact.bucket, artifact.key)

    async def _deploy(self, context: ActionContext, payload: bytes | ByteStream) -> ActionResult:
        key = target_key(context)
        try:
            if context.configuration["Extract"].lower() != "true":
                await _put(context, key, payload)
            else:
                async with _spooled(payload) as file:
                    await _put_members(context, key, *open_archive(file, length_of(payload)))
        except BadArchive as error:
            return failed("JobFailed", str(error))
        except AwsError as error:
            return s3_failure(error, context.configuration["BucketName"], key)
        return ActionResult("Succeeded", summary="Deployment Succeeded")


def target_key(context: ActionContext) -> str:
    """The key, or with Extract the path, to write to; `{datetime}` stands for the time the action was started."""
    moment = time.strftime("%Y-%m-%d_%H-%M-%S", time.gmtime(context.started_at))
    return context.configuration.get("ObjectKey", "").replace("{datetime}", moment)


@asynccontextmanager
async def _spooled(payload: bytes | ByteStream) -> AsyncIterator[IO[bytes]]:
    with tempfile.SpooledTemporaryFile(IN_MEMORY_MAX) as file:
        if isinstance(payload, bytes):
            file.write(payload)
        else:
            async for chunk in payload.chunks():
                file.write(chunk)
        yield file


async def _put_members(context: ActionContext, path: str, archive: ZipFile, members: list[ZipInfo]) -> None:
    """Write all members, some at a time. The first refusal ends it."""
    prefix = f"{path.rstrip('/')}/" if path else ""
    for member in members:
        if len((prefix + member.filename).encode()) > KEY_BYTES_MAX:
            raise BadArchive(f"The key of a member is longer than {KEY_BYTES_MAX} bytes")
    waiting = iter(members)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(UPLOADS_MAX, len(members))):
                group.create_task(_put_some(context, prefix, archive, waiting))
    except ExceptionGroup as errors:
        refused, rest = errors.split(AwsError)
        if refused is None or rest is not None:
            raise
        raise _first(refused) from None


def _first(group: ExceptionGroup[AwsError]) -> AwsError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


async def _put_some(context: ActionContext, prefix: str, archive: ZipFile, waiting: Iterator[ZipInfo]) -> None:
    for member in waiting:
        await _put(context, prefix + member.filename.removeprefix("./"), MemberStream(archive, member))


async def _put(context: ActionContext, key: str, payload: bytes | ByteStream) -> None:
    given = context.configuration
    asked: Shape = {"Bucket": given["BucketName"], "Key": key, "ContentType": content_type(key)}
    if "CannedACL" in given:
        asked["ACL"] = given["CannedACL"]
    if "CacheControl" in given:
        asked["CacheControl"] = given["CacheControl"]
    if "KMSEncryptionKeyARN" in given:
        asked |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": given["KMSEncryptionKeyARN"]}
    await context.call("s3", "PutObject", asked, payload)


def content_type(key: str) -> str:
    """By extension, from a table that is the same on every machine."""
    kind, encoding = _TYPES.guess_type(key, strict=True)
    if encoding:
        return _ENCODED.get(encoding, "application/octet-stream")
    return kind or "application/octet-stream"
