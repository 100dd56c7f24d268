"""S3 Intelligent-Tiering: what nobody has read for as long as a bucket's configurations say is archived.

Reads are noted once a day, of objects of that class in buckets that have such a configuration, beside the object: so a read
does not write its row. A pass over the bucket, a page of rows for a commit, then moves what has lain still. Source: S3 user
guide, "How S3 Intelligent-Tiering works", "Managing S3 Intelligent-Tiering".
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from opentrail.rows.s3 import ACCESSES, BUCKETS, OBJECTS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_event import LIFECYCLE_RULE, lifecycle_event
from opentrail.rows.s3_metering import filter_parts
from opentrail.rows.s3_notices import KIND as NOTIFICATION
from opentrail.rows.s3_notices import notify
from opentrail.services.s3.archive import TIERED, TIERED_BYTES_MIN, TIERING
from opentrail.services.s3.configurations import all_configurations
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit

TIERS = ("", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS")
"""From the warmest to the coldest."""
PAGE_ROWS = 100
"""Rows looked at for one commit."""


class Tier(NamedTuple):
    """One line of a configuration: which objects go where after how many days."""

    prefix: str
    tags: frozenset[tuple[str, str]]
    days: int
    tier: str


class Place(NamedTuple):
    """How far a pass has come: among the objects or the versions, and the last row's key."""

    versions: bool = False
    after: bytes = b""


def tiering_step(unit: Unit, bucket_name: str, place: Place | None) -> Place | None:
    """Archive what is due on the next page of rows; the place behind it, or None at the end of the pass."""
    bucket = BUCKETS.get(unit, bucket_name)
    tiers = [] if bucket is None else _tiers(unit, bucket)
    if bucket is None or not tiers:
        return None
    place = place or Place()
    table = VERSIONS if place.versions else OBJECTS
    rows = unit.scan(table.key(bucket.name, ""), place.after, PAGE_ROWS)
    for _, found in rows:
        version = table.decode(found.value)
        if version.storage_class == TIERED and version.size >= TIERED_BYTES_MIN:
            _settle(unit, bucket, tiers, version, place.versions)
    if len(rows) == PAGE_ROWS:
        return place._replace(after=rows[-1][0])
    return Place(versions=True) if bucket.versioning and not place.versions else None


def _tiers(unit: Unit, bucket: Bucket) -> list[Tier]:
    """What the enabled configurations of a bucket say."""
    found = []
    for _, document in all_configurations(unit, bucket, TIERING):
        if document["Status"] == "Enabled":
            prefix, tags = filter_parts(document.get("Filter"))
            found += [Tier(prefix, frozenset(tags), each["Days"], each["AccessTier"]) for each in document["Tierings"]]
    return found


def _settle(unit: Unit, bucket: Bucket, tiers: list[Tier], version: ObjectVersion, versions: bool) -> None:
    """Move one version to where it belongs by now, if that is colder than where it is."""
    tags, day = frozenset(version.tags), unit.house.settings.lifecycle_day
    meant = [tier for tier in tiers if version.key.startswith(tier.prefix) and tier.tags <= tags]
    read = ACCESSES.get(unit, version.parts[0].ref) if meant and version.parts else None
    since = max(version.modified, version.warmed_at, 0.0 if read is None else read.at)
    due = [tier.tier for tier in meant if since + tier.days * day <= unit.now]
    target = max([version.access_tier, *due], key=TIERS.index)
    if target == version.access_tier or not _is_still(unit, bucket, version, versions):
        return
    moved = replace(version, access_tier=target)
    replace_version(unit, bucket, moved)
    if NOTIFICATION in bucket.configured:
        notify(unit, bucket, lifecycle_event("IntelligentTiering", bucket, moved, unit.now), LIFECYCLE_RULE)


def _is_still(unit: Unit, bucket: Bucket, version: ObjectVersion, versions: bool) -> bool:
    """Is the version as it was scanned? By this read the commit is guarded."""
    if versions:
        return VERSIONS.get(unit, bucket.name, version.key, order_part(version.order)) == version
    return OBJECTS.get(unit, bucket.name, version.key) == version
