"""Time-based one-time passwords: which code a device shows when, and which step a shown code belongs to.

Source: RFC 6238 with HMAC-SHA-1, steps of 30 seconds counted from the epoch, six digits; RFC 4226 §5.3 for the digits.
Knows no device, no account and no clock.
"""

from __future__ import annotations

import hashlib
import hmac

STEP_SECONDS = 30
DIGITS = 6
AHEAD_MAX = 1
"""Steps that a device's clock may be off either way when it shows one code (RFC 6238 §5.2 recommends one)."""
PAIR_AHEAD_MAX = 20
"""Steps that it may be off when it shows two codes in a row, which set its clock right: ten minutes."""


def step_at(now: float) -> int:
    """The step that epoch second `now` lies in."""
    return int(now // STEP_SECONDS)


def code_at(seed: bytes, step: int, digits: int = DIGITS) -> str:
    """What a device with this seed (bytes, not base32) shows during a step."""
    digest = hmac.digest(seed, step.to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).rjust(digits, "0")


def find_step(seed: bytes, code: str, around: int, after: int) -> int | None:
    """The step whose code this is, at most AHEAD_MAX away from `around` and later than `after`; None if there is none."""
    found = None
    for step in range(around - AHEAD_MAX, around + AHEAD_MAX + 1):
        if _shows(seed, step, code) and step > after:
            found = step
    return found


def find_pair(seed: bytes, first: str, second: str, around: int, after: int) -> int | None:
    """The step of the second of two codes shown one after the other, at most PAIR_AHEAD_MAX away from `around` and the
    first of them later than `after`; None if there is none. The step nearest to `around` wins."""
    steps = sorted(range(around - PAIR_AHEAD_MAX, around + PAIR_AHEAD_MAX + 1), key=lambda step: abs(step - around))
    fits = [step for step in steps if _shows(seed, step, second) and _shows(seed, step - 1, first) and step - 1 > after]
    return fits[0] if fits else None


def _shows(seed: bytes, step: int, code: str) -> bool:
    if step < 0:
        return False
    return hmac.compare_digest(code_at(seed, step).encode(), code.encode("utf-8", "replace"))
