"""Who may use a KMS key: the question to the permission check, with the key's policy, its grants and KMS's condition keys.

The key's policy must allow, by itself or by letting the account's IAM policies speak; a grant counts as a statement of the
policy that allows one operation. Source: KMS guide, "Determining access to AWS KMS keys", "Condition keys for AWS KMS",
"Grants in AWS KMS".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from opentrail.call import Access, Call, Principal, Resource
from opentrail.rows.kms import GRANTS, Grant, Key, Place
from opentrail.state import Unit

GRANTS_PER_KEY_MAX = 1_000
"""Grants of one key."""
POLICIES_MAX = 1_024
"""Policies with a grant added that are kept."""
VIA = "via"
"""Where the stash of a call that a service makes for its caller names the service (`s3`)."""
RETIRING = "retiring"
"""Where the stash of RetireGrant names who may retire the grant."""
ALGORITHM = "SYMMETRIC_DEFAULT"
CONTEXT_FREE = frozenset({"kms:DescribeKey", "kms:RetireGrant", "kms:CreateGrant"})
"""Actions that have no encryption context, so that constraints of grants say nothing of them."""


def question(
    call: Call,
    unit: Unit,
    key: Key,
    action: str,
    encryption_context: Mapping[str, str] | None = None,
    more: Mapping[str, tuple[str, ...]] | None = None,
    alias: str = "",
) -> Access:
    """May the caller do `action` (`kms:Decrypt`) with the key? Notes the key in the call's record.

    `more` are further condition keys, `alias` the alias by which the key was named."""
    note_key(call, key)
    given = encryption_context or {}
    context = dict(_facts(call, key, given, alias))
    if more:
        context.update(more)
    policy = _with_grants(call, unit, key, action, given)
    return Access(action, key.arn, key.account_id, policy, context=context, trust=True)


def missing(call: Call, place: Place, action: str) -> Access:
    """The question about another account's key that is not there: refused in the words of one that is."""
    call.evidence.resources.append(Resource("AWS::KMS::Key", place.arn, place.account_id))
    return Access(action, place.arn, place.account_id, trust=True)


def note_key(call: Call, key: Key) -> None:
    """The record tells the key, and the key's owner gets a copy."""
    call.evidence.owner_account_id = key.account_id
    resource = Resource("AWS::KMS::Key", key.arn, key.account_id)
    if resource not in call.evidence.resources:
        call.evidence.resources.append(resource)


def _facts(
    call: Call, key: Key, encryption_context: Mapping[str, str], alias: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if call.principal.type not in ("AWSService", "Anonymous"):
        yield "kms:calleraccount", (call.principal.account_id,)
    via = call.stash.get(VIA)
    if via:
        yield "kms:viaservice", (f"{via}.{call.region}.amazonaws.com",)
    for name, value in encryption_context.items():
        yield f"kms:encryptioncontext:{name.lower()}", (value,)
    if encryption_context:
        yield "kms:encryptioncontextkeys", tuple(encryption_context)
    yield "kms:encryptionalgorithm", (ALGORITHM,)
    yield "kms:keyspec", (ALGORITHM,)
    yield "kms:keyusage", ("ENCRYPT_DECRYPT",)
    yield "kms:keyorigin", ("AWS_KMS",)
    yield "kms:multiregion", ("false",)
    if alias:
        yield "kms:requestalias", (alias,)
    if key.aliases:
        yield "kms:resourcealiases", key.aliases
    for name, value in key.tags:
        yield f"aws:resourcetag/{name.lower()}", (value,)


def _with_grants(call: Call, unit: Unit, key: Key, action: str, given: Mapping[str, str]) -> str:
    """The key's policy, and what grants give this caller for this action."""
    operation = action.partition(":")[2]
    for grantee in names_of(call.principal):
        for _, grant in GRANTS.page(unit, *key.place, grantee, limit=GRANTS_PER_KEY_MAX):
            if operation in grant.operations and _holds(call, grant, action, given):
                return _granting(key.policy, grantee, action)
        if action == "kms:RetireGrant" and grantee == call.stash.get(RETIRING):
            return _granting(key.policy, grantee, action)
    return key.policy


def names_of(principal: Principal) -> list[str]:
    """The ARNs by which a grant may mean the caller: its own, its role's, its account's."""
    if principal.type in ("AWSService", "Anonymous"):
        return []
    session = principal.session
    issuer = session.issuer.arn if session is not None and session.issuer is not None else ""
    root = f"arn:aws:iam::{principal.account_id}:root"
    return list(dict.fromkeys(name for name in (principal.arn, issuer, root) if name))


def _holds(call: Call, grant: Grant, action: str, given: Mapping[str, str]) -> bool:
    """Do the grant's constraints hold? Who makes a grant by a grant gives no more away than he has."""
    if action == "kms:CreateGrant":
        return _covers(grant, call.input)
    if action in CONTEXT_FREE:
        return True
    if grant.equals is not None and dict(given) != grant.equals:
        return False
    return grant.subset is None or all(given.get(name) == value for name, value in grant.subset.items())


def _covers(grant: Grant, asked: Mapping[str, Any]) -> bool:
    if not set(asked.get("Operations") or ()) <= set(grant.operations):
        return False
    constraints = asked.get("Constraints") or {}
    equals, subset = constraints.get("EncryptionContextEquals"), constraints.get("EncryptionContextSubset")
    if grant.equals is not None:
        return bool(equals == grant.equals)
    bound: Mapping[str, str] = equals if equals is not None else subset or {}
    return grant.subset is None or all(bound.get(name) == value for name, value in grant.subset.items())


@lru_cache(maxsize=POLICIES_MAX)
def _granting(policy: str, grantee: str, action: str) -> str:
    document = json.loads(policy)
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    granted = {"Effect": "Allow", "Principal": {"AWS": grantee}, "Action": action, "Resource": "*"}
    document["Statement"] = [*statements, granted]
    return json.dumps(document)
