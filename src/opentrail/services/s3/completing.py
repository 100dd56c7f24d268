"""CompleteMultipartUpload: the parts become an object. Nothing is copied: the object's row lists the parts' blobs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import PARTS, UPLOADS, Bucket, ObjectVersion, Upload, UploadedPart
from opentrail.service import Service
from opentrail.services.s3.customer_key import MEMBERS as CUSTOMER_MEMBERS
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.encryption import protect_part
from opentrail.services.s3.lock_rules import locked
from opentrail.services.s3.objects import bucket_of, check_write_conditions, written
from opentrail.services.s3.parts import DEFAULT_ALGORITHM, drop_bytes, no_such_upload, part_place
from opentrail.services.s3.versions import current_version, next_identity, put_version
from opentrail.state import Unit
from opentrail.wire.checksums import ALGORITHMS, PARTS_MAX, combine, composite

PART_BYTES_MIN = 5 * 1024**2
"""Bytes of every part but the last."""
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"

family = Service("s3")


@dataclass(frozen=True, slots=True)
class Named:
    """A part as the request names it."""

    number: int
    etag: str
    checksums: Mapping[str, str]


@family.operation("CompleteMultipartUpload")
async def complete_multipart_upload(call: Call, unit: Unit) -> Shape:
    """Make the object of the parts that the request names."""
    bucket = bucket_of(call, unit)
    key, upload_id = call.input["Key"], call.input.get("UploadId", "")
    named = _named_parts(call)
    upload = UPLOADS.get(unit, bucket.name, key, upload_id)
    current = current_version(unit, bucket, key)
    if upload is None:
        return _completed_before(call, unit, bucket, named, current)
    stored = {row.number: row for _, row in PARTS.all(unit, upload_id)}
    if upload.template.wrapped_key or _needs_customer_key(call, upload, stored):
        protect_part(call, unit, upload, bucket.region)  # S3 reads the parts again: the caller must be able to decrypt
    check_write_conditions(call, current)
    chosen = _chosen(upload, named, stored)
    _check_sizes(call, chosen)
    checksums = _checksum(call, upload, named, chosen)
    version = _assemble(unit, bucket, upload, chosen, checksums, current)
    put_version(unit, bucket, version, current)
    _forget(unit, upload, stored, chosen)
    call.evidence.object_size = version.size
    return _answer(call, unit, bucket, version)


def _needs_customer_key(call: Call, upload: Upload, stored: Mapping[int, UploadedPart]) -> bool:
    """A customer's key that is given must fit; it must be given where the client has asked for checksums, of the object
    or of a part (API reference, CompleteMultipartUpload; ceph's s3-tests)."""
    if not CUSTOMER_MEMBERS.isdisjoint(call.input):
        return True
    asked = upload.checksum_algorithm or any(row.checksums.keys() - {DEFAULT_ALGORITHM} for row in stored.values())
    return bool(upload.template.customer_mark and asked)


def _named_parts(call: Call) -> list[Named]:
    """The parts in order. Of a number given twice the last counts (as ceph's s3-tests have it, which S3 passes)."""
    given = (call.input.get("MultipartUpload") or {}).get("Parts") or []
    if not given or len(given) > PARTS_MAX:
        raise malformed()
    named = [_named(each) for each in given]
    if any(later.number < earlier.number for earlier, later in pairwise(named)):
        message = "The list of parts was not in ascending order. Parts must be ordered by part number."
        raise AwsError("InvalidPartOrder", message, 400, UploadId=call.input.get("UploadId", ""))
    return list({one.number: one for one in named}.values())


def _named(given: Any) -> Named:  # noqa: ANN401  (an item of the request's list, which may be null)
    number, etag = (given.get("PartNumber"), given.get("ETag")) if isinstance(given, dict) else (None, None)
    if number is None or etag is None:
        raise malformed()
    if not 1 <= number <= PARTS_MAX:
        message = f"PartNumber must be >= 1 and <= {PARTS_MAX}"
        fields = {"ArgumentName": "PartNumber", "ArgumentValue": str(number)}
        raise AwsError("InvalidArgument", message, 400, headers=None, **fields)
    return Named(int(number), etag.strip().strip('"'), _given_checksums(given))


def _given_checksums(given: Shape) -> dict[str, str]:
    return {name: given[f"Checksum{name}"] for name in ALGORITHMS if given.get(f"Checksum{name}")}


def _chosen(upload: Upload, named: Sequence[Named], stored: Mapping[int, UploadedPart]) -> list[UploadedPart]:
    """The stored parts that are named, each with the ETag and the checksums it is named with."""
    chosen = []
    for one in named:
        row = stored.get(one.number)
        if row is None or row.etag != one.etag or not _agrees(one, row):
            message = (
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag."
            )
            fields = {"UploadId": upload.upload_id, "PartNumber": str(one.number), "ETag": one.etag}
            raise AwsError("InvalidPart", message, 400, headers=None, **fields)
        chosen.append(row)
    return chosen


def _agrees(one: Named, row: UploadedPart) -> bool:
    return all(row.checksums.get(name) == value for name, value in one.checksums.items())


def _check_sizes(call: Call, chosen: Sequence[UploadedPart]) -> None:
    for row in chosen[:-1]:
        if row.part.size < PART_BYTES_MIN:
            message = "Your proposed upload is smaller than the minimum allowed size"
            fields = {"ProposedSize": str(row.part.size), "MinSizeAllowed": str(PART_BYTES_MIN)}
            fields |= {"PartNumber": str(row.number), "ETag": row.etag}
            raise AwsError("EntityTooSmall", message, 400, headers=None, **fields)
    promised = call.input.get("MpuObjectSize")
    size = sum(row.part.size for row in chosen)
    if promised is not None and promised != size:
        message = (
            f"The provided 'x-amz-mp-object-size' header value {promised} does not match what was computed: {size}"
        )
        raise AwsError("InvalidRequest", message, 400)


def _checksum(
    call: Call, upload: Upload, named: Sequence[Named], chosen: Sequence[UploadedPart]
) -> tuple[str, str, str]:
    """(algorithm, type, value) of the object's checksum, held against what the request says of it."""
    algorithm = upload.checksum_algorithm or DEFAULT_ALGORITHM
    kind = upload.checksum_type or FULL_OBJECT
    _check_mode(call, kind)
    if kind == COMPOSITE:
        value = composite(algorithm, [row.checksums[algorithm] for row in chosen])
    else:
        value = combine(algorithm, [(row.checksums[algorithm], row.part.size) for row in chosen])
    given = _given_checksums(call.input)
    for name, promised in given.items():
        if name != algorithm or promised != value:
            message = f"The {name} you specified did not match the calculated checksum."
            raise AwsError("BadDigest", message, 400)
    if kind == COMPOSITE:
        _check_all_given(algorithm, named)
    return algorithm, kind, value


def _check_mode(call: Call, kind: str) -> None:
    asked = call.input.get("ChecksumType")
    if asked is not None and asked.upper() != kind:
        message = f"The upload was created using the {kind} checksum mode. "
        message += "The complete request must use the same checksum mode."
        raise AwsError("InvalidRequest", message, 400)


def _check_all_given(algorithm: str, named: Sequence[Named]) -> None:
    for one in named:
        if algorithm not in one.checksums:
            message = (
                f"The upload was created using a {algorithm.lower()} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {one.number} in the request."
            )
            raise AwsError("InvalidRequest", message, 400)


def _assemble(
    unit: Unit,
    bucket: Bucket,
    upload: Upload,
    chosen: Sequence[UploadedPart],
    checksum: tuple[str, str, str],
    current: ObjectVersion | None,
) -> ObjectVersion:
    """The object's row: what the upload's beginning said, and the parts one after the other."""
    algorithm, kind, value = checksum
    version_id, order = next_identity(unit, bucket, current)
    version = msgspec.structs.replace(
        upload.template,
        version_id=version_id,
        order=order,
        modified=unit.now,
        etag=_etag([row.etag for row in chosen]),
        size=sum(row.part.size for row in chosen),
        parts=tuple(row.part for row in chosen if row.part.ref),
        part_sizes=tuple(row.part.size for row in chosen),
        part_checksums=tuple(row.checksums[algorithm] for row in chosen),
        checksums={algorithm: value},
        checksum_type=kind,
        upload_id=upload.upload_id,
    )
    return locked(unit, bucket, version, upload.template) if bucket.object_lock else version


def _etag(etags: Sequence[str]) -> str:
    """MD5 of the parts' MD5s, and their number."""
    joined = b"".join([bytes.fromhex(etag) for etag in etags])
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"


def _forget(unit: Unit, upload: Upload, stored: Mapping[int, UploadedPart], chosen: Sequence[UploadedPart]) -> None:
    """The upload is over; parts that were not named are let go."""
    kept = {row.number for row in chosen}
    for number, row in stored.items():
        PARTS.delete(unit, upload.upload_id, part_place(number))
        if number not in kept:
            drop_bytes(unit, row)
    UPLOADS.delete(unit, upload.bucket, upload.template.key, upload.upload_id)


def _completed_before(
    call: Call, unit: Unit, bucket: Bucket, named: Sequence[Named], current: ObjectVersion | None
) -> Shape:
    """A client that missed the answer asks again: it gets the same one while the object is still there."""
    upload_id = call.input.get("UploadId", "")
    if current is None or not upload_id or current.upload_id != upload_id:
        raise no_such_upload(upload_id)
    try:
        same = _etag([one.etag for one in named]) == current.etag
    except ValueError:
        same = False
    if not same:
        raise no_such_upload(upload_id)
    call.evidence.object_size = current.size
    return _answer(call, unit, bucket, current)


def _answer(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> Shape:
    request = call.request
    scheme = "https" if request.tls is not None else "http"
    return {
        "Location": f"{scheme}://{request.headers.get('host', '')}{request.path}",
        "Bucket": bucket.name,
        "Key": version.key,
        **written(call, unit, bucket, version),
    }
