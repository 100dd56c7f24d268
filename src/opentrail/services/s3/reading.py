"""What a read of an object gives: conditions, ranges, parts, response headers, and the stream of its bytes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import msgspec

from opentrail.call import ByteStream, Call, Shape
from opentrail.errors import AwsError
from opentrail.ports import Blobs
from opentrail.rows.s3 import ObjectVersion, Part
from opentrail.rows.s3_replication import status_of
from opentrail.services.s3.cipher import Decrypted
from opentrail.services.s3.encryption import KeyRing, show_kind

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
RANGE_DIGITS_MAX = 19

STORED_HEADERS = {
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "WebsiteRedirectLocation": "x-amz-website-redirect-location",
}
"""Members of GetObject, HeadObject and PutObject that are stored as sent, by header. `Expires` is kept apart."""
OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}


class Run(msgspec.Struct, frozen=True):
    """The bytes of an object that are asked for. `partial`: answer 206 with Content-Range."""

    offset: int
    length: int
    partial: bool = False


def from_epoch(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def check_conditions(call: Call, version: ObjectVersion) -> None:
    """If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since of a read (RFC 9110 order, as S3 documents)."""
    given = call.input
    modified = int(version.modified)
    if "IfMatch" in given:
        if not etag_matches(given["IfMatch"], version.etag):
            raise precondition_failed("If-Match")
    elif "IfUnmodifiedSince" in given and modified > given["IfUnmodifiedSince"].timestamp():
        raise precondition_failed("If-Unmodified-Since")
    if "IfNoneMatch" in given:
        if etag_matches(given["IfNoneMatch"], version.etag):
            raise _not_modified(version)
    elif "IfModifiedSince" in given and modified <= given["IfModifiedSince"].timestamp():
        raise _not_modified(version)


def etag_matches(given: str, etag: str) -> bool:
    """Is the ETag among those of a condition? `*` is any."""
    return any(one.strip().removeprefix("W/").strip('"') in (etag, "*") for one in given.split(","))


def precondition_failed(condition: str) -> AwsError:
    message = "At least one of the pre-conditions you specified did not hold"
    return AwsError("PreconditionFailed", message, 412, Condition=condition)


def _not_modified(version: ObjectVersion) -> AwsError:
    return AwsError("NotModified", "Not Modified", 304, headers={"ETag": f'"{version.etag}"'})


def chosen_run(call: Call, version: ObjectVersion) -> Run:
    """The range or part that is asked for; the whole object when the Range header says nothing S3 understands."""
    text, number = call.input.get("Range"), call.input.get("PartNumber")
    if text is not None and number is not None:
        raise AwsError("InvalidRequest", "Cannot specify both Range header and partNumber query parameter", 400)
    if number is not None:
        return _part_run(version, number)
    if text is None:
        return Run(0, version.size)
    match = _RANGE.fullmatch(text.strip())
    if match is None or match.group() == "bytes=-":
        return Run(0, version.size)
    return _range_run(version.size, match[1], match[2], text)


def _range_run(size: int, first: str, last: str, text: str) -> Run:
    start = int(first[:RANGE_DIGITS_MAX]) if first else -1
    end = int(last[:RANGE_DIGITS_MAX]) if last else size - 1
    if first and last and end < start:
        return Run(0, size)
    if not first:
        start, end = max(size - end, 0), size - 1
        if last.strip("0") == "":
            start = size
    if start >= size:
        fields = {"RangeRequested": text, "ActualObjectSize": str(size)}
        headers = {"Content-Range": f"bytes */{size}"}
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416, headers=headers, **fields)
    return Run(start, min(end, size - 1) - start + 1, partial=True)


def _part_run(version: ObjectVersion, number: int) -> Run:
    sizes = version.part_sizes or (version.size,)
    if not 1 <= number <= len(sizes):
        if 1 <= number <= 10_000:
            raise AwsError("InvalidPartNumber", "The requested partnumber is not satisfiable", 416)
        raise AwsError("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", 400)
    return Run(sum(sizes[: number - 1]), sizes[number - 1], partial=bool(version.size))


def describe(call: Call, version: ObjectVersion, run: Run, versioned: bool) -> Shape:
    """The output members that GetObject and HeadObject share."""
    output: Shape = {
        "AcceptRanges": "bytes",
        "LastModified": from_epoch(int(version.modified)),
        "ContentLength": run.length,
        "ETag": f'"{version.etag}"',
        "ContentType": version.content_type,
        "Metadata": version.metadata,
    }
    if version.headers:
        _stored(output, version.headers)
    for member, target in OVERRIDES.items():
        if member in call.input:
            output[target] = _override(call, call.input[member])
    if versioned:
        output["VersionId"] = version.version_id
    if run.partial:
        output["ContentRange"] = f"bytes {run.offset}-{run.offset + run.length - 1}/{version.size}"
        call.status = 206
    if "PartNumber" in call.input and version.part_sizes:
        output["PartsCount"] = len(version.part_sizes)
    if version.tags:
        output["TagCount"] = len(version.tags)
    if version.storage_class != "STANDARD":
        output["StorageClass"] = version.storage_class
        if version.access_tier:
            output["ArchiveStatus"] = version.access_tier
    if version.sse or version.customer_mark:
        _encryption(call, output, version)
    if version.replication:
        output["ReplicationStatus"] = status_of(version)
    if call.input.get("ChecksumMode") == "ENABLED" and not (run.partial and "PartNumber" not in call.input):
        _checksums(output, version, call.input.get("PartNumber"))
    return output


def _override(call: Call, value: object) -> object:
    if call.principal.type == "Anonymous":
        message = "Request specific response headers cannot be used for anonymous GET requests."
        raise AwsError("InvalidRequest", message, 400)
    return value


def _stored(output: Shape, headers: Mapping[str, str]) -> None:
    for member, name in STORED_HEADERS.items():
        if name in headers:
            output[member] = headers[name]
    if "expires" in headers:
        output["Expires"] = headers["expires"]


def _encryption(call: Call, output: Shape, version: ObjectVersion) -> None:
    if version.sse:
        show_kind(version, output)
    else:
        output["SSECustomerAlgorithm"] = call.input["SSECustomerAlgorithm"]
        output["SSECustomerKeyMD5"] = call.input["SSECustomerKeyMD5"]


def _checksums(output: Shape, version: ObjectVersion, part_number: int | None) -> None:
    if part_number is not None and version.part_checksums:
        for algorithm in version.checksums:
            output[f"Checksum{algorithm}"] = version.part_checksums[part_number - 1]
            output["ChecksumType"] = version.checksum_type
        return
    for algorithm, value in version.checksums.items():
        output[f"Checksum{algorithm}"] = value
    if version.checksums:
        output["ChecksumType"] = version.checksum_type or "FULL_OBJECT"


async def open_run(blobs: Blobs, version: ObjectVersion, run: Run, keys: KeyRing | None) -> ByteStream:
    """The stream of a run of an object whose bytes are in the blob store; `keys` open them if they are encrypted."""
    pieces: list[tuple[Part, int, int]] = []
    position, end = 0, run.offset + run.length
    for part in version.parts:
        start = max(run.offset - position, 0)
        stop = min(end - position, part.size)
        if start < stop:
            pieces.append((part, start, stop - start))
        position += part.size
    if len(pieces) == 1:
        part, start, length = pieces[0]
        return await _open(blobs, part, start, length, keys)
    return _Joined(blobs, pieces, run.length, keys)


async def _open(blobs: Blobs, part: Part, start: int, length: int, keys: KeyRing | None) -> ByteStream:
    if keys is None:
        return await blobs.open(part.ref, start, length)
    key = keys.open(part.ref, part.sealed_key)
    return Decrypted(await blobs.open(part.ref, start, length), key, start)


class _Joined:
    """Runs of several blobs, one opened after the other; `call.ByteStream`. An object that is replaced or deleted while
    it is being read is read to its end."""

    def __init__(self, blobs: Blobs, pieces: list[tuple[Part, int, int]], length: int, keys: KeyRing | None) -> None:
        self.length = length
        self._blobs = blobs
        self._pieces = pieces
        self._keys = keys
        self._open: ByteStream | None = None
        self._held = [part.ref for part, _, _ in pieces]
        blobs.hold(self._held)

    async def _streams(self) -> AsyncIterator[ByteStream]:
        for part, start, length in self._pieces:
            await self._close_piece()
            self._open = await _open(self._blobs, part, start, length, self._keys)
            yield self._open

    async def chunks(self) -> AsyncIterator[bytes]:
        async for stream in self._streams():
            async for chunk in stream.chunks():
                yield chunk

    def runs(self) -> AsyncIterator[tuple[int, int, int]] | None:
        return self._runs() if self._keys is None else None

    async def _runs(self) -> AsyncIterator[tuple[int, int, int]]:
        async for stream in self._streams():
            runs = stream.runs()
            if runs is None:
                raise TypeError("a blob store gives either files or streams, not both")
            async for run in runs:
                yield run

    async def _close_piece(self) -> None:
        stream, self._open = self._open, None
        if stream is not None:
            await stream.close()

    async def close(self) -> None:
        held, self._held = self._held, []
        try:
            await self._close_piece()
        finally:
            self._blobs.release(held)
