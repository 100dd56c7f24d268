"""RestoreObject with Type SELECT: takes a query of an archived object on; `followers.select_jobs` works it off.

What can be wrong with the request is said at once: the expression is shown to the query process, and `job.txt` is put where
the results will lie, by S3 with the caller's identity, as every later file is. So whoever may not write there is told so.
Sources: API reference, RestoreObject, SelectParameters, S3Location; S3 user guide, "Querying archived objects".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.query.channel import start
from opentrail.query.faults import QueryFault
from opentrail.query.job import Job
from opentrail.rows.s3 import BUCKETS, Bucket, ObjectVersion
from opentrail.rows.s3_select_jobs import ID_ALPHABET, ID_LENGTH, SERVICE, SelectJob, put_job
from opentrail.services.s3.archive import ARCHIVED
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.guard import no_such_bucket, question
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.select_request import job_of, refused
from opentrail.state import Unit

SELECT: Final = "SELECT"
MEMBERS: Final = frozenset({"Type", "SelectParameters", "OutputLocation"})
"""Members of a RestoreRequest that only a query has."""
PATH_BYTES_MAX: Final = 512
"""Bytes of bucket and prefix together. Source: user guide, "Select output"."""
GRANTS: Final = {
    "FULL_CONTROL": "GrantFullControl",
    "READ": "GrantRead",
    "READ_ACP": "GrantReadACP",
    "WRITE_ACP": "GrantWriteACP",
}
GRANTEES: Final = {"CanonicalUser": ("id", "ID"), "AmazonCustomerByEmail": ("emailAddress", "EmailAddress")}
"""How a grantee is written in a header, and the member that has him; all others are groups."""
_ID, _PLACED = "select job", "select job placed"
_encoder = msgspec.json.Encoder()


class _Wanted(Exception):
    """The query process has read the expression, and wants the object now."""


def select_of(call: Call) -> Shape | None:
    """The request, if it is one for a query; raises MalformedXML where it is neither that nor a restore."""
    given: Shape = call.input.get("RestoreRequest") or {}
    if MEMBERS.isdisjoint(given):
        return None
    if given.get("Type") != SELECT or "Days" in given or not given.keys() >= MEMBERS:
        raise malformed()
    return given


def select_questions(call: Call, unit: Unit, bucket: Bucket) -> Sequence[Access]:
    """What a query takes besides the right to restore: the object is read. What writing takes is asked when written."""
    version_id = call.input.get("VersionId", "")
    action = "s3:GetObjectVersion" if version_id else "s3:GetObject"
    return [question(call, unit, bucket, action, call.input["Key"])]


async def take_query(call: Call, unit: Unit, given: Shape, tier: str) -> Shape:
    """Take the query on; raises AwsError."""
    if call.principal.type == "Anonymous":
        raise AwsError("AccessDenied", "Access Denied", 403)
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    _check_object(version)
    check_tier(tier, version)
    job = _job(call, unit, bucket, version, given)
    if _PLACED not in call.stash:
        await _check_expression(job.query)
        await _place(unit, job, given, tier)
        call.stash[_PLACED] = True
    put_job(unit, job, unit.now)
    call.evidence.object_size = version.size
    call.status = 202
    return {"RestoreOutputPath": job.path}


def check_tier(tier: str, version: ObjectVersion) -> None:
    """Raise InvalidArgument for the speed that the deepest archive does not have."""
    if tier == "Expedited" and version.storage_class == "DEEP_ARCHIVE":
        raise AwsError("InvalidArgument", "Retrieval option is not supported by this storage class", 400)


def _check_object(version: ObjectVersion) -> None:
    if version.storage_class not in ARCHIVED:
        message = "Restore is not allowed for the object's current storage class"
        raise AwsError("InvalidObjectState", message, 403, StorageClass=version.storage_class)
    if version.customer_mark:
        message = "Objects encrypted with customer-provided keys (SSE-C) cannot be queried in an archive."
        raise AwsError("InvalidRequest", message, 400)


def _job(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion, given: Shape) -> SelectJob:
    id_ = call.stash.setdefault(_ID, unit.house.clock.token(ID_LENGTH, ID_ALPHABET))
    location = (given["OutputLocation"] or {}).get("S3") or {}
    name, prefix = location.get("BucketName"), location.get("Prefix")
    if not name or prefix is None:
        raise malformed()
    if len(f"{name}/{prefix}".encode("utf-8", "surrogatepass")) > PATH_BYTES_MAX:
        raise AwsError("InvalidArgument", "The output location is too long.", 400, ArgumentName="Prefix")
    _check_place(unit, bucket, name)
    path = f"{prefix}/{id_}" if prefix and not prefix.endswith("/") else f"{prefix}{id_}"
    return SelectJob(
        id=id_,
        bucket=bucket.name,
        key=version.key,
        version_id=version.version_id if bucket.versioning else "",
        etag=version.etag,
        region=bucket.region,
        principal=replace(call.principal, invoked_by=SERVICE),
        query=job_of(given["SelectParameters"] or {}, version.size, unit.now),
        target=_target(name, location),
        path=path,
        first=unit.now,
        named=bool(call.input.get("VersionId")),
    )


def _check_place(unit: Unit, bucket: Bucket, name: str) -> None:
    """The output lies in the region of the object."""
    output = BUCKETS.get(unit, name)
    if output is None:
        raise no_such_bucket(name)
    if output.region != bucket.region or output.zone:
        message = "The output bucket must be a general purpose bucket in the Region of the object."
        raise AwsError("InvalidRequest", message, 400)


def _target(name: str, location: Mapping[str, Any]) -> Shape:
    """PutObject's input for the files of the output."""
    target: Shape = {"Bucket": name}
    encryption = location.get("Encryption")
    if encryption is not None:
        members = {"ServerSideEncryption": "EncryptionType", "SSEKMSKeyId": "KMSKeyId"}
        members["SSEKMSEncryptionContext"] = "KMSContext"
        if not encryption.get("EncryptionType"):
            raise malformed()
        target |= {ours: encryption[theirs] for ours, theirs in members.items() if encryption.get(theirs)}
    for ours, theirs in {"ACL": "CannedACL", "StorageClass": "StorageClass"}.items():
        if location.get(theirs):
            target[ours] = location[theirs]
    tags = (location.get("Tagging") or {}).get("TagSet")
    if tags:
        target["Tagging"] = urlencode([(tag.get("Key", ""), tag.get("Value", "")) for tag in tags])
    metadata = location.get("UserMetadata")
    if metadata:
        target["Metadata"] = {each.get("Name") or "": each.get("Value") or "" for each in metadata}
    return target | _grants(location.get("AccessControlList") or ())


