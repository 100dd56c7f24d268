"""Requests whose document must come with a digest, so that no damaged byte changes what is deleted or locked.

Source: S3 API reference, Content-MD5 of DeleteObjects, PutObjectLockConfiguration, PutBucketLifecycleConfiguration.
"""

from __future__ import annotations

from opentrail.call import Call
from opentrail.errors import AwsError


def brings_digest(call: Call) -> bool:
    """Did the body come with Content-MD5, a checksum or a checksum's trailer? Our own calls cross no network."""
    headers = call.request.headers
    if "content-md5" in headers or "x-amz-trailer" in headers or call.principal.invoked_by:
        return True
    return any(name.startswith("x-amz-checksum-") for name in headers)


def require_digest(call: Call) -> None:
    """Raise AwsError InvalidRequest for a request whose body came without."""
    if not brings_digest(call):
        raise AwsError("InvalidRequest", "Missing required header for this request: Content-MD5", 400)
