"""Finding a KMS key by what a caller calls it: its id, its ARN, an alias, an alias's ARN. And whether it may be used now.

Shared by KMS's operations and by the services that use keys for their callers. Source: KMS API reference (KeyId of each
operation, "Key states of AWS KMS keys"); KMS's answers.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.kms import ALIASES, AWS, DISABLED, KEYS, PENDING, Alias, Key, Place, alias_arn, put_key
from opentrail.services.key_material import new_material
from opentrail.state import Unit

ALIAS = "alias/"
S3_ALIAS = "alias/aws/s3"
MANAGED = {S3_ALIAS: "s3"}
"""Aliases of the keys that AWS manages, made when they are first used, and the service they are used through."""
DESCRIPTIONS = {S3_ALIAS: "Default key that protects my S3 objects when no other key is defined"}
_KEY_ID = re.compile(r"(mrk-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.ASCII)
_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):((?:key|alias)/.+)", re.ASCII)


def find_key(call: Call, unit: Unit, ref: str, *, by_alias: bool = True) -> Key:
    """The key that the call's account and region mean by `ref`; raises NotFoundException."""
    place = place_of(call, unit, ref, by_alias=by_alias)
    key = key_at(unit, place)
    if key is None:
        raise no_key(place)
    return key


def key_at(unit: Unit, place: Place) -> Key | None:
    """The key, unless its last hour has come: it is gone when it is due, whoever gets to remove it."""
    key = KEYS.get(unit, *place)
    return None if key is None or (key.delete_at and key.delete_at <= unit.now) else key


def no_key(place: Place) -> AwsError:
    return AwsError("NotFoundException", f"Key '{place.arn}' does not exist", 400)


def place_of(call: Call, unit: Unit, ref: str, *, by_alias: bool = True) -> Place:
    """Where the key lies that the call means by `ref`, be it there or not; raises NotFoundException."""
    return place_in(unit, call.account_id, call.region, ref, by_alias=by_alias)


def place_in(unit: Unit, account_id: str, region: str, ref: str, *, by_alias: bool = True) -> Place:
    """The same for any account and region that asks."""
    account, name = account_id, ref
    found = _ARN.fullmatch(ref)
    if found is not None:
        if found[1] != region:
            raise AwsError("NotFoundException", f"Invalid arn {found[1]}", 400)
        account, name = found[2], found[3].removeprefix("key/")
    if by_alias and name.startswith(ALIAS):
        return _aliased(unit, Place(account, region, name), own=account == account_id)
    if not _KEY_ID.fullmatch(name):
        raise AwsError("NotFoundException", f"Invalid keyId '{ref[:256]}'", 400)
    return Place(account, region, name)


def _aliased(unit: Unit, named: Place, *, own: bool) -> Place:
    """Where the key of an alias lies; `named` has the alias in place of the key's id."""
    alias = ALIASES.get(unit, *named)
    if alias is not None:
        return named._replace(key_id=alias.key_id)
    if named.key_id in MANAGED and own:
        return _managed(unit, *named).place
    raise AwsError("NotFoundException", f"Alias {alias_arn(*named)} is not found.", 400)


def _managed(unit: Unit, account: str, region: str, name: str) -> Key:
    """Make the key that AWS manages for a service. Its id is always the same one, so that the record of a first use
    whose call failed afterwards names no key that never was."""
    digest = hashlib.sha256(f"{account}\0{region}\0{name}".encode()).digest()
    place = Place(account, region, str(uuid.UUID(bytes=digest[:16], version=4)))
    key = Key(
        account_id=account,
        region=region,
        key_id=place.key_id,
        created_at=unit.now,
        policy=managed_policy(account, region, MANAGED[name]),
        materials=(new_material(unit.house.seal, place, unit.now),),
        description=DESCRIPTIONS[name],
        manager=AWS,
        aliases=(name,),
    )
    put_key(unit, key)
    ALIASES.put(unit, Alias(key.key_id, unit.now, unit.now), account, region, name)
    return key


def managed_policy(account: str, region: str, service: str) -> str:
    """Whoever may use the service may use its key, through the service (KMS guide, "AWS managed keys")."""
    using = {
        "Sid": f"Allow access through {service.upper()} for all principals in the account that are authorized to use "
        f"{service.upper()}",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": {
            "StringEquals": {"kms:CallerAccount": account, "kms:ViaService": f"{service}.{region}.amazonaws.com"}
        },
    }
    looking = {
        "Sid": "Allow direct access to key metadata to the account",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Id": f"auto-{service}-2", "Statement": [using, looking]})


def check_not_pending(key: Key) -> None:
    if key.state == PENDING:
        raise AwsError("KMSInvalidStateException", f"{key.arn} is pending deletion.", 400)


def check_enabled(key: Key) -> None:
    """Raises DisabledException or KMSInvalidStateException for a key that encrypts and decrypts nothing now."""
    check_not_pending(key)
    if key.state == DISABLED:
        raise AwsError("DisabledException", f"{key.arn} is disabled.", 400)
