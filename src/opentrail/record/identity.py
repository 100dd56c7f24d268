"""`userIdentity`: who called, as a record shows it, for every kind of principal.

Form of eventVersion 1.09 and later (CloudTrail user guide, userIdentity element; real records of 2023 to 2025): keys in
the order type, principalId, arn, accountId, accessKeyId, userName, sessionContext, invokedBy; no empty `sessionIssuer` or
`webIdFederationData`; `mfaAuthenticated` is a string. This module knows principals, not calls: what it returns depends on
the principal alone and is therefore encoded once and kept.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import msgspec

from opentrail.call import Principal, Session
from opentrail.record.limits import clean_text, encode

IDENTITIES_MAX = 4_096
"""Encoded identities kept in memory, by principal."""
TIMES_MAX = 1_024
"""Formatted seconds kept in memory."""

AWS_INTERNAL = "AWS Internal"
"""Name by which AWS shows its own inner calls where it names no service."""


@lru_cache(maxsize=TIMES_MAX)
def iso_second(epoch_seconds: int) -> str:
    """`2023-07-10T11:54:47Z`: UTC, whole seconds. Years outside 1 to 9999 are shown as the epoch."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_seconds))
    except (OverflowError, OSError, ValueError):
        return "1970-01-01T00:00:00Z"


def _session_context(principal: Principal, session: Session) -> dict[str, Any]:
    context: dict[str, Any] = {}
    issuer = session.issuer
    if issuer is not None and principal.type in ("AssumedRole", "FederatedUser"):
        context["sessionIssuer"] = {
            "type": issuer.type,
            "principalId": issuer.principal_id,
            "arn": issuer.arn,
            "accountId": issuer.account_id,
        }
        if issuer.user_name:
            context["sessionIssuer"]["userName"] = issuer.user_name
    context["attributes"] = {
        "creationDate": iso_second(int(session.created_at)),
        "mfaAuthenticated": "true" if session.mfa_authenticated else "false",
    }
    if session.source_identity:
        context["sourceIdentity"] = session.source_identity
    return context


def user_identity(principal: Principal) -> dict[str, Any]:
    """The element as the caller's own account sees it."""
    if principal.type == "AWSService":
        return {"type": "AWSService", "invokedBy": principal.invoked_by}
    if principal.type == "Anonymous":
        return {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    identity: dict[str, Any] = {
        "type": principal.type,
        "principalId": principal.principal_id,
        "arn": principal.arn,
        "accountId": principal.account_id,
    }
    if principal.access_key_id:
        identity["accessKeyId"] = principal.access_key_id
    if principal.user_name and principal.type not in ("AssumedRole", "FederatedUser"):
        identity["userName"] = principal.user_name
    if principal.session is not None:
        identity["sessionContext"] = _session_context(principal, principal.session)
    if principal.invoked_by:
        identity["invokedBy"] = principal.invoked_by
    return identity


def foreign_identity(principal: Principal) -> dict[str, Any]:
    """The reduced element in the copy that another account (the owner of the resource) gets: no ARN, key or name."""
    if principal.type in ("AWSService", "Anonymous"):
        return user_identity(principal)
    return {"type": "AWSAccount", "principalId": principal.principal_id, "accountId": principal.account_id}


@lru_cache(maxsize=IDENTITIES_MAX)
def _encoded(principal: Principal) -> msgspec.Raw:
    return msgspec.Raw(encode(clean_text(user_identity(principal))))


_BY_OBJECT: dict[int, tuple[Principal, msgspec.Raw]] = {}


def encoded_identity(principal: Principal) -> msgspec.Raw:
    """`user_identity` as JSON, kept per principal: by object first, since hashing a session costs a microsecond."""
    known = _BY_OBJECT.get(id(principal))
    if known is not None and known[0] is principal:
        return known[1]
    raw = _encoded(principal)
    if len(_BY_OBJECT) >= IDENTITIES_MAX:
        _BY_OBJECT.clear()
    _BY_OBJECT[id(principal)] = (principal, raw)
    return raw


def is_service_call(principal: Principal) -> bool:
    """Whether an AWS service calls: by itself, or with an identity of the customer's."""
    return principal.invoked_by != ""
