"""Requests through VPC endpoints, on a server that knows some: what is recorded of them, for whom, and what is not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.company import BOUND, NARROW, OPEN, OTHER, Company
from tests.clients.server_process import ACCOUNT, user_key
from tests.clients.test_access_logs import log_bucket, logged_keys

pytestmark = pytest.mark.slow


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return dict(caught.value.response)


def test_the_record_tells_the_endpoint(company: Company) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    made = company.through(OPEN).create_bucket(Bucket=name)
    bound = company.client("s3", url=company.bound_url).put_object(Bucket=name, Key="k", Body=b"x")
    plain = company.client("s3").get_object(Bucket=name, Key="k")
    record = company.delivered(made, ACCOUNT)
    assert (record["vpcEndpointId"], record["vpcEndpointAccountId"]) == (OPEN, ACCOUNT)
    assert list(record).index("vpcEndpointId") < list(record).index("eventCategory")
    assert (
        company.delivered(bound, ACCOUNT)["vpcEndpointId"],
        company.delivered(bound, ACCOUNT)["vpcEndpointAccountId"],
    ) == (
        BOUND,
        OTHER,
    )
    assert "vpcEndpointId" not in company.delivered(plain, ACCOUNT)


def test_an_endpoint_that_there_is_not(company: Company) -> None:
    with pytest.raises(ClientError) as caught:
        company.through("vpce-0dddddddddddddddd").list_buckets()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_what_the_endpoint_refuses_is_recorded_for_its_owner_alone(company: Company) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    company.client("s3").create_bucket(Bucket=name)
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": OTHER},
            "Action": "s3:*",
            "Resource": f"arn:aws:s3:::{name}/*",
        },
    }
    company.client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    ours = refused(lambda: company.through(NARROW).put_object(Bucket=name, Key="k", Body=b"x"))
    assert "VPC endpoint policy" in ours["Error"]["Message"]
    foreign = refused(lambda: company.through(NARROW, key=company.other).put_object(Bucket=name, Key="k", Body=b"x"))
    # Let through by the endpoint, which gives nothing: the account's own policies go on deciding.
    allowed = company.through(NARROW).list_objects_v2(Bucket=name)
    managed = refused(lambda: company.through(NARROW).put_bucket_tagging(Bucket=name, Tagging={"TagSet": []}))
    own, strange, tagging = (company.delivered(answer, ACCOUNT) for answer in (ours, foreign, managed))
    for record in (own, strange, tagging):
        assert (record["eventType"], record["eventCategory"]) == ("AwsVpceEvent", "NetworkActivity")
        assert (record["errorCode"], record["vpcEndpointId"]) == ("VpceAccessDenied", NARROW)
        assert record["recipientAccountId"] == record["vpcEndpointAccountId"] == ACCOUNT
        assert not {"requestParameters", "responseElements", "userAgent", "resources"} & set(record)
    assert own["userIdentity"]["userName"] == "admin"
    assert set(strange["userIdentity"]) == {"type", "principalId", "accountId"}
    assert (strange["userIdentity"]["type"], strange["userIdentity"]["accountId"]) == ("AWSAccount", OTHER)
    assert company.delivered(allowed, ACCOUNT)["eventCategory"] == "Data"
    assert company.undelivered(foreign, OTHER)
    cloudtrail = company.client("cloudtrail")
    names = ("CreateBucket", "PutBucketTagging")
    looked = [
        cloudtrail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
        for name in names
    ]
    assert [bool(events) for events in looked] == [True, False]


def test_policies_may_ask_for_the_endpoint(company: Company) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    company.client("s3").create_bucket(Bucket=name)
    iam = company.client("iam")
    iam.create_user(UserName=name)
    condition = {"StringEquals": {"aws:SourceVpce": OPEN, "aws:VpceAccount": ACCOUNT}}
    statement = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": condition}
    iam.put_user_policy(
        UserName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement})
    )
    key = user_key(iam.create_access_key(UserName=name))
    company.through(OPEN, key=key).list_objects_v2(Bucket=name)
    refused(lambda: company.through(NARROW, key=key).list_objects_v2(Bucket=name))
    refused(lambda: company.client("s3", key).list_objects_v2(Bucket=name))


def test_the_access_log_tells_nothing_of_what_the_endpoint_refused(company: Company) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    company.s3.create_bucket(Bucket=name)
    log_bucket(company.s3, name, f"{name}-logs")
    refused(lambda: company.through(NARROW).put_object(Bucket=name, Key="refused", Body=b"x"))
    company.through(OPEN).put_object(Bucket=name, Key="allowed", Body=b"x")
    assert logged_keys(company.s3, f"{name}-logs", 1) == ["allowed"]
