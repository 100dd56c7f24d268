"""Access keys of users and of the root. Source: IAM API reference; user guide, "IAM and AWS STS quotas"."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.ports import HistoryQuery
from opentrail.rows.iam import ACCESS_KEYS, USER_KEYS, USERS, AccessKey, keys_of
from opentrail.service import Service
from opentrail.services.accounts import create_key
from opentrail.services.iam_common import account_of, list_items, missing, over_quota, save, when
from opentrail.services.iam_users import owner_of
from opentrail.state import Unit

KEYS_PER_USER_MAX = 2

service = Service("iam")


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
