"""What S3 tells of an event: the message that queues and topics get, and the event that EventBridge gets.

Pure: ids and times are passed in. Knows nothing of configurations and of delivery. Source: S3 user guide, "Event message
structure", "EventBridge event message structure", "Supported event types".
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import msgspec

from opentrail.model.facts import partition
from opentrail.rows.s3 import Bucket, ObjectVersion

EVENTS = frozenset(
    {
        *("ReducedRedundancyLostObject", "LifecycleTransition", "IntelligentTiering", "ObjectAcl:Put"),
        *(f"ObjectCreated:{each}" for each in ("*", "Put", "Post", "Copy", "CompleteMultipartUpload")),
        *(f"ObjectRemoved:{each}" for each in ("*", "Delete", "DeleteMarkerCreated")),
        *(f"ObjectRestore:{each}" for each in ("*", "Post", "Completed", "Delete")),
        *(f"ObjectTagging:{each}" for each in ("*", "Put", "Delete")),
        *(f"ObjectAnnotation:{each}" for each in ("*", "Put", "Delete")),
        *(f"LifecycleExpiration:{each}" for each in ("*", "Delete", "DeleteMarkerCreated")),
        "Replication:*",
        *(f"Replication:Operation{each}" for each in ("FailedReplication", "MissedThreshold", "NotTracked")),
        "Replication:OperationReplicatedAfterThreshold",
    }
)
"""Names of events, without `s3:`, that a configuration may ask for."""
KEY_SAFE = "/*"
"""Characters of a key that are not encoded, besides letters, digits and `_.-~`."""
MARKER_ETAG = "d41d8cd98f00b204e9800998ecf8427e"
_LATER = ("ObjectAcl", "ObjectTagging", "Lifecycle", "IntelligentTiering")
_SEQUENCED = ("ObjectCreated", "ObjectRemoved", "LifecycleExpiration")
_ANNOTATION = "ObjectAnnotation"
_ANNOTATION_VERSION = "2.6"
"""Of messages that tell of annotations, which no earlier form of message does."""
_DETAIL_TYPES = {
    "ObjectTagging:Put": "Object Tags Added",
    "ObjectTagging:Delete": "Object Tags Deleted",
    "ObjectAcl:Put": "Object ACL Updated",
    "ObjectAnnotation:Put": "Object Annotation Created",
    "ObjectAnnotation:Delete": "Object Annotation Removed",
    "ObjectRestore:Post": "Object Restore Initiated",
    "ObjectRestore:Completed": "Object Restore Completed",
    "ObjectRestore:Delete": "Object Restore Expired",
    "LifecycleTransition": "Object Storage Class Changed",
}
_encode = msgspec.json.Encoder().encode


class Source(msgspec.Struct, frozen=True):
    """Who caused an event, and by which request."""

    principal_id: str
    """`AWS:AIDA…`."""
    requester: str
    """An account id or a service's name."""
    ip: str
    request_id: str
    host_id: str


class Annotation(msgspec.Struct, frozen=True):
    """An annotation that was put or removed; size in bytes and ETag only of one that is there."""

    name: str
    size: int | None = None
    etag: str = ""

    def shown(self, etag_name: str) -> dict[str, Any]:
        there = {} if self.size is None else {"size": self.size, etag_name: self.etag}
        return {"name": self.name, **there}


class ObjectEvent(msgspec.Struct, frozen=True):
    """Something that happened to an object. `name` is without `s3:`; `order` grows with the versions of a key."""

    name: str
    key: str
    order: int
    version_id: str = ""
    etag: str = ""
    size: int | None = None
    reason: str = ""
    """EventBridge: the operation, or `Lifecycle Expiration`."""
    storage_class: str = ""
    restored_until: float = 0.0
    annotation: Annotation | None = None
    annotated: bool | None = None
    """Has it annotations? Told of copies."""

    @property
    def sequencer(self) -> str:
        return f"{self.order:018X}"


LIFECYCLE_RULE = Source("s3.amazonaws.com", "s3.amazonaws.com", "s3.amazonaws.com", "", "")
"""What a lifecycle rule did was caused by no request."""


def lifecycle_event(name: str, bucket: Bucket, version: ObjectVersion, now: float) -> ObjectEvent:
    """What a lifecycle rule, or Intelligent-Tiering, did to a version."""
    moved = name in ("LifecycleTransition", "IntelligentTiering")
    kept = moved or version.delete_marker
    return ObjectEvent(
        name,
        version.key,
        version.order if kept else int(now * 1_000_000),
        version.version_id if bucket.versioning else "",
        (version.etag or MARKER_ETAG) if kept else "",
        version.size if moved else None,
        "" if moved else "Lifecycle Expiration",
        version.storage_class if moved else "",
    )


