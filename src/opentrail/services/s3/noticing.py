"""Tells a bucket's notification configuration and its replication rules what its operations did to objects.

Wraps the handlers of writing operations, so that no family knows of notices and tasks; what happened is read off the
unit, in which a change is or is not. A bucket without a configuration costs one look at its row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final

from opentrail.call import Call, Shape
from opentrail.rows.s3 import BUCKETS, NULL_VERSION, OBJECTS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_annotations import ANNOTATIONS
from opentrail.rows.s3_event import MARKER_ETAG, Annotation, ObjectEvent, Source, customer_id
from opentrail.rows.s3_notices import KIND, notify
from opentrail.rows.s3_replication import KIND as REPLICATION
from opentrail.rows.s3_replication import REPLICA
from opentrail.service import Handler, Service
from opentrail.services.s3.replica import mark_annotation, take_replica
from opentrail.services.s3.replicating import replicate
from opentrail.services.s3.versions import find_version, order_of
from opentrail.state import Unit

CREATING: Final = {
    "PutObject": ("ObjectCreated:Put", "PutObject"),
    "PostObject": ("ObjectCreated:Post", "POST Object"),
    "CopyObject": ("ObjectCreated:Copy", "CopyObject"),
    "CompleteMultipartUpload": ("ObjectCreated:CompleteMultipartUpload", "CompleteMultipartUpload"),
}
"""Operations that make objects: the event, and the reason that EventBridge is told."""
CHANGING: Final = {
    "PutObjectTagging": ("ObjectTagging:Put",),
    "DeleteObjectTagging": ("ObjectTagging:Delete",),
    "PutObjectAcl": ("ObjectAcl:Put",),
    "RestoreObject": ("ObjectRestore:Post", "ObjectRestore:Completed"),
}
"""Operations that change an object there is; a restore is completed as soon as it is begun."""
ANNOTATING: Final = {
    "PutObjectAnnotation": "ObjectAnnotation:Put",
    "DeleteObjectAnnotation": "ObjectAnnotation:Delete",
}
Tell = Callable[[Call, Unit, Bucket], None]


def watch(service: Service) -> None:
    """Let the handlers of a whole service be noticed."""
    for names, tell in (
        (CREATING, _created),
        (CHANGING, _changed),
        (ANNOTATING, _annotated),
        (("DeleteObject", "DeleteObjects"), _removed),
        (("PutObjectRetention", "PutObjectLegalHold"), None),
    ):
        for name in names:
            if name in service.handlers:
                service.handlers[name] = _noticed(service.handlers[name], tell)


def _noticed(handler: Handler, tell: Tell | None) -> Handler:
    @wraps(handler)
    async def noticed(call: Call, unit: Unit) -> Shape:
        if REPLICA in call.stash:
            return await _noticed_replica(handler, call, unit, tell)
        output = await handler(call, unit)
        bucket = BUCKETS.get(unit, call.input["Bucket"])
        if bucket is not None and bucket.configured:
            if tell is not None and KIND in bucket.configured:
                tell(call, unit, bucket)
            if REPLICATION in bucket.configured:
                replicate(call, unit, bucket)
        return output

    return noticed


async def _noticed_replica(handler: Handler, call: Call, unit: Unit, tell: Tell | None) -> Shape:
    """A replica is an object like any other to those who want to hear of objects; it is not replicated again."""
    if call.operation.name in ANNOTATING:
        output = await handler(call, unit)
        mark_annotation(call, unit)
    else:
        output = await take_replica(call, unit)
    bucket = BUCKETS.get(unit, call.input["Bucket"])
    if bucket is not None and tell is not None and KIND in bucket.configured:
        tell(call, unit, bucket)
    return output


def source_of(call: Call) -> Source:
    """Who sent the call, as notices name him."""
    caller = call.principal
    requester = caller.invoked_by if caller.type == "AWSService" else caller.account_id
    if caller.type in ("Anonymous", "AWSService"):
        name = "Anonymous" if caller.type == "Anonymous" else caller.invoked_by
    else:
        name = customer_id(caller.account_id) if caller.type == "Root" else f"AWS:{caller.principal_id}"
    return Source(name, requester, call.request.remote_ip, call.request_id, call.host_id)


def _created(call: Call, unit: Unit, bucket: Bucket) -> None:
    key = call.input["Key"]
    if OBJECTS.key(bucket.name, key) not in unit.writes.puts:
        return  # a completed upload that is completed again makes nothing
    version = OBJECTS.get(unit, bucket.name, key)
    if version is not None:
        name, reason = CREATING[call.operation.name]
        event = ObjectEvent(
            name,
            key,
            version.order,
            _id(bucket, version),
            version.etag,
            version.size,
            reason,
            annotated=bool(version.annotated) if call.operation.name == "CopyObject" else None,
        )
        notify(unit, bucket, event, source_of(call))


def _changed(call: Call, unit: Unit, bucket: Bucket) -> None:
    version = find_version(unit, bucket, call.input["Key"], call.input.get("VersionId", ""))
    if version is None or (call.input.get("RestoreRequest") or {}).get("Type"):
        return  # a query restores nothing
    source = source_of(call)
    for name in CHANGING[call.operation.name]:
        restored = name.startswith("ObjectRestore")
        event = ObjectEvent(
            name,
            version.key,
            version.order,
            _id(bucket, version),
            version.etag,
            version.size if restored else None,
            storage_class=version.storage_class if restored else "",
            restored_until=version.restored_until,
        )
        notify(unit, bucket, event, source)


def _annotated(call: Call, unit: Unit, bucket: Bucket) -> None:
    """An annotation that was put, or that was there and is gone."""
    version = find_version(unit, bucket, call.input["Key"], call.input.get("VersionId", ""))
    if version is None or not version.annotated:
        return
    operation, name = call.operation.name, call.input["AnnotationName"]
    row = ANNOTATIONS.get(unit, version.annotated, name)
    if row is None and ANNOTATIONS.key(version.annotated, name) not in unit.writes.deletes:
        return
    annotation = Annotation(name) if row is None else Annotation(name, row.size, row.etag)
    event = ObjectEvent(
        ANNOTATING[operation],
        version.key,
        int(unit.now * 1_000_000),
        _id(bucket, version),
        version.etag,
        reason=operation,
        annotation=annotation,
    )
    notify(unit, bucket, event, source_of(call))


def _id(bucket: Bucket, version: ObjectVersion) -> str:
    return version.version_id if bucket.versioning else ""


def _removed(call: Call, unit: Unit, bucket: Bucket) -> None:
    asked = [(call.input.get("Key", ""), call.input.get("VersionId") or "")]
    if call.operation.name == "DeleteObjects":
        asked = [(each["Key"], each.get("VersionId") or "") for each in call.input["Delete"]["Objects"]]
    changes, source = _Changes(unit, bucket), source_of(call)
    for key, version_id in dict.fromkeys(asked):
        event = changes.removal(key, version_id)
        if event is not None:
            notify(unit, bucket, event, source)


class _Changes:
    """What a unit takes away from a bucket, gathered once for all keys of a call."""

    def __init__(self, unit: Unit, bucket: Bucket) -> None:
        self._bucket = bucket
        self._now = int(unit.now * 1_000_000)
        self._markers: dict[str, ObjectVersion] = {}
        versions, objects = VERSIONS.key(bucket.name, ""), OBJECTS.key(bucket.name, "")
        for key, value in unit.writes.puts.items():
            if key.startswith(versions) and (row := VERSIONS.decode(value)).delete_marker:
                self._markers[row.key] = row
        gone = unit.writes.deletes
        self._gone = {VERSIONS.parts(key)[1:] for key in gone if key.startswith(versions)}
        self._gone_keys = {OBJECTS.parts(key)[1] for key in gone if key.startswith(objects)}
        self._gone_versions = {key for key, _ in self._gone}

    def removal(self, key: str, version_id: str) -> ObjectEvent | None:
        """The event of one key that was to be deleted; None if nothing was there."""
        marker = None if version_id else self._markers.get(key)
        if marker is not None:
            name = "ObjectRemoved:DeleteMarkerCreated"
            return ObjectEvent(name, key, marker.order, marker.version_id, MARKER_ETAG, reason="DeleteObject")
        if not self._is_gone(key, version_id):
            return None
        return ObjectEvent("ObjectRemoved:Delete", key, self._now, version_id, reason="DeleteObject")

    def _is_gone(self, key: str, version_id: str) -> bool:
        if not version_id:
            return key in self._gone_keys and not self._bucket.versioning
        if version_id == NULL_VERSION:
            return key in self._gone_keys or key in self._gone_versions
        order = order_of(version_id)
        return order is not None and (key, order_part(order)) in self._gone
