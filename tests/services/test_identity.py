"""Keys, tokens, identities and accounts, as the gate finds them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as alter

from opentrail.access.acl import canonical_id
from opentrail.access.decide import NO_IDENTITY
from opentrail.call import Issuer, Principal, Session
from opentrail.errors import AwsError
from opentrail.rows.iam import (
    ACCESS_KEYS,
    GROUPS,
    POLICIES,
    ROLES,
    USERS,
    Group,
    ManagedPolicy,
    Role,
    User,
    account_of_canonical_id,
    account_of_email,
    account_of_key_id,
    new_key_id,
)
from opentrail.services.accounts import create_account, create_key, ensure_root
from opentrail.services.identity import DENY_ALL, find_credentials, identity_of, issue_token
from opentrail.settings import Settings
from tests.fakes.house import NOW, FakeClock, build_house, commit, new_unit

HOME = "000000000000"


def user(**more):
    return User("AIDA1", HOME, "Alice", "/", NOW, **more)


@pytest.fixture
def house():
    return build_house()


async def saved(house, *rows):
    """Commit rows under their natural keys."""
    tables = {User: USERS, Group: GROUPS, Role: ROLES, ManagedPolicy: POLICIES}
    unit = new_unit(house)
    for row in rows:
        tables[type(row)].put(unit, row, row.account_id, row.name.lower())
    await commit(unit)


async def rooted(house, **settings):
    unit = new_unit(house)
    found = ensure_root(unit, Settings(**settings))
    await commit(unit)
    return found


async def test_root_is_made_once_and_found_again(house):
    key_id, secret, created = await rooted(house)
    assert created
    assert (len(key_id), len(secret)) == (20, 40)
    assert await rooted(house) == (key_id, secret, False)
    found = find_credentials(new_unit(house), key_id, "")
    assert found.secret == secret
    assert found.principal == Principal("Root", HOME, f"arn:aws:iam::{HOME}:root", HOME, "", key_id)
    assert identity_of(new_unit(house), found.principal) is NO_IDENTITY


async def test_the_settings_key_wins(house):
    wanted = {"root_access_key_id": "AKIAIOSFODNN7EXAMPLE", "root_secret_access_key": "one"}
    assert await rooted(house, **wanted) == ("AKIAIOSFODNN7EXAMPLE", "one", True)
    assert await rooted(house, **wanted) == ("AKIAIOSFODNN7EXAMPLE", "one", False)
    wanted["root_secret_access_key"] = "two"
    assert await rooted(house, **wanted) == ("AKIAIOSFODNN7EXAMPLE", "two", False)
    assert find_credentials(new_unit(house), "AKIAIOSFODNN7EXAMPLE", "").secret == "two"


async def test_secrets_lie_sealed(house):
    await rooted(house, root_access_key_id="AKIAIOSFODNN7EXAMPLE", root_secret_access_key="verysecret")
    assert not any(b"verysecret" in row.value for row in house.ledger.rows.values())


@pytest.mark.parametrize("key_id", ["", "AKIANOBODY", "x" * 5000, "\x00", "\ud800", "AKIA\x00x"])
def test_unknown_keys(house, key_id):
    with pytest.raises(AwsError) as caught:
        find_credentials(new_unit(house), key_id, "", s3=True)
    assert (caught.value.code, caught.value.status) == ("InvalidAccessKeyId", 403)
    with pytest.raises(AwsError) as caught:
        find_credentials(new_unit(house), key_id, "")
    assert (caught.value.code, caught.value.status) == ("InvalidClientTokenId", 403)


async def key_of(house, row):
    unit = new_unit(house)
    key_id, _secret = create_key(unit, HOME, row.name)
    await commit(unit)
    return key_id


async def test_a_user_key_follows_its_user(house):
    await saved(house, user())
    key_id = await key_of(house, user())
    unit = new_unit(house)
    found = find_credentials(unit, key_id, "")
    assert found.principal == Principal("IAMUser", HOME, f"arn:aws:iam::{HOME}:user/Alice", "AIDA1", "Alice", key_id)
    assert find_credentials(unit, key_id, "") is found
    await saved(house, alter(user(), path="/team/"))
    assert find_credentials(new_unit(house), key_id, "").principal.arn == f"arn:aws:iam::{HOME}:user/team/Alice"
    unit = new_unit(house)
    ACCESS_KEYS.put(unit, alter(ACCESS_KEYS.get(unit, key_id), active=False), key_id)
    await commit(unit)
    with pytest.raises(AwsError):
        find_credentials(new_unit(house), key_id, "")


async def test_a_key_whose_user_is_gone(house):
    await saved(house, user())
    key_id = await key_of(house, user())
    unit = new_unit(house)
    USERS.delete(unit, HOME, "alice")
    await commit(unit)
    with pytest.raises(AwsError):
        find_credentials(new_unit(house), key_id, "")


ROLE = Role("AROA1", HOME, "reader", "/", NOW, "{}")


def session_of_role(role=ROLE, expires=NOW + 3600):
    issuer = Issuer("Role", role.id, role.arn, HOME, role.name)
    session = Session(issuer, int(NOW), int(expires))
    return Principal(
        "AssumedRole", HOME, f"arn:aws:sts::{HOME}:assumed-role/reader/s", f"{role.id}:s", "", "ASIA1", session
    )


async def test_tokens_carry_the_principal(house):
    await saved(house, ROLE)
    unit = new_unit(house)
    principal = session_of_role()
    token = issue_token(unit, principal, "hush")
    for _ in range(2):
        found = find_credentials(unit, "ASIA1", token)
        assert (found.secret, found.principal) == ("hush", principal)
    assert not house.ledger.lines


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda token: token[:-8] + "AAAAAAA=", "InvalidToken"),
        (lambda token: "A" + token[1:], "InvalidToken"),
        (lambda token: token + "!", "InvalidToken"),
        (lambda token: "x", "InvalidToken"),
        (lambda token: "é", "InvalidToken"),
        (lambda token: "A" * 20_000, "InvalidToken"),
        (lambda token: token[:24], "InvalidToken"),
    ],
)
async def test_tampered_tokens(house, change, code):
    await saved(house, ROLE)
    unit = new_unit(house)
    token = change(issue_token(unit, session_of_role(), "hush"))
    with pytest.raises(AwsError) as caught:
        find_credentials(unit, "ASIA1", token, s3=True)
    assert (caught.value.code, caught.value.status) == (code, 400)
    with pytest.raises(AwsError) as caught:
        find_credentials(unit, "ASIA1", token)
    assert caught.value.code == "InvalidClientTokenId"


async def test_a_token_of_another_kind_another_key_another_house(house):
    await saved(house, ROLE)
    unit = new_unit(house)
    token = issue_token(unit, session_of_role(), "hush")
    with pytest.raises(AwsError) as caught:
        find_credentials(unit, "ASIA2", token, s3=True)
    assert caught.value.code == "InvalidAccessKeyId"
    other = build_house()
    other.seal = type(other.seal)(b"\x01" * 32)
    with pytest.raises(AwsError) as caught:
        find_credentials(new_unit(other), "ASIA1", token, s3=True)
    assert caught.value.code == "InvalidToken"
    with pytest.raises(AwsError):
        find_credentials(unit, "ASIA1", "")


async def test_expired_tokens(house):
    await saved(house, ROLE)
    token = issue_token(new_unit(house), session_of_role(), "hush")
    clock: FakeClock = house.clock
    clock.time = NOW + 3599
    assert find_credentials(new_unit(house), "ASIA1", token)
    clock.time = NOW + 3600
    with pytest.raises(AwsError) as caught:
        find_credentials(new_unit(house), "ASIA1", token)
    assert (caught.value.code, caught.value.status) == ("ExpiredToken", 400)


async def test_a_recreated_role_does_not_revive_old_sessions(house):
    await saved(house, alter(ROLE, id="AROA2", inline=(("p", "{}"),)))
    unit = new_unit(house)
    token = issue_token(unit, session_of_role(), "hush")
    with pytest.raises(AwsError):
        find_credentials(unit, "ASIA1", token)
    assert identity_of(unit, session_of_role()) is NO_IDENTITY


POLICY = ManagedPolicy("ANPA1", HOME, "Can", "/x/", NOW, NOW, "managed")


async def test_an_identity_is_gathered_from_all_its_rows(house):
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    group = Group("AGPA1", HOME, "Devs", "/", NOW, (("g", "group-inline"),), (admin,))
    alice = user(
        inline=(("i", "inline"),),
        attached=(POLICY.arn,),
        groups=("Devs", "Gone"),
        boundary=POLICY.arn,
        tags=(("team", "blue"),),
    )
    await saved(house, group, alice, POLICY)
    principal = Principal("IAMUser", HOME, alice.arn, alice.id, "Alice")
    found = identity_of(new_unit(house), principal)
    assert found.policies[:3] == ("inline", "managed", "group-inline")
    assert '"Action":["*"]' in found.policies[3]
    assert (found.boundary, found.tags) == ("managed", (("team", "blue"),))
    assert identity_of(new_unit(house), principal) is found
    await saved(house, alter(POLICY, document="changed"))
    assert identity_of(new_unit(house), principal).policies[1] == "changed"
    await saved(house, alter(group, inline=()))
    assert "group-inline" not in identity_of(new_unit(house), principal).policies


async def test_a_boundary_that_is_gone_denies(house):
    await saved(house, user(boundary=POLICY.arn))
    principal = Principal("IAMUser", HOME, user().arn, "AIDA1", "Alice")
    assert identity_of(new_unit(house), principal).boundary == DENY_ALL


async def test_an_arn_must_name_the_policy_exactly(house):
    await saved(house, POLICY, user(attached=(POLICY.arn.replace("/x/", "/y/"), POLICY.arn.replace(HOME, "1" * 12))))
    principal = Principal("IAMUser", HOME, user().arn, "AIDA1", "Alice")
    assert identity_of(new_unit(house), principal).policies == ()


async def test_federated_users(house):
    await saved(house, user(inline=(("i", "inline"),)))
    session = Session(Issuer("IAMUser", "AIDA1", user().arn, HOME, "Alice"), int(NOW), int(NOW) + 60)
    bob = Principal(
        "FederatedUser", HOME, f"arn:aws:sts::{HOME}:federated-user/bob", f"{HOME}:bob", "", "ASIA1", session
    )
    assert identity_of(new_unit(house), bob).policies == ("inline",)
    of_root = replace(bob, session=replace(session, issuer=Issuer("Root", HOME, "r", HOME)))
    assert '"Action":"*"' in identity_of(new_unit(house), of_root).policies[0]


async def test_accounts_and_the_names_that_lead_to_them(house):
    unit = new_unit(house)
    account = create_account(unit, "123456789012", "Photos", "Owner@Example.com")
    await commit(unit)
    unit = new_unit(house)
    assert account_of_canonical_id(unit, canonical_id("123456789012")) == account
    assert account_of_email(unit, "owner@example.COM") == account
    assert account_of_email(unit, "nobody@example.com") is None
    for account_id, email in (("123456789012", ""), ("123456789013", "owner@example.com")):
        with pytest.raises(AwsError, match="EntityAlreadyExists"):
            create_account(unit, account_id, "x", email)
    for account_id in ("", "12345678901", "1234567890123", "12345678901a", "١٢٣٤٥٦٧٨٩٠١٢"):
        with pytest.raises(AwsError, match="ValidationError"):
            create_account(unit, account_id, "x", "")


def test_key_ids_tell_their_account():
    clock = FakeClock()
    for account in ("000000000000", "123456789012", "999999999999"):
        key_id = new_key_id(clock, "ASIA", account)
        assert len(key_id) == 20
        assert account_of_key_id(key_id) == account
    assert new_key_id(clock, "AKIA", HOME) != new_key_id(clock, "AKIA", HOME)
    for bad in ("", "AKIA", "AKIA0000000000000000", "AKIA" + "é" * 16):
        assert account_of_key_id(bad) == ""
