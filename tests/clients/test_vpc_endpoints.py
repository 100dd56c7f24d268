"""Requests through VPC endpoints, on a server that knows some: what is recorded of them, for whom, and what is not."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, ServerProcess, key_of, user_key
from tests.clients.trail_log import new_trail

pytestmark = pytest.mark.slow
OTHER_ACCOUNT = "444455556666"
OPEN, NARROW, BOUND = "vpce-0aaaaaaaaaaaaaaaa", "vpce-0bbbbbbbbbbbbbbbb", "vpce-0cccccccccccccccc"
HEADER = "x-forwarded-vpce"
READS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}],
}


class Site:
    """The server, and clients that come through an endpoint."""

    def __init__(self, server: ServerProcess, port: int) -> None:
        self.server, self.bound_url = server, f"http://127.0.0.1:{port}"
        cloudtrail = server.client("cloudtrail")
        self.trail = new_trail(server.client("s3"), cloudtrail, "everything")
        fields = [
            {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
            {
                "FieldSelectors": [
                    {"Field": "eventCategory", "Equals": ["Data"]},
                    {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
                ]
            },
            {
                "FieldSelectors": [
                    {"Field": "eventCategory", "Equals": ["NetworkActivity"]},
                    {"Field": "eventSource", "Equals": ["s3.amazonaws.com"]},
                    {"Field": "errorCode", "Equals": ["VpceAccessDenied"]},
                ]
            },
        ]
        cloudtrail.put_event_selectors(TrailName="everything", AdvancedEventSelectors=fields)
        self.other = self.made_account()
        theirs = (server.client("s3", self.other), server.client("cloudtrail", self.other))
        self.theirs = new_trail(*theirs, "theirs", OTHER_ACCOUNT)

    def made_account(self) -> tuple[str, ...]:
        """A key in a second account."""
        iam, organizations = self.server.client("iam"), self.server.client("organizations")
        organizations.create_organization()
        tags = [{"Key": "opentrail:account-id", "Value": OTHER_ACCOUNT}]
        organizations.create_account(AccountName="other", Email="other@example.com", Tags=tags)
        iam.create_user(UserName="admin")
        iam.attach_user_policy(UserName="admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        sts = self.server.client("sts", user_key(iam.create_access_key(UserName="admin")))
        role = f"arn:aws:iam::{OTHER_ACCOUNT}:role/OrganizationAccountAccessRole"
        return key_of(sts.assume_role(RoleArn=role, RoleSessionName="in"))

    def through(self, endpoint: str, service: str = "s3", key: tuple[str, ...] | None = None) -> Any:
        client = self.server.client(service, key) if key else self.server.client(service)

        def name_it(request: Any, **_more: Any) -> None:
            request.headers[HEADER] = endpoint

        client.meta.events.register("before-sign.*", name_it)
        return client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    entries = [
        {"id": OPEN, "account": ACCOUNT},
        {"id": NARROW, "account": ACCOUNT, "vpc": "vpc-1", "policy": READS},
        {"id": BOUND, "account": OTHER_ACCOUNT, "listen": f"127.0.0.1:{port}"},
    ]
    (directory / "endpoints.json").write_text(json.dumps({"endpoint": entries}))
    server = ServerProcess(
        directory,
        vpc_endpoints=str(directory / "endpoints.json"),
        vpc_endpoint_header="X-Forwarded-Vpce",
        vpc_endpoint_peers="127.0.0.0/8",
    )
    try:
        yield Site(server.start(), port)
        assert server.stop() == 0
        assert not server.tracebacks(), server.log()[-20_000:]
    finally:
        server.kill()


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return dict(caught.value.response)


def test_the_record_tells_the_endpoint(site: Site) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    made = site.through(OPEN).create_bucket(Bucket=name)
    bound = site.server.client("s3", url=site.bound_url).put_object(Bucket=name, Key="k", Body=b"x")
    plain = site.server.client("s3").get_object(Bucket=name, Key="k")
    record = site.trail.of(made)
    assert (record["vpcEndpointId"], record["vpcEndpointAccountId"]) == (OPEN, ACCOUNT)
    assert list(record).index("vpcEndpointId") < list(record).index("eventCategory")
    assert (site.trail.of(bound)["vpcEndpointId"], site.trail.of(bound)["vpcEndpointAccountId"]) == (
        BOUND,
        OTHER_ACCOUNT,
    )
    assert "vpcEndpointId" not in site.trail.of(plain)


def test_an_endpoint_that_there_is_not(site: Site) -> None:
    with pytest.raises(ClientError) as caught:
        site.through("vpce-0dddddddddddddddd").list_buckets()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_what_the_endpoint_refuses_is_recorded_for_its_owner_alone(site: Site) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    site.server.client("s3").create_bucket(Bucket=name)
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": OTHER_ACCOUNT},
            "Action": "s3:*",
            "Resource": f"arn:aws:s3:::{name}/*",
        },
    }
    site.server.client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    ours = refused(lambda: site.through(NARROW).put_object(Bucket=name, Key="k", Body=b"x"))
    assert "VPC endpoint policy" in ours["Error"]["Message"]
    foreign = refused(lambda: site.through(NARROW, key=site.other).put_object(Bucket=name, Key="k", Body=b"x"))
    # Let through by the endpoint, which gives nothing: the account's own policies go on deciding.
    allowed = site.through(NARROW).list_objects_v2(Bucket=name)
    managed = refused(lambda: site.through(NARROW).put_bucket_tagging(Bucket=name, Tagging={"TagSet": []}))
    own, strange, tagging = (site.trail.of(answer) for answer in (ours, foreign, managed))
    for record in (own, strange, tagging):
        assert (record["eventType"], record["eventCategory"]) == ("AwsVpceEvent", "NetworkActivity")
        assert (record["errorCode"], record["vpcEndpointId"]) == ("VpceAccessDenied", NARROW)
        assert record["recipientAccountId"] == record["vpcEndpointAccountId"] == ACCOUNT
        assert not {"requestParameters", "responseElements", "userAgent", "resources"} & set(record)
    assert own["userIdentity"]["type"] == "Root"
    assert set(strange["userIdentity"]) == {"type", "principalId", "accountId"}
    assert (strange["userIdentity"]["type"], strange["userIdentity"]["accountId"]) == ("AWSAccount", OTHER_ACCOUNT)
    assert site.trail.of(allowed)["eventCategory"] == "Data"
    after = site.server.client("s3", site.other).list_buckets()
    site.theirs.of(after)
    assert foreign["ResponseMetadata"]["RequestId"] not in [each["requestID"] for each in site.theirs.records]
    cloudtrail = site.server.client("cloudtrail")
    names = ("CreateBucket", "PutBucketTagging")
    looked = [
        cloudtrail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
        for name in names
    ]
    assert [bool(events) for events in looked] == [True, False]


def test_policies_may_ask_for_the_endpoint(site: Site) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    site.server.client("s3").create_bucket(Bucket=name)
    iam = site.server.client("iam")
    iam.create_user(UserName=name)
    condition = {"StringEquals": {"aws:SourceVpce": OPEN, "aws:VpceAccount": ACCOUNT}}
    statement = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": condition}
    iam.put_user_policy(
        UserName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement})
    )
    key = user_key(iam.create_access_key(UserName=name))
    site.through(OPEN, key=key).list_objects_v2(Bucket=name)
    refused(lambda: site.through(NARROW, key=key).list_objects_v2(Bucket=name))
    refused(lambda: site.server.client("s3", key).list_objects_v2(Bucket=name))
