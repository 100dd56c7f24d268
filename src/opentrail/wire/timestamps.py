"""Points in time as the protocols write them: ISO 8601, HTTP dates and seconds since the epoch.

Inside the house a time is an aware `datetime` in UTC; answers may also be given as epoch seconds. Knows no shapes and
no clock. What cannot be read raises `Malformed`.
Source of the formats: Smithy 2.0, "Timestamp serialization and deserialization"; RFC 9110 §5.6.7 for HTTP dates.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from opentrail.wire.scalars import Malformed

TIMESTAMP_TEXT_MAX = 48
"""Characters of the longest text that is looked at as a timestamp."""
EPOCH_MIN, EPOCH_MAX = -62_135_596_800, 253_402_300_799
"""Seconds since the epoch of the first and the last second a timestamp can name (years 1 to 9999)."""
REMEMBERED_DATES_MAX = 4_096

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_NUMBERS = {name: number for number, name in enumerate(MONTHS, 1)}

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII)
_FRACTION_BEYOND_MICROSECONDS = re.compile(r"(\.\d{6})\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_HTTP = re.compile(
    r"(?:[A-Za-z]{3}, )?(?P<day>\d{1,2}) (?P<month>[A-Z][a-z]{2}) (?P<year>\d{4})"
    r" (?P<time>\d\d:\d\d:\d\d)(?P<fraction>\.\d{1,6})? (?:GMT|UTC|[+-]0000)",
    re.ASCII,
)
_RFC850 = re.compile(
    r"[A-Z][a-z]{5,8}, (?P<day>\d\d)-(?P<month>[A-Z][a-z]{2})-(?P<year>\d\d) (?P<time>\d\d:\d\d:\d\d) GMT"
)
_ASCTIME = re.compile(
    r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d) (?P<year>\d{4})"
)
RFC850_CENTURY_TURNS = 70
"""Two-digit years from here on are of the last century."""


def parse_timestamp(text: str) -> datetime:
    """A timestamp in any of the three formats; Malformed otherwise."""
    text = text.strip()
    if len(text) > TIMESTAMP_TEXT_MAX:
        raise Malformed("timestamp is too long")
    if _ISO.fullmatch(text):
        return parse_iso8601(text)
    if _NUMBER.fullmatch(text):
        return parse_epoch(float(text) if not text.lstrip("+-").isdigit() else int(text))
    return parse_http_date(text)


def parse_iso8601(text: str) -> datetime:
    """`2026-11-21T02:42:43.123Z`, any offset, or a date alone; times without an offset are UTC."""
    if len(text) > TIMESTAMP_TEXT_MAX or not _ISO.fullmatch(text):
        raise Malformed(f"{text[:TIMESTAMP_TEXT_MAX]!r} is not an ISO 8601 timestamp")
    text = _FRACTION_BEYOND_MICROSECONDS.sub(r"\1", text).upper()
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"{text!r} is not a point in time") from None


@lru_cache(REMEMBERED_DATES_MAX)
def parse_http_date(text: str) -> datetime:
    """`Sat, 21 Nov 2026 02:42:43 GMT`, or one of the two obsolete forms of RFC 9110."""
    if len(text) > TIMESTAMP_TEXT_MAX:
        raise Malformed("timestamp is too long")
    found = _HTTP.fullmatch(text) or _RFC850.fullmatch(text) or _ASCTIME.fullmatch(text)
    if found is None:
        raise Malformed(f"{text!r} is not a timestamp")
    parts = found.groupdict()
    year = int(parts["year"])
    if len(parts["year"]) == 2:
        year += 1900 if year >= RFC850_CENTURY_TURNS else 2000
    month = MONTH_NUMBERS.get(parts["month"], 0)
    fraction = parts.get("fraction") or ""
    return parse_iso8601(f"{year:04}-{month:02}-{int(parts['day']):02}T{parts['time']}{fraction}Z")


def parse_epoch(seconds: float) -> datetime:
    """Seconds since the epoch, whole or not, exact to the microsecond."""
    if not math.isfinite(seconds) or not EPOCH_MIN <= seconds <= EPOCH_MAX:
        raise Malformed("timestamp is out of range")
    return EPOCH + timedelta(seconds=seconds)


def to_datetime(value: datetime | float | str) -> datetime:
    """What a handler gives as a time: a datetime (naive ones are UTC), epoch seconds, or text in one of the formats."""
    if isinstance(value, datetime):
        if value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return parse_timestamp(value) if isinstance(value, str) else parse_epoch(value)


def format_iso8601(value: datetime | float | str) -> str:
    """`2026-11-21T02:42:43Z`, with milliseconds or microseconds where there are any."""
    moment = to_datetime(value)
    if not moment.microsecond:
        return moment.isoformat()[:19] + "Z"
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")[:-6] + "Z"


def format_iso8601_millis(value: datetime | float | str) -> str:
    """`2026-11-21T02:42:43.000Z`: S3 always writes milliseconds."""
    return format_all_iso8601_millis((value,))[0]


def format_all_iso8601_millis(values: Sequence[datetime | float | str]) -> list[str]:
    """`format_iso8601_millis` of each. A listing has a thousand epoch seconds, which msgspec turns into text at once."""
    if values and {*map(type, values)} <= _NUMBERS:
        with contextlib.suppress(msgspec.ValidationError):  # out of range, which is told below
            moments = msgspec.convert(values, list[datetime], strict=False)
            written = msgspec.json.encode(moments).decode()
            texts = written[2:-2].split('","')
            if len(written) == len(texts) * (_WITH_MICROSECONDS + 3) + 1:  # all of them
                return [text[:-4] + "Z" for text in texts]
            return [f"{text[:23]}Z" if len(text) == _WITH_MICROSECONDS else f"{text[:19]}.000Z" for text in texts]
    return [f"{to_datetime(value).isoformat(timespec='milliseconds')[:23]}Z" for value in values]


_NUMBERS = {float, int}
_WITH_MICROSECONDS = len("2026-11-21T02:42:43.000000Z")


def format_http_date(value: datetime | float | str) -> str:
    """`Sat, 21 Nov 2026 02:42:43 GMT`; parts of a second are dropped."""
    return _http_date(int((to_datetime(value) - EPOCH).total_seconds() // 1))


@lru_cache(REMEMBERED_DATES_MAX)
def _http_date(seconds: int) -> str:
    moment = EPOCH + timedelta(seconds=seconds)
    day = f"{DAYS[moment.weekday()]}, {moment.day:02} {MONTHS[moment.month - 1]} {moment.year:04}"
    return f"{day} {moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"


def to_epoch(value: datetime | float | str) -> int | float:
    """Seconds since the epoch: a whole number where it is one, else exact to the microsecond."""
    if type(value) is int and EPOCH_MIN <= value <= EPOCH_MAX:
        return value
    since = to_datetime(value) - EPOCH
    whole = since.days * 86_400 + since.seconds
    return whole if not since.microseconds else (whole * 1_000_000 + since.microseconds) / 1_000_000


def format_timestamp(value: datetime | float | str, timestamp_format: str) -> str:
    """As text in `iso8601`, `rfc822` or `unixTimestamp` (model's names; case does not matter)."""
    form = timestamp_format.lower()
    if form == "rfc822":
        return format_http_date(value)
    return str(to_epoch(value)) if form == "unixtimestamp" else format_iso8601(value)
