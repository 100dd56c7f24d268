"""UploadPart, UploadPartCopy, ListParts: the parts of a multipart upload while it is under way.

A part's bytes are always a blob of their own, however small, so that completing the upload moves none of them.
"""

from __future__ import annotations

import re
from typing import Any

from opentrail.access.acl import canonical_id
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import PARTS, UPLOADS, ObjectVersion, Part, Upload, UploadedPart
from opentrail.service import Service
from opentrail.services.s3.copy_source import CopySource, copied_before, copy_source_bytes, source_of, source_version
from opentrail.services.s3.encryption import protect_part, show_written
from opentrail.services.s3.lifecycle_rules import show_abort
from opentrail.services.s3.listing import page_limit
from opentrail.services.s3.lock_rules import check_part_digest
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.payload import Payload, sealed_part, take_payload
from opentrail.services.s3.reading import RANGE_DIGITS_MAX, Run, from_epoch
from opentrail.state import Unit
from opentrail.wire.checksums import PARTS_MAX, expected_checksums
from opentrail.wire.payload import DecodedBody

DEFAULT_ALGORITHM = "CRC64NVME"
"""The checksum S3 keeps of an upload that names none, always of the full object."""
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")

family = Service("s3")


def find_upload(call: Call, unit: Unit) -> Upload:
    """The upload the call names; raises NoSuchUpload."""
    given = call.input
    upload_id = given.get("UploadId", "")
    upload = UPLOADS.get(unit, bucket_of(call, unit).name, given["Key"], upload_id)
    if upload is None:
        raise no_such_upload(upload_id)
    return upload


def no_such_upload(upload_id: str) -> AwsError:
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed."
    )
    return AwsError("NoSuchUpload", message, 404, UploadId=upload_id)


def _part_number(call: Call) -> int:
    number = call.input.get("PartNumber", 0)
    if not 1 <= number <= PARTS_MAX:
        message = f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive"
        fields = {"ArgumentName": "partNumber", "ArgumentValue": str(number)}
        raise AwsError("InvalidArgument", message, 400, headers=None, **fields)
    return int(number)


@family.operation("UploadPart")
async def upload_part(call: Call, unit: Unit) -> Shape:
    """Store one part of a multipart upload; a part of the same number is replaced."""
    number = _part_number(call)
    upload = find_upload(call, unit)
    bucket = bucket_of(call, unit)
    protect_part(call, unit, upload, bucket.region)
    if bucket.object_lock:
        check_part_digest(call, unit, bucket, upload.template)
    brought = _agree_on_checksum(call, upload)
    payload = await take_payload(call, unit, inline_max=0)
    find_upload(call, unit)
    _keep(unit, upload, number, payload)
    call.evidence.object_size = payload.size
    output: Shape = {"ETag": f'"{payload.etag}"'}
    for algorithm, value in payload.checksums.items():
        if brought in ("", algorithm):
            output[f"Checksum{algorithm}"] = value
    show_written(call, upload.template, output)
    return output


def _agree_on_checksum(call: Call, upload: Upload) -> str:
    """The algorithm of the checksum that the part brings, empty if none; has the upload's own computed besides.

    An upload made for composite checksums takes no part without one, nor one of another kind.
    """
    expected = expected_checksums(call.request.headers)
    brought = expected.algorithm.name if expected is not None else ""
    wanted = upload.checksum_algorithm
    if wanted and brought != wanted and (brought or upload.checksum_type == "COMPOSITE"):
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted.lower()}, "
            f"actual checksum Type: {brought.lower() or 'null'}"
        )
        raise AwsError("InvalidRequest", message, 400)
    if isinstance(call.body, DecodedBody):
        call.body.want_checksum(wanted or DEFAULT_ALGORITHM)
    return brought


def _keep(unit: Unit, upload: Upload, number: int, payload: Payload) -> UploadedPart:
    """Put the part's row; the bytes of the part it replaces are let go."""
    upload_id = upload.upload_id
    place = part_place(number)
    replaced = PARTS.get(unit, upload_id, place)
    if replaced is not None:
        drop_bytes(unit, replaced)
    part = payload.part or Part("", 0)
    if part.ref:
        unit.writes.blobs.append(part.ref)
        if payload.envelope is not None:
            part = sealed_part(unit, upload.bucket, upload.template.key, part, payload.envelope)
    row = UploadedPart(number, payload.etag, unit.now, part, payload.checksums)
    PARTS.put(unit, row, upload_id, place)
    return row


def part_place(number: int) -> str:
    """The last part of a part's key: sorts by number."""
    return f"{number:05d}"


def drop_bytes(unit: Unit, uploaded: UploadedPart) -> None:
    """Let go the bytes of a part; an empty part has none."""
    if uploaded.part.ref:
        unit.writes.dropped_blobs.append(uploaded.part.ref)


