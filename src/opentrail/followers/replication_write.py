"""The calls that replicate on this server: the read of a version at its source, the write at its destination.

Inputs are what a client would have sent, since records tell them; the version itself goes along beside the input. Knows
neither tasks' fate nor other servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from opentrail.call import ByteStream, Principal, Shape
from opentrail.ports import Road
from opentrail.rows.s3 import Acl, Bucket, ObjectVersion
from opentrail.rows.s3_replication import KMS, READING, REPLICA, Replica, Task

HEADER_MEMBERS: Final = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
}
"""Stored headers that PutObject takes, by member; `expires` is kept apart."""


class Write(NamedTuple):
    """A call's input, and what its handler is told besides."""

    given: Shape
    stash: Mapping[str, Any]


async def read_source(road: Road, role: Principal, bucket: Bucket, version: ObjectVersion) -> bytes | ByteStream:
    """The bytes of the version, decrypted; raises AwsError."""
    given = {"Bucket": bucket.name, "Key": version.key, "VersionId": version.version_id}
    answer = await road.call(role, "s3", "GetObject", given, region=bucket.region, stash={READING: True})
    if answer.stream is not None:
        return answer.stream
    body: bytes = answer.output.get("Body") or b""
    return body


async def read_annotation(
    road: Road, role: Principal, bucket: Bucket, version: ObjectVersion, name: str
) -> bytes | ByteStream:
    """The text of an annotation of the version; raises AwsError."""
    given = {"Bucket": bucket.name, "Key": version.key, "VersionId": version.version_id, "AnnotationName": name}
    answer = await road.call(role, "s3", "GetObjectAnnotation", given, region=bucket.region, stash={READING: True})
    if answer.stream is not None:
        return answer.stream
    text: bytes = answer.output.get("AnnotationPayload") or b""
    return text


def annotation_input(row: ObjectVersion, task: Task) -> Shape:
    """What PutObjectAnnotation says of it: its name, and a checksum that it is kept with."""
    checksum = [{f"Checksum{algorithm}": value} for algorithm, value in row.checksums.items()][:1]
    return {"AnnotationName": task.annotation, **(checksum[0] if checksum else {})}


def local_write(version: ObjectVersion, destination: str, task: Task, annotation: ObjectVersion | None = None) -> Write:
    """The call that makes or changes the replica, or puts an annotation of it, on this server."""
    given: Shape = {"Bucket": destination, "Key": version.key}
    if task.account:
        given["ExpectedBucketOwner"] = task.account
    if task.operation == "PutObject":
        given |= object_input(version, task)
    elif task.operation != "DeleteObject":
        given["VersionId"] = version.version_id
        given |= change_input(version, task.operation) if annotation is None else annotation_input(annotation, task)
    owner = "" if task.translates else version.owner
    return Write(given, {REPLICA: Replica(version, owner, task.storage_class)})


def object_input(version: ObjectVersion, task: Task) -> Shape:
    """What PutObject says of the object."""
    given: Shape = {"ContentType": version.content_type, "StorageClass": task.storage_class or version.storage_class}
    given |= {member: version.headers[name] for name, member in HEADER_MEMBERS.items() if name in version.headers}
    if version.metadata:
        given["Metadata"] = version.metadata
    if version.tags:
        given["Tagging"] = urlencode(version.tags)
    if task.kms_key and version.sse.startswith(KMS):
        given |= {"ServerSideEncryption": version.sse, "SSEKMSKeyId": task.kms_key}
    elif version.sse == "AES256":
        given["ServerSideEncryption"] = "AES256"
    return given


def change_input(version: ObjectVersion, operation: str) -> Shape:
    """What a change of tags, ACL or lock says: always the whole of it."""
    if operation == "PutObjectTagging":
        return {"Tagging": {"TagSet": [{"Key": key, "Value": value} for key, value in version.tags]}}
    if operation == "PutObjectAcl":
        return {"ACL": "private"} if version.acl is None else {"AccessControlPolicy": shown_acl(version.acl)}
    if operation == "PutObjectRetention":
        until = datetime.fromtimestamp(version.lock_until, UTC)
        return {"Retention": {"Mode": version.lock_mode, "RetainUntilDate": until} if version.lock_mode else {}}
    if operation == "PutObjectLegalHold":
        return {"LegalHold": {"Status": "ON" if version.legal_hold else "OFF"}}
    return {}


def shown_acl(acl: Acl) -> Shape:
    """The list as PutObjectAcl takes it."""
    return {
        "Owner": {"ID": acl.owner},
        "Grants": [
            {
                "Grantee": {"Type": each.kind, "URI" if each.kind == "Group" else "ID": each.grantee},
                "Permission": each.permission,
            }
            for each in acl.grants
        ],
    }
