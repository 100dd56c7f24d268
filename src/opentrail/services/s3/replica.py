"""The destination's side of replication: taking in a version as it is at its source, under its own id.

Also what the replicating role must be allowed, which is not what a client must be. Only calls that the follower makes on the
internal road come here; a client cannot write a replica. Source: S3 user guide, "Setting up permissions for live
replication", "Changing the replica owner", "Replicating annotations".
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, NULL_VERSION, OBJECTS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_annotations import ANNOTATIONS
from opentrail.rows.s3_replication import ANNOTATING, IS_REPLICA, READING, REPLICA, Replica, rewrite
from opentrail.rows.s3_select_jobs import SELECTING
from opentrail.service import Service
from opentrail.services.s3 import encryption
from opentrail.services.s3.guard import enter_bucket, guard, no_such_bucket, question
from opentrail.services.s3.payload import Payload, keep, sealed, take_payload
from opentrail.services.s3.versions import find_version, release
from opentrail.state import Unit

NEEDED = {
    "PutObject": "s3:ReplicateObject",
    "DeleteObject": "s3:ReplicateDelete",
    "PutObjectTagging": "s3:ReplicateTags",
    "DeleteObjectTagging": "s3:ReplicateTags",
}
"""The action that stands for another; everything else of a replica is s3:ReplicateObject."""
WRITES = (*NEEDED, "PutObjectAcl", "PutObjectRetention", "PutObjectLegalHold", ANNOTATING)
PLAIN = frozenset({"", encryption.SSE_S3})
"""Encryptions under which an ETag is that of the bytes."""

family = Service("s3")


@family.guard("GetObject", "GetObjectAnnotation", *WRITES)
def replica_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """The usual questions, but for calls that replicate, and for queries of an archive, whose caller named no version."""
    if READING not in call.stash and REPLICA not in call.stash:
        if SELECTING in call.stash and not call.stash[SELECTING]:
            bucket = enter_bucket(call, unit, call.input["Bucket"])
            return [question(call, unit, bucket, "s3:GetObject", call.input["Key"])]
        return guard(call, unit)
    bucket = enter_bucket(call, unit, call.input["Bucket"])
    return (reading_questions if READING in call.stash else writing_questions)(call, unit, bucket)


def reading_questions(call: Call, unit: Unit, bucket: Bucket) -> Sequence[Access]:
    """What reading a version for replication takes: also what goes along with it."""
    key, version_id = call.input["Key"], call.input["VersionId"]
    asked = [question(call, unit, bucket, "s3:GetReplicationConfiguration", "")]
    if call.operation.name == "GetObjectAnnotation":
        return [*asked, question(call, unit, bucket, "s3:GetObjectVersionAnnotationForReplication", key)]
    actions = ["s3:GetObjectVersionForReplication"]
    version = find_version(unit, bucket, key, version_id)
    if version is not None:
        more = {
            "s3:GetObjectVersionTagging": bool(version.tags),
            "s3:GetObjectVersionAcl": version.acl is not None,
            "s3:GetObjectRetention": bool(version.lock_mode),
            "s3:GetObjectLegalHold": bool(version.hold_at),
        }
        actions += [action for action, needed in more.items() if needed]
    return asked + [question(call, unit, bucket, action, key) for action in actions]


def writing_questions(call: Call, unit: Unit, bucket: Bucket) -> Sequence[Access]:
    """What writing a replica takes."""
    replica: Replica = call.stash[REPLICA]
    operation = call.operation.name
    actions = [NEEDED.get(operation, "s3:ReplicateObject")]
    if operation == "PutObject" and replica.source.tags:
        actions.append("s3:ReplicateTags")
    if operation == "PutObject" and not replica.owner:
        actions.append("s3:ObjectOwnerOverrideToBucketOwner")
    asked = [question(call, unit, bucket, action, call.input["Key"]) for action in actions]
    if operation == ANNOTATING:
        theirs = question(call, unit, bucket, "s3:ReplicateObjectAnnotation", call.input["Key"])
        asked.append(replace(theirs, unless_denied=True))
    return asked


def mark_annotation(call: Call, unit: Unit) -> None:
    """Let an annotation that replication has put say that it is a replica."""
    version = find_version(unit, _destination(call, unit), call.input["Key"], call.input["VersionId"])
    name = call.input["AnnotationName"]
    row = None if version is None else ANNOTATIONS.get(unit, version.annotated, name)
    if version is not None and row is not None:
        ANNOTATIONS.put(unit, replace(row, replication=IS_REPLICA), version.annotated, name)


async def take_replica(call: Call, unit: Unit) -> Shape:
    """Stands for the handler of the operation: make the replica, or bring it up to date."""
    replica: Replica = call.stash[REPLICA]
    bucket = _destination(call, unit)
    if call.operation.name == "PutObject":
        if bucket.encryption or not encryption.WRITE_MEMBERS.isdisjoint(call.input):
            encryption.protected(call, unit, bucket, replica.source)  # leaves in the stash how the bytes are to be kept
        payload = await take_payload(call, unit)
        bucket = _destination(call, unit)
        version = _with_bytes(unit, bucket, _described(bucket, replica), payload, replica.source)
        call.evidence.object_size = version.size
    elif replica.source.delete_marker:
        version = replace(replica.source, owner=bucket.owner, replication=IS_REPLICA)
    else:
        return _updated(unit, bucket, replica.source)
    _put_in_place(unit, bucket, version)
    return {"VersionId": version.version_id, "ETag": f'"{version.etag}"', "DeleteMarker": version.delete_marker or None}


def _destination(call: Call, unit: Unit) -> Bucket:
    name = call.input["Bucket"]
    bucket = BUCKETS.get(unit, name)
    if bucket is None:
        raise no_such_bucket(name)
    if bucket.versioning != "Enabled":
        raise AwsError("InvalidRequest", "Destination bucket must have versioning enabled.", 400)
    return bucket


def _described(bucket: Bucket, replica: Replica) -> ObjectVersion:
    """The replica's row, still without bytes."""
    source = replica.source
    lists = bucket.ownership != "BucketOwnerEnforced"
    locks = bucket.object_lock
    return replace(
        source,
        owner=(replica.owner if lists else "") or bucket.owner,
        acl=source.acl if lists and replica.owner else None,
        storage_class=replica.storage_class or source.storage_class,
        lock_mode=source.lock_mode if locks else "",
        lock_until=source.lock_until if locks else 0.0,
        lock_at=source.lock_at if locks else 0.0,
        legal_hold=source.legal_hold and locks,
        hold_at=source.hold_at if locks else 0.0,
        restored_until=0.0,
        upload_id="",
        replication=IS_REPLICA,
        annotated="",
    )


