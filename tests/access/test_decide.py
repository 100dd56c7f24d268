"""The permission check: AWS's documented evaluation logic as tables."""

from __future__ import annotations

import pytest

from opentrail.access.acl import ALL_USERS, AUTHENTICATED_USERS, canonical_id
from opentrail.access.decide import NO_IDENTITY, Decision, Identity, decide
from opentrail.access.refusal import refusal
from opentrail.call import ANONYMOUS, Access, AclGrants
from tests.access.world import (
    AWAY,
    BUCKET,
    HOME,
    OBJECT,
    ROLE_ARN,
    ROOT,
    SERVICE,
    SESSION_ARN,
    STRANGE_ROOT,
    STRANGER,
    USER,
    USER_ARN,
    allow,
    deny,
    federated,
    named,
    policy,
    role_session,
)

ALL = Identity((policy(allow("*")),))
DENIED = Identity((policy(allow("*")), policy(deny("s3:GetObject"))))
ACCOUNT_ROOT = f"arn:aws:iam::{HOME}:root"


def ask(principal, identity=NO_IDENTITY, resource_policy="", **question) -> Decision:
    access = Access("s3:GetObject", OBJECT, HOME, resource_policy, **question)
    return decide(principal, identity, access, {})


def opened(*arns, **more):
    return policy(allow(resource=f"{BUCKET}/*", **more) | named(*arns))


def closed(*arns, **more):
    return policy(deny(resource=f"{BUCKET}/*", **more) | named(*arns))


SAME_ACCOUNT = [
    ("nothing", USER, NO_IDENTITY, "", False),
    ("root owns", ROOT, NO_IDENTITY, "", True),
    ("identity", USER, ALL, "", True),
    ("identity denies", USER, DENIED, "", False),
    ("resource names the user", USER, NO_IDENTITY, opened(USER_ARN), True),
    ("resource names the user by id", USER, NO_IDENTITY, opened(USER.principal_id), True),
    ("resource names another user", USER, NO_IDENTITY, opened(USER_ARN + "2"), False),
    ("resource names the account", USER, NO_IDENTITY, opened(ACCOUNT_ROOT), False),
    ("resource names the account, identity allows", USER, ALL, opened(HOME), True),
    ("resource names everybody", USER, NO_IDENTITY, opened("*"), True),
    ("resource allows, identity denies", USER, DENIED, opened(USER_ARN), False),
    ("resource denies the user", USER, ALL, closed(USER_ARN), False),
    ("resource denies the account", USER, ALL, closed(ACCOUNT_ROOT), False),
    ("resource denies others", USER, ALL, closed(ROLE_ARN), True),
    ("resource denies root", ROOT, NO_IDENTITY, closed("*"), False),
    ("resource is silent on root", ROOT, NO_IDENTITY, opened(USER_ARN), True),
    ("role", role_session(), ALL, "", True),
    ("role without policies", role_session(), NO_IDENTITY, "", False),
    ("resource names the role", role_session(), NO_IDENTITY, opened(ROLE_ARN), True),
    ("resource names the session", role_session(), NO_IDENTITY, opened(SESSION_ARN), True),
    ("resource names another session", role_session(), NO_IDENTITY, opened(SESSION_ARN + "2"), False),
    ("resource denies the role", role_session(), ALL, closed(ROLE_ARN), False),
]


@pytest.mark.parametrize(("_what", "who", "identity", "resource_policy", "allowed"), SAME_ACCOUNT)
def test_within_an_account(_what, who, identity, resource_policy, allowed):
    assert ask(who, identity, resource_policy).allowed is allowed


NARROW = policy(allow("s3:PutObject"))
WIDE = policy(allow("s3:*"))
SHUT = policy(allow("s3:*"), deny("s3:GetObject"))

