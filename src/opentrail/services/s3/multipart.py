"""CreateMultipartUpload, AbortMultipartUpload, ListMultipartUploads: an upload's beginning, and its end without effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentrail.access.acl import ANONYMOUS_ID, canonical_id
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import PARTS, UPLOADS, Upload
from opentrail.service import Service
from opentrail.services.s3 import lifecycle_rules
from opentrail.services.s3.encryption import show_written
from opentrail.services.s3.listing import Spelling, page_limit
from opentrail.services.s3.objects import bucket_of, new_object
from opentrail.services.s3.parts import drop_bytes, find_upload, initiator_of, part_place
from opentrail.services.s3.reading import from_epoch, precondition_failed
from opentrail.services.s3.versions import new_version_id
from opentrail.services.s3.walking import Found, Walk
from opentrail.state import Unit
from opentrail.wire.checksums import find

UPLOAD_ID_RANDOM = 32
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FULL_OBJECT, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
FULL_OBJECT_ONLY = frozenset({"CRC64NVME"})

family = Service("s3")


@family.operation("CreateMultipartUpload")
async def create_multipart_upload(call: Call, unit: Unit) -> Shape:
    """Start an upload that comes in parts."""
    bucket = bucket_of(call, unit)
    template = new_object(call, unit, bucket)
    algorithm, kind = checksum_plan(call.input)
    upload_id = new_version_id(unit, int(unit.now * 1_000_000)) + unit.house.clock.token(UPLOAD_ID_RANDOM, _ALPHABET)
    arn, initiator_id = _initiator(call)
    row = Upload(upload_id, bucket.name, template, unit.now, arn, initiator_id, algorithm, kind)
    UPLOADS.put(unit, row, bucket.name, template.key, upload_id)
    output: Shape = {"Bucket": bucket.name, "Key": template.key, "UploadId": upload_id}
    show_written(call, template, output)
    if bucket.configured:
        lifecycle_rules.show_abort(unit, bucket, row, output)
    if algorithm:
        output["ChecksumAlgorithm"] = algorithm
        output["ChecksumType"] = kind
    return output


def checksum_plan(given: Shape) -> tuple[str, str]:
    """(algorithm, type) of the checksum of the object to be; both empty where the request names none.

    CRCs of parts combine into that of the whole, hashes do not; CRC64NVME is always of the whole (S3 user guide,
    "Checking object integrity", multipart uploads).
    """
    asked, kind = given.get("ChecksumAlgorithm"), given.get("ChecksumType")
    if asked is None:
        if kind is not None:
            message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            raise AwsError("InvalidRequest", message, 400)
        return "", ""
    algorithm = find(asked.upper())
    if kind is None:
        return algorithm.name, FULL_OBJECT if algorithm.name in FULL_OBJECT_ONLY else COMPOSITE
    kind = kind.upper()
    if kind not in (FULL_OBJECT, COMPOSITE):
        raise AwsError("InvalidRequest", "Value for x-amz-checksum-type header is invalid.", 400)
    if (kind == FULL_OBJECT and algorithm.combine is None) or (
        kind == COMPOSITE and algorithm.name in FULL_OBJECT_ONLY
    ):
        name = algorithm.name.lower()
        message = f"The {kind} checksum type cannot be used with the {name} checksum algorithm."
        raise AwsError("InvalidRequest", message, 400)
    return algorithm.name, kind


def _initiator(call: Call) -> tuple[str, str]:
    """(ARN, the id that listings show)."""
    principal = call.principal
    if principal.type == "Anonymous":
        return "", ANONYMOUS_ID
    if principal.type in ("Root", "AWSService") or not principal.arn:
        return principal.arn, canonical_id(principal.account_id)
    return principal.arn, principal.arn


@family.operation("AbortMultipartUpload")
async def abort_multipart_upload(call: Call, unit: Unit) -> Shape:
    """Give up an upload and let its parts go."""
    upload = find_upload(call, unit)
    started = call.input.get("IfMatchInitiatedTime")
    if started is not None and int(started.timestamp()) != int(upload.started_at):
        raise precondition_failed("x-amz-if-match-initiated-time")
    for _, part in list(PARTS.all(unit, upload.upload_id)):
        drop_bytes(unit, part)
        PARTS.delete(unit, upload.upload_id, part_place(part.number))
    UPLOADS.delete(unit, upload.bucket, upload.template.key, upload.upload_id)
    return {}


@family.operation("ListMultipartUploads")
async def list_multipart_uploads(call: Call, unit: Unit) -> Shape:
    """List the uploads under way, by key, the oldest of a key first."""
    given = call.input
    bucket = bucket_of(call, unit)
    spell, limit = Spelling(call), page_limit(call, "MaxUploads")
    marker = given.get("KeyMarker", "")
    id_marker = given.get("UploadIdMarker", "") if marker else ""
    walk = Walk(UPLOADS, bucket.name, given.get("Prefix", ""), given.get("Delimiter", ""), suffixed=True, most=limit)
    if marker:
        walk.start_behind(marker, id_marker)
    shown, following = _take(walk.rows(unit), limit)
    output: Shape = {
        "Bucket": bucket.name,
        "KeyMarker": spell(marker),
        "UploadIdMarker": id_marker,
        "Prefix": spell(given.get("Prefix", "")),
        "MaxUploads": limit,
        "IsTruncated": following is not None,
        "Uploads": [_upload(UPLOADS.decode(one.value), spell) for one in shown if one.value is not None],
        "CommonPrefixes": [{"Prefix": spell(one.name)} for one in shown if one.value is None],
    }
    if following is not None:
        output["NextKeyMarker"] = spell(following.name)
        output["NextUploadIdMarker"] = following.suffix
    if given.get("Delimiter"):
        output["Delimiter"] = spell(given["Delimiter"])
    if spell.encoded:
        output["EncodingType"] = "url"
    return output


def _take(rows: Iterator[Found], limit: int) -> tuple[list[Found], Found | None]:
    """A page, and its last entry if more follows."""
    shown: list[Found] = []
    if limit == 0:
        return shown, None
    for found in rows:
        if len(shown) == limit:
            return shown, shown[-1]
        shown.append(found)
    return shown, None


def _upload(row: Upload, spell: Spelling) -> dict[str, Any]:
    upload: dict[str, Any] = {
        "Key": spell(row.template.key),
        "UploadId": row.upload_id,
        "Initiator": initiator_of(row),
        "Owner": {"ID": canonical_id(row.template.owner)},
        "StorageClass": row.template.storage_class,
        "Initiated": from_epoch(row.started_at),
    }
    if row.checksum_algorithm:
        upload["ChecksumAlgorithm"] = row.checksum_algorithm
        upload["ChecksumType"] = row.checksum_type
    return upload