def iso_millis(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def customer_id(account_id: str) -> str:
    """An account as event messages name it: a letter and thirteen more, always the same for one account."""
    return "A" + hashlib.sha256(account_id.encode()).hexdigest()[:13].upper()


def message(bucket: Bucket, event: ObjectEvent, source: Source, configuration_id: str, now: float) -> str:
    """The JSON text that a queue or a topic gets."""
    record: dict[str, Any] = {
        "eventVersion": _version(event.name),
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": iso_millis(now),
        "eventName": event.name,
        "userIdentity": {"principalId": source.principal_id},
        "requestParameters": {"sourceIPAddress": source.ip},
        "responseElements": {"x-amz-request-id": source.request_id, "x-amz-id-2": source.host_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": customer_id(bucket.owner)},
                "arn": bucket_arn(bucket),
            },
            "object": _object(event),
        },
    }
    if event.name == "LifecycleTransition":
        record["lifecycleEventData"] = {"transitionEventData": {"destinationStorageClass": event.storage_class}}
    if event.name == "ObjectRestore:Completed":
        until = {"lifecycleRestorationExpiryTime": iso_millis(event.restored_until)}
        until["lifecycleRestoreStorageClass"] = event.storage_class
        record["glacierEventData"] = {"restoreEventData": until}
    if event.annotation is not None:
        record["objectAnnotation"] = [event.annotation.shown("eTag")]
    return _encode({"Records": [record]}).decode()


def _version(name: str) -> str:
    if name.startswith(_ANNOTATION):
        return _ANNOTATION_VERSION
    return "2.3" if name.startswith(_LATER) or name == "ObjectRestore:Delete" else "2.1"


def _object(event: ObjectEvent) -> dict[str, Any]:
    shown: dict[str, Any] = {"key": quote_plus(event.key, safe=KEY_SAFE, errors="surrogatepass")}
    if event.size is not None:
        shown["size"] = event.size
    if event.etag:
        shown["eTag"] = event.etag
    if event.version_id:
        shown["versionId"] = event.version_id
    if event.name.startswith(_SEQUENCED):
        shown["sequencer"] = event.sequencer
    if event.annotated is not None:
        shown["hasObjectAnnotation"] = event.annotated
    return shown


def bucket_arn(bucket: Bucket) -> str:
    return f"arn:{partition(bucket.region)}:s3:::{bucket.name}"


def trial_message(bucket: Bucket, request_id: str, host_id: str, now: float) -> str:
    """What a destination gets when a bucket begins to use it."""
    told = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": iso_millis(now), "Bucket": bucket.name}
    return _encode({**told, "RequestId": request_id, "HostId": host_id}).decode()


def bridge_event(bucket: Bucket, event: ObjectEvent, source: Source, id_: str, now: float) -> dict[str, Any]:
    """The envelope that EventBridge gets."""
    detail: dict[str, Any] = {"version": "0", "bucket": {"name": bucket.name}, "object": _bridge_object(event)}
    detail |= {"request-id": source.request_id, "requester": source.requester}
    if source.ip:
        detail["source-ip-address"] = source.ip
    kind = _DETAIL_TYPES.get(event.name)
    if event.name.startswith("ObjectCreated"):
        kind = "Object Created"
    elif kind is None:
        kind = "Object Deleted"
        marker = event.name.endswith(":DeleteMarkerCreated")
        detail["deletion-type"] = "Delete Marker Created" if marker else "Permanently Deleted"
    if event.reason:
        detail["reason"] = event.reason
    if event.annotation is not None:
        detail["object-annotation"] = event.annotation.shown("etag")
    if event.name == "ObjectRestore:Completed":
        detail["restore-expiry-time"] = iso_millis(event.restored_until)
    if event.storage_class:
        at = "destination-storage-class" if event.name == "LifecycleTransition" else "source-storage-class"
        detail[at] = event.storage_class
    return {
        "version": "0",
        "id": id_,
        "detail-type": kind,
        "source": "aws.s3",
        "account": bucket.owner,
        "time": iso_millis(now)[:-5] + "Z",
        "region": bucket.region,
        "resources": [bucket_arn(bucket)],
        "detail": detail,
    }


def _bridge_object(event: ObjectEvent) -> dict[str, Any]:
    shown: dict[str, Any] = {"key": event.key}
    if event.size is not None:
        shown["size"] = event.size
    if event.etag:
        shown["etag"] = event.etag
    if event.version_id:
        shown["version-id"] = event.version_id
    if event.name.startswith((*_SEQUENCED, _ANNOTATION)):
        shown["sequencer"] = event.sequencer
    if event.annotated is not None:
        shown["has-object-annotation"] = event.annotated
    return shown
