"""What AWS answers to a signature it does not accept: one vocabulary for S3, another for all other services.

Builds `AwsError`s and nothing else; `wire.signature` decides when. Messages are AWS's own, as its services send them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.wire.sigv4 import format_time, wire_bytes

SKEW_MAX = 900
"""Seconds a request's time may differ from ours."""

Dialect = Literal["s3", "query", "json", "rest"]
"""Whose vocabulary: S3's; a query service's; a service's with `X-Amz-Target`; any other."""

_KEY_FAULTS: Mapping[tuple[Dialect, str], tuple[str, int]] = {
    ("query", "ExpiredToken"): ("ExpiredToken", 403),
    ("json", "ExpiredToken"): ("ExpiredTokenException", 400),
    ("rest", "ExpiredToken"): ("ExpiredTokenException", 403),
    ("json", "InvalidClientTokenId"): ("UnrecognizedClientException", 400),
    ("rest", "InvalidClientTokenId"): ("UnrecognizedClientException", 403),
}

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "{}. Consult the service documentation for details."
)


def dialect_of(request: HttpRequest, s3: bool) -> Dialect:
    if s3:
        return "s3"
    headers = request.headers
    if "x-amz-target" in headers:
        return "json"
    form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return "query" if form or "Action=" in request.query else "rest"


def iso(epoch: float) -> str:
    """`2015-08-30T12:36:00Z`; the limits of time stand for what lies beyond them."""
    moment = datetime.fromtimestamp(min(max(int(epoch), 0), 253_402_300_799), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def invalid(dialect: Dialect, message: str) -> AwsError:
    """A signature, scope or time that does not hold (services other than S3)."""
    if dialect == "query":
        return AwsError("SignatureDoesNotMatch", message, 403)
    return AwsError("InvalidSignatureException", message, 400 if dialect == "json" else 403)


def incomplete(message: str) -> AwsError:
    """A signature that lacks something (services other than S3)."""
    return AwsError("IncompleteSignature", message, 400)


def respelled(error: AwsError, dialect: Dialect) -> AwsError:
    """What is wrong with a key or its token, as services of this dialect call it; anything else unchanged.

    Source: the common errors of AWS's query and JSON services.
    """
    code, status = _KEY_FAULTS.get((dialect, error.code), (error.code, error.status))
    return error if (code, status) == (error.code, error.status) else AwsError(code, error.message, status)


def missing_token(request: HttpRequest) -> AwsError:
    """What a service other than S3 answers to a caller without a signature."""
    code = "MissingAuthenticationTokenException" if "x-amz-target" in request.headers else "MissingAuthenticationToken"
    return AwsError(code, "Request is missing Authentication Token", 403)


def malformed(detail: str, in_query: bool) -> AwsError:
    """S3: a credential that cannot be read."""
    if in_query:
        message = f"Error parsing the X-Amz-Credential parameter; {detail}"
        return AwsError("AuthorizationQueryParametersError", message, 400)
    return AwsError("AuthorizationHeaderMalformed", f"The authorization header is malformed; {detail}", 400)


def wrong_region(dialect: Dialect, given: str, expected: str, in_query: bool) -> AwsError:
    """A credential scope that names no region there is; S3's answer says which to sign for, and clients then do."""
    if dialect != "s3":
        return invalid(dialect, f"Credential should be scoped to a valid region, not '{given}'.")
    error = malformed(f"the region '{given}' is wrong; expecting '{expected}'", in_query)
    error.fields["Region"] = expected
    return error


def bad_parameter(message: str) -> AwsError:
    """S3: a query-string signature whose parameters do not hold."""
    return AwsError("AuthorizationQueryParametersError", message, 400)


def bad_authorization(message: str, value: str) -> AwsError:
    return AwsError("InvalidArgument", message, 400, ArgumentName="Authorization", ArgumentValue=value)


def bad_payload_hash(value: str) -> AwsError:
    message = (
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER "
        "or a valid sha256 value."
    )
    return AwsError("InvalidArgument", message, 400, ArgumentName="x-amz-content-sha256", ArgumentValue=value)


def denied(message: str) -> AwsError:
    return AwsError("AccessDenied", message, 403)


def expired_at(epoch: int, now: float) -> AwsError:
    """S3, version 2: the second named by `Expires` has passed."""
    return _with(denied("Request has expired"), {"Expires": iso(epoch), "ServerTime": iso(now)})


def _with(error: AwsError, fields: Mapping[str, str]) -> AwsError:
    error.fields.update(fields)
    return error


def unsigned_headers(dialect: Dialect, names: list[str]) -> AwsError:
    """Headers that must be covered by the signature and are not."""
    if dialect == "s3":
        message = "There were headers present in the request which were not signed"
        return _with(denied(message), {"HeadersNotSigned": ", ".join(names)})
    shown = "'Host' or ':authority'" if names[0] == "host" else f"'{names[0]}'"
    return invalid(dialect, f"{shown} must be a 'SignedHeader' in the AWS Authorization.")


def mismatch(dialect: Dialect, access_key_id: str, text: str, given: str, canonical: str = "") -> AwsError:
    """The signature is another one. S3 shows what it signed, so that a client can be mended; never the key."""
    if dialect != "s3":
        return invalid(dialect, MISMATCH.format("AWS Secret Access Key and signing method"))
    fields = {
        "AWSAccessKeyId": access_key_id,
        "StringToSign": text,
        "SignatureProvided": given,
        "StringToSignBytes": wire_bytes(text).hex(" "),
    }
    if canonical:
        fields["CanonicalRequest"] = canonical
        fields["CanonicalRequestBytes"] = wire_bytes(canonical).hex(" ")
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )
    return _with(AwsError("SignatureDoesNotMatch", message, 403), fields)


def skewed(dialect: Dialect, shown: str, timestamp: int, now: float) -> AwsError:
    """The time of the request is more than 15 minutes from ours. `shown` is that time as the client wrote it."""
    if dialect == "s3":
        message = "The difference between the request time and the current time is too large."
        fields = {"RequestTime": shown, "ServerTime": iso(now), "MaxAllowedSkewMilliseconds": str(SKEW_MAX * 1000)}
        return _with(AwsError("RequestTimeTooSkewed", message, 403), fields)
    ours = format_time(now)
    if timestamp > now:
        limit = format_time(now + SKEW_MAX)
        return invalid(dialect, f"Signature not yet current: {shown} is still later than {limit} ({ours} + 15 min.)")
    limit = format_time(now - SKEW_MAX)
    return invalid(dialect, f"Signature expired: {shown} is now earlier than {limit} ({ours} - 15 min.)")


def expired(dialect: Dialect, timestamp: int, expires: int, now: float) -> AwsError:
    """A query-string signature whose time is over."""
    if dialect != "s3":
        edge = format_time(timestamp + expires)
        return invalid(dialect, f"Signature expired: {edge} is now earlier than {format_time(now)}")
    fields = {"X-Amz-Expires": str(expires), "Expires": iso(timestamp + expires), "ServerTime": iso(now)}
    return _with(denied("Request has expired"), fields)
