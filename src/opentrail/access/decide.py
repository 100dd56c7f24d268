"""May they? The one permission check: weighs every policy that has a say in one question.

Source: IAM user guide, "Policy evaluation logic" (within an account, across accounts, permissions boundaries, session
policies), and for access control lists the S3 user guide, "How Amazon S3 authorizes a request". The default is refusal.
Pure: whoever asks has gathered the policies and the facts of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from opentrail.access.acl import admits_account, admits_group, canonical_id
from opentrail.access.context import RequestContext
from opentrail.access.document import Verdict
from opentrail.access.policy import compile_policy
from opentrail.access.principals import Naming
from opentrail.access.public import policy_is_public
from opentrail.call import Access, AclGrants, Principal

Source = Literal[
    "",
    "root",
    "identity-based policy",
    "resource-based policy",
    "permissions boundary",
    "session policy",
    "role trust policy",
    "access control list",
    "VPC endpoint policy",
]
"""What decided; in a refusal, what denied or what was missing an allow."""

POLICY_REPAIR = frozenset({"s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"})
"""What the root of the owning account may do whatever the bucket's policy says, so that nobody locks himself out."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an identity's own side says: JSON texts, none for callers without an identity here."""

    policies: tuple[str, ...] = ()
    boundary: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    """Tags of the user or role, for `aws:PrincipalTag`."""


NO_IDENTITY = Identity()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `by_acl`: nothing but an access control list allowed it (the record's `aclRequired`)."""

    allowed: bool
    explicit_deny: bool = False
    by_acl: bool = False
    reason: Source = ""


_SILENT, _ALLOW, _DENY = Verdict.SILENT, Verdict.ALLOW, Verdict.DENY
_NOT = Naming.NOT
# Python looks an enum's member up through a descriptor, and there are a dozen of these in every decision.
_ALLOWED: dict[Source, Decision] = {
    source: Decision(True, reason=source)
    for source in ("root", "identity-based policy", "resource-based policy", "role trust policy")
}
_BY_ACL = Decision(True, by_acl=True, reason="access control list")
_NOT_DENIED = Decision(True)


