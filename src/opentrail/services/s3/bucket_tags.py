"""The condition keys that speak of a bucket's tags: `aws:ResourceTag/KEY` and `s3:BucketTag/KEY`.

They count only where attribute-based access control was enabled for the bucket, which its row names among what is
configured. Source: S3 user guide, "Using tags with S3 general purpose buckets".
"""

from __future__ import annotations

from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket

ABAC = "abac"
"""The kind of configuration document that says so."""


def tag_keys(bucket: Bucket) -> dict[str, tuple[str, ...]]:
    """The keys by lower-case name, of a bucket whose tags count."""
    keys: dict[str, tuple[str, ...]] = {}
    for name, value in bucket.tags:
        keys[f"aws:resourcetag/{name.lower()}"] = (value,)
        keys[f"s3:buckettag/{name.lower()}"] = (value,)
    return keys


def request_tag_keys(tags: tuple[tuple[str, str], ...]) -> dict[str, tuple[str, ...]]:
    """`aws:RequestTag/KEY` and `aws:TagKeys` of a request that brings tags for a bucket."""
    keys: dict[str, tuple[str, ...]] = {f"aws:requesttag/{name.lower()}": (value,) for name, value in tags}
    if tags:
        keys["aws:tagkeys"] = tuple(name for name, _ in tags)
    return keys


def refuse_old_tagging(bucket: Bucket) -> None:
    """Raise AwsError MethodNotAllowed where tags decide about access: PutBucketTagging and its like ask too little."""
    if ABAC in bucket.configured:
        message = "Use TagResource and UntagResource to manage the tags of a bucket that has ABAC enabled."
        raise AwsError("MethodNotAllowed", message, 405, BucketName=bucket.name)
