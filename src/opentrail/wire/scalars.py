"""Numbers, truth values and bytes as text, strictly: what the header, query, XML and form bindings have in common.

`Malformed` is how every codec of this room says that bytes do not fit the model; `wire.bind` turns it into the error
of the service's protocol. Knows no shapes.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

Value = Any
"""What a shape holds: str, int, float, bool, bytes, an aware datetime, or lists and dicts of these; None inside them."""

NESTING_MAX = 64
"""Levels of structures, lists and maps within one another that are read."""
INTEGER_RANGES = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
"""Smallest and largest value of the model's whole numbers."""
SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_BLANKS = str.maketrans("", "", " \t\r\n")


class Malformed(Exception):
    """Bytes that do not fit the model. `place` is where (`header`, `query`, `uri`, `body`), `name` the name on the
    wire, `text` what stood there; empty where nothing is known."""

    def __init__(self, reason: str, place: str = "", name: str = "", text: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place
        self.name = name
        self.text = text


def check_integer(value: int, kind: str) -> int:
    """`value`, if an `integer` or `long` can hold it."""
    low, high = INTEGER_RANGES[kind]
    if not low <= value <= high:
        raise Malformed(f"NUMBER_VALUE can not be converted to {'an Integer' if kind == 'integer' else 'a Long'}")
    return value


def parse_integer(text: str, kind: str) -> int:
    """Decimal digits with an optional sign, in the range of `kind` (`integer`: 32 bits, `long`: 64)."""
    text = text.strip()
    if not _INTEGER.fullmatch(text):
        raise Malformed("STRING_VALUE can not be converted to a number")
    return check_integer(int(text), kind)


def parse_float(text: str) -> float:
    """A decimal number or one of `NaN`, `Infinity`, `-Infinity`; a number no double can hold is refused."""
    text = text.strip()
    special = SPECIAL_FLOATS.get(text)
    if special is not None:
        return special
    value = float(text) if _FLOAT.fullmatch(text) else math.inf
    if math.isinf(value):
        raise Malformed("STRING_VALUE can not be converted to a number")
    return value


def parse_boolean(text: str) -> bool:
    """`true` or `false` in any case, or XML Schema's `1` and `0`."""
    word = text.strip().lower()
    if word in ("true", "1"):
        return True
    if word in ("false", "0"):
        return False
    raise Malformed("STRING_VALUE can not be converted to a Boolean")


def parse_blob(text: str) -> bytes:
    """Base64 with its padding; blanks and line ends are allowed anywhere."""
    try:
        return base64.b64decode(text.translate(_BLANKS), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("blob is not base64") from None


def decode_utf8(data: bytes) -> str:
    """Strict UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("text is not UTF-8") from None


def format_float(value: float) -> str:
    """The shortest text that reads back as the same double; whole numbers keep their `.0`."""
    value = float(value)
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def format_boolean(value: object) -> str:
    return "true" if value else "false"


def format_blob(value: bytes | str) -> str:
    """Base64; text is taken as UTF-8."""
    return base64.b64encode(value.encode("utf-8") if isinstance(value, str) else value).decode("ascii")
