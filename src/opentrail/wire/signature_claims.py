"""What a request says about its signer: reading Signature Versions 4 and 2 out of the header or the query string.

Nothing read here is proven; `wire.signature` proves it. Knows no keys and no clock.
"""

from __future__ import annotations

from opentrail.call import HttpRequest
from opentrail.wire import signature_faults as faults
from opentrail.wire import sigv4
from opentrail.wire.presigned import read_presigned
from opentrail.wire.signed import Signed
from opentrail.wire.signed_header import read_header
from opentrail.wire.signed_query import read_query_v2, read_query_v4, read_url

_ONE_MECHANISM = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter "
    "or the Authorization header should be specified"
)


def read_signature(request: HttpRequest, *, s3: bool) -> Signed | None:
    """What the request claims about its signer; None when it is anonymous.

    Raises AwsError when the claim cannot be read. `s3` chooses the rules and the words (S3 or any other service).
    """
    header = request.headers.get("authorization", "")
    query = request.query
    if not header and "X-Amz-" not in query and "AWSAccessKeyId" not in query and "Signature" not in query:
        return None
    if s3 and not header and (url := read_presigned(query)) is not None:
        claim = read_url(request.headers, url)
        if claim is not None:
            return claim
    pairs = sigv4.canonical_pairs(query)
    names = dict(pairs)
    presigned = "X-Amz-Algorithm" in names or "X-Amz-Credential" in names or "X-Amz-Signature" in names
    presigned_v2 = s3 and ("Signature" in names or "AWSAccessKeyId" in names)
    if s3 and presigned + presigned_v2 + bool(header) > 1:
        raise faults.bad_authorization(_ONE_MECHANISM, header)
    if header:
        return read_header(request, header, pairs, faults.dialect_of(request, s3))
    if presigned:
        return read_query_v4(request, pairs, names, faults.dialect_of(request, s3))
    return read_query_v2(request.headers, names) if presigned_v2 else None