def _with_bytes(
    unit: Unit, bucket: Bucket, version: ObjectVersion, payload: Payload, source: ObjectVersion
) -> ObjectVersion:
    """The row with what has come in, whose ETag is the source's where it is one of the bytes."""
    if payload.size != source.size:
        raise AwsError("InternalError", "A replica is not as long as its source.", 500)
    inline, parts = keep(unit, payload)
    envelope = payload.envelope
    plain = source.sse in PLAIN and (envelope is None or envelope.protection.sse in PLAIN)
    bare = replace(
        version,
        etag=source.etag if plain else payload.etag,
        inline=inline,
        parts=parts,
        sse="",
        sse_key="",
        sse_default=False,
        bucket_key=False,
        customer_mark=b"",
        sealed_key=b"",
        wrapped_key=b"",
        sse_context="",
    )
    return bare if envelope is None else sealed(unit, bucket.name, bare, envelope)


def _put_in_place(unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    """Among the versions of its key, where its order says; it need not be the newest."""
    name, key = bucket.name, version.key
    live = OBJECTS.get(unit, name, key)
    if live is not None and live.version_id == NULL_VERSION:
        VERSIONS.put(unit, live, name, key, order_part(live.order))  # written before versioning
    there = VERSIONS.get(unit, name, key, order_part(version.order))
    if there is not None:  # it has come before
        if there.version_id != version.version_id:
            raise AwsError("InvalidRequest", "Another version of the key has the place of the replica.", 400)
        release(unit, replace(there, annotated=""))
        version = replace(version, annotated=there.annotated)
    VERSIONS.put(unit, version, name, key, order_part(version.order))
    newest = VERSIONS.page(unit, name, key, limit=1)[0][1]
    if newest.delete_marker:
        OBJECTS.delete(unit, name, key)
    else:
        OBJECTS.put(unit, newest, name, key)


def _updated(unit: Unit, bucket: Bucket, source: ObjectVersion) -> Shape:
    """Tags, ACL and lock as they are at the source."""
    there = VERSIONS.get(unit, bucket.name, source.key, order_part(source.order))
    if there is None or there.version_id != source.version_id:
        raise AwsError("NoSuchVersion", "The specified version does not exist.", 404, Key=source.key)
    changed = replace(there, tags=source.tags)
    if bucket.ownership != "BucketOwnerEnforced" and there.owner == source.owner:
        changed = replace(changed, acl=source.acl)
    if bucket.object_lock:
        changed = replace(
            changed,
            lock_mode=source.lock_mode,
            lock_until=source.lock_until,
            lock_at=source.lock_at,
            legal_hold=source.legal_hold,
            hold_at=source.hold_at,
        )
    rewrite(unit, bucket, changed)
    return {"VersionId": source.version_id}
