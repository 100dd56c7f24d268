"""KMS: keys are made, shown, switched on and off, and removed when their waiting time is over.

Symmetric keys with material made here are served; asymmetric and HMAC keys, imported material, key stores and
multi-Region keys are refused with UnsupportedOperationException. Source: KMS API reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.kms import DISABLED, ENABLED, KEYS, PENDING, Key, Place, put_key
from opentrail.service import Service
from opentrail.services.key_access import ALGORITHM, note_key
from opentrail.services.key_crypto import named_question
from opentrail.services.key_find import check_not_pending, find_key
from opentrail.services.key_material import new_material
from opentrail.services.kms_common import (
    check_lockout,
    checked_policy,
    checked_tags,
    default_policy,
    key_questions,
    named_key,
    own_key_guard,
    page,
    tag_context,
)
from opentrail.state import Unit

DAY_SECONDS = 86_400
WINDOW_DAYS_MIN, WINDOW_DAYS_MAX = 7, 30
LIST_KEYS = 100
MADE = {"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": ALGORITHM, "Origin": "AWS_KMS"}
"""What a key may be; the record shows it, and other defaults, even where the caller did not say it."""

service = Service("kms")
service.guard("EnableKey", "DisableKey", "CancelKeyDeletion", "UpdateKeyDescription")(own_key_guard)


@service.guard("CreateKey")
def guard_create(call: Call, _unit: Unit) -> Sequence[Access]:
    """Making a key, and giving it tags at once."""
    tags = {str(tag.get("TagKey")): str(tag.get("TagValue")) for tag in call.input.get("Tags") or ()}
    bypass = "true" if call.input.get("BypassPolicyLockoutSafetyCheck") else "false"
    context = {
        "kms:keyspec": (str(call.input.get("KeySpec", ALGORITHM)),),
        "kms:keyusage": (str(call.input.get("KeyUsage", MADE["KeyUsage"])),),
        "kms:keyorigin": (str(call.input.get("Origin", MADE["Origin"])),),
        "kms:bypasspolicylockoutsafetycheck": (bypass,),
    } | tag_context(tags)
    actions = ["kms:CreateKey", "kms:TagResource"] if tags else ["kms:CreateKey"]
    return [Access(action, "*", call.account_id, context=context) for action in actions]


@service.operation("CreateKey")
async def create_key(call: Call, unit: Unit) -> Shape:
    """Make a symmetric key."""
    given = call.input
    _check_kind(call)
    tags = checked_tags(given.get("Tags") or ())
    place = Place(call.account_id, call.region, unit.house.clock.uuid())
    policy = default_policy(call.account_id)
    if given.get("Policy"):
        policy = checked_policy(unit, given["Policy"])
        check_lockout(call, place.arn, call.account_id, policy)
    key = Key(
        account_id=call.account_id,
        region=call.region,
        key_id=place.key_id,
        created_at=unit.now,
        policy=policy,
        materials=(new_material(unit.house.seal, place, unit.now),),
        description=given.get("Description", ""),
        tags=tuple(tags.items()),
    )
    put_key(unit, key)
    note_key(call, key)
    return {"KeyMetadata": describe(key)}


def _check_kind(call: Call) -> None:
    given = call.input
    old = given.pop("CustomerMasterKeySpec", None)
    if old is not None and given.setdefault("KeySpec", old) != old:
        message = "You cannot specify KeySpec and CustomerMasterKeySpec in the same request."
        raise AwsError("ValidationException", message, 400)
    for member, value in MADE.items():
        if given.setdefault(member, value) != value:
            raise _unsupported(f"{member} {given[member]}")
    given.setdefault("Description", "")
    given.setdefault("BypassPolicyLockoutSafetyCheck", False)
    given.setdefault("MultiRegion", False)
    for member in ("CustomKeyStoreId", "XksKeyId", "MultiRegion"):
        if given.get(member):
            raise _unsupported(member)


def _unsupported(what: str) -> AwsError:
    return AwsError("UnsupportedOperationException", f"{what} is not supported here.", 400)


def describe(key: Key) -> Shape:
    """KeyMetadata."""
    shown: Shape = {
        "AWSAccountId": key.account_id,
        "KeyId": key.key_id,
        "Arn": key.arn,
        "CreationDate": moment(key.created_at),
        "Enabled": key.state == ENABLED,
        "Description": key.description,
        "KeyUsage": MADE["KeyUsage"],
        "KeyState": key.state,
        "Origin": MADE["Origin"],
        "KeyManager": key.manager,
        "CustomerMasterKeySpec": ALGORITHM,
        "KeySpec": ALGORITHM,
        "EncryptionAlgorithms": [ALGORITHM],
        "MultiRegion": False,
        "CurrentKeyMaterialId": key.materials[-1].id,
    }
    return shown | ({"DeletionDate": moment(key.delete_at)} if key.delete_at else {})


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@service.guard("DescribeKey")
def guard_describe(call: Call, unit: Unit) -> Sequence[Access]:
    return [named_question(call, unit, "kms:DescribeKey")]


@service.operation("DescribeKey")
async def describe_key(call: Call, unit: Unit) -> Shape:
    """Show a key."""
    return {"KeyMetadata": describe(find_key(call, unit, call.input["KeyId"]))}


@service.operation("ListKeys")
async def list_keys(call: Call, unit: Unit) -> Shape:
    """List the keys of the account in the region."""

    def show(_parts: tuple[str, ...], key: Key) -> Shape:
        return {"KeyId": key.key_id, "KeyArn": key.arn}

    shown, following = page(call, unit, KEYS, (call.account_id, call.region), LIST_KEYS, show)
    return {"Keys": shown, **following}


@service.operation("UpdateKeyDescription")
async def update_key_description(call: Call, unit: Unit) -> Shape:
    """Change what a key is said to be for."""
    key = _changeable(call, unit)
    put_key(unit, replace(key, description=call.input["Description"]), key)
    return {}


@service.operation("EnableKey")
async def enable_key(call: Call, unit: Unit) -> Shape:
    """Switch a key on."""
    key = _changeable(call, unit)
    put_key(unit, replace(key, state=ENABLED), key)
    return {}


@service.operation("DisableKey")
async def disable_key(call: Call, unit: Unit) -> Shape:
    """Switch a key off: it encrypts and decrypts nothing until it is enabled again."""
    key = _changeable(call, unit)
    put_key(unit, replace(key, state=DISABLED), key)
    return {}


def _changeable(call: Call, unit: Unit) -> Key:
    key = named_key(call, unit)
    check_not_pending(key)
    return key


@service.guard("ScheduleKeyDeletion")
def guard_deletion(call: Call, unit: Unit) -> Sequence[Access]:
    """Policies may ask for a waiting time."""
    days = str(call.input.get("PendingWindowInDays", WINDOW_DAYS_MAX))
    return key_questions(call, unit, foreign=False, more={"kms:schedulekeydeletionpendingwindowindays": (days,)})


@service.operation("ScheduleKeyDeletion")
async def schedule_key_deletion(call: Call, unit: Unit) -> Shape:
    """Have a key removed for good when the waiting time is over."""
    days = call.input.get("PendingWindowInDays", WINDOW_DAYS_MAX)
    if not WINDOW_DAYS_MIN <= days <= WINDOW_DAYS_MAX:
        message = f"PendingWindowInDays must be between {WINDOW_DAYS_MIN} and {WINDOW_DAYS_MAX} days."
        raise AwsError("ValidationException", message, 400)
    key = _changeable(call, unit)
    due = int(unit.now) + days * DAY_SECONDS
    put_key(unit, replace(key, state=PENDING, delete_at=float(due)), key)
    call.evidence.answered = None  # the answer itself names the key
    return {"KeyId": key.arn, "DeletionDate": moment(due), "KeyState": PENDING, "PendingWindowInDays": days}


@service.operation("CancelKeyDeletion")
async def cancel_key_deletion(call: Call, unit: Unit) -> Shape:
    """Keep a key after all; it is disabled until it is enabled."""
    key = named_key(call, unit)
    if key.state != PENDING:
        raise AwsError("KMSInvalidStateException", f"{key.arn} is not pending deletion.", 400)
    put_key(unit, replace(key, state=DISABLED, delete_at=0.0), key)
    call.evidence.answered = None
    return {"KeyId": key.arn}
