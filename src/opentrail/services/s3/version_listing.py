"""ListObjectVersions: every version and delete marker, by key, newest first.

Rows of `s3.version` are merged with those of `s3.object` that have no version row: objects of a bucket that never had
versioning, and those written before it had (see `rows.s3`). An object without a version row is its key's only version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from opentrail.access.acl import canonical_id
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import NULL_VERSION, OBJECTS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.service import Service
from opentrail.services.s3.archive import restore_statuses
from opentrail.services.s3.listing import Spelling, page_limit
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.reading import from_epoch
from opentrail.services.s3.versions import find_version, order_of
from opentrail.services.s3.walking import Found, Walk, merge
from opentrail.state import Unit

family = Service("s3")


@dataclass(slots=True)
class Listing:
    """One page, and where the next begins if there is one."""

    versions: list[tuple[ObjectVersion, bool]] = field(default_factory=list)
    """With each, whether it is its key's newest; delete markers are among them."""
    prefixes: list[str] = field(default_factory=list)
    next_marker: tuple[str, str] | None = None
    """(key, version id); the version id is empty behind a common prefix."""


@family.operation("ListObjectVersions")
async def list_object_versions(call: Call, unit: Unit) -> Shape:
    """List all versions of the keys of a bucket, delete markers included."""
    given = call.input
    bucket = bucket_of(call, unit)
    spell, limit = Spelling(call), page_limit(call)
    marker, version_marker = given.get("KeyMarker", ""), given.get("VersionIdMarker")
    _check_markers(marker, version_marker)
    rows = _merged(unit, bucket, given, limit, marker, version_marker or "")
    listing = _take(unit, bucket, rows, limit, marker if version_marker else "")
    output: Shape = {
        "IsTruncated": listing.next_marker is not None,
        "KeyMarker": spell(marker),
        "VersionIdMarker": version_marker or "",
        "Name": bucket.name,
        "Prefix": spell(given.get("Prefix", "")),
        "MaxKeys": limit,
        "Versions": [_version(row, latest, spell) for row, latest in listing.versions if not row.delete_marker],
        "DeleteMarkers": [_entry(row, latest, spell) for row, latest in listing.versions if row.delete_marker],
        "CommonPrefixes": [{"Prefix": spell(prefix)} for prefix in listing.prefixes],
    }
    kept = [row for row, _ in listing.versions if not row.delete_marker]
    for entry, status in zip(output["Versions"], restore_statuses(call, kept), strict=False):
        entry["RestoreStatus"] = status
    if listing.next_marker is not None:
        output["NextKeyMarker"] = spell(listing.next_marker[0])
        if listing.next_marker[1]:
            output["NextVersionIdMarker"] = listing.next_marker[1]
    if given.get("Delimiter"):
        output["Delimiter"] = spell(given["Delimiter"])
    if spell.encoded:
        output["EncodingType"] = "url"
    return output


def _check_markers(marker: str, version_marker: str | None) -> None:
    if version_marker is None:
        return
    fields = {"ArgumentName": "version-id-marker", "ArgumentValue": version_marker}
    if not version_marker:
        raise AwsError("InvalidArgument", "A version-id marker cannot be empty.", 400, headers=None, **fields)
    if not marker:
        message = "A version-id marker cannot be specified without a key marker."
        raise AwsError("InvalidArgument", message, 400, headers=None, **fields)
    if version_marker != NULL_VERSION and order_of(version_marker) is None:
        raise AwsError("InvalidArgument", "Invalid version id specified", 400, headers=None, **fields)


def _merged(unit: Unit, bucket: Bucket, given: Shape, limit: int, marker: str, version_marker: str) -> Iterator[Found]:
    """Rows and common prefixes of both tables in order; of a key with version rows only those."""
    prefix, delimiter = given.get("Prefix", ""), given.get("Delimiter", "")
    objects = Walk(OBJECTS, bucket.name, prefix, delimiter, suffixed=False, most=limit)
    if marker:
        objects.start_behind(marker)
    if not bucket.versioning:
        return objects.rows(unit)
    versions = Walk(VERSIONS, bucket.name, prefix, delimiter, suffixed=True, most=limit)
    if marker:
        versions.start_behind(marker, _place(unit, bucket, marker, version_marker))
    return merge(versions.rows(unit), objects.rows(unit))


def _place(unit: Unit, bucket: Bucket, key: str, version_id: str) -> str:
    """The last part of the row key of a version; empty when the key's other versions are not wanted."""
    if not version_id:
        return ""
    if version_id == NULL_VERSION:
        null = find_version(unit, bucket, key, version_id)
        return "" if null is None else order_part(null.order)
    order = order_of(version_id)
    return "" if order is None else order_part(order)


def _take(unit: Unit, bucket: Bucket, rows: Iterator[Found], limit: int, resumed: str) -> Listing:
    """A page. `resumed` is the key in whose midst it begins."""
    listing = Listing()
    if limit == 0:
        return listing
    last, before = ("", ""), ""
    for count, found in enumerate(rows):
        if count == limit:
            listing.next_marker = last
            break
        if found.value is None:
            listing.prefixes.append(found.name)
            last = (found.name, "")
            continue
        row = VERSIONS.decode(found.value)
        latest = found.name != before
        if latest and found.name == resumed:
            latest = _is_newest(unit, bucket, row)
        listing.versions.append((row, latest))
        last, before = (found.name, row.version_id), found.name
    return listing


def _is_newest(unit: Unit, bucket: Bucket, row: ObjectVersion) -> bool:
    newest = VERSIONS.page(unit, bucket.name, row.key, limit=1)
    return not newest or newest[0][1].order == row.order


def _entry(row: ObjectVersion, latest: bool, spell: Spelling) -> dict[str, Any]:
    """What versions and delete markers have in common."""
    return {
        "Key": spell(row.key),
        "VersionId": row.version_id,
        "IsLatest": latest,
        "LastModified": from_epoch(row.modified),
        "Owner": {"ID": canonical_id(row.owner)},
    }


def _version(row: ObjectVersion, latest: bool, spell: Spelling) -> dict[str, Any]:
    entry = _entry(row, latest, spell)
    entry["ETag"] = f'"{row.etag}"'
    entry["Size"] = row.size
    entry["StorageClass"] = row.storage_class
    if row.checksums:
        entry["ChecksumAlgorithm"] = list(row.checksums)
        entry["ChecksumType"] = row.checksum_type or "FULL_OBJECT"
    return entry
