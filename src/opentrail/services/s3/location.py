"""Regions of buckets: what a LocationConstraint means, GetBucketLocation, HeadBucket.

Source: API reference, CreateBucket and GetBucketLocation. Every region lives in this one server.
"""

from __future__ import annotations

import re

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

CLASSIC_REGION = "us-east-1"
"""The region that no LocationConstraint names, and whose endpoint creates buckets in every other."""
ALIASES = {"EU": "eu-west-1"}
REGION = re.compile(r"[a-z]{2,3}(-[a-z]{2,12}){1,3}-[1-9][0-9]?", re.ASCII)
"""`eu-west-1`, `us-gov-west-1`, `us-iso-east-1`: what a region looks like, so that new ones need no release."""

family = Service("s3")


@family.operation("GetBucketLocation")
async def get_bucket_location(call: Call, unit: Unit) -> Shape:
    """The constraint the bucket was created with; none in us-east-1."""
    bucket = bucket_of(call, unit)
    return {"LocationConstraint": bucket.location or (None if bucket.region == CLASSIC_REGION else bucket.region)}


@family.operation("HeadBucket")
async def head_bucket(call: Call, unit: Unit) -> Shape:
    """Whether the bucket exists and may be listed, and its region."""
    return {"BucketRegion": bucket_of(call, unit).region, "AccessPointAlias": False}


def chosen_region(constraint: str | None, endpoint: str) -> str:
    """The region that a bucket is created in by a request to the endpoint of a region."""
    if constraint is None:
        if endpoint == CLASSIC_REGION:
            return endpoint
        raise _incompatible("unspecified")
    region = ALIASES.get(constraint, constraint)
    if region == CLASSIC_REGION or not REGION.fullmatch(region):
        message = "The specified location-constraint is not valid"
        raise AwsError("InvalidLocationConstraint", message, 400, LocationConstraint=constraint)
    if endpoint not in (CLASSIC_REGION, region):
        raise _incompatible(constraint)
    return region


def _incompatible(constraint: str) -> AwsError:
    place = "the region specific endpoint this request was sent to"
    message = f"The {constraint} location constraint is incompatible for {place}."
    return AwsError("IllegalLocationConstraintException", message, 400)
