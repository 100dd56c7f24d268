"""MFA Delete: what only the bucket owner's root may do, and only with a code of its device in the header x-amz-mfa.

Source: S3 user guide, "Configuring MFA delete" and "Deleting an object from an MFA delete-enabled bucket"; API reference,
PutBucketVersioning and DeleteObjects. Messages as AWS's answers show them. Deliberate differences: AWS takes the header
over TLS only, here it is taken as the request comes; AWS's word for a wrong code is not known.
"""

from __future__ import annotations

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket
from opentrail.services.mfa import device_of, use_code
from opentrail.state import Unit

ON = "Enabled"
HEADER = "x-amz-mfa"


def require_mfa(call: Call, unit: Unit, bucket: Bucket) -> None:
    """The caller must be the owner's root and show a code, which is used up with the unit.

    Raises AwsError: AccessDenied 403, InvalidArgument 400 for a header that is none, InvalidRequest 400 for a session.
    """
    header, caller = call.input.get("MFA"), call.principal
    if not header:
        raise _denied("Mfa Authentication must be used for this request")
    if caller.session is not None:
        raise AwsError("InvalidRequest", "DevPay and Mfa are mutually exclusive authorization methods.", 400)
    serial, _blank, code = header.partition(" ")
    if not serial or not code.isdecimal():
        message = "Mfa header is invalid -- the header should be formatted as {serialNumber}(space){tokenCode}"
        raise AwsError("InvalidArgument", message, 400, ArgumentName=HEADER, ArgumentValue=header)
    if caller.type != "Root" or caller.account_id != bucket.owner:
        raise _denied("This operation may only be performed by the bucket owner")
    device = device_of(unit, caller, serial)
    if device is None or not use_code(unit, device, code):
        raise _denied("Mfa Authentication failed")


def _denied(message: str) -> AwsError:
    return AwsError("AccessDenied", message, 403)
