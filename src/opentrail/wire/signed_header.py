"""Signature Versions 4 and 2 in the Authorization header: what it claims. Knows no keys and no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.wire import signature_faults as faults
from opentrail.wire import sigv4
from opentrail.wire.signature_faults import Dialect
from opentrail.wire.signed import Signed, check_day, check_service, checked_hash, read_credential

_PLAIN_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^,\s]+)/([0-9]{8})/([^/,\s]+)/([^/,\s]+)/aws4_request, *"
    r"SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})"
)
_HTTP_DATE = re.compile(
    r"(?:[A-Za-z]{3}, )?([0-9]{1,2}) ([A-Za-z]{3}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) "
    r"(?:GMT|UTC|([+-])([0-9]{2})([0-9]{2}))"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def read_header(request: HttpRequest, header: str, pairs: list[tuple[str, str]], dialect: Dialect) -> Signed:
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
    check_day(date, time_text, dialect, in_query=False)
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
    key_id, date, region, service = read_credential(fields["Credential"], dialect, in_query=False)
    return key_id, date, region, service, fields["SignedHeaders"], fields["Signature"]


def _header_time(headers: Mapping[str, str], dialect: Dialect) -> tuple[int, str]:
    """Epoch and basic ISO text of x-amz-date, or else of Date."""
    text = headers.get("x-amz-date") or headers.get("date", "")
    epoch = sigv4.parse_time(text)
    if epoch is not None:
        return epoch, text
    epoch = _date_header(text)
    if epoch is not None:
        return epoch, sigv4.format_time(epoch)
    if dialect == "s3":
        raise faults.denied("AWS authentication requires a valid Date or x-amz-date header")
    if text:
        raise faults.incomplete(f"Date must be in ISO-8601 'basic format'. Got '{text}'.")
    raise faults.incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")


@lru_cache(maxsize=sigv4.TIMES_MAX)
def _date_header(text: str) -> int | None:
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
    return checked_hash(value)


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
