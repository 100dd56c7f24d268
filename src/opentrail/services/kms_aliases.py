"""KMS: aliases, the names that stand for keys. Source: KMS API reference; KMS's answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Resource, Shape
from opentrail.errors import AwsError
from opentrail.rows.kms import ALIASES, AWS_ALIAS, KEYS, Alias, Key, Place, alias_arn, put_key
from opentrail.service import Service
from opentrail.services.key_access import question
from opentrail.services.key_find import check_not_pending, find_key
from opentrail.services.kms_common import key_questions, list_page, page
from opentrail.services.kms_keys import moment
from opentrail.state import Unit

ALIASES_PER_KEY_MAX = 50
LIST_ALIASES = 50
_NAME = re.compile(r"alias/[A-Za-z0-9/_-]+", re.ASCII)

service = Service("kms")


def _arn(call: Call) -> str:
    return alias_arn(call.account_id, call.region, call.input["AliasName"])


def _alias_question(call: Call) -> Access:
    call.evidence.resources.append(Resource("AWS::KMS::Alias", _arn(call), call.account_id))
    return Access(call.operation.facts.actions[0], _arn(call), call.account_id)


@service.guard("CreateAlias")
def guard_create(call: Call, unit: Unit) -> Sequence[Access]:
    """The alias and the key must both be allowed; the key is of the account."""
    return [_alias_question(call), *key_questions(call, unit, foreign=False, member="TargetKeyId")]


@service.guard("UpdateAlias")
def guard_update(call: Call, unit: Unit) -> Sequence[Access]:
    """The alias, the key it stands for and the one it is to stand for."""
    asked = [_alias_question(call), *key_questions(call, unit, foreign=False, member="TargetKeyId")]
    return [*asked, *_standing(call, unit)]


@service.guard("DeleteAlias")
def guard_delete(call: Call, unit: Unit) -> Sequence[Access]:
    return [_alias_question(call), *_standing(call, unit)]


def _standing(call: Call, unit: Unit) -> list[Access]:
    alias = ALIASES.get(unit, call.account_id, call.region, call.input["AliasName"])
    key = None if alias is None else KEYS.get(unit, call.account_id, call.region, alias.key_id)
    return [] if key is None else [question(call, unit, key, call.operation.facts.actions[0])]


@service.operation("CreateAlias")
async def create_alias(call: Call, unit: Unit) -> Shape:
    """Give a key a name."""
    name = _checked_name(call)
    if ALIASES.get(unit, call.account_id, call.region, name) is not None:
        raise AwsError("AlreadyExistsException", f"An alias with the name {_arn(call)} already exists", 400)
    _add(call, unit, name, unit.now)
    return {}


def _checked_name(call: Call) -> str:
    name: str = call.input["AliasName"]
    if not name.startswith("alias/"):
        message = "Invalid identifier: alias must begin with 'alias/'"
        raise AwsError("InvalidAliasNameException", message, 400)
    if name.startswith(AWS_ALIAS):
        raise AwsError("NotAuthorizedException", "", 400)
    if not _NAME.fullmatch(name):
        raise AwsError("InvalidAliasNameException", f"{name} contains invalid characters for an alias", 400)
    return name


def _add(call: Call, unit: Unit, name: str, created_at: float) -> Key:
    key = find_key(call, unit, call.input["TargetKeyId"], by_alias=False)
    check_not_pending(key)
    if len(key.aliases) >= ALIASES_PER_KEY_MAX:
        raise AwsError("LimitExceededException", f"A key has no more than {ALIASES_PER_KEY_MAX} aliases.", 400)
    put_key(unit, replace(key, aliases=(*key.aliases, name)), key)
    ALIASES.put(unit, Alias(key.key_id, created_at, unit.now), call.account_id, call.region, name)
    return key


@service.operation("UpdateAlias")
async def update_alias(call: Call, unit: Unit) -> Shape:
    """Have a name stand for another key."""
    name = _checked_name(call)
    alias = _remove(call, unit, name)
    _add(call, unit, name, alias.created_at)
    return {}


@service.operation("DeleteAlias")
async def delete_alias(call: Call, unit: Unit) -> Shape:
    """Take a name away."""
    _remove(call, unit, _checked_name(call))
    return {}


def _remove(call: Call, unit: Unit, name: str) -> Alias:
    alias = ALIASES.get(unit, call.account_id, call.region, name)
    if alias is None:
        raise AwsError("NotFoundException", f"Alias {_arn(call)} is not found.", 400)
    key = KEYS.get(unit, call.account_id, call.region, alias.key_id)
    if key is not None:
        put_key(unit, replace(key, aliases=tuple(each for each in key.aliases if each != name)), key)
    ALIASES.delete(unit, call.account_id, call.region, name)
    return alias


@service.operation("ListAliases")
async def list_aliases(call: Call, unit: Unit) -> Shape:
    """List the names in the account and region, all or those of one key."""
    where = (call.account_id, call.region)
    if "KeyId" not in call.input:
        shown, following = page(
            call, unit, ALIASES, where, LIST_ALIASES, lambda parts, row: _shown(call, parts[2], row)
        )
        return {"Aliases": shown, **following}
    key = find_key(call, unit, call.input["KeyId"], by_alias=False)
    if key.account_id != call.account_id:
        raise AwsError("NotFoundException", f"Key '{key.arn}' does not exist", 400)
    found = [(name, ALIASES.get(unit, *where, name)) for name in sorted(key.aliases)]
    rows, following = list_page(call, [_shown(call, name, row) for name, row in found if row], LIST_ALIASES)
    return {"Aliases": list(rows), **following}


def _shown(call: Call, name: str, alias: Alias) -> Shape:
    return {
        "AliasName": name,
        "AliasArn": alias_arn(call.account_id, call.region, name),
        "TargetKeyId": Place(call.account_id, call.region, alias.key_id).key_id,
        "CreationDate": moment(alias.created_at),
        "LastUpdatedDate": moment(alias.updated_at),
    }
