"""Which managed policies hang on which users, groups and roles. A policy counts its attachments."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import ManagedPolicy
from opentrail.service import Service
from opentrail.services.iam_aws_policies import AWS_POLICIES
from opentrail.services.iam_common import (
    GROUP,
    KINDS,
    ROLE,
    USER,
    Kind,
    account_of,
    find,
    find_policy,
    list_items,
    over_quota,
    own_policy,
    save,
)
from opentrail.services.iam_protected import refuse_protected
from opentrail.state import Unit

ATTACHED_MAX = 10
"""Managed policies of one user, group or role."""

service = Service("iam")


def policy_name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _path(arn: str) -> str:
    return arn.partition(":policy")[2].removesuffix(policy_name(arn))


def _attachable(call: Call, unit: Unit) -> ManagedPolicy | None:
    """The policy of the account that the input names; None if it is one of AWS's."""
    arn = call.input["PolicyArn"]
    if arn in AWS_POLICIES:
        return None
    policy = own_policy(unit, account_of(call), arn)
    if policy is None:
        raise AwsError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", 404)
    return policy


def attached_shapes(arns: list[str] | tuple[str, ...]) -> list[Shape]:
    return [{"PolicyName": policy_name(arn), "PolicyArn": arn} for arn in arns]


def _register(kind: Kind) -> None:
    @service.operation(f"Attach{kind.word}Policy")
    async def attach(call: Call, unit: Unit) -> Shape:
        row, arn = find(call, unit, kind), call.input["PolicyArn"]
        refuse_protected(row)
        policy = _attachable(call, unit)
        if arn in row.attached:
            return {}
        if len(row.attached) >= ATTACHED_MAX:
            raise over_quota(f"PoliciesPer{kind.word}", ATTACHED_MAX)
        save(unit, replace(row, attached=tuple(sorted((*row.attached, arn)))))
        if policy is not None:
            save(unit, replace(policy, attachments=policy.attachments + 1))
        return {}

    @service.operation(f"Detach{kind.word}Policy")
    async def detach(call: Call, unit: Unit) -> Shape:
        row, arn = find(call, unit, kind), call.input["PolicyArn"]
        refuse_protected(row)
        if arn not in row.attached:
            raise AwsError("NoSuchEntity", f"Policy {arn} was not found.", 404)
        save(unit, replace(row, attached=tuple(one for one in row.attached if one != arn)))
        policy = own_policy(unit, row.account_id, arn)
        if policy is not None:
            save(unit, replace(policy, attachments=policy.attachments - 1))
        return {}

    @service.operation(f"ListAttached{kind.word}Policies")
    async def list_attached(call: Call, unit: Unit) -> Shape:
        prefix = call.input.get("PathPrefix", "/")
        arns = [arn for arn in find(call, unit, kind).attached if _path(arn).startswith(prefix)]
        page, more = list_items(call, arns, lambda arn: arn)
        return {"AttachedPolicies": attached_shapes(page), **more}

    word = kind.word.lower()
    attach.__doc__ = f"Hang a managed policy on a {word}."
    detach.__doc__ = f"Take a managed policy off a {word}."
    list_attached.__doc__ = f"The managed policies that hang on a {word}."


for _kind in KINDS:
    _register(_kind)


@service.operation("ListEntitiesForPolicy")
async def list_entities_for_policy(call: Call, unit: Unit) -> Shape:
    """Who has a managed policy attached, or has it as boundary."""
    arn = call.input["PolicyArn"]
    if arn not in AWS_POLICIES:
        find_policy(call, unit)
    found: list[tuple[Kind, Any]] = []
    for kind in (GROUP, ROLE, USER):
        if call.input.get("EntityFilter", kind.word) == kind.word:
            rows = kind.table.all(unit, account_of(call))
            found += [(kind, row) for _parts, row in rows if _uses(call, row, arn)]
    page, more = list_items(call, found, lambda entry: f"{entry[0].word}/{entry[1].name.lower()}")
    shapes: Shape = {f"Policy{kind.word}s": [] for kind in KINDS}
    for kind, row in page:
        shapes[f"Policy{kind.word}s"].append({kind.member: row.name, f"{kind.word}Id": row.id})
    return shapes | more


def _uses(call: Call, row: Any, arn: str) -> bool:  # noqa: ANN401  (a User, Group or Role)
    if not row.path.startswith(call.input.get("PathPrefix", "/")):
        return False
    usage = call.input.get("PolicyUsageFilter")
    attached = arn in row.attached and usage != "PermissionsBoundary"
    return attached or (getattr(row, "boundary", "") == arn and usage != "PermissionsPolicy")
