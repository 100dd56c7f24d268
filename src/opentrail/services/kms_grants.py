"""KMS: grants, which let somebody do something with a key without a word in a policy. They hold with their commit.

Source: KMS API reference, CreateGrant and its kin; KMS guide, "Grants in AWS KMS".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.kms import GRANT_PLACES, GRANTS, Grant, GrantPlace, Key, Place, drop_grant
from opentrail.service import Service
from opentrail.services.key_access import GRANTS_PER_KEY_MAX, RETIRING, question
from opentrail.services.key_crypto import end_dry_run
from opentrail.services.key_find import check_enabled, check_not_pending, find_key, key_at, no_key
from opentrail.services.kms_common import key_questions, page, shared_key_guard
from opentrail.services.kms_keys import moment
from opentrail.state import Unit

GRANT_ID_DIGITS, TOKEN_LETTERS = 64, 128
LIST_GRANTS = 50
SYMMETRIC = frozenset(
    {
        *("Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"),
        *("CreateGrant", "RetireGrant", "DescribeKey"),
    }
)
"""Operations of a grant that a symmetric key has."""
_HEX = "0123456789abcdef"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:(iam::\d{12}:(root|(user|role)/[\w+=,.@/-]+)|sts::\d{12}:(assumed-role|federated-user)/[\w+=,.@/-]+)",
    re.ASCII,
)

service = Service("kms")
service.guard("ListGrants", "RevokeGrant")(shared_key_guard)


@service.guard("CreateGrant")
def guard_create(call: Call, unit: Unit) -> Sequence[Access]:
    """With what policies may say of a grant."""
    given = call.input
    more = {
        "kms:grantoperations": tuple(given["Operations"]),
        "kms:grantisforawsresource": ("true" if call.principal.invoked_by else "false",),
    }
    for member, name in (("GranteePrincipal", "kms:granteeprincipal"), ("RetiringPrincipal", "kms:retiringprincipal")):
        if given.get(member):
            more[name] = (given[member],)
    kinds = tuple(given.get("Constraints") or ())
    if kinds:
        more["kms:grantconstrainttype"] = kinds
    return key_questions(call, unit, foreign=True, more=more)


@service.operation("CreateGrant")
async def create_grant(call: Call, unit: Unit) -> Shape:
    """Let a principal use a key."""
    key = find_key(call, unit, call.input["KeyId"], by_alias=False)
    check_enabled(key)
    wanted = _wanted(call, unit)
    end_dry_run(call)
    others = GRANTS.page(unit, *key.place, limit=GRANTS_PER_KEY_MAX)
    if wanted.name and (same := _same(others, wanted)) is not None:
        return _made(call, key, same)
    if len(others) >= GRANTS_PER_KEY_MAX:
        raise AwsError("LimitExceededException", f"A key has no more than {GRANTS_PER_KEY_MAX} grants.", 400)
    place = GrantPlace(*key.place, wanted.grantee, wanted.grant_id)
    GRANTS.put(unit, wanted, *place.parts)
    GRANT_PLACES.put(unit, place, wanted.grant_id)
    GRANT_PLACES.put(unit, place, wanted.token)
    return _made(call, key, wanted)


def _wanted(call: Call, unit: Unit) -> Grant:
    given, clock = call.input, unit.house.clock
    for member in ("GranteeServicePrincipal", "RetiringServicePrincipal"):
        if given.get(member):
            raise AwsError("UnsupportedOperationException", f"{member} is not supported here.", 400)
    operations = tuple(dict.fromkeys(given["Operations"]))
    if not operations or not set(operations) <= SYMMETRIC:
        message = "The operations are not supported for the key's spec SYMMETRIC_DEFAULT."
        raise AwsError("ValidationException", message, 400)
    constraints = given.get("Constraints") or {}
    if constraints.get("SourceArn"):
        raise AwsError("UnsupportedOperationException", "SourceArn is not supported here.", 400)
    return Grant(
        grant_id=clock.token(GRANT_ID_DIGITS, _HEX),
        grantee=_principal(given.get("GranteePrincipal", "")),
        operations=operations,
        token=clock.token(TOKEN_LETTERS, _LETTERS),
        issuer=f"arn:aws:iam::{call.account_id}:root",
        created_at=unit.now,
        retiring=_principal(given["RetiringPrincipal"]) if given.get("RetiringPrincipal") else "",
        name=given.get("Name", ""),
        subset=constraints.get("EncryptionContextSubset"),
        equals=constraints.get("EncryptionContextEquals"),
    )


def _principal(text: str) -> str:
    if re.fullmatch(r"\d{12}", text, re.ASCII):
        return f"arn:aws:iam::{text}:root"
    if not _PRINCIPAL.fullmatch(text):
        raise AwsError("InvalidArnException", f"{text[:256]} is not the ARN of a principal.", 400)
    return text


def _same(others: Sequence[tuple[bytes, Grant]], wanted: Grant) -> Grant | None:
    """A named grant with the same parameters is not made twice."""
    members = ("grantee", "operations", "retiring", "name", "subset", "equals")
    return next(
        (each for _, each in others if all(getattr(each, name) == getattr(wanted, name) for name in members)), None
    )


def _made(call: Call, key: Key, grant: Grant) -> Shape:
    call.evidence.answered = {"grantId": grant.grant_id, "keyId": key.arn}
    return {"GrantId": grant.grant_id, "GrantToken": grant.token}


@service.operation("ListGrants")
async def list_grants(call: Call, unit: Unit) -> Shape:
    """List the grants of a key, all or those of a grantee, or one."""
    key = find_key(call, unit, call.input["KeyId"], by_alias=False)
    check_not_pending(key)
    grant_id, grantee = call.input.get("GrantId"), call.input.get("GranteePrincipal")
    if grant_id is not None:
        _, grant = _found(unit, key.place, grant_id)
        return {"Grants": [_shown(key.place, grant)], "Truncated": False}
    prefix = (*key.place, grantee) if grantee else tuple(key.place)
    shown, following = page(call, unit, GRANTS, prefix, LIST_GRANTS, lambda _, row: _shown(key.place, row))
    return {"Grants": shown, **following}


def _found(unit: Unit, place: Place, grant_id: str) -> tuple[tuple[str, ...], Grant]:
    where = GRANT_PLACES.get(unit, grant_id) if len(grant_id) == GRANT_ID_DIGITS else None
    grant = GRANTS.get(unit, *where.parts) if where is not None else None
    if where is None or grant is None or where.parts[:3] != tuple(place):
        raise AwsError("NotFoundException", f"Grant ID {grant_id[:128]} not found", 400)
    return where.parts, grant


def _shown(place: Place, grant: Grant) -> Shape:
    shown: dict[str, Any] = {
        "KeyId": place.arn,
        "GrantId": grant.grant_id,
        "Name": grant.name,
        "CreationDate": moment(grant.created_at),
        "GranteePrincipal": grant.grantee,
        "IssuingAccount": grant.issuer,
        "Operations": list(grant.operations),
    }
    if grant.retiring:
        shown["RetiringPrincipal"] = grant.retiring
    constraints = {"EncryptionContextSubset": grant.subset, "EncryptionContextEquals": grant.equals}
    kept = {name: value for name, value in constraints.items() if value is not None}
    return shown | ({"Constraints": kept} if kept else {})


@service.operation("RevokeGrant")
async def revoke_grant(call: Call, unit: Unit) -> Shape:
    """Take a grant away."""
    key = find_key(call, unit, call.input["KeyId"], by_alias=False)
    check_not_pending(key)
    parts, grant = _found(unit, key.place, call.input["GrantId"])
    end_dry_run(call)
    drop_grant(unit, parts, grant)
    call.evidence.answered = {"keyId": key.arn}
    return {}


@service.guard("RetireGrant")
def guard_retire(call: Call, unit: Unit) -> Sequence[Access]:
    """Whom the grant names for it may retire it, its grantee if it says so, and whom a policy allows."""
    where, grant = _retired(call, unit)
    key = key_at(unit, Place(*where.parts[:3]))
    if key is None:
        raise no_key(Place(*where.parts[:3]))
    call.stash[RETIRING] = grant.retiring
    call.evidence.additional["grantId"] = grant.grant_id
    return [question(call, unit, key, "kms:RetireGrant")]


def _retired(call: Call, unit: Unit) -> tuple[GrantPlace, Grant]:
    given = call.input
    token = given.get("GrantToken")
    if token is None and not (given.get("KeyId") and given.get("GrantId")):
        raise AwsError("ValidationException", "Give a grant token, or a key and a grant ID.", 400)
    where = GRANT_PLACES.get(unit, token or given["GrantId"])
    grant = GRANTS.get(unit, *where.parts) if where is not None else None
    if where is None or grant is None or (token is not None and grant.token != token):
        if token is not None:
            raise AwsError("InvalidGrantTokenException", "", 400)
        raise AwsError("NotFoundException", f"Grant ID {given['GrantId'][:128]} not found", 400)
    if token is None and Place(*where.parts[:3]).arn != given["KeyId"]:
        raise AwsError("NotFoundException", f"Grant ID {given['GrantId'][:128]} not found", 400)
    return where, grant


@service.operation("RetireGrant")
async def retire_grant(call: Call, unit: Unit) -> Shape:
    """Give a grant up."""
    where, grant = _retired(call, unit)
    end_dry_run(call)
    drop_grant(unit, where.parts, grant)
    call.evidence.answered = {"keyId": Place(*where.parts[:3]).arn}
    return {}
