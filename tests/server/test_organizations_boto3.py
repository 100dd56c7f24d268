"""Organizations as boto3 sees it, and what its calls leave in the event history."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, ServerProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def organizations(server: ServerProcess):
    client = server.client("organizations", region="eu-west-1")
    try:
        client.create_organization(FeatureSet="ALL")
    except client.exceptions.AlreadyInOrganizationException:
        assert client.describe_organization()["Organization"]["MasterAccountId"] == ACCOUNT
    return client


def test_an_account_is_made_and_found(organizations):
    email = f"{uuid.uuid4().hex[:10]}@example.com"
    status = organizations.create_account(Email=email, AccountName="by boto3")["CreateAccountStatus"]
    assert status["State"] == "SUCCEEDED"
    again = organizations.describe_create_account_status(CreateAccountRequestId=status["Id"])
    assert again["CreateAccountStatus"] == status
    pages = organizations.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 1})
    accounts = {account["Id"]: account for page in pages for account in page["Accounts"]}
    assert accounts[status["AccountId"]]["Email"] == email
    assert accounts[ACCOUNT]["JoinedMethod"] == "INVITED"
    with pytest.raises(ClientError) as caught:
        organizations.list_accounts(NextToken="x")
    assert caught.value.response["Reason"] == "INVALID_NEXT_TOKEN"
    with pytest.raises(organizations.exceptions.AccountNotFoundException):
        organizations.describe_account(AccountId="999999999999")


def test_the_record_stands_in_the_global_services_region(organizations, server):
    email = f"{uuid.uuid4().hex[:10]}@example.com"
    made = organizations.create_account(Email=email, AccountName="recorded")
    wanted = [{"AttributeKey": "EventName", "AttributeValue": "CreateAccount"}]
    events = server.client("cloudtrail").lookup_events(LookupAttributes=wanted)["Events"]
    records = [json.loads(event["CloudTrailEvent"]) for event in events]
    [record] = [each for each in records if each["requestID"] == made["ResponseMetadata"]["RequestId"]]
    assert (record["awsRegion"], record["eventSource"]) == ("us-east-1", "organizations.amazonaws.com")
    assert record["responseElements"]["createAccountStatus"]["state"] == "SUCCEEDED"
    assert email not in json.dumps(record)