class Facts:
    """Looks up condition keys: those of the question, of the request, and the caller's tags."""

    __slots__ = ("context", "identity", "principal", "question")

    def __init__(
        self, principal: Principal, identity: Identity, question: Access, context: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.principal = principal
        self.identity = identity
        self.question = question
        self.context = context

    def __call__(self, key: str) -> tuple[str, ...] | None:
        found = self.question.context.get(key)
        if found is None:
            found = self.context.get(key)
        if found is not None:
            return found
        if key.startswith("aws:principaltag/"):
            return self._tag(key[len("aws:principaltag/") :])
        if key == "aws:resourceaccount" and self.question.resource_account:
            return (self.question.resource_account,)
        return self._of_organization(key) if key.startswith("aws:resourceorg") else None

    def _of_organization(self, key: str) -> tuple[str, ...] | None:
        """`aws:ResourceOrgID` and `aws:ResourceOrgPaths`, of the account that owns the resource."""
        account_id, context = self.question.resource_account, self.context
        place = context.places(account_id) if account_id and isinstance(context, RequestContext) else None
        if place is None:
            return None
        return {"aws:resourceorgid": (place.id,), "aws:resourceorgpaths": (place.path,)}.get(key)

    def _tag(self, name: str) -> tuple[str, ...] | None:
        session = self.principal.session
        for key, value in (*(session.tags if session is not None else ()), *self.identity.tags):
            if key.lower() == name:
                return (value,)
        return None


def decide(
    principal: Principal, identity: Identity, question: Access, context: Mapping[str, tuple[str, ...]]
) -> Decision:
    """Whether `principal` may do what `question` asks. Raises AwsError only if a stored policy cannot be read."""
    own = question.resource_account in ("", principal.account_id) and principal.type not in ("AWSService", "Anonymous")
    if principal.type == "Root" and own and not question.trust:
        if not question.resource_policy and (question.acl is None or not _foreign(question, question.acl)):
            return _ALLOWED["root"]
        if question.action.lower() in POLICY_REPAIR:
            return _ALLOWED["root"]
    facts = Facts(principal, identity, question, context)
    verdict, naming = _SILENT, _NOT
    if question.resource_policy:
        policy = compile_policy(question.resource_policy)
        verdict, naming = policy.verdict_for(principal, question.action, question.resource, facts)
        if verdict is _DENY:
            return _denied(_resource_side(question))
    if question.restrict_public and not own and principal.type != "AWSService":
        naming = _unless_public(naming, question)
    if principal.type in ("AWSService", "Anonymous"):
        return _without_identity(principal, question, naming)
    return _with_identity(facts, own, naming)


def refused_by_endpoint(
    policy: str,
    principal: Principal,
    identity: Identity,
    question: Access,
    context: Mapping[str, tuple[str, ...]],
) -> Decision | None:
    """What the policy of the VPC endpoint has against it; None if it lets the request through. It gives nothing by itself.
    Source: VPC user guide, "Control access to VPC endpoints using endpoint policies"."""
    facts = Facts(principal, identity, question, context)
    verdict, naming = compile_policy(policy).verdict_for(principal, question.action, question.resource, facts)
    if verdict is _DENY:
        return _denied("VPC endpoint policy")
    return Decision(False, reason="VPC endpoint policy") if naming is _NOT else None


def _unless_public(naming: Naming, question: Access) -> Naming:
    """RestrictPublicBuckets: a public policy admits nobody outside the owner's account."""
    public = bool(question.resource_policy) and policy_is_public(question.resource_policy)
    return _NOT if public else naming


def _denied(source: Source) -> Decision:
    return Decision(False, explicit_deny=True, reason=source)


def _foreign(question: Access, acl: AclGrants) -> bool:
    """Whether the object belongs to somebody else than its bucket, whose policies then cannot allow anything."""
    return bool(question.resource_account) and acl.owner_id != canonical_id(question.resource_account)


def _without_identity(principal: Principal, question: Access, naming: Naming) -> Decision:
    """Services and anonymous callers: only the resource's side can admit them."""
    acl = question.acl
    if naming is not _NOT and not (acl is not None and _foreign(question, acl)):
        return _ALLOWED[_resource_side(question)]
    if acl is not None and admits_group(acl, principal):
        return _BY_ACL
    return Decision(False, reason="resource-based policy")


def _with_identity(facts: Facts, own: bool, naming: Naming) -> Decision:
    """Callers with policies of their own: the identity's side, then how it joins with the resource's."""
    principal, identity, question = facts.principal, facts.identity, facts.question
    granted = _ALLOW if principal.type == "Root" else _weigh(identity.policies, facts)
    if granted is _DENY:
        return _denied("identity-based policy")
    bounded = _weigh((identity.boundary,), facts) if identity.boundary else _ALLOW
    if bounded is _DENY:
        return _denied("permissions boundary")
    narrowed = _session(facts)
    if narrowed is _DENY:
        return _denied("session policy")
    within = bounded is _ALLOW and narrowed is _ALLOW
    effective = within and granted is _ALLOW
    if question.unless_denied:
        return _NOT_DENIED
    source = _allowed_by(question, own, naming, effective, within)
    if source:
        return _ALLOWED[source]
    if question.acl is not None and _by_acl(question.acl, principal, own, effective, within):
        return _BY_ACL
    if naming is _NOT and question.trust and _resource_side(question) != "role trust policy":
        return Decision(False, reason="resource-based policy")
    return Decision(False, reason=_missing(granted, bounded, narrowed, question.trust))


def _weigh(texts: tuple[str, ...], facts: Facts) -> Verdict:
    """The strongest word of several policies."""
    question = facts.question
    best = _SILENT
    for text in texts:
        verdict = compile_policy(text).verdict(question.action, question.resource, facts)
        if verdict is _DENY:
            return verdict
        if verdict is _ALLOW:
            best = verdict
    return best


def _session(facts: Facts) -> Verdict:
    """What the session's policies leave. A federated user without any has nothing; other sessions have everything."""
    session = facts.principal.session
    if session is not None and session.policies:
        return _weigh(session.policies, facts)
    return _SILENT if facts.principal.type == "FederatedUser" else _ALLOW


def _allowed_by(question: Access, own: bool, naming: Naming, effective: bool, within: bool) -> Source:
    """Which policy allows it; empty if none does. `effective`: the identity's side allows; `within`: its limits do."""
    if question.acl is not None and _foreign(question, question.acl):
        return ""
    if effective and own and not question.trust:
        return "identity-based policy"
    named = naming is Naming.ITSELF or (naming is Naming.ROLE and within)
    if (own and named) or (effective and naming is not _NOT):
        return _resource_side(question)
    return ""


def _by_acl(acl: AclGrants, principal: Principal, own: bool, effective: bool, within: bool) -> bool:
    """A list names accounts, whose identity policies decide further; its groups also admit the owner's own users."""
    if effective:
        return admits_account(acl, principal) or admits_group(acl, principal)
    return own and within and admits_group(acl, principal)


def _resource_side(question: Access) -> Source:
    """What AWS calls the resource's policy: only a role's is a trust policy, a key's is not."""
    return "role trust policy" if question.trust and question.action.startswith("sts:") else "resource-based policy"


def _missing(granted: Verdict, bounded: Verdict, narrowed: Verdict, trust: bool) -> Source:
    """What would have had to allow it, the first in AWS's order."""
    if granted is not _ALLOW:
        return "identity-based policy"
    if bounded is not _ALLOW:
        return "permissions boundary"
    if narrowed is not _ALLOW:
        return "session policy"
    return "role trust policy" if trust else "resource-based policy"
