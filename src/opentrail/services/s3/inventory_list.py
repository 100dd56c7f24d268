"""What an inventory tells of objects: a page of rows of a bucket, from where the last page ended, in key order.

Seeks by key, so an object that was there all the while stands in the list exactly once, however large the bucket and
whatever else changes. Source: S3 user guide, "Amazon S3 Inventory list".
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from opentrail.access.acl import GROUPS, canonical_id
from opentrail.rows.s3 import LIFECYCLE, OBJECTS, VERSIONS, Bucket, ObjectVersion
from opentrail.rows.s3_inventory import Column
from opentrail.rows.s3_replication import status_of
from opentrail.services.s3.archive import TIERED
from opentrail.services.s3.documents import document_text
from opentrail.services.s3.guard import object_acl
from opentrail.services.s3.lifecycle_rules import expiry, read_plan
from opentrail.services.s3.walking import Found, Walk, merge
from opentrail.state import Unit

ENCRYPTIONS = {"": "NOT-SSE", "AES256": "SSE-S3", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS"}
ACL_FORM = "2022-11-10"
"""The version of the form in which lists show ACLs."""
Value = str | int | float | bool | None


class Listed(NamedTuple):
    """One page: the values of each row, and (key, last part of its row's key) of the last."""

    rows: list[tuple[Value, ...]]
    place: tuple[str, str]
    ended: bool
    """There are no more."""


class _Entry(NamedTuple):
    unit: Unit
    bucket: Bucket
    version: ObjectVersion
    latest: bool


def list_page(
    unit: Unit,
    bucket: Bucket,
    prefix: str,
    versions: bool,
    columns: tuple[Column, ...],
    place: tuple[str, str],
    most: int,
) -> Listed:
    """Up to `most` rows behind `place`; all versions or the current ones."""
    readers = [READERS[column.field] for column in columns]
    rows: list[tuple[Value, ...]] = []
    name, suffix = place
    for found in islice(_walk(unit, bucket, prefix, versions, place, most), most):
        assert found.value is not None
        version = VERSIONS.decode(found.value)
        latest = found.name != name
        name, suffix = found.name, found.suffix
        entry = _Entry(unit, bucket, version, latest)
        rows.append(tuple(read(entry) for read in readers))
    return Listed(rows, (name, suffix), len(rows) < most)


def _walk(
    unit: Unit, bucket: Bucket, prefix: str, versions: bool, place: tuple[str, str], most: int
) -> Iterator[Found]:
    name, suffix = place
    objects = Walk(OBJECTS, bucket.name, prefix, "", suffixed=False, most=most)
    if name:
        objects.start_behind(name)
    if not versions or not bucket.versioning:
        return objects.rows(unit)
    beneath = Walk(VERSIONS, bucket.name, prefix, "", suffixed=True, most=most)
    if name:
        beneath.start_behind(name, suffix)
    return merge(beneath.rows(unit), objects.rows(unit))


# Values


def _of_object(read: Callable[[_Entry], Value]) -> Callable[[_Entry], Value]:
    """Delete markers have no such thing."""
    return lambda entry: None if entry.version.delete_marker else read(entry)


def _encryption(entry: _Entry) -> Value:
    return "SSE-C" if entry.version.customer_mark else ENCRYPTIONS.get(entry.version.sse, entry.version.sse)


def _access_tier(entry: _Entry) -> Value:
    """As S3's lists call it; None for other classes."""
    if entry.version.storage_class != TIERED:
        return None
    return entry.version.access_tier.removesuffix("_ACCESS") or "FREQUENT"


def _legal_hold(entry: _Entry) -> Value:
    if not entry.version.hold_at:
        return None
    return "ON" if entry.version.legal_hold else "OFF"


def _acl(entry: _Entry) -> Value:
    """Base64 of JSON, as S3 writes it."""
    document: dict[str, Any] = {"version": ACL_FORM, "status": "UNAVAILABLE", "grants": []}
    if not entry.version.delete_marker:
        document["status"] = "AVAILABLE"
        document["grants"] = [_grant(each.grantee, each.permission) for each in object_acl(entry.version).grants]
    return base64.b64encode(msgspec.json.encode(document)).decode()


def _grant(grantee: str, permission: str) -> dict[str, str]:
    who = {"uri": grantee, "type": "Group"} if grantee in GROUPS else {"canonicalId": grantee, "type": "CanonicalUser"}
    return {**who, "permission": permission}


def _expiration(entry: _Entry) -> Value:
    rules = document_text(entry.unit, entry.bucket, LIFECYCLE) if entry.latest else ""
    due = expiry(read_plan(rules), entry.version) if rules else None
    return None if due is None else due[0]


READERS: dict[str, Callable[[_Entry], Value]] = {
    "Bucket": lambda entry: entry.bucket.name,
    "Key": lambda entry: entry.version.key,
    "VersionId": lambda entry: entry.version.version_id if entry.bucket.versioning else None,
    "IsLatest": lambda entry: entry.latest,
    "IsDeleteMarker": lambda entry: entry.version.delete_marker,
    "Size": _of_object(lambda entry: entry.version.size),
    "LastModifiedDate": lambda entry: entry.version.modified,
    "ETag": _of_object(lambda entry: entry.version.etag),
    "StorageClass": _of_object(lambda entry: entry.version.storage_class),
    "IsMultipartUploaded": _of_object(lambda entry: bool(entry.version.part_sizes)),
    "ReplicationStatus": lambda entry: status_of(entry.version) or None,
    "EncryptionStatus": _of_object(_encryption),
    "ObjectLockRetainUntilDate": _of_object(lambda entry: entry.version.lock_until or None),
    "ObjectLockMode": _of_object(lambda entry: entry.version.lock_mode or None),
    "ObjectLockLegalHoldStatus": _of_object(_legal_hold),
    "IntelligentTieringAccessTier": _of_object(_access_tier),
    "BucketKeyStatus": _of_object(lambda entry: "ENABLED" if entry.version.bucket_key else "DISABLED"),
    "ChecksumAlgorithm": _of_object(lambda entry: ",".join(entry.version.checksums) or None),
    "ObjectAccessControlList": _acl,
    "ObjectOwner": lambda entry: canonical_id(entry.version.owner),
    "LifecycleExpirationDate": _of_object(_expiration),
}
"""What stands in a column, by the column's name in CSV."""
