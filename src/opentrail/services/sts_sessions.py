"""Making sessions: the principal, key and token of temporary credentials, and services that act in a role.

Nothing is stored: the token holds it all (`services.identity`). Knows no operation's input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from opentrail.access.decide import NO_IDENTITY, decide
from opentrail.access.refusal import refusal
from opentrail.call import Access, Issuer, Principal, Session, Shape
from opentrail.errors import AwsError
from opentrail.rows.closed_accounts import is_closed
from opentrail.rows.iam import ROLES, Role, new_key_id, new_secret
from opentrail.services.iam_common import when
from opentrail.services.identity import issue_token
from opentrail.state import Unit

SERVICE_SESSION_SECONDS = 3_600
"""How long the session of a service that acts in a role may be used."""
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/(?:.*/)?([^/]+)", re.ASCII)


def find_role_by_arn(unit: Unit, arn: str) -> Role | None:
    """The role with this very ARN, in any account that is not closed."""
    found = _ROLE_ARN.fullmatch(arn)
    role = ROLES.get(unit, found[1], found[2].lower()) if found else None
    if role is None or role.arn != arn or is_closed(unit, role.account_id):
        return None
    return role


def assumed(unit: Unit, role: Role, name: str, session: Session, invoked_by: str = "") -> Principal:
    """The principal of a session of a role, with a fresh key id."""
    return Principal(
        type="AssumedRole",
        account_id=role.account_id,
        arn=f"arn:aws:sts::{role.account_id}:assumed-role/{role.name}/{name}",
        principal_id=f"{role.id}:{name}",
        access_key_id=new_key_id(unit.house.clock, "ASIA", role.account_id),
        session=session,
        invoked_by=invoked_by,
    )


def role_issuer(role: Role) -> Issuer:
    return Issuer("Role", role.id, role.arn, role.account_id, role.name)


def credentials(unit: Unit, principal: Principal, policy_arns: tuple[str, ...] = ()) -> Shape:
    """The Credentials member that an answer hands out for a principal whose session and key id are set."""
    assert principal.session is not None
    secret = new_secret(unit.house.clock)
    return {
        "AccessKeyId": principal.access_key_id,
        "SecretAccessKey": secret,
        "SessionToken": issue_token(unit, principal, secret, policy_arns),
        "Expiration": when(principal.session.expires_at),
    }


def same_caller(unit: Unit, caller: Principal, seconds: int, *, mfa: bool = False) -> Principal:
    """A session of the caller's own: what GetSessionToken gives. `mfa`: he has shown a code."""
    session = Session(None, int(unit.now), int(unit.now) + seconds, mfa_authenticated=mfa)
    return replace(caller, access_key_id=new_key_id(unit.house.clock, "ASIA", caller.account_id), session=session)


def role_session(
    unit: Unit,
    role_arn: str,
    session_name: str,
    service: str,
    now: float,
    context: Mapping[str, tuple[str, ...]] | None = None,
) -> Principal:
    """A session of a role for an AWS service that acts in it (`events.amazonaws.com` starting a pipeline).

    `context` adds condition keys (`aws:sourcearn`) for the trust policy; `aws:sourceaccount` is the role's account
    unless given. Raises AwsError AccessDenied 403 if there is no such role or it does not trust the service.
    """
    role = find_role_by_arn(unit, role_arn)
    caller = Principal("AWSService", "", invoked_by=service)
    trust = role.trust if role is not None else ""
    owner = role.account_id if role is not None else ""
    facts = {"aws:sourceaccount": (owner,), "sts:rolesessionname": (session_name,), **(context or {})}
    question = Access("sts:AssumeRole", role_arn, owner, trust, context=facts, trust=True)
    decision = decide(caller, NO_IDENTITY, question, {})
    if role is None or not decision.allowed:
        raise refusal(decision, caller, question)
    session = Session(role_issuer(role), int(now), int(now) + SERVICE_SESSION_SECONDS)
    return assumed(unit, role, session_name, session, invoked_by=service)


def read_seconds(asked: int | None, default: int, longest: int, message: str) -> int:
    """The duration of a session; ValidationError with `message` if it is too long."""
    seconds = default if asked is None else asked
    if seconds > longest:
        raise AwsError("ValidationError", message, 400)
    return seconds
