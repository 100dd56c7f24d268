"""What a request says about its signer: reading Signature Versions 4 and 2 out of the header or the query string.

Nothing read here is proven; `wire.signature` proves it. Knows no keys and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

import msgspec

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.wire import signature_faults as faults
from opentrail.wire import sigv4
from opentrail.wire.presigned import Presigned, read_presigned
from opentrail.wire.signature_faults import Dialect

EXPIRES_MAX = 604_800
"""Seconds a query-string signature may be valid: seven days."""
SERVICE_EXPIRES = 900
"""Seconds a query-string signature is valid at services other than S3 when it does not say."""

S3_FAMILY = frozenset({"s3express", "s3-object-lambda"})
"""Services that calls of S3's model are signed for when they go to directory buckets or Object Lambda."""

_PLAIN_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^,\s]+)/([0-9]{8})/([^/,\s]+)/([^/,\s]+)/aws4_request, *"
    r"SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})"
)
_DAY = re.compile(r"[0-9]{8}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_HTTP_DATE = re.compile(
    r"(?:[A-Za-z]{3}, )?([0-9]{1,2}) ([A-Za-z]{3}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) "
    r"(?:GMT|UTC|([+-])([0-9]{2})([0-9]{2}))"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_STREAMING = frozenset(
    {
        sigv4.UNSIGNED_PAYLOAD,
        sigv4.STREAMING_UNSIGNED_TRAILER,
        sigv4.STREAMING_SIGNED,
        sigv4.STREAMING_SIGNED_TRAILER,
    }
)
_ONE_MECHANISM = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter "
    "or the Authorization header should be specified"
)
_REQUIRED_PARAMETERS = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
    "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
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


def read_signature(request: HttpRequest, *, s3: bool) -> Signed | None:
    """What the request claims about its signer; None when it is anonymous.

    Raises AwsError when the claim cannot be read. `s3` chooses the rules and the words (S3 or any other service).
    """
    header = request.headers.get("authorization", "")
    query = request.query
    if not header and "X-Amz-" not in query and "AWSAccessKeyId" not in query and "Signature" not in query:
        return None
    if s3 and not header and (presigned_url := read_presigned(query)) is not None:
        claim = _read_presigned(request.headers, presigned_url)
        if claim is not None:
            return claim
    pairs = sigv4.canonical_pairs(query)
    names = dict(pairs)
    presigned = "X-Amz-Algorithm" in names or "X-Amz-Credential" in names or "X-Amz-Signature" in names
    presigned_v2 = s3 and ("Signature" in names or "AWSAccessKeyId" in names)
    if s3 and presigned + presigned_v2 + bool(header) > 1:
        raise faults.bad_authorization(_ONE_MECHANISM, header)
    if header:
        return _read_header(request, header, pairs, faults.dialect_of(request, s3))
    if presigned:
        return _read_query_v4(request, pairs, names, faults.dialect_of(request, s3))
    return _read_query_v2(request.headers, names) if presigned_v2 else None


def _read_header(request: HttpRequest, header: str, pairs: list[tuple[str, str]], dialect: Dialect) -> Signed:
    scheme, _, rest = header.partition(" ")
    if scheme == "AWS" and dialect == "s3":
        return _read_header_v2(request, header, rest)
    if scheme != sigv4.ALGORITHM:
        raise _unsupported(header, scheme, dialect)
    plain = _PLAIN_HEADER.fullmatch(header)
    if plain is None:
        key_id, date, region, service, names, signature = _read_fields(rest, dialect)
    else:
        key_id, date, region, service, names, signature = plain.groups()
    check_service(service, "s3" if dialect == "s3" else "", dialect, in_query=False)
    timestamp, time_text = _header_time(request.headers, dialect)
    _check_day(date, time_text, dialect, in_query=False)
    return Signed(
        version="SigV4",
        method="AuthHeader",
        dialect=dialect,
        access_key_id=key_id,
        signature=signature,
        timestamp=timestamp,
        time_text=time_text,
        session_token=request.headers.get("x-amz-security-token", ""),
        payload_hash=_payload_hash(request.headers, dialect),
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(names.split(";")),
        query=sigv4.join_pairs(pairs),
    )


def _unsupported(header: str, scheme: str, dialect: Dialect) -> AwsError:
    if dialect == "s3":
        if scheme == "AWS4-ECDSA-P256-SHA256":
            message = "A header you provided implies functionality that is not implemented"
            return AwsError("NotImplemented", message, 501, Header="Authorization")
        return faults.bad_authorization("Unsupported Authorization Type", header)
    if scheme.startswith("AWS4-"):
        return faults.incomplete(f"Unsupported AWS 'algorithm': '{scheme}'.")
    return faults.incomplete(_lacking({}))


def _lacking(fields: Mapping[str, str]) -> str:
    wanted = ("Credential", "Signature", "SignedHeaders")
    return " ".join([f"Authorization header requires '{n}' parameter." for n in wanted if not fields.get(n)])


