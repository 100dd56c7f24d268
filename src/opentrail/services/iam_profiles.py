"""Instance profiles: the case that carries a role to a machine."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.rows.iam import INSTANCE_PROFILES, ROLES, InstanceProfile, unique_id
from opentrail.service import Service
from opentrail.services.iam_common import (
    account_of,
    erase,
    find_profile,
    find_role,
    in_the_way,
    list_rows,
    missing,
    over_quota,
    read_path,
    read_tags,
    save,
    tag_shapes,
    tagged,
    taken,
    under,
    when,
)
from opentrail.services.iam_protected import refuse_protected
from opentrail.services.iam_roles import role_shape
from opentrail.state import Unit

ROLES_PER_PROFILE_MAX = 1

service = Service("iam")


def profile_shape(unit: Unit, profile: InstanceProfile) -> Shape:
    role = ROLES.get(unit, profile.account_id, profile.role.lower()) if profile.role else None
    return {
        "Path": profile.path,
        "InstanceProfileName": profile.name,
        "InstanceProfileId": profile.id,
        "Arn": profile.arn,
        "CreateDate": when(profile.created_at),
        "Roles": [role_shape(role, whole=False)] if role is not None else [],
        "Tags": tag_shapes(profile.tags),
    }


@service.operation("CreateInstanceProfile")
async def create_instance_profile(call: Call, unit: Unit) -> Shape:
    """Create an instance profile without a role."""
    account, name = account_of(call), call.input["InstanceProfileName"]
    if INSTANCE_PROFILES.get(unit, account, name.lower()) is not None:
        raise taken(f"Instance Profile {name} already exists.")
    profile = InstanceProfile(
        id=unique_id(unit.house.clock, "AIPA"),
        account_id=account,
        name=name,
        path=read_path(call),
        created_at=unit.now,
        tags=tagged((), read_tags(call), "InstanceProfile"),
    )
    save(unit, profile)
    return {"InstanceProfile": profile_shape(unit, profile)}


@service.operation("GetInstanceProfile")
async def get_instance_profile(call: Call, unit: Unit) -> Shape:
    """An instance profile and its role."""
    return {"InstanceProfile": profile_shape(unit, find_profile(call, unit))}


@service.operation("ListInstanceProfiles")
async def list_instance_profiles(call: Call, unit: Unit) -> Shape:
    """The instance profiles of the account, by name."""
    profiles, more = list_rows(call, unit, INSTANCE_PROFILES, (account_of(call),), under(call))
    return {"InstanceProfiles": [profile_shape(unit, profile) for profile in profiles], **more}


@service.operation("ListInstanceProfilesForRole")
async def list_instance_profiles_for_role(call: Call, unit: Unit) -> Shape:
    """The instance profiles that carry a role."""
    role = find_role(call, unit)
    profiles, more = list_rows(call, unit, INSTANCE_PROFILES, (role.account_id,), lambda row: row.role == role.name)
    return {"InstanceProfiles": [profile_shape(unit, profile) for profile in profiles], **more}


@service.operation("DeleteInstanceProfile")
async def delete_instance_profile(call: Call, unit: Unit) -> Shape:
    """Delete an instance profile that carries no role."""
    profile = find_profile(call, unit)
    if profile.role:
        raise in_the_way("remove roles from instance profile")
    erase(unit, profile)
    return {}


@service.operation("AddRoleToInstanceProfile")
async def add_role_to_instance_profile(call: Call, unit: Unit) -> Shape:
    """Put a role into an instance profile, which holds one."""
    profile, role = find_profile(call, unit), find_role(call, unit)
    refuse_protected(role)
    if profile.role:
        raise over_quota("InstanceSessionsPerInstanceProfile", ROLES_PER_PROFILE_MAX)
    save(unit, replace(profile, role=role.name))
    save(unit, role)  # so that deleting the role meanwhile meets in a conflict
    return {}


@service.operation("RemoveRoleFromInstanceProfile")
async def remove_role_from_instance_profile(call: Call, unit: Unit) -> Shape:
    """Take the role out of an instance profile."""
    profile, role = find_profile(call, unit), find_role(call, unit)
    if profile.role != role.name:
        raise missing(f"The role with name {role.name} in instance profile {profile.name}")
    save(unit, replace(profile, role=""))
    return {}
