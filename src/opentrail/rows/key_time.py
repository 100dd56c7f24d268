"""Times in keys: milliseconds with zeros before them, so that the order of keys is that of time. Knows no table."""

from __future__ import annotations

from typing import Final

MS_DIGITS: Final = 15
"""Digits of milliseconds in a key: enough for 30,000 years."""


def time_part(seconds: float) -> str:
    """The part of a key for a time in epoch seconds."""
    return f"{int(seconds * 1000):0{MS_DIGITS}d}"


def time_of(part: str) -> float:
    """Epoch seconds of such a part."""
    return int(part) / 1000
