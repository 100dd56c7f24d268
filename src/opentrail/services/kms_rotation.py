"""KMS: rotation. New material encrypts from then on; what older material encrypted is still decrypted.

Source: KMS guide, "Rotate AWS KMS keys", and the API reference. What is due is done by `kms_due`.
"""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.kms import DISABLED, Key, put_key
from opentrail.service import Service
from opentrail.services.key_find import check_enabled, check_not_pending
from opentrail.services.key_material import new_material
from opentrail.services.kms_common import list_page, named_key, own_key_guard, shared_key_guard
from opentrail.services.kms_keys import DAY_SECONDS, moment
from opentrail.state import Unit

ROTATION_DAYS = 365
ON_DEMAND, AUTOMATIC = "ON_DEMAND", "AUTOMATIC"
ON_DEMAND_MAX = 25
"""Rotations on demand that a key can have."""
LIST_ROTATIONS = 100

service = Service("kms")
service.guard("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand", "ListKeyRotations")(own_key_guard)
service.guard("GetKeyRotationStatus")(shared_key_guard)


@service.operation("EnableKeyRotation")
async def enable_key_rotation(call: Call, unit: Unit) -> Shape:
    """Have a key's material renewed every so many days."""
    key = _rotatable(call, unit)
    days = call.input.get("RotationPeriodInDays", key.rotation_days or ROTATION_DAYS)
    at = float(int(unit.now) + days * DAY_SECONDS)
    if key.rotation_days == days:
        at = key.rotate_at  # said again: nothing is put off
    put_key(unit, replace(key, rotation_days=days, rotate_at=at), key)
    return {}


def _rotatable(call: Call, unit: Unit) -> Key:
    key = named_key(call, unit)
    check_enabled(key)
    return key


@service.operation("DisableKeyRotation")
async def disable_key_rotation(call: Call, unit: Unit) -> Shape:
    """Have a key's material renewed no more."""
    key = _rotatable(call, unit)
    put_key(unit, replace(key, rotation_days=0, rotate_at=0.0), key)
    return {}


@service.operation("GetKeyRotationStatus")
async def get_key_rotation_status(call: Call, unit: Unit) -> Shape:
    """Tell whether and when a key's material is renewed."""
    key = named_key(call, unit)
    call.evidence.answered = None
    on = bool(key.rotation_days) and not key.delete_at
    shown: Shape = {"KeyId": key.arn, "KeyRotationEnabled": on}
    if on:
        shown["RotationPeriodInDays"] = key.rotation_days
        shown["NextRotationDate"] = moment(key.rotate_at)
    return shown


@service.operation("RotateKeyOnDemand")
async def rotate_key_on_demand(call: Call, unit: Unit) -> Shape:
    """Renew a key's material now."""
    key = _rotatable(call, unit)
    if sum(material.kind == ON_DEMAND for material in key.materials) >= ON_DEMAND_MAX:
        raise AwsError("LimitExceededException", f"A key is rotated on demand no more than {ON_DEMAND_MAX} times.", 400)
    rotate(unit, key, ON_DEMAND)
    call.evidence.answered = None
    return {"KeyId": key.key_id}


def rotate(unit: Unit, key: Key, kind: str) -> None:
    """Give a key new material; an automatic rotation also says when the next one is."""
    material = new_material(unit.house.seal, key.place, unit.now, kind)
    at = float(int(unit.now) + key.rotation_days * DAY_SECONDS) if kind == AUTOMATIC else key.rotate_at
    put_key(unit, replace(key, materials=(*key.materials, material), rotate_at=at), key)


@service.operation("ListKeyRotations")
async def list_key_rotations(call: Call, unit: Unit) -> Shape:
    """List a key's rotations."""
    key = named_key(call, unit)
    call.evidence.answered = None
    check_not_pending(key)
    with_first = call.input.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
    shown = [_shown(key, number) for number, row in enumerate(key.materials) if row.kind or with_first]
    rows, following = list_page(call, shown, LIST_ROTATIONS)
    return {"Rotations": list(rows), **following}


def _shown(key: Key, number: int) -> Shape:
    material = key.materials[number]
    shown: Shape = {"KeyId": key.key_id, "KeyMaterialId": material.id}
    shown["KeyMaterialState"] = "CURRENT" if number == len(key.materials) - 1 else "NON_CURRENT"
    if material.kind:
        shown |= {"RotationDate": moment(material.made_at), "RotationType": material.kind}
    return shown


def is_rotatable_now(key: Key) -> bool:
    """A disabled key is not rotated; it is once it is enabled again."""
    return key.state != DISABLED and not key.delete_at
