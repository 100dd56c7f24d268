"""WriteGetObjectResponse: a function's answer for an S3 Object Lambda access point.

There are no functions and no such access points here, so nobody waits for an answer, and every token is unknown. Source:
API reference, WriteGetObjectResponse.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.state import Unit

family = Service("s3")


@family.guard("WriteGetObjectResponse")
def write_get_object_response_guard(call: Call, _unit: Unit) -> Sequence[Access]:
    """The action on the access points of the caller's account."""
    account = call.principal.account_id
    resource = f"arn:aws:s3-object-lambda:{call.region}:{account}:accesspoint/*"
    return [Access("s3-object-lambda:WriteGetObjectResponse", resource, account)]


@family.operation("WriteGetObjectResponse")
async def write_get_object_response(call: Call, _unit: Unit) -> Shape:
    """Refused with ValidationError: no function was asked, so no request waits for an answer."""
    if not call.input.get("RequestRoute") or not call.input.get("RequestToken"):
        raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-request-token", 400)
    raise AwsError("ValidationError", "Invalid token", 400)
