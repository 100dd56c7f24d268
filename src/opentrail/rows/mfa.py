"""Virtual MFA devices as rows, and who holds which. Knows nothing of operations and of codes."""

from __future__ import annotations

import re

from opentrail.rows.iam import Pairs
from opentrail.state import Row, Table, Unit

SEED_SEALED_FOR = "mfa-seed"
"""Purpose that seeds are sealed for."""
DEVICES_PER_HOLDER_MAX = 8
"""User guide, "IAM and AWS STS quotas": devices of one user, and of the root."""
_SERIAL = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):mfa(/.*)", re.ASCII)


class Device(Row, frozen=True):
    """A virtual device. Keyed by account and path with name (lower case). Steps are those of `access.totp`."""

    account_id: str
    name: str
    path: str
    created_at: float
    seed: bytes
    """Raw bytes, sealed for SEED_SEALED_FOR."""
    enabled_at: float = 0.0
    """Epoch seconds; 0 while nobody holds it."""
    user_name: str = ""
    """Who holds it; empty: the root, once it is enabled."""
    last_step: int = -1
    """The step of the last code that was used: no code of it or before it is good any more."""
    ahead: int = 0
    """Steps that the device's clock is ahead of ours, as far as two codes in a row told."""
    tags: Pairs = ()

    @property
    def serial(self) -> str:
        return f"arn:aws:iam::{self.account_id}:mfa{self.path}{self.name}"

    @property
    def parts(self) -> tuple[str, str]:
        """Its key."""
        return self.account_id, f"{self.path}{self.name}".lower()


class Held(Row, frozen=True):
    """The serial numbers of a user's devices, sorted. Keyed by account and user (lower case, empty for the root)."""

    serials: tuple[str, ...] = ()


DEVICES = Table("iam-mfa-device", Device)
HELD = Table("iam-mfa-held", Held)


def find_device(unit: Unit, serial: str) -> Device | None:
    """The device with this very serial number, in any account."""
    found = _SERIAL.fullmatch(serial)
    device = DEVICES.get(unit, found[1], found[2].lower()) if found else None
    return device if device is not None and device.serial == serial else None


def put_device(unit: Unit, device: Device) -> None:
    DEVICES.put(unit, device, *device.parts)


def held_by(unit: Unit, account_id: str, user_name: str) -> tuple[str, ...]:
    """Serial numbers of what a user holds; of what the root does when the name is empty."""
    held = HELD.get(unit, account_id, user_name.lower())
    return held.serials if held is not None else ()


def put_held(unit: Unit, account_id: str, user_name: str, serials: tuple[str, ...]) -> None:
    if serials:
        HELD.put(unit, Held(tuple(sorted(serials))), account_id, user_name.lower())
    else:
        HELD.delete(unit, account_id, user_name.lower())
