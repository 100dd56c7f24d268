"""How large a record may be, and how it is made to fit.

Limits are CloudTrail's (user guide, record contents and quotas): single fields 1 KB, 28 KB or 100 KB, a whole event
256 KB. Text is cut; a member that is too large is replaced by `{"omitted": true}`, the largest first, so that small and
telling members (bucket name, key) survive. Also here: encoding that never fails on hostile text, numbers or depth. This
module knows nothing of calls.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from opentrail.record.layout import members

TEXT_MAX = 1_024
"""Bytes of UTF-8 in userAgent, errorCode, errorMessage, requestID."""
PARAMETERS_MAX = 100 * 1_024
"""Bytes of JSON in requestParameters, responseElements, serviceEventDetails."""
ADDITIONAL_MAX = 28 * 1_024
"""Bytes of JSON in additionalEventData."""
EVENT_MAX = 256 * 1_024
"""Bytes of a whole record."""
RESOURCES_MAX = 16 * 1_024
"""Bytes of JSON in resources (our own cap: AWS states none)."""
TLS_MAX = 4 * 1_024
"""Bytes of JSON in tlsDetails (our own cap: the client chooses its Host header)."""
DEPTH_MAX = 64
"""Levels of nesting kept inside one field; deeper ones become `{"omitted": true}`."""
INTEGER_MAX = 2**63 - 1
"""Larger integers are written as text."""

FIELD_CAPS = {
    "requestParameters": PARAMETERS_MAX,
    "responseElements": PARAMETERS_MAX,
    "serviceEventDetails": PARAMETERS_MAX,
    "additionalEventData": ADDITIONAL_MAX,
    "resources": RESOURCES_MAX,
    "tlsDetails": TLS_MAX,
}
SMALLEST_CAP = min(FIELD_CAPS.values())
"""A record shorter than this needs no closer look."""
SACRIFICES = ("responseElements", "requestParameters", "additionalEventData", "resources")
"""What goes, in this order, from a record that is still too large as a whole."""

encode = msgspec.json.Encoder().encode
"""Compact JSON, order of keys kept."""


def omitted() -> dict[str, bool]:
    """The mark of something that was left out for its size."""
    return {"omitted": True}


def clip(text: str, size_max: int = TEXT_MAX) -> str:
    """`text` cut to at most `size_max` bytes of UTF-8, never inside a character."""
    if len(text) * 4 <= size_max:
        return text
    data = text.encode("utf-8", "replace")
    return text if len(data) <= size_max else data[:size_max].decode("utf-8", "ignore")


def clean_text(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  (JSON of any shape)
    """The same value made safe to encode: lone surrogates replaced, depth bounded, odd numbers as text."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | msgspec.Raw):
        return value
    if isinstance(value, int):
        return value if -INTEGER_MAX <= value <= INTEGER_MAX else f"{value:#x}"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= DEPTH_MAX:
        return omitted()
    if isinstance(value, dict):
        return {clean_text(str(key)): clean_text(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_text(item, depth + 1) for item in value]
    return clean_text(str(value))


def _fit_text(value: Any, size_max: int) -> Any:  # noqa: ANN401  (JSON of any shape)
    return clip(value, size_max) if isinstance(value, str) else omitted()


def _fit_object(value: dict[str, Any], cap: int) -> dict[str, Any]:
    """Largest members first: text is cut to TEXT_MAX, anything else marked as omitted."""
    sizes = {key: len(encode(key)) + len(encode(item)) + 2 for key, item in value.items()}
    total = sum(sizes.values()) + 2
    fitted = dict(value)
    for key in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if total <= cap:
            return fitted
        fitted[key] = _fit_text(fitted[key], TEXT_MAX)
        total += len(encode(key)) + len(encode(fitted[key])) + 2 - sizes[key]
    return fitted if total <= cap else _fewest(fitted, cap)


def _fewest(value: dict[str, Any], cap: int) -> dict[str, Any]:
    """As many members as fit, in order, with the mark at the end."""
    kept: dict[str, Any] = {}
    room = cap - len(encode(omitted()))
    for key, item in value.items():
        room -= len(encode(key)) + len(encode(item)) + 2
        if room < 0:
            break
        kept[key] = item
    return {**kept, **omitted()}


def fit_field(value: Any, cap: int) -> Any:  # noqa: ANN401  (JSON of any shape)
    """The value itself when its JSON has at most `cap` bytes, else as much of it as does."""
    if len(encode(value)) <= cap:
        return value
    if isinstance(value, dict):
        return _fit_object(value, cap)
    if isinstance(value, list):
        while value and len(encode(value)) > cap:
            value = value[: len(value) // 2]
        return value
    return _fit_text(value, cap // 8)


def fit_record(record: dict[str, Any]) -> bytes:
    """The record as one line of at most EVENT_MAX bytes. Slow; for records that are large or cannot be encoded."""
    record = {name: clip(value) if isinstance(value, str) else value for name, value in clean_text(record).items()}
    for name, cap in FIELD_CAPS.items():
        if name in record:
            record[name] = fit_field(record[name], cap)
    line = encode(record)
    for name in SACRIFICES:
        if len(line) <= EVENT_MAX:
            break
        if record.get(name) is not None:
            record[name] = omitted() if name != "resources" else []
            line = encode(record)
    return line


def render(record: msgspec.Struct) -> bytes:
    """One compact line of JSON. The common record is encoded once and not looked at again."""
    try:
        line = encode(record)
    except (UnicodeEncodeError, RecursionError, OverflowError, TypeError, msgspec.MsgspecError):
        return fit_record(members(record))
    return line if len(line) <= SMALLEST_CAP else fit_record(members(record))
