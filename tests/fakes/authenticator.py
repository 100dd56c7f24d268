"""An authenticator: what the app on a telephone does with a seed, shown each code but once."""

from __future__ import annotations

import base64
import re
from typing import Any

from opentrail.access import totp

ROOT_DEVICE = "root-account-mfa-device"
"""The name that AWS gives the root's first device."""


class Authenticator:
    """Shows codes for the virtual device that CreateVirtualMFADevice answered. Times are epoch seconds."""

    def __init__(self, made: dict[str, Any]) -> None:
        self.serial: str = made["SerialNumber"]
        self._seed = base64.b32decode(made["Base32StringSeed"])
        self._last = -1

    def pair(self, now: float) -> dict[str, str]:
        """The two codes before the one shown now, as input members; they leave two codes that can be used at once."""
        self._last = totp.step_at(now) - 1
        return {"AuthenticationCode1": self.at(now, -2), "AuthenticationCode2": self.at(now, -1)}

    def next(self, now: float) -> str:
        """A code not shown before, as near to now as may be."""
        step = max(self._last + 1, totp.step_at(now) - totp.AHEAD_MAX)
        assert step <= totp.step_at(now) + totp.AHEAD_MAX, "no fresh code is good yet"
        self._last = step
        return totp.code_at(self._seed, step)

    def at(self, now: float, steps: int = 0) -> str:
        """What it shows so many steps from now."""
        return totp.code_at(self._seed, totp.step_at(now) + steps)


def tells(text: str, secret: str) -> bool:
    """Whether the secret stands in the text by itself, not by chance inside some id."""
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(secret)}(?![0-9A-Za-z])", text) is not None
