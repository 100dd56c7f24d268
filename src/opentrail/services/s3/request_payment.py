"""GetBucketRequestPayment, PutBucketRequestPayment. That strangers must agree to pay is asked in `guard.enter_bucket`."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.rows.s3 import BUCKETS
from opentrail.service import Service
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

family = Service("s3")


@family.operation("GetBucketRequestPayment")
async def get_bucket_request_payment(call: Call, unit: Unit) -> Shape:
    """Who pays for requests: the owner or whoever sends them."""
    return {"Payer": "Requester" if bucket_of(call, unit).requester_pays else "BucketOwner"}


@family.operation("PutBucketRequestPayment")
async def put_bucket_request_payment(call: Call, unit: Unit) -> Shape:
    """Set who pays for requests."""
    bucket = bucket_of(call, unit)
    payer = (call.input.get("RequestPaymentConfiguration") or {}).get("Payer")
    if payer not in ("BucketOwner", "Requester"):
        raise malformed()
    BUCKETS.put(unit, replace(bucket, requester_pays=payer == "Requester"), bucket.name)
    return {}
