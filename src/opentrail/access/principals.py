"""The Principal element: whom a resource's policy names, and in what way it means a given caller.

How a caller is named decides what the naming is worth: an account only delegates, a role is still narrowed by its
session, a session or user named itself is not. Source: IAM user guide, "Principal" and "Policy evaluation logic".
Knows nothing of statements, actions or conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from opentrail.access.acl import canonical_id
from opentrail.call import ACCOUNT_ID, Principal

PRINCIPAL_KINDS = ("AWS", "Service", "Federated", "CanonicalUser")
_ROOT = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):root", re.ASCII)
_ARN = re.compile(
    r"arn:aws[a-z-]*:(iam::\d{12}:(user|role)/[\w+=,.@/!-]+|sts::\d{12}:(assumed-role/[\w+=,.@/-]+|federated-user/[\w+=,.@-]+))",
    re.ASCII,
)
_UNIQUE_ID = re.compile(r"A[A-Z0-9]{15,127}", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9][a-z0-9.-]{1,254}", re.ASCII)


class Naming(IntEnum):
    """How a policy names a caller; greater is worth more."""

    NOT = 0
    ACCOUNT = 1
    """Through its account: the account decides further, by identity policy."""
    ROLE = 2
    """Through its role (or everybody): permission boundary and session policies still narrow it."""
    ITSELF = 3


class BadPrincipal(ValueError):
    """A principal that cannot exist. `args`: kind (`AWS`) and text."""


@dataclass(frozen=True, slots=True)
class Principals:
    """A compiled Principal (or NotPrincipal) element."""

    everyone: bool = False
    """`"*"`: services and anonymous callers too."""
    every_aws: bool = False
    """`{"AWS": "*"}`: anonymous callers too, services not."""
    accounts: frozenset[str] = frozenset()
    arns: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    canonical_ids: frozenset[str] = frozenset()

    def naming(self, caller: Principal) -> Naming:
        """The strongest way in which the caller is named."""
        if caller.type == "AWSService":
            return Naming.ITSELF if self.everyone or caller.invoked_by in self.services else Naming.NOT
        if caller.type == "Anonymous":
            return Naming.ITSELF if self.everyone or self.every_aws else Naming.NOT
        if caller.arn in self.arns or caller.principal_id in self.arns:
            return Naming.ITSELF
        wide = self.everyone or self.every_aws
        if caller.type in ("AssumedRole", "FederatedUser"):
            if wide or _issuer_arn(caller) in self.arns:
                return Naming.ROLE
        elif wide or (caller.type == "Root" and self._has_account(caller)):
            return Naming.ITSELF
        return Naming.ACCOUNT if self._has_account(caller) else Naming.NOT

    def _has_account(self, caller: Principal) -> bool:
        if caller.account_id in self.accounts:
            return True
        return bool(self.canonical_ids) and canonical_id(caller.account_id) in self.canonical_ids

    def lists_wholly(self, caller: Principal) -> bool:
        """Whether a NotPrincipal spares the caller: its account and every ARN it goes by MUST be listed."""
        if self.everyone or caller.type in ("AWSService", "Anonymous"):
            return self.naming(caller) is not Naming.NOT
        if self.every_aws:
            return True
        arns = [caller.arn] if caller.type != "Root" else []
        issuer = _issuer_arn(caller)
        if issuer and not issuer.endswith(":root"):
            arns.append(issuer)
        return self._has_account(caller) and all(arn in self.arns for arn in arns)


def _issuer_arn(caller: Principal) -> str:
    if caller.type not in ("AssumedRole", "FederatedUser"):
        return ""
    session = caller.session
    return session.issuer.arn if session is not None and session.issuer is not None else ""


def compile_principals(named: Iterable[tuple[str, str]]) -> Principals:
    """Compile (kind, text) pairs; kind `*` stands for the bare `"*"`. Raises BadPrincipal."""
    everyone = every_aws = False
    accounts, arns, services, canonical_ids = set(), set(), set(), set()
    for kind, text in named:
        if kind == "*":
            everyone = True
        elif kind == "AWS" and text == "*":
            every_aws = True
        elif kind == "AWS":
            root = _ROOT.fullmatch(text)
            account = root.group(1) if root else text if ACCOUNT_ID.fullmatch(text) else ""
            if account:
                accounts.add(account)
            elif _ARN.fullmatch(text) or _UNIQUE_ID.fullmatch(text):
                arns.add(text)
            else:
                raise BadPrincipal(kind, text)
        elif kind == "Service" and _SERVICE.fullmatch(text):
            services.add(text)
        elif kind == "CanonicalUser" and text.isalnum():
            canonical_ids.add(text)
        elif kind != "Federated":
            raise BadPrincipal(kind, text)
    return Principals(
        everyone, every_aws, frozenset(accounts), frozenset(arns), frozenset(services), frozenset(canonical_ids)
    )
