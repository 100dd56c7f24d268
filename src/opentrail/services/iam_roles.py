"""Roles: what may be assumed, by whom, and for how long. Also the roles that services make for themselves."""

from __future__ import annotations

import json

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import INSTANCE_PROFILES, ROLES, Role, unique_id
from opentrail.service import Service
from opentrail.services.iam_boundary import boundary_shape, read_boundary, use_boundary
from opentrail.services.iam_common import (
    account_of,
    encoded,
    erase,
    find_role,
    in_the_way,
    list_rows,
    missing,
    read_path,
    read_tags,
    read_trust,
    save,
    tag_shapes,
    tagged,
    taken,
    under,
    when,
)
from opentrail.services.iam_protected import SERVICE_PATH, refuse_protected
from opentrail.state import Unit

LINKED_NAMES = {
    "autoscaling.amazonaws.com": "AutoScaling",
    "cloudtrail.amazonaws.com": "CloudTrail",
    "cloudwatch-crossaccount.amazonaws.com": "CloudWatchCrossAccount",
    "events.amazonaws.com": "CloudWatchEvents",
    "apidestinations.events.amazonaws.com": "AmazonEventBridgeApiDestinations",
    "logs.amazonaws.com": "CloudWatchLogs",
    "delivery.logs.amazonaws.com": "LogDelivery",
    "organizations.amazonaws.com": "Organizations",
    "codestar-notifications.amazonaws.com": "CodeStarNotifications",
}
"""Services that have linked roles, with the end of the role's name."""

service = Service("iam")


def role_shape(role: Role, *, whole: bool = True) -> Shape:
    """A role; lists leave boundary, tags and last use out."""
    shape = _bare_shape(role) | {"MaxSessionDuration": role.max_session}
    if role.description:
        shape["Description"] = role.description
    return shape | _extras(role) | {"RoleLastUsed": {}} if whole else shape


def _bare_shape(role: Role) -> Shape:
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": when(role.created_at),
        "AssumeRolePolicyDocument": encoded(role.trust),
    }


def _extras(role: Role) -> Shape:
    shape: Shape = {}
    if role.boundary:
        shape["PermissionsBoundary"] = boundary_shape(role.boundary)
    if role.tags:
        shape["Tags"] = tag_shapes(role.tags)
    return shape


@service.operation("CreateRole")
async def create_role(call: Call, unit: Unit) -> Shape:
    """Create a role with its trust policy."""
    account, name = account_of(call), call.input["RoleName"]
    path = read_path(call)
    if path.startswith(SERVICE_PATH):
        raise AwsError("AccessDenied", f"The path {SERVICE_PATH} is kept for service-linked roles.", 403)
    if ROLES.get(unit, account, name.lower()) is not None:
        raise taken(f"Role with name {name} already exists.")
    role = Role(
        id=unique_id(unit.house.clock, "AROA"),
        account_id=account,
        name=name,
        path=path,
        created_at=unit.now,
        trust=read_trust(unit, call.input["AssumeRolePolicyDocument"]),
        description=call.input.get("Description", ""),
        max_session=call.input.get("MaxSessionDuration", 3600),
        boundary=read_boundary(call, unit),
        tags=tagged((), read_tags(call), "Role"),
    )
    use_boundary(unit, account, "", role.boundary)
    save(unit, role)
    return {"Role": _bare_shape(role) | _extras(role)}


@service.operation("GetRole")
async def get_role(call: Call, unit: Unit) -> Shape:
    """A role by name."""
    return {"Role": role_shape(find_role(call, unit))}


@service.operation("ListRoles")
async def list_roles(call: Call, unit: Unit) -> Shape:
    """The roles of the account, by name, optionally below a path."""
    roles, more = list_rows(call, unit, ROLES, (account_of(call),), under(call))
    return {"Roles": [role_shape(role, whole=False) for role in roles], **more}


def _changed(call: Call, unit: Unit) -> Role:
    role = find_role(call, unit)
    refuse_protected(role)
    return role