LIMITS = [
    ("boundary allows", USER, Identity(ALL.policies, WIDE), "", True),
    ("boundary is silent", USER, Identity(ALL.policies, NARROW), "", False),
    ("boundary alone grants nothing", USER, Identity((), WIDE), "", False),
    ("boundary denies", USER, Identity(ALL.policies, SHUT), opened(USER_ARN), False),
    ("silent boundary, resource names the user", USER, Identity((), NARROW), opened(USER_ARN), True),
    ("silent boundary, resource names the role", role_session(), Identity((), NARROW), opened(ROLE_ARN), False),
    ("silent boundary, resource names everybody", role_session(), Identity((), NARROW), opened("*"), False),
    ("silent boundary, resource names the session", role_session(), Identity((), NARROW), opened(SESSION_ARN), True),
    ("session allows", role_session(WIDE), ALL, "", True),
    ("session is silent", role_session(NARROW), ALL, "", False),
    ("sessions are a union", role_session(NARROW, WIDE), ALL, "", True),
    ("session grants nothing alone", role_session(WIDE), NO_IDENTITY, "", False),
    ("session denies", role_session(SHUT), ALL, opened(SESSION_ARN), False),
    ("silent session, resource names the role", role_session(NARROW), ALL, opened(ROLE_ARN), False),
    ("silent session, resource names the session", role_session(NARROW), ALL, opened(SESSION_ARN), True),
    ("federated without session policy", federated(), ALL, "", False),
    ("federated with", federated(WIDE), ALL, "", True),
    ("federated, user has nothing", federated(WIDE), NO_IDENTITY, "", False),
    ("federated named", federated(), ALL, opened(f"arn:aws:sts::{HOME}:federated-user/bob"), True),
    ("federated, user named, within session", federated(WIDE), NO_IDENTITY, opened(USER_ARN), True),
    ("federated, user named, outside session", federated(NARROW), NO_IDENTITY, opened(USER_ARN), False),
]


@pytest.mark.parametrize(("_what", "who", "identity", "resource_policy", "allowed"), LIMITS)
def test_boundaries_and_sessions(_what, who, identity, resource_policy, allowed):
    assert ask(who, identity, resource_policy).allowed is allowed


ACROSS = [
    ("identity alone", STRANGER, ALL, "", False),
    ("resource alone", STRANGER, NO_IDENTITY, opened(STRANGER.arn), False),
    ("both, by user", STRANGER, ALL, opened(STRANGER.arn), True),
    ("both, by account", STRANGER, ALL, opened(AWAY), True),
    ("both, by everybody", STRANGER, ALL, opened("*"), True),
    ("everybody, no identity", STRANGER, NO_IDENTITY, opened("*"), False),
    ("foreign root alone", STRANGE_ROOT, NO_IDENTITY, "", False),
    ("foreign root named by account", STRANGE_ROOT, NO_IDENTITY, opened(AWAY), True),
    ("resource names somebody else", STRANGER, ALL, opened(HOME), False),
    ("resource denies", STRANGER, ALL, policy(allow() | named("*"), deny() | named(STRANGER.arn)), False),
    ("session named, no identity", role_session(account=AWAY), NO_IDENTITY, opened(SESSION_ARN), False),
    ("same role name in another account", role_session(account=AWAY), ALL, opened(ROLE_ARN), False),
]


@pytest.mark.parametrize(("_what", "who", "identity", "resource_policy", "allowed"), ACROSS)
def test_across_accounts(_what, who, identity, resource_policy, allowed):
    assert ask(who, identity, resource_policy).allowed is allowed


def service_policy(name, **more):
    return policy(allow(resource=f"{BUCKET}/*", Principal={"Service": name}, **more))


ONLY_FROM = {"StringEquals": {"aws:SourceArn": "arn:aws:cloudtrail:us-east-1:1:trail/t"}}


