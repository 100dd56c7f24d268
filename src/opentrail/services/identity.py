"""Who holds a key, and what that identity may do: what the gate reads on every call.

Secrets of long-term keys lie sealed in their rows. Temporary credentials lie nowhere: the session token is the sealed
principal with its secret and expiry, so that a node needs no state to know them. What is worked out of rows is kept
with the very row objects it was worked out of, and is good as long as the state hands out the same ones. Knows no
operation and no wire.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from opentrail.access.decide import NO_IDENTITY, Identity
from opentrail.call import Principal
from opentrail.errors import AwsError
from opentrail.rows.closed_accounts import is_closed
from opentrail.rows.iam import (
    ACCESS_KEYS,
    ACCOUNTS,
    GROUPS,
    KEY_SEALED_FOR,
    POLICIES,
    ROLES,
    USERS,
    AccessKey,
    Account,
    Group,
    Role,
    User,
)
from opentrail.services.iam_aws_policies import AWS_POLICIES
from opentrail.state import Table, Unit

TOKEN_SEALED_FOR = "session-token"
TOKEN_CHARS_MAX = 16_384
CREDENTIALS_KEPT_MAX = 4_096
IDENTITIES_KEPT_MAX = 4_096
TOKENS_KEPT_MAX = 4_096
"""Entries of each cache; a full one is emptied, which costs a few microseconds per identity in use."""
ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
OF_ROOT = Identity((ALLOW_ALL,))
"""What a federated user of the root has, before its session policies."""
DENY_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'
_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):policy/(?:.*/)?([^/]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a signature is checked with, and whose it then is."""

    secret: str
    principal: Principal


class _Token(msgspec.Struct, frozen=True, array_like=True):
    """What a session token seals. `policy_arns` are managed session policies, read at every use."""

    secret: str
    principal: Principal
    policy_arns: tuple[str, ...] = ()


_encode_token = msgspec.msgpack.Encoder().encode
_decode_token = msgspec.msgpack.Decoder(_Token).decode
_CREDENTIALS: dict[int, tuple[AccessKey, User | Account, Credentials]] = {}
_TOKENS: dict[tuple[bytes, str], _Token] = {}
_Dependencies = tuple[tuple[Table[Any], tuple[str, ...], Any], ...]
_IDENTITIES: dict[int, tuple[User | Role, _Dependencies, Identity]] = {}


def find_credentials(unit: Unit, access_key_id: str, session_token: str, *, s3: bool = False) -> Credentials:
    """The secret and the principal of a key.

    Raises AwsError: InvalidAccessKeyId 403 (S3) or InvalidClientTokenId 403 for a key that is unknown, inactive, of a
    closed account or not the token's; InvalidToken 400 (S3) for a token that is none; ExpiredToken 400.
    """
    if session_token:
        return _temporary(unit, access_key_id, session_token, s3)
    key = ACCESS_KEYS.get(unit, access_key_id)
    if key is None or not key.active or is_closed(unit, key.account_id):
        raise _unknown(access_key_id, s3)
    holder = _holder(unit, key)
    if holder is None:
        raise _unknown(access_key_id, s3)
    known = _CREDENTIALS.get(id(key))
    if known is not None and known[0] is key and known[1] is holder:
        return known[2]
    secret = unit.house.seal.open(key.secret, KEY_SEALED_FOR).decode()
    credentials = Credentials(secret, principal_of(holder, access_key_id))
    if len(_CREDENTIALS) >= CREDENTIALS_KEPT_MAX:
        _CREDENTIALS.clear()
    _CREDENTIALS[id(key)] = (key, holder, credentials)
    return credentials


def credentials_holder(unit: Unit, access_key_id: str, session_token: str) -> Principal:
    """Whose temporary credentials these are; raises as `find_credentials`."""
    return find_credentials(unit, access_key_id, session_token).principal


def _holder(unit: Unit, key: AccessKey) -> User | Account | None:
    if key.user_name:
        return USERS.get(unit, key.account_id, key.user_name.lower())
    return ACCOUNTS.get(unit, key.account_id)


def principal_of(holder: User | Account, access_key_id: str = "") -> Principal:
    """The principal that a user or an account's root is."""
    account = holder.account_id
    if isinstance(holder, Account):
        return Principal("Root", account, f"arn:aws:iam::{account}:root", account, holder.alias, access_key_id)
    return Principal("IAMUser", account, holder.arn, holder.id, holder.name, access_key_id)


def refuse_closed(unit: Unit, principal: Principal, *, s3: bool) -> None:
    """Raise what an unknown key gets, for a session in a closed account."""
    if is_closed(unit, principal.account_id):
        raise _unknown(principal.access_key_id, s3)


def _unknown(access_key_id: str, s3: bool) -> AwsError:
    if s3:
        message = "The AWS Access Key Id you provided does not exist in our records."
        return AwsError("InvalidAccessKeyId", message, 403, AWSAccessKeyId=access_key_id)
    return AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)


