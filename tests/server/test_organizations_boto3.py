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
    record = record_of(server, "CreateAccount", made)
    assert (record["awsRegion"], record["eventSource"]) == ("us-east-1", "organizations.amazonaws.com")
    assert record["responseElements"]["createAccountStatus"]["state"] == "SUCCEEDED"
    assert email not in json.dumps(record)


def test_accounts_are_put_in_units(organizations, server):
    root = organizations.list_roots()["Roots"][0]["Id"]
    outer = organizations.create_organizational_unit(ParentId=root, Name=uuid.uuid4().hex[:10])["OrganizationalUnit"]
    made = organizations.create_organizational_unit(
        ParentId=outer["Id"], Name="inner", Tags=[{"Key": "team", "Value": "blue"}]
    )
    inner = made["OrganizationalUnit"]
    with pytest.raises(organizations.exceptions.DuplicateOrganizationalUnitException):
        organizations.create_organizational_unit(ParentId=outer["Id"], Name="inner")
    email = f"{uuid.uuid4().hex[:10]}@example.com"
    account = organizations.create_account(Email=email, AccountName="moved")["CreateAccountStatus"]["AccountId"]
    organizations.move_account(AccountId=account, SourceParentId=root, DestinationParentId=inner["Id"])
    pages = organizations.get_paginator("list_accounts_for_parent").paginate(ParentId=inner["Id"])
    [found] = [each for page in pages for each in page["Accounts"]]
    assert found["Paths"] == [f"{inner['Path']}{account}/"]
    assert organizations.list_parents(ChildId=account)["Parents"][0]["Id"] == inner["Id"]
    with pytest.raises(organizations.exceptions.OrganizationalUnitNotEmptyException):
        organizations.delete_organizational_unit(OrganizationalUnitId=inner["Id"])
    organizations.tag_resource(ResourceId=inner["Id"], Tags=[{"Key": "team", "Value": "red"}])
    assert organizations.list_tags_for_resource(ResourceId=inner["Id"])["Tags"] == [{"Key": "team", "Value": "red"}]
    organizations.untag_resource(ResourceId=inner["Id"], TagKeys=["team"])
    record = record_of(server, "CreateOrganizationalUnit", made)
    assert (record["awsRegion"], record["readOnly"]) == ("us-east-1", False)
    tags = [{"key": "team", "value": "blue"}]
    assert record["requestParameters"] == {"parentId": outer["Id"], "name": "inner", "tags": tags}
    told = {"id": inner["Id"], "arn": inner["Arn"], "name": "inner", "path": inner["Path"]}
    assert record["responseElements"] == {"organizationalUnit": told}
    listed = organizations.list_children(ParentId=outer["Id"], ChildType="ORGANIZATIONAL_UNIT")
    assert listed["Children"] == [{"Id": inner["Id"], "Type": "ORGANIZATIONAL_UNIT"}]
    assert record_of(server, "ListChildren", listed)["readOnly"] is True


def record_of(server: ServerProcess, name: str, answer) -> dict:
    wanted = [{"AttributeKey": "EventName", "AttributeValue": name}]
    events = server.client("cloudtrail").lookup_events(LookupAttributes=wanted)["Events"]
    records = [json.loads(event["CloudTrailEvent"]) for event in events]
    [record] = [each for each in records if each["requestID"] == answer["ResponseMetadata"]["RequestId"]]
    return record
