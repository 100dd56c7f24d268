"""Users, and whom a call that names none is about."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import (
    ACCESS_KEYS,
    ACCOUNTS,
    GROUPS,
    USER_KEYS,
    USERS,
    User,
    keys_of,
    unique_id,
)
from opentrail.rows.mfa import find_device, held_by, put_device, put_held
from opentrail.service import Service
from opentrail.services.iam_boundary import boundary_shape, read_boundary, use_boundary
from opentrail.services.iam_common import (
    account_of,
    erase,
    find_user,
    in_the_way,
    list_rows,
    missing,
    read_path,
    read_tags,
    save,
    tag_shapes,
    tagged,
    taken,
    under,
    when,
)
from opentrail.state import Unit

USERS_PER_ACCOUNT_MAX = 5_000

service = Service("iam")


def user_shape(user: User, *, whole: bool = True) -> Shape:
    """A user; lists leave boundary and tags out."""
    shape: Shape = {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn,
        "CreateDate": when(user.created_at),
    }
    if whole:
        if user.boundary:
            shape["PermissionsBoundary"] = boundary_shape(user.boundary)
        if user.tags:
            shape["Tags"] = tag_shapes(user.tags)
    return shape


@service.operation("CreateUser")
async def create_user(call: Call, unit: Unit) -> Shape:
    """Create a user without any rights."""
    account, name = account_of(call), call.input["UserName"]
    if USERS.get(unit, account, name.lower()) is not None:
        raise taken(f"User with name {name} already exists.")
    user = User(
        id=unique_id(unit.house.clock, "AIDA"),
        account_id=account,
        name=name,
        path=read_path(call),
        created_at=unit.now,
        boundary=read_boundary(call, unit),
        tags=tagged((), read_tags(call), "User"),
    )
    use_boundary(unit, account, "", user.boundary)
    save(unit, user)
    return {"User": user_shape(user)}


@service.operation("GetUser")
async def get_user(call: Call, unit: Unit) -> Shape:
    """A user by name; without one, the caller."""
    principal = call.principal
    if "UserName" in call.input:
        return {"User": user_shape(find_user(call, unit))}
    if principal.type == "Root":
        account = ACCOUNTS.get(unit, principal.account_id)
        created = account.created_at if account is not None else 0.0
        root = {"Path": "/", "UserName": "root", "UserId": principal.account_id, "Arn": principal.arn}
        return {"User": root | {"CreateDate": when(created)}}
    return {"User": user_shape(_caller(call, unit))}


def _caller(call: Call, unit: Unit) -> User:
    """The user who calls, for operations that name none."""
    principal = call.principal
    if principal.type != "IAMUser":
        raise AwsError("ValidationError", "Must specify userName when calling with non-User credentials", 400)
    user = USERS.get(unit, principal.account_id, principal.user_name.lower())
    if user is None:
        raise missing(f"The user with name {principal.user_name}")
    return user


@service.operation("ListUsers")
async def list_users(call: Call, unit: Unit) -> Shape:
    """The users of the account, by name, optionally below a path."""
    users, more = list_rows(call, unit, USERS, (account_of(call),), under(call))
    return {"Users": [user_shape(user, whole=False) for user in users], **more}


@service.operation("UpdateUser")
async def update_user(call: Call, unit: Unit) -> Shape:
    """Rename or move a user; its keys and groups follow."""
    user = find_user(call, unit)
    name = call.input.get("NewUserName", user.name)
    moved = replace(user, name=name, path=read_path(call, "NewPath", user.path))
    if name != user.name:
        if name.lower() != user.name.lower() and USERS.get(unit, user.account_id, name.lower()) is not None:
            raise taken(f"User with name {name} already exists.")
        _rename(unit, user, name)
    erase(unit, user)
    save(unit, moved)
    return {}


def _rename(unit: Unit, user: User, name: str) -> None:
    for key_id, key in keys_of(unit, user.account_id, user.name):
        mark = USER_KEYS.get(unit, user.account_id, user.name.lower(), key_id)
        assert mark is not None
        USER_KEYS.delete(unit, user.account_id, user.name.lower(), key_id)
        USER_KEYS.put(unit, mark, user.account_id, name.lower(), key_id)
        ACCESS_KEYS.put(unit, replace(key, user_name=name), key_id)
    _rename_mfa(unit, user, name)
    for group_name in user.groups:
        group = GROUPS.get(unit, user.account_id, group_name.lower())
        if group is not None:
            members = sorted({name, *group.members} - {user.name})
            save(unit, replace(group, members=tuple(members)))


def _rename_mfa(unit: Unit, user: User, name: str) -> None:
    serials = held_by(unit, user.account_id, user.name)
    put_held(unit, user.account_id, user.name, ())
    put_held(unit, user.account_id, name, serials)
    for device in [find_device(unit, serial) for serial in serials]:
        if device is not None:
            put_device(unit, replace(device, user_name=name))


@service.operation("DeleteUser")
async def delete_user(call: Call, unit: Unit) -> Shape:
    """Delete a user that nothing hangs on any more."""
    user = find_user(call, unit)
    if keys_of(unit, user.account_id, user.name):
        raise in_the_way("delete access keys")
    if held_by(unit, user.account_id, user.name):
        raise in_the_way("delete MFA device")
    if user.groups:
        raise in_the_way("remove users from group")
    if user.attached:
        raise in_the_way("detach all policies")
    if user.inline:
        raise in_the_way("delete policies")
    use_boundary(unit, user.account_id, user.boundary, "")
    erase(unit, user)
    return {}


def owner_of(call: Call, unit: Unit) -> str:
    """Name of the user whose keys or devices a call is about; empty for the root, who alone can leave its name out so."""
    if "UserName" in call.input:
        return find_user(call, unit).name
    return "" if call.principal.type == "Root" else _caller(call, unit).name