def test_services_need_the_resources_policy():
    assert not ask(SERVICE).allowed
    assert not ask(SERVICE, ALL).allowed
    assert ask(SERVICE, NO_IDENTITY, service_policy("cloudtrail.amazonaws.com")).allowed
    assert not ask(SERVICE, NO_IDENTITY, service_policy("events.amazonaws.com")).allowed
    assert not ask(SERVICE, NO_IDENTITY, opened("*")).allowed
    assert not ask(USER, NO_IDENTITY, service_policy("cloudtrail.amazonaws.com")).allowed
    conditional = service_policy("cloudtrail.amazonaws.com", Condition=ONLY_FROM)
    assert not ask(SERVICE, NO_IDENTITY, conditional).allowed
    context = {"aws:sourcearn": ("arn:aws:cloudtrail:us-east-1:1:trail/t",)}
    assert ask(SERVICE, NO_IDENTITY, conditional, context=context).allowed


def test_anonymous_callers():
    assert not ask(ANONYMOUS).allowed
    assert not ask(ANONYMOUS, ALL).allowed
    assert ask(ANONYMOUS, NO_IDENTITY, opened("*")).allowed
    assert ask(ANONYMOUS, NO_IDENTITY, policy(allow(Principal="*"))).allowed
    assert not ask(ANONYMOUS, NO_IDENTITY, opened(HOME)).allowed
    assert not ask(ANONYMOUS, NO_IDENTITY, opened("*"), restrict_public=True).allowed


def test_root_may_repair_its_bucket_policy():
    for action, allowed in (("s3:GetBucketPolicy", True), ("s3:PutBucketPolicy", True), ("s3:ListBucket", False)):
        question = Access(action, BUCKET, HOME, policy(deny(Principal="*")))
        assert decide(ROOT, NO_IDENTITY, question, {}).allowed is allowed
        assert not decide(USER, ALL, question, {}).allowed


def test_restrict_public_spares_the_owners_account_and_fixed_policies():
    assert ask(USER, NO_IDENTITY, opened("*"), restrict_public=True).allowed
    assert not ask(STRANGER, ALL, opened("*"), restrict_public=True).allowed
    assert ask(STRANGER, ALL, opened(AWAY), restrict_public=True).allowed
    both = policy(allow() | named("*"), allow() | named(AWAY))
    assert not ask(STRANGER, ALL, both, restrict_public=True).allowed


NOT_PRINCIPAL = [
    (USER, (USER_ARN, ACCOUNT_ROOT), True),
    (USER, (USER_ARN,), False),
    (USER, (ACCOUNT_ROOT,), False),
    (ROOT, (ACCOUNT_ROOT,), True),
    (role_session(), (ROLE_ARN, ACCOUNT_ROOT), False),
    (role_session(), (ROLE_ARN, SESSION_ARN, ACCOUNT_ROOT), True),
]


@pytest.mark.parametrize(("who", "spared", "allowed"), NOT_PRINCIPAL)
def test_deny_with_not_principal_spares_only_who_is_listed_wholly(who, spared, allowed):
    text = policy(deny(NotPrincipal={"AWS": list(spared)}))
    assert ask(who, ALL, text).allowed is allowed
    assert not ask(ANONYMOUS, ALL, policy(allow(Principal="*"), deny(NotPrincipal={"AWS": USER_ARN}))).allowed


TRUST = [
    ("nobody named", USER, ALL, [ROLE_ARN], False),
    ("user named", USER, NO_IDENTITY, [USER_ARN], True),
    ("account named", USER, NO_IDENTITY, [HOME], False),
    ("account named, identity allows", USER, ALL, [HOME], True),
    ("user named, identity denies", USER, Identity((policy(deny("sts:*")),)), [USER_ARN], False),
    ("foreign user named", STRANGER, NO_IDENTITY, [STRANGER.arn], False),
    ("foreign user named, identity allows", STRANGER, ALL, [STRANGER.arn], True),
    ("role named", role_session(), NO_IDENTITY, [ROLE_ARN], True),
    ("anonymous", ANONYMOUS, NO_IDENTITY, [HOME], False),
]


