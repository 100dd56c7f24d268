"""Virtual MFA devices: made, enabled for a user or the root, set right, taken away.

Deliberate differences: devices are virtual ones only (no security keys, no hardware tokens). The root is
named `root`, by the root alone, unless a user has that name. Messages as AWS's answers and records show them. Source:
IAM API reference; user guide, "IAM and AWS STS quotas".
"""

from __future__ import annotations

import base64

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import ACCOUNTS, ID_ALPHABET, USERS
from opentrail.rows.mfa import (
    DEVICES,
    DEVICES_PER_HOLDER_MAX,
    SEED_SEALED_FOR,
    Device,
    find_device,
    held_by,
    put_device,
    put_held,
)
from opentrail.service import Service
from opentrail.services.iam_common import (
    account_of,
    list_items,
    list_rows,
    over_quota,
    read_path,
    read_tags,
    tag_shapes,
    tagged,
    taken,
    when,
)
from opentrail.services.iam_users import USERS_PER_ACCOUNT_MAX, owner_of, user_shape
from opentrail.services.mfa import use_pair
from opentrail.state import Unit
from opentrail.wire.png import png
from opentrail.wire.qr_code import qr_code

DEVICES_PER_ACCOUNT_MAX = USERS_PER_ACCOUNT_MAX
"""Virtual devices, held or not: as many as there may be users."""
SEED_CHARS = 64
"""Base32 characters of a seed: 320 bits, as AWS's have."""
SERIAL_CHARS_MAX = 256
ROOT_NAME = "root"
PIXELS, QUIET_MODULES = 5, 4
"""Of the picture of a seed: pixels of a module, and modules of white around (ISO/IEC 18004, §6.3.8)."""

service = Service("iam")


@service.operation("CreateVirtualMFADevice")
async def create_virtual_mfa_device(call: Call, unit: Unit) -> Shape:
    """Make a virtual MFA device; the only time its seed is told."""
    account, name, path = account_of(call), call.input["VirtualMFADeviceName"], read_path(call)
    seed = unit.house.clock.token(SEED_CHARS, ID_ALPHABET)
    sealed = unit.house.seal.seal(base64.b32decode(seed), SEED_SEALED_FOR)
    tags = tagged((), read_tags(call), "MFADevice")
    device = Device(account, name, path, unit.now, sealed, tags=tags)
    if len(device.serial) > SERIAL_CHARS_MAX:
        raise AwsError("ValidationError", f"A serial number has at most {SERIAL_CHARS_MAX} characters.", 400)
    if DEVICES.get(unit, *device.parts) is not None:
        raise taken("MFADevice entity at the same path and name already exists.")
    if sum(1 for _row in DEVICES.all(unit, account)) >= DEVICES_PER_ACCOUNT_MAX:
        raise over_quota("VirtualMFADevicesPerAccount", DEVICES_PER_ACCOUNT_MAX)
    put_device(unit, device)
    shape: Shape = {"SerialNumber": device.serial, "Base32StringSeed": seed.encode()}
    shape["QRCodePNG"] = png(qr_code(_enrolment(unit, device, seed).encode()), PIXELS, QUIET_MODULES)
    if tags:
        shape["Tags"] = tag_shapes(tags)
    return {"VirtualMFADevice": shape}


def _enrolment(unit: Unit, device: Device, seed: str) -> str:
    """What an app reads from the picture: the name at the account's alias, or its id, and the seed (API reference,
    VirtualMFADevice). Letters of a name need no escaping; with the longest it is shorter than `qr_code.BYTES_MAX`."""
    account = ACCOUNTS.get(unit, device.account_id)
    holder = (account.alias if account is not None else "") or device.account_id
    return f"otpauth://totp/{device.name}@{holder}?secret={seed}"


@service.operation("DeleteVirtualMFADevice")
async def delete_virtual_mfa_device(call: Call, unit: Unit) -> Shape:
    """Delete a virtual MFA device that nobody holds any more."""
    device = named_device(call, unit)
    if device.enabled_at:
        raise AwsError("DeleteConflict", "MFA VirtualDevice in use. Must deactivate first.", 409)
    DEVICES.delete(unit, *device.parts)
    return {}


def named_device(call: Call, unit: Unit) -> Device:
    """The account's device that the input names; NoSuchEntity."""
    serial = call.input["SerialNumber"]
    device = find_device(unit, serial)
    if device is None or device.account_id != account_of(call):
        raise AwsError("NoSuchEntity", f"VirtualMFADevice with serial number {serial} doesn't exist.", 404)
    return device


def _holder(call: Call, unit: Unit) -> str:
    """Name of the user an operation is about, empty for the root; the caller when the input names nobody."""
    by_root = call.principal.type == "Root" and call.input.get("UserName") == ROOT_NAME
    if by_root and USERS.get(unit, account_of(call), ROOT_NAME) is None:
        return ""
    return owner_of(call, unit)


