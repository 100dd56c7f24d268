"""Who gets a copy, and what it shows of the other account."""

from __future__ import annotations

from opentrail.call import ANONYMOUS
from opentrail.errors import AwsError
from tests.record.made import ACCOUNT, CLOUDTRAIL, OTHER, PUT_OBJECT, call, operation, record, records, request

PUT_ACL = operation("PutObjectAcl", "object", category="Data")
MAIL_POLICY = (
    b'<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><AccessControlList><Grant>'
    b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="AmazonCustomerByEmail">'
    b"<EmailAddress>carol@example.com</EmailAddress></Grantee><Permission>READ</Permission></Grant>"
    b"</AccessControlList></AccessControlPolicy>"
)


def foreign(op=PUT_OBJECT, **parts):
    made = call(op, **parts)
    made.evidence.owner_account_id = OTHER
    return made


def test_in_ones_own_account_there_is_one_copy_and_nothing_shared():
    assert "sharedEventID" not in record(call())


def test_an_owner_not_known_means_the_callers_account():
    made = call()
    made.evidence.owner_account_id = ""
    shown = record(made)
    assert shown["recipientAccountId"] == shown["resources"][0]["accountId"] == ACCOUNT


def test_two_accounts_get_a_copy_each():
    callers, owners = records(foreign())
    assert (callers["recipientAccountId"], owners["recipientAccountId"]) == (ACCOUNT, OTHER)
    assert callers["sharedEventID"] == owners["sharedEventID"]
    assert len({callers["eventID"], owners["eventID"], owners["sharedEventID"]}) == 3
    assert callers["requestID"] == owners["requestID"]
    assert callers["userIdentity"]["userName"] == "alice"
    assert owners["userIdentity"] == {
        "type": "AWSAccount",
        "principalId": "AIDAALICEALICEALICE00",
        "accountId": ACCOUNT,
    }
    assert callers["resources"] == owners["resources"]
    assert owners["resources"][0]["accountId"] == OTHER


def test_a_refused_caller_does_not_learn_whose_bucket_it_is():
    callers, owners = records(foreign(error=AwsError("AccessDenied", "Access Denied")))
    assert callers["resources"][0]["accountId"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert owners["resources"][0]["accountId"] == OTHER


def test_another_failure_does_not_hide_the_owner():
    callers, _ = records(foreign(error=AwsError("NoSuchKey")))
    assert callers["resources"][0]["accountId"] == OTHER


def test_addresses_of_mail_in_grants_stay_with_the_caller():
    callers, owners = records(foreign(PUT_ACL, raw_body=MAIL_POLICY, request=request("PUT", "acl")))
    assert "carol@example.com" in str(callers)
    assert "AccessControlPolicy" not in owners["requestParameters"]
    assert "carol@example.com" not in str(owners)
    assert owners["requestParameters"]["acl"] == ""


def test_so_do_those_in_headers():
    grant = request("PUT", x_amz_grant_read='emailAddress="carol@example.com"', x_amz_grant_write='id="abc"')
    callers, owners = records(foreign(request=grant))
    assert callers["requestParameters"]["x-amz-grant-read"] == 'emailAddress="carol@example.com"'
    assert not [name for name in owners["requestParameters"] if name.startswith("x-amz-grant-")]


def test_grants_by_id_are_shown_to_both():
    _, owners = records(foreign(request=request("PUT", x_amz_grant_read='id="abc"')))
    assert owners["requestParameters"]["x-amz-grant-read"] == 'id="abc"'


def test_an_anonymous_call_on_nobodys_bucket_leaves_no_record():
    for account in ("", "anonymous"):
        made = call(principal=ANONYMOUS, account_id=account, error=AwsError("NoSuchBucket"))
        made.evidence.owner_account_id = ""
        assert records(made) == []


def test_an_anonymous_call_is_the_owners():
    made = foreign(principal=ANONYMOUS, account_id="anonymous")
    [shown] = records(made)
    assert shown["recipientAccountId"] == OTHER
    assert shown["userIdentity"]["accountId"] == "anonymous"


def test_a_service_acting_for_an_account_writes_into_the_owners_trail():
    [shown] = records(foreign(principal=CLOUDTRAIL, account_id=ACCOUNT))
    assert shown["recipientAccountId"] == OTHER
    assert shown["sharedEventID"]
