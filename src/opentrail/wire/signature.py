"""Does the signature hold? The front of Signature Versions 4 and 2, in the header and in the query string.

Two steps, because between them the caller looks up the key: `read_signature` says what the request claims, `verify` proves
it with the secret. Knows no keys, no principals and no regions; the time is passed in. Answers in AWS's words are built by
`wire.signature_faults`, the arithmetic is in `wire.sigv4` and `wire.sigv2`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus

import msgspec

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.wire import signature_faults as faults
from opentrail.wire import sigv2, sigv4
from opentrail.wire.signature_claims import read_signature
from opentrail.wire.signature_faults import SKEW_MAX
from opentrail.wire.signed import Signed, check_service

__all__ = ["Signed", "Verified", "hoisted_headers", "read_signature", "verify"]

_AUTH_PARAMETERS = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-content-sha256",
    }
)
_CARRIED_V2 = frozenset({"content-md5", "content-type", "x-amz-security-token"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Verified(msgspec.Struct, frozen=True):
    """What a signature that holds gives to those who read the body."""

    seed_signature: str
    signing_key: bytes
    payload_hash: str
    """A SHA-256 in hexadecimal that the body must have, or one of the `…-PAYLOAD…` words; empty in version 2."""
    timestamp: str
    scope: str


def hoisted_headers(request: HttpRequest) -> dict[str, str]:
    """The `x-amz-…` headers that a signed URL carries as parameters (S3 reads them as if they were headers).

    Names in lower case, values decoded; the parameters of the signature itself are not among them. Raises
    AwsError("InvalidArgument") for a value that no header could have.
    """
    if "amz-" not in request.query.lower():
        return {}
    found: dict[str, str] = {}
    for pair in request.query.split("&"):
        name, _, value = pair.partition("=")
        lower = unquote_plus(name, "latin-1").lower()
        if lower.startswith("x-amz-") and lower not in _AUTH_PARAMETERS:
            found[lower] = _header_value(lower, unquote_plus(value, "latin-1"))
    return found


def _header_value(name: str, value: str) -> str:
    """A header cannot hold control characters; a parameter that stands for one must not smuggle them in."""
    if _CONTROL.search(name) or _CONTROL.search(value):
        raise AwsError("InvalidArgument", "Invalid header value", 400, ArgumentName=name, ArgumentValue=value)
    return value.strip()


def verify(
    request: HttpRequest,
    signed: Signed,
    secret: str,
    *,
    now: float,
    bucket_in_host: str = "",
    service: str = "",
    body_sha256: str = sigv4.EMPTY_SHA256,
) -> Verified:
    """Prove the claim with the key's secret; raises AwsError with the code, words and status of AWS's service.

    `now` is epoch seconds. `bucket_in_host` is the bucket that a virtual host names (version 2 signs it). `service` is
    the signing name the scope must have (empty: not checked; S3's own is always). `body_sha256` is the SHA-256, in
    hexadecimal, of the body as sent, for services other than S3, whose signature covers it directly. The region is
    not checked here.
    """
    if signed.version == "SigV2":
        return _verify_v2(request, signed, secret, now, bucket_in_host)
    check_service(signed.service, service, signed.dialect, in_query=signed.method == "QueryString")
    _check_coverage(request.headers, signed)
    if signed.method == "QueryString":
        _check_validity(signed, now)
    payload = signed.payload_hash or body_sha256
    path = sigv4.canonical_path(request.path, signed.dialect == "s3")
    names = signed.signed_headers
    canonical = sigv4.canonical_request(request.method, path, signed.query, request.headers, names, payload)
    scope = sigv4.scope(signed.date, signed.region, signed.service)
    text = sigv4.string_to_sign(signed.time_text, scope, canonical)
    key = sigv4.signing_key(secret, signed.date, signed.region, signed.service)
    expected = sigv4.sign(key, text)
    if not sigv4.same(expected, signed.signature):
        raise faults.mismatch(signed.dialect, signed.access_key_id, text, signed.signature, canonical)
    if signed.method == "AuthHeader":
        _check_skew(signed, now)
    return Verified(expected, key, payload, signed.time_text, scope)


def _check_coverage(headers: Mapping[str, str], signed: Signed) -> None:
    """Host and every x-amz- header must be signed, or somebody on the way could change what is asked for."""
    names = signed.signed_headers
    missing = [name for name in headers if name[:6] == "x-amz-" and name not in names]
    if "host" not in names:
        missing.insert(0, "host")
    if missing:
        raise faults.unsigned_headers(signed.dialect, missing)


def _check_skew(signed: Signed, now: float) -> None:
    if abs(now - signed.timestamp) > SKEW_MAX:
        raise faults.skewed(signed.dialect, signed.time_text, signed.timestamp, now)


def _check_validity(signed: Signed, now: float) -> None:
    if signed.timestamp > now + SKEW_MAX:
        if signed.dialect == "s3":
            raise faults.denied("Request is not valid yet")
        raise faults.skewed(signed.dialect, signed.time_text, signed.timestamp, now)
    if now > signed.timestamp + signed.expires:
        raise faults.expired(signed.dialect, signed.timestamp, signed.expires, now)


def _verify_v2(request: HttpRequest, signed: Signed, secret: str, now: float, bucket_in_host: str) -> Verified:
    headers = request.headers
    expires = ""
    if signed.method == "QueryString":
        expires = signed.time_text
        if now > signed.expires:
            raise faults.expired_at(signed.expires, now)
        headers = _with_parameters(request)
    for path in (request.path,) if bucket_in_host else sigv2.signed_paths(request.path):
        text = sigv2.string_to_sign(request.method, path, request.query, headers, bucket_in_host, expires)
        expected = sigv2.sign(secret, text)
        if sigv4.same(expected, signed.signature):
            break
    else:
        raise faults.mismatch("s3", signed.access_key_id, text, signed.signature)
    if not expires:
        _check_skew(signed, now)
    return Verified(expected, b"", "", signed.time_text, "")


def _with_parameters(request: HttpRequest) -> Mapping[str, str]:
    """Version 2 signs the headers that a URL carries as parameters like headers; a header sent as well comes first."""
    names = dict(sigv4.canonical_pairs(request.query))
    carried = {n: _header_value(n, unquote(value, "latin-1")) for n, value in names.items() if n in _CARRIED_V2}
    carried |= hoisted_headers(request)
    return {**carried, **request.headers} if carried else request.headers