@family.operation("UploadPartCopy")
async def upload_part_copy(call: Call, unit: Unit) -> Shape:
    """Make a part of an object, or of a range of it, that is there already."""
    number = _part_number(call)
    upload = find_upload(call, unit)
    protect_part(call, unit, upload, bucket_of(call, unit).region)
    source, version, payload = await _copied(call, unit, upload)
    find_upload(call, unit)
    row = _keep(unit, upload, number, payload)
    call.evidence.object_size = payload.size
    result: Shape = {"ETag": f'"{row.etag}"', "LastModified": from_epoch(row.modified)}
    if upload.checksum_algorithm:
        result.update((f"Checksum{algorithm}", value) for algorithm, value in row.checksums.items())
    output: Shape = {"CopyPartResult": result}
    show_written(call, upload.template, output)
    if source.bucket.versioning:
        output["CopySourceVersionId"] = version.version_id
    return output


async def _copied(call: Call, unit: Unit, upload: Upload) -> tuple[CopySource, ObjectVersion, Payload]:
    """The source and its bytes, taken once however often the call is walked."""
    before = copied_before(call, unit)
    if before is not None:
        return before
    source = source_of(call, unit)
    version = source_version(call, unit, source)
    run = _source_run(call, version)
    algorithm = upload.checksum_algorithm or DEFAULT_ALGORITHM
    payload = await copy_source_bytes(call, unit, source, version, run, algorithm, inline_max=0)
    call.stash["copied"] = (source, version, payload)
    return source, version, payload


def _source_run(call: Call, version: ObjectVersion) -> Run:
    """The range to be copied: unlike a Range header it must be whole, and lie within the source."""
    text = call.input.get("CopySourceRange")
    if text is None:
        return Run(0, version.size)
    match = _RANGE.fullmatch(text)
    first, last = (int(match[1][:RANGE_DIGITS_MAX]), int(match[2][:RANGE_DIGITS_MAX])) if match else (1, 0)
    if last < first:
        message = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy"
        )
        fields = {"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": text}
        raise AwsError("InvalidArgument", message, 400, headers=None, **fields)
    if last >= version.size:
        fields = {"RangeRequested": text, "ActualObjectSize": str(version.size)}
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416, headers=None, **fields)
    return Run(first, last - first + 1)


@family.operation("ListParts")
async def list_parts(call: Call, unit: Unit) -> Shape:
    """List the parts of a multipart upload, by number."""
    given = call.input
    upload, bucket = find_upload(call, unit), bucket_of(call, unit)
    limit, marker = page_limit(call, "MaxParts"), _marker(call)
    after = PARTS.key(upload.upload_id, part_place(marker))
    rows = [row for _, row in PARTS.page(unit, upload.upload_id, after=after, limit=limit + 1)] if limit else []
    shown = rows[:limit]
    output: Shape = {
        "Bucket": given["Bucket"],
        "Key": given["Key"],
        "UploadId": upload.upload_id,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": shown[-1].number if shown else 0,
        "MaxParts": limit,
        "IsTruncated": len(rows) > limit,
        "Parts": [_shown(row, upload) for row in shown],
        "Initiator": initiator_of(upload),
        "Owner": {"ID": canonical_id(upload.template.owner)},
        "StorageClass": upload.template.storage_class,
    }
    if upload.checksum_algorithm:
        output["ChecksumAlgorithm"] = upload.checksum_algorithm
        output["ChecksumType"] = upload.checksum_type
    if bucket.configured:
        show_abort(unit, bucket, upload, output)
    return output


def _marker(call: Call) -> int:
    marker = call.input.get("PartNumberMarker", 0)
    if marker < 0:
        message = "Argument part-number-marker must be an integer between 0 and 2147483647"
        fields = {"ArgumentName": "part-number-marker", "ArgumentValue": str(marker)}
        raise AwsError("InvalidArgument", message, 400, headers=None, **fields)
    return int(min(marker, PARTS_MAX))


def _shown(row: UploadedPart, upload: Upload) -> dict[str, Any]:
    part: dict[str, Any] = {
        "PartNumber": row.number,
        "LastModified": from_epoch(row.modified),
        "ETag": f'"{row.etag}"',
        "Size": row.part.size,
    }
    if upload.checksum_algorithm:
        part.update((f"Checksum{algorithm}", value) for algorithm, value in row.checksums.items())
    return part


def initiator_of(upload: Upload) -> dict[str, str]:
    """Who started the upload, as S3 shows it: an IAM identity by its ARN, an account by its canonical id."""
    shown = {"ID": upload.initiator_id}
    if upload.initiator and upload.initiator == upload.initiator_id:
        shown["DisplayName"] = upload.initiator.rpartition(":")[2].partition("/")[2]
    return shown
