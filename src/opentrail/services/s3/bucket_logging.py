"""A bucket's server access logging: where its log objects go, and whether they may go there.

Source: API reference, PutBucketLogging; S3 user guide, "Enabling Amazon S3 server access logging", "Troubleshoot server
access logging". As at AWS, a target without ACLs is not asked for its policy here: what that refuses, it refuses when
the objects come. What a line says is `record.access_log`'s, delivery is a follower's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from opentrail.access.acl import LOG_DELIVERY, LOG_DELIVERY_SERVICE, canonical_id
from opentrail.access.context import RequestContext
from opentrail.access.decide import NO_IDENTITY, decide
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.organizations import place_of
from opentrail.rows.s3 import Bucket
from opentrail.rows.s3_logging import KIND, MISSING_GRANTS, as_logging, find_target, refused
from opentrail.service import Service
from opentrail.services.s3.documents import drop_document, malformed, put_document, read_document
from opentrail.services.s3.grants import GRANTS_MAX, acls_disabled, document_grant
from opentrail.services.s3.guard import question
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

PREFIX_BYTES_MAX = 800
"""So that with folders, stamp and unique string a key still fits into 1,024 bytes."""
PERMISSIONS = ("FULL_CONTROL", "READ", "WRITE")
DATE_SOURCES = ("EventTime", "DeliveryTime")

family = Service("s3")


@family.operation("PutBucketLogging")
async def put_bucket_logging(call: Call, unit: Unit) -> Shape:
    """Set where a bucket's server access logs go, or stop logging."""
    bucket = bucket_of(call, unit)
    status = call.input.get("BucketLoggingStatus")
    if status is None:
        raise malformed()
    given = status.get("LoggingEnabled")
    if given is None:
        drop_document(unit, bucket, KIND)
        return {}
    document = _read(given)
    target = find_target(unit, document["TargetBucket"])
    _check_place(bucket, target)
    if given.get("TargetGrants"):
        document["TargetGrants"] = _grants(unit, target, given["TargetGrants"])
    if target.ownership != "BucketOwnerEnforced" and not _may_deliver(call, unit, bucket, target, document):
        raise refused(MISSING_GRANTS, target.name)
    put_document(unit, bucket, KIND, document)
    return {}


@family.operation("GetBucketLogging")
async def get_bucket_logging(call: Call, unit: Unit) -> Shape:
    """Where a bucket's server access logs go; empty if it is not logged."""
    document = read_document(unit, bucket_of(call, unit), KIND)
    return {"LoggingEnabled": document} if document else {}


def _read(given: Mapping[str, Any]) -> Shape:
    """The document without its grants."""
    if not given.get("TargetBucket") or given.get("TargetPrefix") is None:
        raise malformed()
    prefix = given["TargetPrefix"]
    if "\0" in prefix or len(prefix.encode("utf-8", "surrogatepass")) > PREFIX_BYTES_MAX:
        raise AwsError("KeyTooLongError", "Your key is too long", 400)
    document: Shape = {"TargetBucket": given["TargetBucket"], "TargetPrefix": prefix}
    form = given.get("TargetObjectKeyFormat")
    if form is not None:
        document["TargetObjectKeyFormat"] = _key_format(form)
    return document


def _key_format(form: Mapping[str, Any]) -> Shape:
    simple, partitioned = form.get("SimplePrefix"), form.get("PartitionedPrefix")
    if (simple is None) == (partitioned is None):
        raise malformed()
    if partitioned is None:
        return {"SimplePrefix": {}}
    source = partitioned.get("PartitionDateSource")
    if source not in DATE_SOURCES:
        raise malformed()
    return {"PartitionedPrefix": {"PartitionDateSource": source}}


def _check_place(bucket: Bucket, target: Bucket) -> None:
    """Both of one account, in one region."""
    if bucket.owner != target.owner:
        raise refused("The owner for the bucket to be logged and the target bucket must be the same.", target.name)
    if bucket.region != target.region:
        fields = {"TargetBucketLocation": target.region, "SourceBucketLocation": bucket.region}
        message = "Cross S3 location logging not allowed. "
        raise AwsError("CrossLocationLoggingProhibited", message, 403, headers=None, **fields)


def _grants(unit: Unit, target: Bucket, given: list[Mapping[str, Any]]) -> list[Shape]:
    """The grants as they are kept: an e-mail address has become the canonical id it stands for."""
    if target.ownership == "BucketOwnerEnforced":
        raise AwsError(acls_disabled().code, "Target grants not allowed for bucket owner enforced buckets", 400)
    if len(given) > GRANTS_MAX or any(each.get("Permission") not in PERMISSIONS for each in given):
        raise malformed()
    found = [document_grant(unit, each, canonical_id(target.owner)) for each in given]
    return [
        {
            "Grantee": {"Type": each.kind, "URI" if each.kind == "Group" else "ID": each.grantee},
            "Permission": each.permission,
        }
        for each in found
    ]


def _may_deliver(call: Call, unit: Unit, bucket: Bucket, target: Bucket, document: Shape) -> bool:
    """Does the target's ACL give the log-delivery group what it needs, or its policy admit the service?"""
    grants = target.acl.grants if target.acl is not None else ()
    given = {each.permission for each in grants if each.grantee == LOG_DELIVERY}
    if "FULL_CONTROL" in given or {"WRITE", "READ_ACP"} <= given:
        return True
    principal = as_logging(bucket.name, bucket.owner)
    asked = question(call, unit, target, "s3:PutObject", document["TargetPrefix"] or LOG_DELIVERY_SERVICE)
    context = RequestContext(principal, call.request, bucket.region, unit.now, partial(place_of, unit))
    return decide(principal, NO_IDENTITY, msgspec.structs.replace(asked, acl=None), context).allowed
