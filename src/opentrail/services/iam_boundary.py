"""Permissions boundaries: the managed policy that caps what a user or a role may do."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.iam_aws_policies import AWS_POLICIES
from opentrail.services.iam_common import ROLE, USER, Kind, account_of, find, own_policy, save
from opentrail.services.iam_protected import refuse_protected
from opentrail.state import Unit

service = Service("iam")


def boundary_shape(arn: str) -> Shape:
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}


def read_boundary(call: Call, unit: Unit) -> str:
    """The ARN of the input's boundary, empty without one; NoSuchEntity if no such policy exists."""
    arn: str = call.input.get("PermissionsBoundary", "")
    if arn and arn not in AWS_POLICIES and own_policy(unit, account_of(call), arn) is None:
        raise AwsError("NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.", 404)
    return arn


def use_boundary(unit: Unit, account_id: str, old: str, new: str) -> None:
    """Count a policy's use as a boundary, so that it cannot be deleted meanwhile."""
    if old == new:
        return
    for arn, step in ((old, -1), (new, 1)):
        policy = own_policy(unit, account_id, arn) if arn else None
        if policy is not None:
            save(unit, replace(policy, boundary_uses=policy.boundary_uses + step))


def _register(kind: Kind) -> None:
    @service.operation(f"Put{kind.word}PermissionsBoundary")
    async def put(call: Call, unit: Unit) -> Shape:
        row = find(call, unit, kind)
        refuse_protected(row)
        arn = read_boundary(call, unit)
        use_boundary(unit, row.account_id, row.boundary, arn)
        save(unit, replace(row, boundary=arn))
        return {}

    @service.operation(f"Delete{kind.word}PermissionsBoundary")
    async def delete(call: Call, unit: Unit) -> Shape:
        row = find(call, unit, kind)
        refuse_protected(row)
        if not row.boundary:
            message = f"{kind.word} {row.name} does not have an attached permissions boundary."
            raise AwsError("NoSuchEntity", message, 404)
        use_boundary(unit, row.account_id, row.boundary, "")
        save(unit, replace(row, boundary=""))
        return {}

    put.__doc__ = f"Cap what a {kind.word.lower()} may do by a managed policy."
    delete.__doc__ = f"Lift the boundary of a {kind.word.lower()}."


for _kind in (USER, ROLE):
    _register(_kind)
