"""Access control lists."""

from __future__ import annotations

import pytest

from opentrail.access.acl import (
    ALL_USERS,
    AUTHENTICATED_USERS,
    LOG_DELIVERY,
    admits_account,
    admits_group,
    canned_grants,
    canonical_id,
    is_public,
)
from opentrail.call import ANONYMOUS, AclGrants, Principal
from opentrail.errors import AwsError
from tests.access.world import AWAY, HOME, SERVICE, STRANGER, USER

ME, YOU = canonical_id(HOME), canonical_id(AWAY)


def test_canonical_ids_are_stable_and_distinct():
    assert len(ME) == 64
    assert ME != YOU
    assert canonical_id("000000000000") == canonical_id("000000000000")


@pytest.mark.parametrize(
    ("name", "grants"),
    [
        ("private", []),
        ("public-read", [(ALL_USERS, "READ")]),
        ("public-read-write", [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")]),
        ("authenticated-read", [(AUTHENTICATED_USERS, "READ")]),
        ("bucket-owner-read", [(YOU, "READ")]),
        ("bucket-owner-full-control", [(YOU, "FULL_CONTROL")]),
        ("log-delivery-write", [(LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")]),
    ],
)
def test_canned(name, grants):
    assert canned_grants(name, ME, YOU) == ((ME, "FULL_CONTROL"), *grants)


def test_bucket_owner_lists_add_nothing_to_the_owners_own():
    assert canned_grants("bucket-owner-full-control", ME, ME) == ((ME, "FULL_CONTROL"),)
    assert canned_grants("bucket-owner-read", ME) == ((ME, "FULL_CONTROL"),)


def test_unknown_canned():
    with pytest.raises(AwsError) as caught:
        canned_grants("Public-Read", ME)
    assert (caught.value.code, caught.value.status) == ("InvalidArgument", 400)


def test_public():
    assert is_public(canned_grants("public-read", ME))
    assert is_public(canned_grants("authenticated-read", ME))
    assert not is_public(canned_grants("log-delivery-write", ME))


def acl(*grants, permission="READ"):
    return AclGrants(ME, grants, permission)


@pytest.mark.parametrize(
    ("grants", "caller", "account", "group"),
    [
        ([(YOU, "READ")], STRANGER, True, False),
        ([(YOU, "FULL_CONTROL")], STRANGER, True, False),
        ([(YOU, "WRITE")], STRANGER, False, False),
        ([(ME, "READ")], STRANGER, False, False),
        ([(ALL_USERS, "READ")], STRANGER, False, True),
        ([(ALL_USERS, "READ")], ANONYMOUS, False, True),
        ([(AUTHENTICATED_USERS, "READ")], ANONYMOUS, False, False),
        ([(AUTHENTICATED_USERS, "READ")], STRANGER, False, True),
        ([(canonical_id("anonymous"), "READ")], ANONYMOUS, False, False),
        ([(LOG_DELIVERY, "READ")], SERVICE, False, False),
        ([(LOG_DELIVERY, "READ")], Principal("AWSService", "", invoked_by="logging.s3.amazonaws.com"), False, True),
        ([(LOG_DELIVERY, "READ")], USER, False, False),
        ([(AUTHENTICATED_USERS, "READ")], SERVICE, False, False),
    ],
)
def test_admission(grants, caller, account, group):
    assert admits_account(acl(*grants), caller) is account
    assert admits_group(acl(*grants), caller) is group


def test_the_owner_may_always_see_and_change_the_list():
    assert admits_account(acl(permission="WRITE_ACP"), USER)
    assert admits_account(acl(permission="READ_ACP"), USER)
    assert not admits_account(acl(permission="READ"), USER)
    assert not admits_account(acl(permission="READ_ACP"), STRANGER)
