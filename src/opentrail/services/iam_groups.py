"""Groups and who is in them. Both sides of a membership are written together."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.rows.iam import GROUPS, USERS, Group, unique_id
from opentrail.service import Service
from opentrail.services.iam_common import (
    account_of,
    erase,
    find_group,
    find_user,
    in_the_way,
    list_items,
    list_rows,
    missing,
    over_quota,
    read_path,
    save,
    taken,
    under,
    when,
)
from opentrail.services.iam_users import user_shape
from opentrail.state import Unit

GROUPS_PER_USER_MAX = 10

service = Service("iam")


def group_shape(group: Group) -> Shape:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.id,
        "Arn": group.arn,
        "CreateDate": when(group.created_at),
    }


@service.operation("CreateGroup")
async def create_group(call: Call, unit: Unit) -> Shape:
    """Create a group without members."""
    account, name = account_of(call), call.input["GroupName"]
    if GROUPS.get(unit, account, name.lower()) is not None:
        raise taken(f"Group with name {name} already exists.")
    group = Group(unique_id(unit.house.clock, "AGPA"), account, name, read_path(call), unit.now)
    save(unit, group)
    return {"Group": group_shape(group)}


@service.operation("GetGroup")
async def get_group(call: Call, unit: Unit) -> Shape:
    """A group and its members."""
    group = find_group(call, unit)
    names, more = list_items(call, group.members, lambda name: name)
    users = [USERS.get(unit, group.account_id, name.lower()) for name in names]
    shapes = [user_shape(user, whole=False) for user in users if user is not None]
    return {"Group": group_shape(group), "Users": shapes, **more}


@service.operation("ListGroups")
async def list_groups(call: Call, unit: Unit) -> Shape:
    """The groups of the account, by name, optionally below a path."""
    groups, more = list_rows(call, unit, GROUPS, (account_of(call),), under(call))
    return {"Groups": [group_shape(group) for group in groups], **more}


@service.operation("UpdateGroup")
async def update_group(call: Call, unit: Unit) -> Shape:
    """Rename or move a group; its members stay."""
    group = find_group(call, unit)
    name = call.input.get("NewGroupName", group.name)
    if name.lower() != group.name.lower() and GROUPS.get(unit, group.account_id, name.lower()) is not None:
        raise taken(f"Group with name {name} already exists.")
    if name != group.name:
        for member in group.members:
            user = USERS.get(unit, group.account_id, member.lower())
            if user is not None:
                save(unit, replace(user, groups=tuple(sorted({name, *user.groups} - {group.name}))))
    erase(unit, group)
    save(unit, replace(group, name=name, path=read_path(call, "NewPath", group.path)))
    return {}


@service.operation("DeleteGroup")
async def delete_group(call: Call, unit: Unit) -> Shape:
    """Delete a group without members and policies."""
    group = find_group(call, unit)
    if group.members:
        raise in_the_way("remove users from group")
    if group.attached:
        raise in_the_way("detach all policies")
    if group.inline:
        raise in_the_way("delete policies")
    erase(unit, group)
    return {}


@service.operation("AddUserToGroup")
async def add_user_to_group(call: Call, unit: Unit) -> Shape:
    """Make a user a member."""
    group, user = find_group(call, unit), find_user(call, unit)
    groups = {group.name, *user.groups}
    if len(groups) > GROUPS_PER_USER_MAX:
        raise over_quota("GroupsPerUser", GROUPS_PER_USER_MAX)
    save(unit, replace(user, groups=tuple(sorted(groups))))
    save(unit, replace(group, members=tuple(sorted({user.name, *group.members}))))
    return {}


@service.operation("RemoveUserFromGroup")
async def remove_user_from_group(call: Call, unit: Unit) -> Shape:
    """End a membership."""
    group, user = find_group(call, unit), find_user(call, unit)
    if user.name not in group.members:
        raise missing(f"The user with name {user.name} in group {group.name}")
    save(unit, replace(user, groups=tuple(name for name in user.groups if name != group.name)))
    save(unit, replace(group, members=tuple(name for name in group.members if name != user.name)))
    return {}


@service.operation("ListGroupsForUser")
async def list_groups_for_user(call: Call, unit: Unit) -> Shape:
    """The groups that a user is in."""
    user = find_user(call, unit)
    names, more = list_items(call, user.groups, lambda name: name)
    groups = [GROUPS.get(unit, user.account_id, name.lower()) for name in names]
    return {"Groups": [group_shape(group) for group in groups if group is not None], **more}
