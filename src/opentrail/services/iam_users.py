"""Users and their access keys."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.ports import HistoryQuery
from opentrail.rows.iam import (
    ACCESS_KEYS,
    ACCOUNTS,
    GROUPS,
    USER_KEYS,
    USERS,
    AccessKey,
    User,
    unique_id,
)
from opentrail.rows.mfa import DEVICES, find_device, held_by, put_held
from opentrail.service import Service
from opentrail.services.iam_boundary import boundary_shape, read_boundary, use_boundary
from opentrail.services.iam_common import (
    account_of,
    erase,
    find_user,
    in_the_way,
    list_items,
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
    untagged,
    when,
)
from opentrail.services.identity import create_key
from opentrail.state import Unit

KEYS_PER_USER_MAX = 2
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
            DEVICES.put(unit, replace(device, user_name=name), *device.parts)


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


@service.operation("TagUser")
async def tag_user(call: Call, unit: Unit) -> Shape:
    """Add tags to a user, or give them new values."""
    user = find_user(call, unit)
    save(unit, replace(user, tags=tagged(user.tags, read_tags(call), "User")))
    return {}


@service.operation("UntagUser")
async def untag_user(call: Call, unit: Unit) -> Shape:
    """Remove tags from a user."""
    user = find_user(call, unit)
    save(unit, replace(user, tags=untagged(user.tags, call)))
    return {}


@service.operation("ListUserTags")
async def list_user_tags(call: Call, unit: Unit) -> Shape:
    """The tags of a user."""
    tags, more = list_items(call, find_user(call, unit).tags, lambda tag: tag[0])
    return {"Tags": tag_shapes(tuple(tags)), **more}


def keys_of(unit: Unit, account_id: str, user_name: str) -> list[tuple[str, AccessKey]]:
    """(id, row) of the access keys of a user (of the root when the name is empty)."""
    found = []
    for parts, _mark in USER_KEYS.all(unit, account_id, user_name.lower()):
        key = ACCESS_KEYS.get(unit, parts[-1])
        if key is not None:
            found.append((parts[-1], key))
    return found


def owner_of(call: Call, unit: Unit) -> str:
    """Name of the user whose keys or devices a call is about; empty for the root, who alone can leave its name out so."""
    if "UserName" in call.input:
        return find_user(call, unit).name
    return "" if call.principal.type == "Root" else _caller(call, unit).name


def _key_shape(key_id: str, key: AccessKey) -> Shape:
    shape: Shape = {"UserName": key.user_name} if key.user_name else {}
    status = "Active" if key.active else "Inactive"
    return shape | {"AccessKeyId": key_id, "Status": status, "CreateDate": when(key.created_at)}


@service.operation("CreateAccessKey")
async def create_access_key(call: Call, unit: Unit) -> Shape:
    """Make a key for a user; the only time its secret is told."""
    account, name = account_of(call), owner_of(call, unit)
    if name:
        user = USERS.get(unit, account, name.lower())
        assert user is not None
        save(unit, user)  # so that two keys made at once meet in a conflict, and the quota holds
    if len(keys_of(unit, account, name)) >= KEYS_PER_USER_MAX:
        raise over_quota("AccessKeysPerUser", KEYS_PER_USER_MAX)
    key_id, secret = create_key(unit, account, name)
    key = ACCESS_KEYS.get(unit, key_id)
    assert key is not None
    return {"AccessKey": _key_shape(key_id, key) | {"SecretAccessKey": secret}}


@service.operation("ListAccessKeys")
async def list_access_keys(call: Call, unit: Unit) -> Shape:
    """The keys of a user, without secrets."""
    keys, more = list_items(call, keys_of(unit, account_of(call), owner_of(call, unit)), lambda key: key[0])
    return {"AccessKeyMetadata": [_key_shape(*key) for key in keys], **more}


def _find_key(call: Call, unit: Unit) -> AccessKey:
    key = ACCESS_KEYS.get(unit, call.input["AccessKeyId"])
    if key is None or (key.account_id, key.user_name) != (account_of(call), owner_of(call, unit)):
        raise missing(f"The Access Key with id {call.input['AccessKeyId']}")
    return key


@service.operation("UpdateAccessKey")
async def update_access_key(call: Call, unit: Unit) -> Shape:
    """Switch a key on or off."""
    status = call.input["Status"]
    if status not in ("Active", "Inactive"):
        raise AwsError("ValidationError", f"The status {status} of an access key cannot be set.", 400)
    key = _find_key(call, unit)
    ACCESS_KEYS.put(unit, replace(key, active=status == "Active"), call.input["AccessKeyId"])
    return {}


@service.operation("DeleteAccessKey")
async def delete_access_key(call: Call, unit: Unit) -> Shape:
    """Delete a key for ever."""
    key, key_id = _find_key(call, unit), call.input["AccessKeyId"]
    ACCESS_KEYS.delete(unit, key_id)
    USER_KEYS.delete(unit, key.account_id, key.user_name.lower(), key_id)
    return {}


@service.operation("GetAccessKeyLastUsed")
async def get_access_key_last_used(call: Call, unit: Unit) -> Shape:
    """When and for which service a key was last used, as far as the event history tells."""
    key_id = call.input["AccessKeyId"]
    key = ACCESS_KEYS.get(unit, key_id)
    if key is None or key.account_id != account_of(call):
        raise missing(f"The Access Key with id {key_id}")
    used = await _last_used(
        unit, key.account_id, key_id, sorted({call.region, unit.house.settings.region, "us-east-1"})
    )
    return {"UserName": key.user_name or "root", "AccessKeyLastUsed": used}


async def _last_used(unit: Unit, account_id: str, key_id: str, regions: list[str]) -> Shape:
    newest: tuple[int, dict[str, Any]] | None = None
    for region in regions:
        query = HistoryQuery(account_id, region, 0, int(unit.now) + 1, 1, ("AccessKeyId", key_id))
        for event in await unit.house.history.lookup(query):
            if newest is None or event.time > newest[0]:
                newest = (event.time, json.loads(event.record))
    if newest is None:
        return {"ServiceName": "N/A", "Region": "N/A"}
    at, record = newest
    return {
        "LastUsedDate": when(at),
        "ServiceName": record["eventSource"].partition(".")[0],
        "Region": record["awsRegion"],
    }
