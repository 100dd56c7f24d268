"""Is this code the one that the caller's device shows now? Each code is good once; who guesses has to wait.

The step of a used code is written into the unit of the call that it was shown for, so that the code is used up exactly
when that call is durable. Wrong codes are counted in memory (`turns.Misses`). Knows devices, not what they are asked for.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from opentrail.access import totp
from opentrail.call import Principal
from opentrail.rows.mfa import SEED_SEALED_FOR, Device, find_device, put_device
from opentrail.state import Unit

_CODE = re.compile(r"\d{6}", re.ASCII)


def seed_of(unit: Unit, device: Device) -> bytes:
    return unit.house.seal.open(device.seed, SEED_SEALED_FOR)


def device_of(unit: Unit, caller: Principal, serial: str) -> Device | None:
    """The device of that serial number if the calling user, or the root, holds it."""
    device = find_device(unit, serial)
    if device is None or not device.enabled_at or device.account_id != caller.account_id:
        return None
    if caller.type == "Root":
        return None if device.user_name else device
    return device if caller.type == "IAMUser" and device.user_name.lower() == caller.user_name.lower() != "" else None


def use_code(unit: Unit, device: Device, code: str) -> bool:
    """Whether the device shows this code; if so, it is used up with the unit."""
    around = totp.step_at(unit.now) + device.ahead
    step = None
    if unit.house.mfa_misses.may(device.serial, unit.now) and _CODE.fullmatch(code):
        step = totp.find_step(seed_of(unit, device), code, around, device.last_step)
    if step is None:
        unit.house.mfa_misses.missed(device.serial, unit.now)
        return False
    unit.house.mfa_misses.forget(device.serial)
    put_device(unit, replace(device, last_step=step))
    return True


def use_pair(unit: Unit, device: Device, first: str, second: str) -> Device | None:
    """The device with its clock set by two codes that it showed one after the other; None if it did not. The caller
    writes it."""
    now = totp.step_at(unit.now)
    step = None
    if unit.house.mfa_misses.may(device.serial, unit.now) and _CODE.fullmatch(first) and _CODE.fullmatch(second):
        step = totp.find_pair(seed_of(unit, device), first, second, now, device.last_step)
    if step is None:
        unit.house.mfa_misses.missed(device.serial, unit.now)
        return None
    unit.house.mfa_misses.forget(device.serial)
    ahead = step - now
    return replace(device, last_step=step, ahead=ahead if abs(ahead) > totp.AHEAD_MAX else 0)
