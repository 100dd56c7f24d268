"""Who gets a record of a call between accounts, and what it tells whom: on a server with two, both logged by one trail."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from tests.clients.company import ACCOUNT, CLOUDTRAIL, OTHER, Company
from tests.clients.waiting import until

pytestmark = pytest.mark.slow
Record = dict[str, Any]


@pytest.fixture
def shop(company: Company) -> str:
    """A bucket of the management account whose objects the other account may do anything with; ACLs are in force."""
    name = f"shop-{uuid.uuid4().hex[:10]}"
    company.s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": OTHER},
        "Action": "s3:*Object*",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    company.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    return name


def copies(company: Company, answer: Record) -> tuple[Record, Record]:
    """The caller's copy and the owner's."""
    callers, owners = company.delivered(answer, OTHER), company.delivered(answer, ACCOUNT)
    assert (callers["recipientAccountId"], owners["recipientAccountId"]) == (OTHER, ACCOUNT)
    assert callers["sharedEventID"] == owners["sharedEventID"]
    assert len({callers["eventID"], owners["eventID"], callers["sharedEventID"]}) == 3
    return callers, owners


def test_caller_and_owner_get_a_copy_each(company: Company, shop: str) -> None:
    put = company.client("s3", company.other).put_object(Bucket=shop, Key="k", Body=b"x")
    callers, owners = copies(company, put)
    assert callers["userIdentity"]["type"] == "AssumedRole"
    assert owners["userIdentity"] == {
        "type": "AWSAccount",
        "principalId": callers["userIdentity"]["principalId"],
        "accountId": OTHER,
    }
    assert callers["resources"] == owners["resources"]
    assert callers["requestParameters"] == owners["requestParameters"]
    assert [each.get("accountId") for each in owners["resources"]] == [ACCOUNT, None]


def test_a_refused_caller_does_not_learn_whose_bucket_it_is(company: Company, shop: str) -> None:
    with pytest.raises(ClientError) as caught:
        company.client("s3", company.other).list_objects_v2(Bucket=shop)
    callers, owners = copies(company, caught.value.response)
    assert callers["errorCode"] == owners["errorCode"] == "AccessDenied"
    assert ACCOUNT not in json.dumps(callers["resources"])
    assert owners["resources"][0]["accountId"] == ACCOUNT


def test_an_address_of_mail_in_a_grant_stays_with_the_caller(company: Company, shop: str) -> None:
    email = company.organizations.describe_account(AccountId=OTHER)["Account"]["Email"]
    there = company.client("s3", company.other)
    grants = {"GrantRead": f'emailAddress="{email}"', "GrantFullControl": f'emailAddress="{email}"'}
    put = there.put_object(Bucket=shop, Key="with-grant", Body=b"x", **grants)
    again = there.put_object_acl(Bucket=shop, Key="with-grant", **grants)
    for answer in (put, again):
        callers, owners = copies(company, answer)
        assert email in callers["requestParameters"]["x-amz-grant-read"]
        assert email not in json.dumps(owners)
        assert not [name for name in owners["requestParameters"] if "grant" in name]
        assert owners["requestParameters"]["key"] == "with-grant"


def test_an_anonymous_call_is_the_owners(company: Company) -> None:
    name = f"open-{uuid.uuid4().hex[:10]}"
    company.s3.create_bucket(Bucket=name)
    company.s3.delete_public_access_block(Bucket=name)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    company.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    company.s3.put_object(Bucket=name, Key="k", Body=b"x")
    nobody = company.client("s3", signature_version=UNSIGNED)
    record = company.delivered(nobody.get_object(Bucket=name, Key="k"), ACCOUNT)
    assert record["userIdentity"] == {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    assert (record["recipientAccountId"], record["readOnly"]) == (ACCOUNT, True)
    assert record["sharedEventID"] != record["eventID"]
    assert not {"SignatureVersion", "AuthenticationMethod"} & set(record["additionalEventData"])
    with pytest.raises(ClientError) as caught:
        nobody.put_object(Bucket=name, Key="k", Body=b"y")
    assert company.delivered(caught.value.response, ACCOUNT)["errorCode"] == "AccessDenied"


def test_a_role_taken_across_accounts_is_two_events(company: Company) -> None:
    arn = f"arn:aws:iam::{OTHER}:role/OrganizationAccountAccessRole"
    taken = company.client("sts").assume_role(RoleArn=arn, RoleSessionName="across")
    callers, owners = company.delivered(taken, ACCOUNT), company.delivered(taken, OTHER)
    assert callers["eventName"] == owners["eventName"] == "AssumeRole"
    assert callers["sharedEventID"] == owners["sharedEventID"]
    assert callers["eventID"] != owners["eventID"]
    assert callers["userIdentity"]["userName"] == "admin"
    assert owners["userIdentity"]["type"] == "AWSAccount"
    assert owners["userIdentity"]["accountId"] == ACCOUNT
    assert "accessKeyId" not in owners["userIdentity"]


def test_a_service_calls_by_its_own_name(company: Company) -> None:
    """CloudTrail looks at its bucket before it delivers."""

    def looks() -> list[Record]:
        found = [each for each in company.records(ACCOUNT) if each["eventName"] == "GetBucketAcl"]
        return [each for each in found if each["userIdentity"]["type"] == "AWSService"]

    look = until(looks)[0]
    assert look["userIdentity"] == {"type": "AWSService", "invokedBy": CLOUDTRAIL}
    assert look["sourceIPAddress"] == look["userAgent"] == CLOUDTRAIL
    assert "sharedEventID" in look
    assert "tlsDetails" not in look


def test_what_a_service_does_for_a_caller_says_so(company: Company) -> None:
    """CloudTrail registers a delegated administrator with Organizations, in the caller's name."""
    member, _ = company.account()
    asked = company.cloudtrail.register_organization_delegated_admin(MemberAccountId=member)
    company.cloudtrail.deregister_organization_delegated_admin(DelegatedAdminAccountId=member)
    own = company.delivered(asked, ACCOUNT)
    assert "invokedBy" not in own["userIdentity"]

    def done() -> list[Record]:
        found = [each for each in company.records(ACCOUNT) if each["eventName"] == "RegisterDelegatedAdministrator"]
        return [each for each in found if each["requestParameters"]["accountId"] == member]

    [through] = until(done)
    assert through["eventSource"] == "organizations.amazonaws.com"
    assert through["userIdentity"] == own["userIdentity"] | {"invokedBy": CLOUDTRAIL}
    assert through["sourceIPAddress"] == through["userAgent"] == CLOUDTRAIL
