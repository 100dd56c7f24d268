"""Notes the lines that a call leaves in server access logs, in the call's own commit: `Service.witness`.

Asked only for calls on buckets that are logged (`guard.enter_bucket` marks them) and for calls that failed, so that all
others pay nothing. Lines go into the log of the bucket that was called, and into that of the source of a copy. Also what
lifecycle rules do. Source: S3 user guide, "Amazon S3 server access log format", "Additional logging for copy operations".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from opentrail.access.acl import canonical_id
from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.record.access_log import (
    S3_ITSELF,
    SOURCE_READS,
    Entry,
    batch_entry,
    entry_of,
    lifecycle_operation,
    render,
)
from opentrail.rows.s3 import BUCKETS, OBJECTS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_logging import KIND, is_delivery, put_lines
from opentrail.services.s3.copy_source import parse_source
from opentrail.services.s3.versions import order_of
from opentrail.state import Unit
from opentrail.wire.route import Route

ID_ALPHABET, ID_LENGTH = "0123456789ABCDEF", 16


def note_call(call: Call, unit: Unit, where: Route, status: int) -> None:
    """Note a call that is about to be committed with `unit`. What it reads does not make the commit depend on it. What the
    policy of a VPC endpoint refused is told to nobody (user guide, "Logging options": as with CloudTrail)."""
    if call.evidence.denied_by_endpoint:
        return
    writes = unit.writes
    reads_only = not (writes.puts or writes.deletes)
    _note(call, unit, where, status)
    if reads_only:
        writes.reads.clear()  # what a read saw was true then; a line about it changes nothing in that


def _note(call: Call, unit: Unit, where: Route, status: int) -> None:
    name = call.input.get("Bucket") or where.bucket
    bucket = BUCKETS.get(unit, name) if isinstance(name, str) and name else None
    key = call.input.get("Key", where.key)
    now = unit.house.clock.now()
    entry = None
    if bucket is not None and KIND in bucket.configured:
        entry = entry_of(call, _ids(call, bucket), bucket.name, key, status, now)
        lines = [render(each) for each in _entries(call, unit, bucket, entry)]
        put_lines(unit, bucket, lines, call.request_id, call.started_at, delivery=is_delivery(call.principal))
    if call.operation.name in SOURCE_READS:
        _note_source(call, unit, status, now)


def _ids(call: Call, bucket: Bucket) -> tuple[str, str]:
    return canonical_id(bucket.owner), canonical_id(call.principal.account_id)


def _entries(call: Call, unit: Unit, bucket: Bucket, entry: Entry) -> Iterator[Entry]:
    if call.operation.name == "DeleteObjects" and call.error is None:
        yield from _deleted(call, unit, bucket, entry)
    yield entry


def _deleted(call: Call, unit: Unit, bucket: Bucket, entry: Entry) -> Iterator[Entry]:
    """One line for each key that was to be deleted."""
    output: dict[str, Any] = call.output or {}
    failed = {(each["Key"], each.get("VersionId", "")): each["Code"] for each in output.get("Errors") or ()}
    for each in call.input["Delete"]["Objects"]:
        key, version_id = each["Key"], each.get("VersionId") or ""
        code = failed.get((key, version_id), "")
        status = 204
        if code:
            status = (unit.house.models.standard_error("s3", code) or (400, ""))[0]
        yield batch_entry(entry, key, version_id, status, code, _size_before(unit, bucket, key, version_id))


def _size_before(unit: Unit, bucket: Bucket, key: str, version_id: str) -> int | None:
    """The size of what was removed, which is still there outside of the unit."""
    order = order_of(version_id) if version_id else None
    row: bytes = OBJECTS.key(bucket.name, key)
    if order is not None:
        row = VERSIONS.key(bucket.name, key, order_part(order))
    found = unit.house.ledger.get(row) if row in unit.writes.deletes else None
    version = OBJECTS.decode(found.value) if found is not None else None
    removed = version is not None and not version.delete_marker and (bool(version_id) or not bucket.versioning)
    return version.size if version is not None and removed else None


def _note_source(call: Call, unit: Unit, status: int, now: float) -> None:
    """A copy is also a read of its source."""
    try:
        name, key, version_id = parse_source(call.input.get("CopySource", ""))
    except AwsError:
        return
    source = BUCKETS.get(unit, name)
    if source is None or KIND not in source.configured:
        return
    entry = entry_of(call, _ids(call, source), source.name, key, status, now)
    read = replace(entry, operation=SOURCE_READS[call.operation.name], version_id=version_id, bytes_sent=0)
    put_lines(unit, source, [render(read)], f"{call.request_id}-source", call.started_at)


def note_lifecycle(unit: Unit, bucket: Bucket, event: str, version: ObjectVersion) -> None:
    """What a lifecycle rule did to a version. Only for a bucket that is logged."""
    marker = version.delete_marker
    note_own(
        unit,
        bucket,
        lifecycle_operation(event, version.storage_class),
        version.key,
        size=None if marker else version.size,
        version_id=version.version_id if bucket.versioning else "",
    )


def note_own(
    unit: Unit, bucket: Bucket, operation: str, key: str, *, size: int | None = None, version_id: str = ""
) -> None:
    """Something that S3 did by itself."""
    id_ = unit.house.clock.token(ID_LENGTH, ID_ALPHABET)
    entry = Entry(
        owner=canonical_id(bucket.owner),
        bucket=bucket.name,
        at=unit.now,
        operation=operation,
        request_id=id_,
        requester=S3_ITSELF,
        key=key,
        twice=False,
        uri="",
        object_size=size,
        referer="",
        user_agent="",
        version_id=version_id,
    )
    put_lines(unit, bucket, [render(entry)], id_, unit.now)
