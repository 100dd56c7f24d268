"""KMS: the policies of keys. Source: KMS API reference, PutKeyPolicy and GetKeyPolicy."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.kms import put_key
from opentrail.service import Service
from opentrail.services.key_find import check_not_pending
from opentrail.services.kms_common import (
    POLICY_NAME,
    check_lockout,
    checked_policy,
    key_questions,
    named_key,
    own_key_guard,
)
from opentrail.state import Unit

service = Service("kms")
service.guard("GetKeyPolicy", "ListKeyPolicies")(own_key_guard)


@service.guard("PutKeyPolicy")
def guard_put(call: Call, unit: Unit) -> Sequence[Access]:
    bypass = "true" if call.input.get("BypassPolicyLockoutSafetyCheck") else "false"
    return key_questions(call, unit, foreign=False, more={"kms:bypasspolicylockoutsafetycheck": (bypass,)})


@service.operation("PutKeyPolicy")
async def put_key_policy(call: Call, unit: Unit) -> Shape:
    """Set who may use a key."""
    call.input.setdefault("PolicyName", POLICY_NAME)  # the record shows both
    call.input.setdefault("BypassPolicyLockoutSafetyCheck", False)
    key = named_key(call, unit)
    check_not_pending(key)
    _check_name(call)
    policy = checked_policy(unit, call.input["Policy"])
    check_lockout(call, key.arn, key.account_id, policy)
    put_key(unit, replace(key, policy=policy), key)
    return {}


@service.operation("GetKeyPolicy")
async def get_key_policy(call: Call, unit: Unit) -> Shape:
    """Show who may use a key."""
    key = named_key(call, unit)
    call.evidence.answered = None
    _check_name(call)
    return {"Policy": key.policy, "PolicyName": POLICY_NAME}


@service.operation("ListKeyPolicies")
async def list_key_policies(call: Call, unit: Unit) -> Shape:
    """List the names of a key's policies; there is one."""
    named_key(call, unit)
    call.evidence.answered = None
    return {"PolicyNames": [POLICY_NAME], "Truncated": False}


def _check_name(call: Call) -> None:
    if call.input.get("PolicyName", POLICY_NAME) != POLICY_NAME:
        raise AwsError("NotFoundException", "No such policy exists", 400)