@service.operation("UpdateRole")
async def update_role(call: Call, unit: Unit) -> Shape:
    """Change a role's description and how long its sessions may last."""
    role, given = _changed(call, unit), call.input
    description = given.get("Description", role.description)
    save(unit, replace(role, description=description, max_session=given.get("MaxSessionDuration", role.max_session)))
    return {}


@service.operation("UpdateRoleDescription")
async def update_role_description(call: Call, unit: Unit) -> Shape:
    """Change a role's description."""
    role = replace(_changed(call, unit), description=call.input["Description"])
    save(unit, role)
    return {"Role": role_shape(role)}


@service.operation("UpdateAssumeRolePolicy")
async def update_assume_role_policy(call: Call, unit: Unit) -> Shape:
    """Change whom a role trusts."""
    role = _changed(call, unit)
    save(unit, replace(role, trust=read_trust(unit, call.input["PolicyDocument"])))
    return {}


@service.operation("DeleteRole")
async def delete_role(call: Call, unit: Unit) -> Shape:
    """Delete a role that nothing hangs on any more."""
    role = _changed(call, unit)
    _delete(unit, role)
    return {}


def _delete(unit: Unit, role: Role) -> None:
    if role.attached:
        raise in_the_way("detach all policies")
    if role.inline:
        raise in_the_way("delete policies")
    if any(profile.role == role.name for _parts, profile in INSTANCE_PROFILES.all(unit, role.account_id)):
        raise in_the_way("remove roles from instance profile")
    use_boundary(unit, role.account_id, role.boundary, "")
    erase(unit, role)


@service.operation("CreateServiceLinkedRole")
async def create_service_linked_role(call: Call, unit: Unit) -> Shape:
    """Create the role that a service acts with in this account."""
    account, owner = account_of(call), call.input["AWSServiceName"]
    name = linked_name(call)
    if ROLES.get(unit, account, name.lower()) is not None:
        message = f"Service role name {name} has been taken in this account, please try a different suffix."
        raise AwsError("InvalidInput", message, 400)
    statement = {"Effect": "Allow", "Principal": {"Service": owner}, "Action": "sts:AssumeRole"}
    role = Role(
        id=unique_id(unit.house.clock, "AROA"),
        account_id=account,
        name=name,
        path=f"{SERVICE_PATH}{owner}/",
        created_at=unit.now,
        trust=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        description=call.input.get("Description", ""),
    )
    save(unit, role)
    return {"Role": _bare_shape(role)}


def linked_name(call: Call) -> str:
    """The name of the role that a service is to get; InvalidInput for a service that has none."""
    owner = call.input["AWSServiceName"]
    if owner not in LINKED_NAMES:
        raise AwsError("InvalidInput", f"Service-linked roles are not supported for the service {owner}.", 400)
    suffix = call.input.get("CustomSuffix", "")
    return f"AWSServiceRoleFor{LINKED_NAMES[owner]}" + (f"_{suffix}" if suffix else "")


@service.operation("DeleteServiceLinkedRole")
async def delete_service_linked_role(call: Call, unit: Unit) -> Shape:
    """Delete a service's role; done at once, although AWS gives a task to ask about."""
    role = find_role(call, unit)
    if not role.path.startswith(SERVICE_PATH):
        raise missing(f"The service-linked role with name {role.name}")
    _delete(unit, role)
    return {"DeletionTaskId": f"task{role.path}{role.name}/{unit.house.clock.uuid()}"}


@service.operation("GetServiceLinkedRoleDeletionStatus")
async def get_service_linked_role_deletion_status(call: Call, unit: Unit) -> Shape:
    """Whether a service's role is gone."""
    task = call.input["DeletionTaskId"].split("/")
    if len(task) != 5 or f"/{task[1]}/" != SERVICE_PATH:
        raise missing(f"The deletion task {call.input['DeletionTaskId']}")
    role = ROLES.get(unit, account_of(call), task[3].lower())
    return {"Status": "SUCCEEDED" if role is None else "FAILED"}
