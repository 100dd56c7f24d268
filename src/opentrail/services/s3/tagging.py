"""Tags of buckets and of objects. The limits are `objects.check_tags`'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.bucket_tags import refuse_old_tagging
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.tag_rules import OBJECT_TAGS_MAX, check_tags
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit

BUCKET_TAGS_MAX = 50
Tags = tuple[tuple[str, str], ...]

family = Service("s3")


@family.operation("GetBucketTagging")
async def get_bucket_tagging(call: Call, unit: Unit) -> Shape:
    """The tags of a bucket."""
    bucket = bucket_of(call, unit)
    if not bucket.tags:
        raise AwsError("NoSuchTagSet", "The TagSet does not exist", 404, BucketName=bucket.name)
    return {"TagSet": shown_tags(bucket.tags)}


@family.operation("PutBucketTagging")
async def put_bucket_tagging(call: Call, unit: Unit) -> Shape:
    """Replace the tags of a bucket."""
    bucket = bucket_of(call, unit)
    refuse_old_tagging(bucket)
    tags = check_tags(read_tags(call.input.get("Tagging")), BUCKET_TAGS_MAX)
    BUCKETS.put(unit, replace(bucket, tags=tags), bucket.name)
    call.status = 204
    return {}


@family.operation("DeleteBucketTagging")
async def delete_bucket_tagging(call: Call, unit: Unit) -> Shape:
    """Remove the tags of a bucket."""
    bucket = bucket_of(call, unit)
    refuse_old_tagging(bucket)
    BUCKETS.put(unit, replace(bucket, tags=()), bucket.name)
    return {}


@family.operation("GetObjectTagging")
async def get_object_tagging(call: Call, unit: Unit) -> Shape:
    """The tags of an object, or of one version of it."""
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    return {**_version_id(bucket, version), "TagSet": shown_tags(tuple(sorted(version.tags)))}


@family.operation("PutObjectTagging")
async def put_object_tagging(call: Call, unit: Unit) -> Shape:
    """Replace the tags of an object, or of one version of it."""
    tags = check_tags(read_tags(call.input.get("Tagging")), OBJECT_TAGS_MAX)
    return _retag(call, unit, tags)


@family.operation("DeleteObjectTagging")
async def delete_object_tagging(call: Call, unit: Unit) -> Shape:
    """Remove the tags of an object, or of one version of it."""
    return _retag(call, unit, ())


def _retag(call: Call, unit: Unit, tags: Tags) -> Shape:
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    replace_version(unit, bucket, replace(version, tags=tags))
    return _version_id(bucket, version)


def _version_id(bucket: Bucket, version: ObjectVersion) -> Shape:
    return {"VersionId": version.version_id} if bucket.versioning else {}


def read_tags(tagging: Mapping[str, Any] | None) -> Tags:
    """The pairs of a Tagging document; raises AwsError MalformedXML."""
    given = None if tagging is None else tagging.get("TagSet")
    if given is None or any("Key" not in tag or "Value" not in tag for tag in given):
        raise malformed()
    return tuple((tag["Key"], tag["Value"]) for tag in given)


def shown_tags(tags: Tags) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in tags]