def _temporary(unit: Unit, access_key_id: str, session_token: str, s3: bool) -> Credentials:
    token = _opened(unit, session_token)
    if token is None:
        if s3:
            raise AwsError("InvalidToken", "The provided token is malformed or otherwise invalid.", 400)
        raise _unknown(access_key_id, s3)
    principal = token.principal
    session = principal.session
    if session is None or principal.access_key_id != access_key_id or not _issuer_lives(unit, principal):
        raise _unknown(access_key_id, s3)
    refuse_closed(unit, principal, s3=s3)
    if unit.now >= session.expires_at:
        message = "The provided token has expired." if s3 else "The security token included in the request is expired"
        raise AwsError("ExpiredToken", message, 400)
    if token.policy_arns:
        texts = tuple(managed_document(unit, arn) or DENY_ALL for arn in token.policy_arns)
        principal = replace(principal, session=replace(session, policies=session.policies + texts))
    return Credentials(token.secret, principal)


def _opened(unit: Unit, session_token: str) -> _Token | None:
    """The contents of a token that this house sealed; None for anything else."""
    house_key = (unit.house.seal.key, session_token)
    known = _TOKENS.get(house_key)
    if known is not None:
        return known
    if len(session_token) > TOKEN_CHARS_MAX:
        return None
    try:
        sealed = b64decode(session_token, b"-_", validate=True)
        token = _decode_token(unit.house.seal.open(sealed, TOKEN_SEALED_FOR))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return None
    if len(_TOKENS) >= TOKENS_KEPT_MAX:
        _TOKENS.clear()
    _TOKENS[house_key] = token
    return token


def _issuer_lives(unit: Unit, principal: Principal) -> bool:
    """Whether the user or role behind a session is still the one that it was issued for."""
    return principal.type == "Root" or _issued_by_root(principal) or _row_of(unit, principal) is not None


def _issued_by_root(principal: Principal) -> bool:
    session = principal.session
    return session is not None and session.issuer is not None and session.issuer.type == "Root"


def issue_token(unit: Unit, principal: Principal, secret: str, policy_arns: tuple[str, ...] = ()) -> str:
    """The session token of a principal whose session and key id are set."""
    sealed = unit.house.seal.seal(_encode_token(_Token(secret, principal, policy_arns)), TOKEN_SEALED_FOR)
    return urlsafe_b64encode(sealed).decode()


def _row_of(unit: Unit, principal: Principal) -> User | Role | None:
    """The row that holds the policies of a user or a session; None if it is gone, or another of that name."""
    row: User | Role | None
    if principal.type == "IAMUser":
        row = USERS.get(unit, principal.account_id, principal.user_name.lower())
        return row if row is not None and row.id == principal.principal_id else None
    issuer = principal.session.issuer if principal.session is not None else None
    if issuer is None:
        return None
    table: Table[User] | Table[Role] = ROLES if principal.type == "AssumedRole" else USERS
    row = table.get(unit, issuer.account_id, issuer.user_name.lower())
    return row if row is not None and row.id == issuer.principal_id else None


def identity_of(unit: Unit, principal: Principal) -> Identity:
    """The policies on the identity's own side: inline, managed, those of its groups, and its boundary.

    Session policies travel in `principal.session.policies`. Root, services and anonymous callers have none.
    """
    if principal.type in ("Root", "AWSService", "Anonymous"):
        return NO_IDENTITY
    if principal.type == "FederatedUser" and _issued_by_root(principal):
        return OF_ROOT
    row = _row_of(unit, principal)
    if row is None:
        return NO_IDENTITY
    known = _IDENTITIES.get(id(row))
    if known is not None and known[0] is row:
        for table, parts, seen in known[1]:
            if table.get(unit, *parts) is not seen:
                break
        else:
            return known[2]
    dependencies, identity = _gather(unit, row)
    if len(_IDENTITIES) >= IDENTITIES_KEPT_MAX:
        _IDENTITIES.clear()
    _IDENTITIES[id(row)] = (row, dependencies, identity)
    return identity


def _gather(unit: Unit, row: User | Role) -> tuple[_Dependencies, Identity]:
    """An identity, and every other row it was read from."""
    used: list[tuple[Table[Any], tuple[str, ...], Any]] = []
    holders: list[User | Role | Group] = [row]
    for name in row.groups if isinstance(row, User) else ():
        parts = (row.account_id, name.lower())
        group = GROUPS.get(unit, *parts)
        used.append((GROUPS, parts, group))
        if group is not None:
            holders.append(group)
    texts = []
    for holder in holders:
        texts += [document for _name, document in holder.inline]
        texts += [_managed(unit, arn, used) for arn in holder.attached]
    boundary = (_managed(unit, row.boundary, used) or DENY_ALL) if row.boundary else ""
    return tuple(used), Identity(tuple(text for text in texts if text), boundary, row.tags)


def _managed(unit: Unit, arn: str, used: list[tuple[Table[Any], tuple[str, ...], Any]]) -> str:
    parts = policy_key(arn)
    if parts is not None:
        used.append((POLICIES, parts, POLICIES.get(unit, *parts)))
    return managed_document(unit, arn)


def policy_key(arn: str) -> tuple[str, str] | None:
    """(account, name in lower case) of a customer's managed policy; None for AWS's own and for what is no such ARN."""
    found = _POLICY_ARN.fullmatch(arn)
    return (found[1], found[2].lower()) if found else None


def managed_document(unit: Unit, arn: str) -> str:
    """The text of a managed policy's default version; empty if there is no such policy."""
    aws = AWS_POLICIES.get(arn)
    if aws is not None:
        return aws.document
    parts = policy_key(arn)
    policy = POLICIES.get(unit, *parts) if parts is not None else None
    return policy.document if policy is not None and policy.arn == arn else ""
