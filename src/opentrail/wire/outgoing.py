"""Signs a request that this server sends to an S3 store of somebody else's: SigV4 in headers.

The other direction of `signature`. Pure: the time is passed in; knows no host's address and no key's owner.
"""

from __future__ import annotations

from hashlib import sha256

from opentrail.wire.request import WireRequest
from opentrail.wire.sigv4 import (
    ALGORITHM,
    UNSIGNED_PAYLOAD,
    canonical_path,
    canonical_query,
    canonical_request,
    format_time,
    scope,
    sign,
    signing_key,
    string_to_sign,
)

SERVICE = "s3"


def signed_headers(
    request: WireRequest, host: str, region: str, key: tuple[str, str], now: float, *, streamed: bool
) -> dict[str, str]:
    """The request's headers with those that prove who sent it. `key` is (id, secret); a body that is `streamed` is not
    part of what is signed."""
    stamp = format_time(now)
    headers = {
        **request.headers,
        "host": host,
        "x-amz-date": stamp,
        "x-amz-content-sha256": UNSIGNED_PAYLOAD if streamed else sha256(request.body).hexdigest(),
    }
    names = tuple(sorted(headers))
    where = scope(stamp[:8], region, SERVICE)
    canonical = canonical_request(
        request.method,
        canonical_path(request.path, s3=True),
        canonical_query(request.query),
        headers,
        names,
        headers["x-amz-content-sha256"],
    )
    signature = sign(signing_key(key[1], stamp[:8], region, SERVICE), string_to_sign(stamp, where, canonical))
    proof = f"{ALGORITHM} Credential={key[0]}/{where}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return {**headers, "authorization": proof}
