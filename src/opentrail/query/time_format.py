"""The patterns of TO_STRING as those of strftime. Source: S3 user guide, "TO_STRING". Pure."""

from __future__ import annotations

import re

from opentrail.query.faults import QueryFault

PATTERN_CHARS_MAX = 200
_SYMBOLS = {
    "yy": "%y", "y": "%Y", "yyyy": "%Y", "M": "%-m", "MM": "%m", "MMM": "%b", "MMMM": "%B", "d": "%-d", "dd": "%d",
    "a": "%p", "h": "%-I", "hh": "%I", "H": "%-H", "HH": "%H", "m": "%-M", "mm": "%M", "s": "%-S", "ss": "%S",
    "SSS": "%g", "SSSSSS": "%f", "SSSSSSSSS": "%n", "n": "%n", "x": "+00", "xx": "+0000", "xxx": "+00:00", "xxxx": "+0000",
    "xxxxx": "+00:00", **{"X" * count: "Z" for count in range(1, 6)},
}  # fmt: skip
"""Times are kept in UTC, so the symbols of the offset are constant."""
_PIECE = re.compile(r"'([^']*)'|([A-Za-z])\2*|%|.", re.DOTALL)


def strftime_of(pattern: str) -> str:
    """Raises QueryFault for a symbol that is none."""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise QueryFault("EvaluatorInvalidTimestampFormatPattern")
    found = []
    for match in _PIECE.finditer(pattern):
        piece = match[0]
        if piece[0].isalpha() and piece[0].isascii():
            if piece not in _SYMBOLS:
                raise QueryFault("EvaluatorInvalidTimestampFormatPattern", piece)
            found.append(_SYMBOLS[piece])
        else:
            found.append((match[1] if match[1] is not None else piece).replace("%", "%%"))
    return "".join(found)