@pytest.mark.parametrize(("_what", "who", "identity", "trusted", "allowed"), TRUST)
def test_trust_policies(_what, who, identity, trusted, allowed):
    text = policy({"Effect": "Allow", "Action": "sts:AssumeRole"} | named(*trusted))
    question = Access("sts:AssumeRole", ROLE_ARN, HOME, text, trust=True)
    assert decide(who, identity, question, {}).allowed is allowed


def test_a_service_is_trusted_by_name():
    text = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "cloudtrail.amazonaws.com"}})
    question = Access("sts:AssumeRole", ROLE_ARN, HOME, text, trust=True)
    assert decide(SERVICE, NO_IDENTITY, question, {}).allowed
    assert not decide(USER, ALL, question, {}).allowed


ME, YOU = canonical_id(HOME), canonical_id(AWAY)
PUBLIC, MEMBERS, YOURS = (ALL_USERS, "READ"), (AUTHENTICATED_USERS, "READ"), (YOU, "READ")
MINE = (ME, "FULL_CONTROL")

ACLS = [
    ("owner's root", ROOT, NO_IDENTITY, ME, [MINE], True, False),
    ("owner's user with policy", USER, ALL, ME, [MINE], True, False),
    ("owner's user without", USER, NO_IDENTITY, ME, [MINE], False, False),
    ("owner's user, public", USER, NO_IDENTITY, ME, [PUBLIC], True, True),
    ("anonymous, public", ANONYMOUS, NO_IDENTITY, ME, [PUBLIC], True, True),
    ("anonymous, members", ANONYMOUS, NO_IDENTITY, ME, [MEMBERS], False, False),
    ("stranger, members", STRANGER, ALL, ME, [MEMBERS], True, True),
    ("stranger, granted", STRANGER, ALL, ME, [YOURS], True, True),
    ("stranger, granted, no identity", STRANGER, NO_IDENTITY, ME, [YOURS], False, False),
    ("stranger, identity denies", STRANGER, DENIED, ME, [PUBLIC], False, False),
    ("foreign root, granted", STRANGE_ROOT, NO_IDENTITY, ME, [YOURS], True, True),
    ("foreign object, bucket owner", ROOT, NO_IDENTITY, YOU, [(YOU, "FULL_CONTROL")], False, False),
    ("foreign object, bucket owner's user", USER, ALL, YOU, [(YOU, "FULL_CONTROL")], False, False),
    ("foreign object, granted to bucket owner", USER, ALL, YOU, [(ME, "READ")], True, True),
    ("foreign object, its owner", STRANGER, ALL, YOU, [(YOU, "FULL_CONTROL")], True, True),
]


@pytest.mark.parametrize(("_what", "who", "identity", "owner", "grants", "allowed", "by_acl"), ACLS)
def test_access_control_lists(_what, who, identity, owner, grants, allowed, by_acl):
    decision = ask(who, identity, acl=AclGrants(owner, tuple(grants), "READ"))
    assert (decision.allowed, decision.by_acl) == (allowed, by_acl)


def test_a_bucket_policy_allows_nothing_on_foreign_objects_but_may_deny():
    foreign = AclGrants(YOU, ((YOU, "FULL_CONTROL"), PUBLIC), "READ")
    assert ask(ANONYMOUS, NO_IDENTITY, opened("*"), acl=foreign).by_acl
    assert not ask(ANONYMOUS, NO_IDENTITY, closed("*"), acl=foreign).allowed
    hidden = AclGrants(YOU, ((YOU, "FULL_CONTROL"),), "READ")
    assert not ask(ANONYMOUS, NO_IDENTITY, opened("*"), acl=hidden).allowed
    assert not ask(USER, ALL, opened(USER_ARN), acl=hidden).allowed


