"""Signs a request that goes out: to an S3 store of somebody else's, or from a command to a server. SigV4 in headers.

The other direction of `signature`. Pure: the time is passed in; knows no host's address and no key's owner.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

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


class Key(NamedTuple):
    """What requests are signed with."""

    access_key_id: str
    secret: str
    session_token: str = ""


def signed_headers(
    request: WireRequest,
    host: str,
    region: str,
    key: Key,
    now: float,
    *,
    service: str = "s3",
    streamed: bool = False,
) -> dict[str, str]:
    """The request's headers with those that prove who sent it, all of them signed. `now` is epoch seconds, `service` the
    name that its signatures bear; a body that is `streamed` is not part of what is signed."""
    stamp = format_time(now)
    digest = UNSIGNED_PAYLOAD if streamed else sha256(request.body).hexdigest()
    headers = {**request.headers, "host": host, "x-amz-date": stamp, "x-amz-content-sha256": digest}
    if key.session_token:
        headers["x-amz-security-token"] = key.session_token
    names = tuple(sorted(headers))
    where = scope(stamp[:8], region, service)
    path, query = canonical_path(request.path, s3=service == "s3"), canonical_query(request.query)
    canonical = canonical_request(request.method, path, query, headers, names, digest)
    signature = sign(signing_key(key.secret, stamp[:8], region, service), string_to_sign(stamp, where, canonical))
    proof = (
        f"{ALGORITHM} Credential={key.access_key_id}/{where}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return {**headers, "authorization": proof}
