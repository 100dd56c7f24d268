"""What a request claims about its signer, and what holds for such claims wherever they stand. Nothing of it is proven."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from opentrail.wire import signature_faults as faults
from opentrail.wire import sigv4
from opentrail.wire.signature_faults import Dialect

S3_FAMILY = frozenset({"s3express", "s3-object-lambda"})
"""Services that calls of S3's model are signed for when they go to directory buckets or Object Lambda."""

_DAY = re.compile(r"[0-9]{8}")
_HASH = re.compile(r"[0-9a-f]{64}")
_STREAMING = frozenset(
    {
        sigv4.UNSIGNED_PAYLOAD,
        sigv4.STREAMING_UNSIGNED_TRAILER,
        sigv4.STREAMING_SIGNED,
        sigv4.STREAMING_SIGNED_TRAILER,
    }
)
_CREDENTIAL_FORM = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What a request claims about its signer. Nothing of it is proven."""

    version: Literal["SigV4", "SigV2"]
    method: Literal["AuthHeader", "QueryString", "HtmlForm"]
    dialect: Dialect
    access_key_id: str
    signature: str
    timestamp: int
    """Epoch seconds at which it says it was signed; 0 for a version 2 query string, which has no such time."""
    time_text: str
    """That time as it is signed: basic ISO 8601 in version 4, as sent in version 2."""
    expires: int = 0
    """Query string: seconds of validity (version 4) or the epoch second it ends at (version 2). Header: 0."""
    session_token: str = ""
    payload_hash: str = ""
    """x-amz-content-sha256 as sent; S3's version 4 always has one. Empty where the body itself is to be hashed."""
    date: str = ""
    """Day of the credential scope, `yyyyMMdd`; with region and service empty in version 2."""
    region: str = ""
    service: str = "s3"
    signed_headers: tuple[str, ...] = ()
    query: str = ""
    """The canonical query string (version 4)."""


def read_credential(text: str, dialect: Dialect, *, in_query: bool) -> tuple[str, str, str, str]:
    """Access key id, day, region and service of `AKID/yyyyMMdd/region/service/aws4_request`."""
    parts = text.rsplit("/", 4)
    if dialect != "s3":
        if len(parts) != 5:
            form = "keyid/date/region/service/term"
            raise faults.incomplete(
                f"Credential must have exactly 5 slash-delimited elements, e.g. {form}, got '{text}'"
            )
        if parts[4] != sigv4.TERMINATOR:
            message = f"Credential should be scoped with a valid terminator: 'aws4_request', not '{parts[4]}'."
            raise faults.invalid(dialect, message)
        return parts[0], parts[1], parts[2], parts[3]
    if len(parts) != 5:
        raise faults.malformed(_CREDENTIAL_FORM, in_query)
    key_id, date, region, service, terminator = parts
    if not key_id:
        raise faults.malformed("a non-empty Access Key (AKID) must be provided in the credential.", in_query)
    if not _DAY.fullmatch(date):
        form = 'This date in the credential must be in the format "yyyyMMdd".'
        raise faults.malformed(f'incorrect date format "{date}". {form}', in_query)
    if terminator != sigv4.TERMINATOR:
        raise faults.malformed(f'incorrect terminal "{terminator}". This endpoint uses "aws4_request".', in_query)
    return key_id, date, region, service


def check_service(service: str, expected: str, dialect: Dialect, *, in_query: bool) -> None:
    if not expected or service == expected or (expected == "s3" and service in S3_FAMILY):
        return
    if dialect == "s3":
        raise faults.malformed(f'incorrect service "{service}". This endpoint belongs to "{expected}".', in_query)
    raise faults.invalid(dialect, f"Credential should be scoped to correct service: '{expected}'.")


def check_day(date: str, time_text: str, dialect: Dialect, *, in_query: bool) -> None:
    day = time_text[:8]
    if date == day:
        return
    if dialect != "s3":
        message = (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{day}', from '{time_text}'."
        )
        raise faults.invalid(dialect, message)
    detail = f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{day}".'
    raise faults.bad_parameter(detail) if in_query else faults.malformed(detail, False)


def checked_hash(value: str) -> str:
    if value in _STREAMING or _HASH.fullmatch(value):
        return value
    raise faults.bad_payload_hash(value)