def test_principal_tags_session_before_identity():
    text = policy(allow(Condition={"StringEquals": {"aws:PrincipalTag/Team": "blue"}}))
    assert ask(USER, Identity((text,), tags=(("team", "blue"),))).allowed
    assert not ask(USER, Identity((text,))).allowed
    session = role_session(tags=(("Team", "red"),))
    assert not ask(session, Identity((text,), tags=(("Team", "blue"),))).allowed


def test_resource_account_key():
    text = policy(allow(Condition={"StringEquals": {"aws:ResourceAccount": HOME}}))
    assert ask(USER, Identity((text,))).allowed


REFUSALS = [
    (
        Access("s3:PutObject", OBJECT, HOME),
        USER,
        NO_IDENTITY,
        f'User: {USER_ARN} is not authorized to perform: s3:PutObject on resource: "{OBJECT}" '
        "because no identity-based policy allows the s3:PutObject action",
    ),
    (
        Access("iam:CreateUser", f"arn:aws:iam::{HOME}:user/bob", HOME),
        USER,
        Identity((policy(deny("iam:*")),)),
        f"User: {USER_ARN} is not authorized to perform: iam:CreateUser on resource: arn:aws:iam::{HOME}:user/bob "
        "with an explicit deny in an identity-based policy",
    ),
    (
        Access("s3:GetObject", OBJECT, HOME, closed("*")),
        USER,
        ALL,
        f'User: {USER_ARN} is not authorized to perform: s3:GetObject on resource: "{OBJECT}" '
        "with an explicit deny in a resource-based policy",
    ),
    (
        Access("s3:ListAllMyBuckets", "*", HOME),
        role_session(NARROW),
        ALL,
        f"User: {SESSION_ARN} is not authorized to perform: s3:ListAllMyBuckets "
        "because no session policy allows the s3:ListAllMyBuckets action",
    ),
    (
        Access("sts:AssumeRole", ROLE_ARN, HOME, policy(), trust=True),
        USER,
        ALL,
        f"User: {USER_ARN} is not authorized to perform: sts:AssumeRole on resource: {ROLE_ARN}",
    ),
    (Access("s3:GetObject", OBJECT, HOME), STRANGER, ALL, "Access Denied"),
    (Access("s3:GetObject", OBJECT, HOME), ANONYMOUS, NO_IDENTITY, "Access Denied"),
    (
        Access("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{HOME}:q", HOME),
        STRANGER,
        ALL,
        f"User: {STRANGER.arn} is not authorized to perform: sqs:SendMessage on resource: "
        f"arn:aws:sqs:us-east-1:{HOME}:q because no resource-based policy allows the sqs:SendMessage action",
    ),
]


@pytest.mark.parametrize(("question", "who", "identity", "message"), REFUSALS)
def test_refusals_in_aws_words(question, who, identity, message):
    if question.trust:
        question = Access(question.action, question.resource, HOME, opened(ROLE_ARN), trust=True)
    decision = decide(who, identity, question, {})
    assert not decision.allowed
    assert refusal(decision, who, question).message == message


@pytest.mark.parametrize(
    ("action", "code", "status"),
    [
        ("s3:GetObject", "AccessDenied", 403),
        ("iam:GetUser", "AccessDenied", 403),
        ("sns:Publish", "AuthorizationError", 403),
        ("cloudtrail:CreateTrail", "AccessDeniedException", 400),
        ("codepipeline:GetPipeline", "AccessDeniedException", 400),
    ],
)
def test_refusal_codes(action, code, status):
    error = refusal(Decision(False), USER, Access(action, "*"))
    assert (error.code, error.status) == (code, status)


def test_a_question_that_only_a_denial_answers_with_no():
    session = role_session()
    assert ask(session, NO_IDENTITY, unless_denied=True).allowed
    assert not ask(session, DENIED, unless_denied=True).allowed
    assert not ask(session, ALL, closed("*"), unless_denied=True).allowed
    assert not ask(session, NO_IDENTITY).allowed
