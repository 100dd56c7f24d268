"""How a directory bucket is made: its request must say in which zone it lies, as its name does.

Source: API reference, CreateBucket (directory buckets); S3 user guide, "Directory bucket naming rules".
"""

from __future__ import annotations

from collections.abc import Sequence

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, OWNED_DIRECTORIES, Bucket, OwnedBucket, PublicAccessBlock
from opentrail.services.s3.directory_rules import directory_arn, zone_of
from opentrail.state import Unit

NAME_MIN, NAME_MAX = 3, 63
KINDS = {"AvailabilityZone": "SingleAvailabilityZone", "LocalZone": "SingleLocalZone"}
"""Type of a location → what its buckets' redundancy must be."""


def is_directory(call: Call) -> bool:
    """Is a directory bucket asked for, by its name or by its document?"""
    configuration = call.input.get("CreateBucketConfiguration") or {}
    return bool(zone_of(call.input["Bucket"]) or configuration.get("Location") or configuration.get("Bucket"))


def create_directory_guard(call: Call) -> Sequence[Access]:
    """To create a directory bucket."""
    account, name = call.principal.account_id, call.input["Bucket"]
    resource = f"arn:aws:s3express:{call.region}:{account}:bucket/{name}"
    return [Access("s3express:CreateBucket", resource, account)]


def create_directory(call: Call, unit: Unit) -> Shape:
    """Make the bucket. Raises AwsError InvalidBucketName, InvalidRequest, BucketAlreadyExists, BucketAlreadyOwnedByYou."""
    name, owner = call.input["Bucket"], call.principal.account_id
    zone = zone_of(name)
    call.evidence.owner_account_id = owner
    new = Bucket(
        name=name,
        owner=owner,
        region=call.region,
        created_at=unit.now,
        public_access_block=PublicAccessBlock(True, True, True, True),
        zone=zone,
    )
    call.evidence.directory_arn = directory_arn(new)
    if not zone or not NAME_MIN <= len(name) <= NAME_MAX:
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.", 400, BucketName=name)
    _check_place(call.input.get("CreateBucketConfiguration") or {}, zone)
    existing = BUCKETS.get(unit, name)
    if existing is not None:
        code = "BucketAlreadyOwnedByYou" if existing.owner == owner else "BucketAlreadyExists"
        raise AwsError(code, "", 409, BucketName=name)
    BUCKETS.put(unit, new, name)
    OWNED_DIRECTORIES.put(unit, OwnedBucket(new.region, new.created_at), owner, new.region, name)
    return {"Location": f"/{name}"}


def _check_place(configuration: Shape, zone: str) -> None:
    location, kind = configuration.get("Location") or {}, configuration.get("Bucket") or {}
    if location.get("Type") not in KINDS or kind.get("Type") != "Directory":
        raise AwsError("InvalidRequest", "A directory bucket needs its location and its type.", 400)
    if location.get("Name") != zone or kind.get("DataRedundancy") not in (None, KINDS[location["Type"]]):
        raise AwsError("InvalidRequest", "The location of a directory bucket must be the zone in its name.", 400)
