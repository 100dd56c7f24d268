"""PreflightRequest: what a browser asks (OPTIONS) before it sends a request to another origin.

Nobody signs it and nobody needs a permission for it; the bucket's CORS rules alone decide. What they say is put into the
answer by `cors.cross_origin`. Source: API reference, OPTIONS object; S3's answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS
from opentrail.service import Service
from opentrail.services.s3.cors import METHODS, asked_headers, find_match, rules_of
from opentrail.state import Unit

METHOD_CHARS_MAX = 64
"""Characters of a method that are repeated in an error."""
NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)
"""S3's own spelling."""

family = Service("s3")


@family.guard("PreflightRequest")
def preflight_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """Nothing needs to be allowed; the bucket's owner gets the record."""
    bucket = BUCKETS.get(unit, call.input["Bucket"])
    if bucket is not None:
        call.region = bucket.region
        call.account_id = call.evidence.owner_account_id = bucket.owner
    return ()


@family.operation("PreflightRequest")
async def preflight_request(call: Call, unit: Unit) -> Shape:
    """May a page of another origin send the request that it describes?"""
    headers = call.request.headers
    origin, method = headers.get("origin"), headers.get("access-control-request-method")
    if not origin:
        raise AwsError("BadRequest", "Insufficient information. Origin request header needed.", 400)
    if method not in METHODS:
        shown = "null" if method is None else method[:METHOD_CHARS_MAX]
        raise AwsError("BadRequest", f"Invalid Access-Control-Request-Method: {shown}", 400)
    name = call.input["Bucket"]
    if BUCKETS.get(unit, name) is None:
        raise _forbidden(call, method, "CORSResponse: Bucket not found")
    rules = rules_of(unit, name)
    if not rules:
        raise _forbidden(call, method, "CORSResponse: CORS is not enabled for this bucket.")
    asked = asked_headers(call)
    if asked is None or find_match(rules, origin, method, asked) is None:
        raise _forbidden(call, method, NOT_ALLOWED)
    return {}


def _forbidden(call: Call, method: str, message: str) -> AwsError:
    fields = {"Method": method, "ResourceType": "OBJECT" if call.input.get("Key") else "BUCKET"}
    return AwsError("AccessForbidden", message, 403, headers=None, **fields)
