"""Writes one planned log file into its bucket, as CloudTrail, on the one road.

The file and the end of its plan are one commit: after a crash the plan is either still there, and the same bytes are
written under the same name again, or the file is delivered. Knows nothing of selectors or of when to deliver.
"""

from __future__ import annotations

import asyncio

import msgspec

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.followers.lines import chosen_lines
from opentrail.record.log_file import CONTENT_ENCODING, CONTENT_TYPE, pack_log_file
from opentrail.rows.cloudtrail import (
    DELIVERED,
    DELIVERY_ACL,
    DELIVERY_STATUS,
    NOTICES,
    PLANNED,
    DeliveredFile,
    DeliveryStatus,
    FileNotice,
    PlannedFile,
    TrailConfig,
    as_cloudtrail,
    encryption_of,
    padded,
    place_of,
)
from opentrail.state import House, Unit

DELIVERY_ENCRYPTION = "AES256"
"""What CloudTrail asks for when it delivers without a key (its own PutObject in real log files)."""

WAITING_FILES_MAX = 1_000
"""Files behind one that cannot be delivered whose regions are told of it."""


def put_object_input(bucket: str, key: str, metadata: dict[str, str] | None = None) -> Shape:
    """PutObject's input for anything that CloudTrail delivers, without the body."""
    shape: Shape = {
        "Bucket": bucket,
        "Key": key,
        "ACL": DELIVERY_ACL,
        "ContentType": CONTENT_TYPE,
        "ContentEncoding": CONTENT_ENCODING,
        "ServerSideEncryption": DELIVERY_ENCRYPTION,
    }
    return shape if metadata is None else shape | {"Metadata": metadata}


async def look_at_bucket(house: House, config: TrailConfig, row: PlannedFile) -> None:
    """Before it delivers, CloudTrail asks for the bucket's ACL, as its real log files show (reference: section 9)."""
    await house.road.call(
        as_cloudtrail(config), "s3", "GetBucketAcl", {"Bucket": row.bucket}, region=config.home_region
    )


async def write_file(house: House, trail_id: str, config: TrailConfig, number: int, row: PlannedFile) -> None:
    """Deliver the file, end its plan and leave a notice for the topic, if there is one.

    Raises the AwsError of PutObject, Conflict if somebody else delivered it.
    """
    lines = [line.data async for _, line in chosen_lines(house.ledger, row.runs)]
    if len(lines) != sum(count for _, count in row.runs):
        raise AwsError("InternalError", f"Lines of log file {row.key} are missing in the ledger.", 500)
    body, sha256 = await asyncio.to_thread(pack_log_file, lines)
    unit = Unit(house, house.clock.now())
    if PLANNED.get(unit, trail_id, padded(number)) is None:
        return
    PLANNED.delete(unit, trail_id, padded(number))
    place = place_of(config, row.account_id, row.region)
    status = status_of(house, trail_id, place)
    at = max(unit.now, status.delivered_at)
    if row.digested:
        delivered = DeliveredFile(
            bucket=row.bucket, key=row.key, sha256=sha256, oldest=row.oldest, newest=row.newest, at=at
        )
        DELIVERED.put(unit, delivered, trail_id, place, padded(number))
    if row.topic_arn:
        NOTICES.put(unit, FileNotice(row.topic_arn, row.bucket, row.key, place, at), trail_id, padded(number))
    done = msgspec.structs.replace(
        status,
        delivered_at=at,
        attempted_at=at,
        error="",
        files=status.files + 1,
        events=status.events + len(lines),
    )
    DELIVERY_STATUS.put(unit, done, trail_id, place)
    target = put_object_input(row.bucket, row.key) | encryption_of(config)
    await house.road.call(
        as_cloudtrail(config), "s3", "PutObject", target, region=config.home_region, body=body, also=unit.writes
    )


def status_of(house: House, trail_id: str, place: str) -> DeliveryStatus:
    """The status row as it is; only the delivery and its notices write it, one at a time for a trail."""
    return DELIVERY_STATUS.get(Unit(house, 0.0), trail_id, place) or DeliveryStatus()


async def note_failure(house: House, trail_id: str, config: TrailConfig, row: PlannedFile, error: AwsError) -> None:
    """Let GetTrailStatus say why a file could not be delivered, also where files wait behind it."""
    unit = Unit(house, house.clock.now())
    tried = place_of(config, row.account_id, row.region)
    waiting = PLANNED.page(Unit(house, 0.0), trail_id, limit=WAITING_FILES_MAX)
    for place in sorted({tried, *(place_of(config, each.account_id, each.region) for _, each in waiting)}):
        status = status_of(house, trail_id, place)
        failed = msgspec.structs.replace(
            status, error=error.code, attempted_at=unit.now, failures=status.failures + (place == tried)
        )
        DELIVERY_STATUS.put(unit, failed, trail_id, place)
    await house.ledger.commit(unit.writes, ())