def _read_fields(rest: str, dialect: Dialect) -> tuple[str, str, str, str, str, str]:
    """The three components in any order, each once, or the error that says what is wrong with them."""
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in fields:
            if dialect == "s3":
                raise faults.malformed(f'the authorization component "{part.strip()}" is malformed.', False)
            raise faults.incomplete(f"Invalid key=value pair (missing equal-sign) in Authorization header: '{part}'.")
        fields[name] = value
    if dialect != "s3" and _lacking(fields):
        raise faults.incomplete(_lacking(fields))
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not fields.get(name):
            raise faults.malformed(f"missing {name}.", False)
    if len(fields) != 3:
        detail = "the authorization header requires three components: Credential, SignedHeaders, and Signature."
        raise faults.malformed(detail, False)
    key_id, date, region, service = _read_credential(fields["Credential"], dialect, in_query=False)
    return key_id, date, region, service, fields["SignedHeaders"], fields["Signature"]


def _read_credential(text: str, dialect: Dialect, *, in_query: bool) -> tuple[str, str, str, str]:
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


def _check_day(date: str, time_text: str, dialect: Dialect, *, in_query: bool) -> None:
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


def _header_time(headers: Mapping[str, str], dialect: Dialect) -> tuple[int, str]:
    """Epoch and basic ISO text of x-amz-date, or else of Date."""
    text = headers.get("x-amz-date") or headers.get("date", "")
    epoch = sigv4.parse_time(text)
    if epoch is not None:
        return epoch, text
    epoch = parse_http_date(text)
    if epoch is not None:
        return epoch, sigv4.format_time(epoch)
    if dialect == "s3":
        raise faults.denied("AWS authentication requires a valid Date or x-amz-date header")
    if text:
        raise faults.incomplete(f"Date must be in ISO-8601 'basic format'. Got '{text}'.")
    raise faults.incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")


@lru_cache(maxsize=sigv4.TIMES_MAX)
def parse_http_date(text: str) -> int | None:
    """Epoch seconds of `Tue, 27 Mar 2007 19:36:42 +0000`, or None if it is no such time."""
    match = _HTTP_DATE.fullmatch(text)
    if match is None or match[2].lower() not in _MONTHS:
        return None
    month = _MONTHS.index(match[2].lower()) + 1
    away = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    clock = (int(match[4]), int(match[5]), int(match[6]))
    try:
        moment = datetime(int(match[3]), month, int(match[1]), *clock, tzinfo=UTC)
        moment += away if match[7] == "-" else -away
    except (ValueError, OverflowError):
        return None
    return int(moment.timestamp())


def _payload_hash(headers: Mapping[str, str], dialect: Dialect) -> str:
    """x-amz-content-sha256, which S3 demands; elsewhere only its word for an unsigned payload means anything."""
    value = headers.get("x-amz-content-sha256", "")
    if dialect != "s3":
        return value if value == sigv4.UNSIGNED_PAYLOAD else ""
    if not value:
        raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", 400)
    return _checked_hash(value)


def _checked_hash(value: str) -> str:
    if value in _STREAMING or _HASH.fullmatch(value):
        return value
    raise faults.bad_payload_hash(value)


def _read_header_v2(request: HttpRequest, header: str, rest: str) -> Signed:
    key_id, colon, signature = rest.strip().partition(":")
    if not (key_id and colon and signature):
        raise faults.bad_authorization(
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature", header
        )
    timestamp, _ = _header_time(request.headers, "s3")
    return Signed(
        version="SigV2",
        method="AuthHeader",
        dialect="s3",
        access_key_id=key_id,
        signature=signature,
        timestamp=timestamp,
        time_text=request.headers.get("x-amz-date") or request.headers.get("date", ""),
        session_token=request.headers.get("x-amz-security-token", ""),
    )


def _read_query_v2(headers: Mapping[str, str], names: Mapping[str, str]) -> Signed:
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


def _read_presigned(headers: Mapping[str, str], url: Presigned) -> Signed | None:
    """What a URL of the common form claims; None if its time or its validity is one that `_read_query_v4` refuses."""
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
        payload_hash=_checked_hash(payload_hash) if payload_hash else sigv4.UNSIGNED_PAYLOAD,
        date=url.date,
        region=url.region,
        service="s3",
        signed_headers=url.signed_headers,
        query=url.canonical,
    )


def _read_query_v4(
    request: HttpRequest, pairs: list[tuple[str, str]], names: Mapping[str, str], dialect: Dialect
) -> Signed:
    _check_parameters(pairs, names, dialect)
    credential = unquote(names["X-Amz-Credential"])
    key_id, date, region, service = _read_credential(credential, dialect, in_query=True)
    check_service(service, "s3" if dialect == "s3" else "", dialect, in_query=True)
    time_text = names["X-Amz-Date"]
    timestamp = sigv4.parse_time(time_text)
    if timestamp is None:
        if dialect != "s3":
            raise faults.incomplete(f"Date must be in ISO-8601 'basic format'. Got '{time_text}'.")
        raise faults.bad_parameter("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    _check_day(date, time_text, dialect, in_query=True)
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
    return _checked_hash(value) if value else sigv4.UNSIGNED_PAYLOAD