def _held(call: Call, unit: Unit) -> Device:
    """The device that the input names, held by the user it names; NoSuchEntity."""
    holder, serial = _holder(call, unit), call.input["SerialNumber"]
    device = find_device(unit, serial) if serial in held_by(unit, account_of(call), holder) else None
    if device is None:
        raise AwsError("NoSuchEntity", "MFA Device invalid for user.", 404)
    return device


def _wrong_code() -> AwsError:
    return AwsError("InvalidAuthenticationCode", "Authentication code for device is not valid.", 403)


@service.operation("EnableMFADevice")
async def enable_mfa_device(call: Call, unit: Unit) -> Shape:
    """Give a device to a user, or to the root, who shows two codes of it in a row."""
    account, holder, device = account_of(call), _holder(call, unit), named_device(call, unit)
    serials = held_by(unit, account, holder)
    if device.enabled_at:
        raise taken(f"MFADevice with serial number {device.serial} is already in use.")
    if len(serials) >= DEVICES_PER_HOLDER_MAX:
        raise over_quota("MFADevicesPerUser", DEVICES_PER_HOLDER_MAX)
    shown = use_pair(unit, device, call.input["AuthenticationCode1"], call.input["AuthenticationCode2"])
    if shown is None:
        raise _wrong_code()
    put_device(unit, replace(shown, enabled_at=unit.now, user_name=holder))
    put_held(unit, account, holder, (*serials, device.serial))
    return {}


@service.operation("ResyncMFADevice")
async def resync_mfa_device(call: Call, unit: Unit) -> Shape:
    """Set a device's clock right by two codes that it shows in a row."""
    device = _held(call, unit)
    shown = use_pair(unit, device, call.input["AuthenticationCode1"], call.input["AuthenticationCode2"])
    if shown is None:
        raise _wrong_code()
    put_device(unit, shown)
    return {}


@service.operation("DeactivateMFADevice")
async def deactivate_mfa_device(call: Call, unit: Unit) -> Shape:
    """Take a device from its user, or from the root."""
    device = _held(call, unit)
    account, serials = device.account_id, held_by(unit, device.account_id, device.user_name)
    put_held(unit, account, device.user_name, tuple(one for one in serials if one != device.serial))
    put_device(unit, replace(device, enabled_at=0.0, user_name=""))
    return {}


def _devices(unit: Unit, account: str, holder: str) -> list[Device]:
    found = (find_device(unit, serial) for serial in held_by(unit, account, holder))
    return [device for device in found if device is not None]


@service.operation("ListMFADevices")
async def list_mfa_devices(call: Call, unit: Unit) -> Shape:
    """The devices of a user; without a name, of the caller."""
    held = _devices(unit, account_of(call), _holder(call, unit))
    devices, more = list_items(call, held, lambda device: device.serial)
    return {"MFADevices": [_short(device) for device in devices], **more}


def _short(device: Device) -> Shape:
    name = device.user_name or ROOT_NAME
    return {"UserName": name, "SerialNumber": device.serial, "EnableDate": when(device.enabled_at)}


@service.operation("GetMFADevice")
async def get_mfa_device(call: Call, unit: Unit) -> Shape:
    """One device of a user."""
    device = _held(call, unit) if "UserName" in call.input else named_device(call, unit)
    return _short(device) if device.enabled_at else {"SerialNumber": device.serial}


@service.operation("ListVirtualMFADevices")
async def list_virtual_mfa_devices(call: Call, unit: Unit) -> Shape:
    """The account's virtual devices, those that are held, those that are not, or any."""
    wanted = {"Assigned": (True,), "Unassigned": (False,)}.get(call.input.get("AssignmentStatus", "Any"), (True, False))
    account = account_of(call)
    devices, more = list_rows(call, unit, DEVICES, (account,), lambda device: bool(device.enabled_at) in wanted)
    return {"VirtualMFADevices": [_long(unit, device) for device in devices], **more}


def _long(unit: Unit, device: Device) -> Shape:
    shape: Shape = {"SerialNumber": device.serial}
    if not device.enabled_at:
        return shape
    return shape | {"User": _user(unit, device), "EnableDate": when(device.enabled_at)}


def _user(unit: Unit, device: Device) -> Shape:
    """Its user; the root has neither path nor name there."""
    user = USERS.get(unit, device.account_id, device.user_name.lower()) if device.user_name else None
    if user is not None:
        return user_shape(user, whole=False)
    account = ACCOUNTS.get(unit, device.account_id)
    created = when(account.created_at if account is not None else 0.0)
    return {"UserId": device.account_id, "Arn": f"arn:aws:iam::{device.account_id}:root", "CreateDate": created}
