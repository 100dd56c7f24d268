"""GetObjectAttributes: what is known of an object, as asked for, without its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.guard import VERSIONED_ACTIONS, enter_bucket, question
from opentrail.services.s3.listing import page_limit
from opentrail.services.s3.objects import bucket_of, keys_of, readable_version
from opentrail.services.s3.reading import from_epoch
from opentrail.state import Unit

ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})

family = Service("s3")


@family.guard("GetObjectAttributes")
def attributes_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """Both the object's reading and its attributes must be allowed (S3 API reference, GetObjectAttributes)."""
    bucket = enter_bucket(call, unit, call.input["Bucket"])
    actions = call.operation.facts.actions
    if "VersionId" in call.input:
        actions = tuple(VERSIONED_ACTIONS.get(action, action) for action in actions)
    return [question(call, unit, bucket, action, call.input["Key"]) for action in actions]


@family.operation("GetObjectAttributes")
async def get_object_attributes(call: Call, unit: Unit) -> Shape:
    """Tell an object's ETag, checksum, parts, storage class and size, as asked for."""
    wanted = _wanted(call)
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    keys_of(call, unit, bucket, version, decrypts="Checksum" in wanted)
    output: Shape = {"LastModified": from_epoch(int(version.modified))}
    if bucket.versioning:
        output["VersionId"] = version.version_id
    if "ETag" in wanted:
        output["ETag"] = version.etag
    if "Checksum" in wanted and version.checksums:
        output["Checksum"] = {f"Checksum{name}": value for name, value in version.checksums.items()}
        output["Checksum"]["ChecksumType"] = version.checksum_type or "FULL_OBJECT"
    if "ObjectParts" in wanted and version.part_sizes:
        output["ObjectParts"] = _parts(call, version)
    if "StorageClass" in wanted:
        output["StorageClass"] = version.storage_class
    if "ObjectSize" in wanted:
        output["ObjectSize"] = version.size
    return output


def _wanted(call: Call) -> frozenset[str]:
    wanted = frozenset(call.input.get("ObjectAttributes") or ())
    fields = {"ArgumentName": "x-amz-object-attributes", "ArgumentValue": ",".join(sorted(wanted))}
    if not wanted:
        message = (
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"
        )
        raise AwsError("InvalidRequest", message, 400)
    if not wanted <= ATTRIBUTES:
        raise AwsError("InvalidArgument", "Invalid attribute name specified.", 400, headers=None, **fields)
    return wanted


def _parts(call: Call, version: ObjectVersion) -> dict[str, Any]:
    """A page of the parts of a multipart upload, numbered as they follow each other."""
    limit = page_limit(call, "MaxParts")
    marker = call.input.get("PartNumberMarker", 0)
    if marker < 0:
        message = "Argument part-number-marker must be an integer between 0 and 2147483647"
        fields = {"ArgumentName": "part-number-marker", "ArgumentValue": str(marker)}
        raise AwsError("InvalidArgument", message, 400, headers=None, **fields)
    end = min(marker + limit, len(version.part_sizes))
    shown: dict[str, Any] = {
        "TotalPartsCount": len(version.part_sizes),
        "PartNumberMarker": marker,
        "NextPartNumberMarker": max(marker, end),
        "MaxParts": limit,
        "IsTruncated": limit > 0 and end < len(version.part_sizes),
        "Parts": [_part(version, index) for index in range(marker, end)],
    }
    return shown


def _part(version: ObjectVersion, index: int) -> dict[str, Any]:
    part: dict[str, Any] = {"PartNumber": index + 1, "Size": version.part_sizes[index]}
    if version.part_checksums:
        part.update((f"Checksum{name}", version.part_checksums[index]) for name in version.checksums)
    return part
