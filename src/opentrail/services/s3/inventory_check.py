"""What S3 accepts as an inventory configuration, and the error of what it does not.

Source: API reference, PutBucketInventoryConfiguration, InventoryConfiguration; S3's answers as others recorded them: the
document's form first, then its id, then its destination.
"""

from __future__ import annotations

import importlib.util
import re

from opentrail.call import ACCOUNT_ID, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS
from opentrail.rows.s3_inventory import OPTIONAL
from opentrail.services.s3.configurations import Kind, check_prefix, config_id, given_document
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.encryption import not_implemented
from opentrail.state import Unit

INVENTORY = Kind("inventory", "Inventory")
FORMATS = frozenset({"CSV", "ORC", "Parquet"})
FIELDS = tuple(column.field for column in OPTIONAL)
UNBUILT_FIELDS = frozenset(
    {"ObjectLockEventHoldStatus", "ObjectLockEventHoldDuration", "IntelligentTieringReferenceDate"}
)
"""Fields that tell of what is not built: refused, since a column without a meaning would be a lie."""
HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
"""ORC is written by PyArrow, which is an extra (`opentrail[orc]`)."""
_DESTINATION = re.compile(r"arn:aws[a-z-]{0,20}:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])", re.ASCII)


def checked_inventory(call: Call, unit: Unit) -> Shape:
    """The document of the request; raises AwsError."""
    config_id(call)
    given = call.input.get(INVENTORY.member) or {}
    target = (given.get("Destination") or {}).get("S3BucketDestination") or {}
    _check_form(given, target)
    mismatch = AwsError("IdMismatch", "Document ID does not match the specified configuration ID.", 400)
    document = given_document(call, INVENTORY, mismatch)
    check_destination(call, unit, target["Bucket"])
    if target.get("AccountId") is not None and not ACCOUNT_ID.fullmatch(target["AccountId"]):
        raise AwsError("InvalidArgument", "The account ID of the destination is not valid.", 400)
    check_prefix(target.get("Prefix", ""))
    if target["Format"] == "ORC" and not HAS_ARROW:
        raise not_implemented("ORC: the server has no PyArrow (install opentrail[orc])")
    if not UNBUILT_FIELDS.isdisjoint(given.get("OptionalFields") or ()):
        raise not_implemented(min(UNBUILT_FIELDS & set(given["OptionalFields"])))
    return document


def _check_form(given: Shape, target: Shape) -> None:
    fields, encryption = given.get("OptionalFields") or (), target.get("Encryption") or {}
    wrong = (
        not given.keys() >= {"Destination", "IsEnabled", "Id", "IncludedObjectVersions", "Schedule"}
        or not isinstance(given["IsEnabled"], bool)
        or given["IncludedObjectVersions"] not in ("All", "Current")
        or (given["Schedule"] or {}).get("Frequency") not in ("Daily", "Weekly")
        or not target.get("Bucket")
        or target.get("Format") not in FORMATS
        or not set(fields) <= {*FIELDS, *UNBUILT_FIELDS}
        or len(set(fields)) < len(fields)
        or len(encryption) > 1
        or ("SSEKMS" in encryption and not (encryption["SSEKMS"] or {}).get("KeyId"))
        or ("Filter" in given and not (given["Filter"] or {}).get("Prefix"))
    )
    if wrong:
        raise malformed()
    check_prefix((given.get("Filter") or {}).get("Prefix", ""))


def check_destination(call: Call, unit: Unit, arn: str) -> None:
    """A destination is a bucket's ARN; the bucket need not be there yet, but if it is, in the same region.

    Raises AwsError InvalidS3DestinationBucket."""
    found = _DESTINATION.fullmatch(arn)
    if found is None:
        raise AwsError("InvalidS3DestinationBucket", "Invalid bucket ARN.", 400)
    bucket = BUCKETS.get(unit, found[1])
    if bucket is not None and bucket.region != call.region:
        message = "The destination bucket must be in the same region as the source bucket."
        raise AwsError("InvalidS3DestinationBucket", message, 400)
