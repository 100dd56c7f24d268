"""userIdentity for every kind of principal."""

from __future__ import annotations

import dataclasses
import json

from opentrail.call import ANONYMOUS, Issuer, Principal, Session
from opentrail.record.identity import encoded_identity, foreign_identity, iso_second, user_identity
from tests.record.made import ACCOUNT, ALICE, CLOUDTRAIL, DEPLOYER, ISSUER


def test_the_root_user_is_known_by_the_account():
    root = Principal("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, access_key_id="AKIAROOTROOTROOTROOT")
    assert user_identity(root) == {
        "type": "Root",
        "principalId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:root",
        "accountId": ACCOUNT,
        "accessKeyId": "AKIAROOTROOTROOTROOT",
    }


def test_a_user_with_permanent_keys_has_no_session():
    assert list(user_identity(ALICE)) == ["type", "principalId", "arn", "accountId", "accessKeyId", "userName"]


def test_a_user_with_temporary_keys_has_a_session_without_issuer():
    issuer = Issuer("IAMUser", ALICE.principal_id, ALICE.arn, ACCOUNT, "alice")
    session = Session(issuer, 1_699_999_000, 1_700_003_000, mfa_authenticated=True)
    shown = user_identity(dataclasses.replace(ALICE, access_key_id="ASIATEMPTEMPTEMPTEMP", session=session))
    assert shown["sessionContext"] == {
        "attributes": {"creationDate": "2023-11-14T21:56:40Z", "mfaAuthenticated": "true"}
    }
    assert shown["userName"] == "alice"


def test_a_role_session_names_its_role():
    shown = user_identity(dataclasses.replace(DEPLOYER, user_name="deployer"))
    assert list(shown) == ["type", "principalId", "arn", "accountId", "accessKeyId", "sessionContext"]
    assert shown["sessionContext"] == {
        "sessionIssuer": {
            "type": "Role",
            "principalId": "AROAROLEROLEROLEROLE0",
            "arn": f"arn:aws:iam::{ACCOUNT}:role/ci/deployer",
            "accountId": ACCOUNT,
            "userName": "deployer",
        },
        "attributes": {"creationDate": "2023-11-14T21:56:40Z", "mfaAuthenticated": "false"},
    }


def test_a_source_identity_stands_beside_the_attributes():
    session = Session(ISSUER, 0, 3600, source_identity="bob")
    shown = user_identity(dataclasses.replace(DEPLOYER, session=session))
    assert shown["sessionContext"]["sourceIdentity"] == "bob"


def test_a_federated_user_names_who_federated_it():
    issuer = Issuer("IAMUser", ALICE.principal_id, ALICE.arn, ACCOUNT, "alice")
    guest = Principal(
        "FederatedUser",
        ACCOUNT,
        f"arn:aws:sts::{ACCOUNT}:federated-user/guest",
        f"{ACCOUNT}:guest",
        access_key_id="ASIAGUESTGUESTGUESTG",
        session=Session(issuer, 0, 3600),
    )
    shown = user_identity(guest)
    assert shown["principalId"] == f"{ACCOUNT}:guest"
    assert shown["sessionContext"]["sessionIssuer"]["type"] == "IAMUser"
    assert "userName" not in shown


def test_services_and_the_unknown():
    assert user_identity(CLOUDTRAIL) == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    assert user_identity(ANONYMOUS) == {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}


def test_a_session_used_by_a_service_says_so_last():
    shown = user_identity(dataclasses.replace(DEPLOYER, invoked_by="events.amazonaws.com", access_key_id=""))
    assert list(shown)[-1] == "invokedBy"
    assert "accessKeyId" not in shown


def test_another_account_sees_no_name_arn_or_key():
    assert foreign_identity(DEPLOYER) == {
        "type": "AWSAccount",
        "principalId": "AROAROLEROLEROLEROLE0:build-7",
        "accountId": ACCOUNT,
    }


def test_encoded_once_and_kept():
    assert json.loads(bytes(encoded_identity(ALICE))) == user_identity(ALICE)
    assert encoded_identity(ALICE) is encoded_identity(ALICE)
    assert encoded_identity(dataclasses.replace(ALICE)) == encoded_identity(ALICE)


def test_names_that_are_no_text_are_still_json():
    broken = dataclasses.replace(ALICE, user_name="al\ud800ice")
    assert json.loads(bytes(encoded_identity(broken)))["userName"] == "al?ice"


def test_times_that_no_calendar_has():
    assert iso_second(10**18) == iso_second(-(10**18)) == "1970-01-01T00:00:00Z"