def _grants(given: Sequence[Mapping[str, Any]]) -> Shape:
    """The grants as PutObject's headers have them."""
    found: dict[str, list[str]] = {}
    for grant in given:
        grantee = grant.get("Grantee") or {}
        word, member = GRANTEES.get(grantee.get("Type", ""), ("uri", "URI"))
        if grant.get("Permission") not in GRANTS or not grantee.get(member) or '"' in grantee[member]:
            raise malformed()
        found.setdefault(GRANTS[grant["Permission"]], []).append(f'{word}="{grantee[member]}"')
    return {member: ", ".join(grantees) for member, grantees in found.items()}


async def _check_expression(job: Job) -> None:
    """Have the process that will run the query read it; raises AwsError for what it finds without the object."""
    try:
        query = await start(job)
    except QueryFault as fault:
        raise refused(fault) from fault
    try:
        async with aclosing(query.events(_object_wanted())) as events:
            async for _ in events:
                continue
    except _Wanted:
        return
    except QueryFault as fault:
        raise refused(fault) from fault
    finally:
        await query.close()


async def _object_wanted() -> AsyncGenerator[bytes, None]:
    raise _Wanted
    yield b""


async def _place(unit: Unit, job: SelectJob, given: Shape, tier: str) -> None:
    """Put job.txt, which tells what was asked."""
    told = {
        "JobId": job.id,
        "Action": "Select",
        "JobDescription": given.get("Description", ""),
        "CreationDate": job.query.now,
        "Tier": tier,
        "Bucket": job.bucket,
        "Key": job.key,
        "VersionId": job.version_id,
        "SelectParameters": given["SelectParameters"],
        "OutputLocation": given["OutputLocation"],
    }
    text = msgspec.json.format(_encoder.encode(told), indent=2)
    where = {**job.target, "Key": f"{job.path}/job.txt"}
    await unit.house.road.call(job.principal, "s3", "PutObject", where, region=job.region, body=text)
