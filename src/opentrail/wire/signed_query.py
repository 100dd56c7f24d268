"""Signature Versions 4 and 2 in the query string: what a presigned URL claims. Knows no keys and no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from opentrail.call import HttpRequest
from opentrail.wire import signature_faults as faults
from opentrail.wire import sigv4
from opentrail.wire.presigned import Presigned
from opentrail.wire.signature_faults import Dialect
from opentrail.wire.signed import Signed, check_day, check_service, checked_hash, read_credential

EXPIRES_MAX = 604_800
"""Seconds a query-string signature may be valid: seven days."""
SERVICE_EXPIRES = 900
"""Seconds a query-string signature is valid at services other than S3 when it does not say."""

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_REQUIRED_PARAMETERS = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
    "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)


def read_url(headers: Mapping[str, str], url: Presigned) -> Signed | None:
    """What a URL of the common form claims; None if its time or its validity is one that `read_query_v4` refuses."""
    timestamp = sigv4.parse_time(url.time_text)
    expires = int(url.expires_text)
    if timestamp is None or expires > EXPIRES_MAX:
        return None
    payload_hash = headers.get("x-amz-content-sha256")
    return Signed(
        version="SigV4",
        method="QueryString",
        dialect="s3",
        access_key_id=url.access_key_id,
        signature=url.signature,
        timestamp=timestamp,
        time_text=url.time_text,
        expires=expires,
        session_token=headers.get("x-amz-security-token", ""),
        payload_hash=checked_hash(payload_hash) if payload_hash else sigv4.UNSIGNED_PAYLOAD,
        date=url.date,
        region=url.region,
        service="s3",
        signed_headers=url.signed_headers,
        query=url.canonical,
    )


def read_query_v4(
    request: HttpRequest, pairs: list[tuple[str, str]], names: Mapping[str, str], dialect: Dialect
) -> Signed:
    _check_parameters(pairs, names, dialect)
    credential = unquote(names["X-Amz-Credential"])
    key_id, date, region, service = read_credential(credential, dialect, in_query=True)
    check_service(service, "s3" if dialect == "s3" else "", dialect, in_query=True)
    time_text = names["X-Amz-Date"]
    timestamp = sigv4.parse_time(time_text)
    if timestamp is None:
        if dialect != "s3":
            raise faults.incomplete(f"Date must be in ISO-8601 'basic format'. Got '{time_text}'.")
        raise faults.bad_parameter("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    check_day(date, time_text, dialect, in_query=True)
    return Signed(
        version="SigV4",
        method="QueryString",
        dialect=dialect,
        access_key_id=key_id,
        signature=names["X-Amz-Signature"],
        timestamp=timestamp,
        time_text=time_text,
        expires=_read_expires(names.get("X-Amz-Expires", ""), dialect),
        session_token=unquote(names.get("X-Amz-Security-Token", "")) or request.headers.get("x-amz-security-token", ""),
        payload_hash=_query_payload_hash(request.headers, names, dialect),
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(unquote(names["X-Amz-SignedHeaders"]).split(";")),
        query=sigv4.join_pairs(pairs, without="X-Amz-Signature"),
    )


_QUERY_PARAMETERS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders")


def _check_parameters(pairs: list[tuple[str, str]], names: Mapping[str, str], dialect: Dialect) -> None:
    """Every parameter is there, and none of them twice."""
    missing = [name for name in _QUERY_PARAMETERS if not names.get(name)]
    if dialect == "s3" and (missing or "X-Amz-Expires" not in names):
        raise faults.bad_parameter(_REQUIRED_PARAMETERS)
    if missing:
        raise faults.incomplete(" ".join([f"AWS query-string parameters must include '{n}'." for n in missing]))
    if len(pairs) != len(names):
        seen = [name for name, _ in pairs if name.startswith("X-Amz-")]
        if len(seen) != len(set(seen)):
            raise (
                faults.bad_parameter(_REQUIRED_PARAMETERS)
                if dialect == "s3"
                else faults.incomplete("AWS query-string parameters must not be repeated.")
            )
    if names["X-Amz-Algorithm"] != sigv4.ALGORITHM:
        if dialect != "s3":
            raise faults.incomplete(f"Unsupported AWS 'algorithm': '{names['X-Amz-Algorithm']}'.")
        raise faults.bad_parameter('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"')


def _read_expires(text: str, dialect: Dialect) -> int:
    if not text and dialect != "s3":
        return SERVICE_EXPIRES
    if not _NUMBER.fullmatch(text):
        problem = "X-Amz-Expires should be a number"
    elif text.startswith("-"):
        problem = "X-Amz-Expires must be non-negative"
    elif int(text) > EXPIRES_MAX:
        problem = (
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            "604800 seconds"
        )
    else:
        return int(text)
    raise faults.bad_parameter(problem) if dialect == "s3" else faults.incomplete(problem)


def _query_payload_hash(headers: Mapping[str, str], names: Mapping[str, str], dialect: Dialect) -> str:
    """A URL is signed without its payload unless the header, or the parameter that stands for it, says more."""
    value = headers.get("x-amz-content-sha256") or names.get("X-Amz-Content-Sha256", "")
    if dialect != "s3":
        return value if value == sigv4.UNSIGNED_PAYLOAD else ""
    return checked_hash(value) if value else sigv4.UNSIGNED_PAYLOAD


def read_query_v2(headers: Mapping[str, str], names: Mapping[str, str]) -> Signed:
    if not (names.get("AWSAccessKeyId") and names.get("Signature") and names.get("Expires")):
        message = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        raise faults.denied(message)
    expires = unquote(names["Expires"])
    if not _NUMBER.fullmatch(expires):
        raise faults.denied(f"Invalid date (should be seconds since epoch): {expires}")
    return Signed(
        version="SigV2",
        method="QueryString",
        dialect="s3",
        access_key_id=unquote(names["AWSAccessKeyId"]),
        signature=unquote(names["Signature"]),
        timestamp=0,
        time_text=expires,
        expires=int(expires),
        session_token=headers.get("x-amz-security-token") or unquote(names.get("x-amz-security-token", "")),
    )
