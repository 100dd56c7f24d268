"""An organization trail by boto3 and the AWS CLI: one server, a management account and members that come and go."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess, key_of, user_key

pytestmark = pytest.mark.slow
WAIT_SECONDS_MAX = 25.0
CLOUDTRAIL = "cloudtrail.amazonaws.com"
NAME = "all-accounts"
ARN = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{NAME}"


def until(ready: Callable[[], Any]) -> Any:
    """Wait for something that followers do."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not (found := ready()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


class Company:
    """An organization with an admin in its management account, and the files of its trail."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.bucket = "company-logs"
        iam = server.client("iam")
        iam.create_user(UserName="admin")
        iam.attach_user_policy(UserName="admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        self.admin = user_key(iam.create_access_key(UserName="admin"))
        self.organizations = server.client("organizations", self.admin)
        self.id = self.organizations.create_organization()["Organization"]["Id"]
        self.cloudtrail = server.client("cloudtrail", self.admin)
        self.s3 = server.client("s3", self.admin)

    def account(self) -> tuple[str, tuple[str, ...]]:
        """A new member, and a key in it."""
        email = f"{uuid.uuid4().hex[:10]}@example.com"
        status = self.organizations.create_account(AccountName="member", Email=email)["CreateAccountStatus"]
        return status["AccountId"], self.enter(status["AccountId"])

    def enter(self, account_id: str) -> tuple[str, ...]:
        arn = f"arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole"
        return key_of(self.server.client("sts", self.admin).assume_role(RoleArn=arn, RoleSessionName="in"))

    def records(self, account_id: str, kind: str = "CloudTrail") -> list[dict[str, Any]]:
        """What the trail has delivered for an account, and the digests' documents."""
        found = []
        for key in self.keys(account_id, kind):
            document = json.loads(gzip.decompress(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()))
            found += document["Records"] if kind == "CloudTrail" else [document]
        return found

    def keys(self, account_id: str, kind: str = "CloudTrail") -> list[str]:
        prefix = f"AWSLogs/{self.id}/{account_id}/{kind}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith(".json.gz")]

    def delivered(self, answer: dict[str, Any], account_id: str) -> dict[str, Any]:
        request_id = answer["ResponseMetadata"]["RequestId"]
        found = until(lambda: [each for each in self.records(account_id) if each["requestID"] == request_id])
        assert len(found) == 1
        return dict(found[0])


def bucket_policy(bucket: str, *folders: str) -> str:
    """The documented policy of an organization trail's bucket."""
    service = {"Service": CLOUDTRAIL}
    condition = {
        "StringEquals": {
            "s3:x-amz-acl": "bucket-owner-full-control",
            "aws:SourceArn": [ARN, ARN.replace(NAME, "by-delegate")],
        }
    }
    write = [f"arn:aws:s3:::{bucket}/AWSLogs/{folder}/*" for folder in folders]
    statements = [
        {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{bucket}"},
        {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject", "Resource": write, "Condition": condition},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """With a trail that logs, and one member from the start."""
    server = ServerProcess(tmp_path_factory.mktemp("company"))
    try:
        made = Company(server.start())
        refusals(made)
        yield made
        assert server.stop() == 0
        assert not server.tracebacks(), server.log()[-20_000:]
    finally:
        server.kill()


def refusals(company: Company) -> None:
    """All that must be right before an organization trail can be made, one thing after the other."""
    cloudtrail, s3 = company.cloudtrail, company.s3
    errors = cloudtrail.exceptions
    given = {
        "Name": NAME, "S3BucketName": company.bucket, "IsOrganizationTrail": True, "IsMultiRegionTrail": True,
        "EnableLogFileValidation": True,
    }  # fmt: skip
    with pytest.raises(errors.CloudTrailAccessNotEnabledException):
        cloudtrail.create_trail(**given)
    company.organizations.enable_aws_service_access(ServicePrincipal=CLOUDTRAIL)
    with pytest.raises(errors.S3BucketDoesNotExistException):
        cloudtrail.create_trail(**given)
    s3.create_bucket(Bucket=company.bucket)
    s3.put_bucket_policy(Bucket=company.bucket, Policy=bucket_policy(company.bucket, ACCOUNT))
    with pytest.raises(errors.InsufficientS3BucketPolicyException):
        cloudtrail.create_trail(**given)
    s3.put_bucket_policy(Bucket=company.bucket, Policy=bucket_policy(company.bucket, ACCOUNT, company.id))
    made = cloudtrail.create_trail(**given)
    assert (made["TrailARN"], made["IsOrganizationTrail"]) == (ARN, True)
    cloudtrail.start_logging(Name=NAME)
    role = company.server.client("iam").get_role(RoleName="AWSServiceRoleForCloudTrail")["Role"]
    assert role["Path"] == f"/aws-service-role/{CLOUDTRAIL}/"


def test_each_account_has_a_folder(company: Company) -> None:
    member, key = company.account()
    theirs = company.server.client("iam", key).create_user(UserName="theirs")
    record = company.delivered(theirs, member)
    assert (record["recipientAccountId"], record["eventName"]) == (member, "CreateUser")
    ours = company.server.client("iam").create_user(UserName="ours")
    assert company.delivered(ours, ACCOUNT)["recipientAccountId"] == ACCOUNT
    west = company.server.client("events", key, region="eu-west-1").put_rule(Name="r", EventPattern='{"source":["x"]}')
    assert company.delivered(west, member)["awsRegion"] == "eu-west-1"
    entered = [each for each in company.records(member) if each["eventName"] == "AssumeRole"]
    shared = {each["sharedEventID"] for each in entered}
    assert shared <= {each.get("sharedEventID") for each in company.records(ACCOUNT)}


def test_a_member_sees_the_trail_and_cannot_change_it(company: Company) -> None:
    _, key = company.account()
    cloudtrail = company.server.client("cloudtrail", key)
    assert [each["TrailARN"] for each in cloudtrail.describe_trails()["trailList"]] == [ARN]
    assert cloudtrail.describe_trails(includeShadowTrails=False)["trailList"] == []
    assert [each["TrailARN"] for each in cloudtrail.list_trails()["Trails"]] == [ARN]
    trail = cloudtrail.get_trail(Name=ARN)["Trail"]
    assert (trail["IsOrganizationTrail"], trail["S3BucketName"]) == (True, company.bucket)
    until(lambda: "LatestDeliveryTime" in cloudtrail.get_trail_status(Name=ARN))
    assert cloudtrail.get_event_selectors(TrailName=ARN)["EventSelectors"]
    for change in (
        lambda: cloudtrail.stop_logging(Name=ARN),
        lambda: cloudtrail.delete_trail(Name=ARN),
        lambda: cloudtrail.update_trail(Name=ARN, IsMultiRegionTrail=False),
        lambda: cloudtrail.put_event_selectors(TrailName=ARN, EventSelectors=[{"ReadWriteType": "WriteOnly"}]),
        lambda: cloudtrail.create_trail(Name="mine", S3BucketName=company.bucket, IsOrganizationTrail=True),
    ):
        with pytest.raises(cloudtrail.exceptions.NotOrganizationMasterAccountException):
            change()
    with pytest.raises(cloudtrail.exceptions.TrailNotFoundException):
        cloudtrail.get_trail(Name=NAME)


def test_accounts_come_and_go(company: Company) -> None:
    """What a member does before it comes in and after it left is its own business."""
    member, _ = company.account()
    root = made_root(company, member)
    iam, organizations = company.server.client("iam", root), company.server.client("organizations", root)
    inside = iam.create_user(UserName="inside")
    left = organizations.leave_organization()
    outside = iam.create_user(UserName="outside")
    with pytest.raises(organizations.exceptions.AWSOrganizationsNotInUseException):
        organizations.describe_organization()
    cloudtrail = company.server.client("cloudtrail", root)
    assert cloudtrail.describe_trails()["trailList"] == []
    invited = company.organizations.invite_account_to_organization(Target={"Id": member, "Type": "ACCOUNT"})
    handshake = invited["Handshake"]
    asked = organizations.list_handshakes_for_account()["Handshakes"]
    assert [(each["Id"], each["State"]) for each in asked] == [(handshake["Id"], "REQUESTED")]
    organizations.accept_handshake(HandshakeId=handshake["Id"])
    back = iam.create_user(UserName="back")
    assert organizations.describe_organization()["Organization"]["Id"] == company.id
    for answer in (inside, left, back):
        company.delivered(answer, member)
    ids = {each["requestID"] for each in company.records(member)}
    assert outside["ResponseMetadata"]["RequestId"] not in ids
    company.organizations.remove_account_from_organization(AccountId=member)
    assert member not in [each["Id"] for each in company.organizations.list_accounts()["Accounts"]]


def made_root(company: Company, member: str) -> tuple[str, str]:
    """A key of a user with all rights in a member account, which stays when the account leaves."""
    iam = company.server.client("iam", company.enter(member))
    iam.create_user(UserName="boss")
    iam.attach_user_policy(UserName="boss", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    return user_key(iam.create_access_key(UserName="boss"))


def test_a_delegated_administrator(company: Company) -> None:
    member, key = company.account()
    cloudtrail = company.server.client("cloudtrail", key)
    company.cloudtrail.register_organization_delegated_admin(MemberAccountId=member)
    listed = company.organizations.list_delegated_administrators(ServicePrincipal=CLOUDTRAIL)
    assert [each["Id"] for each in listed["DelegatedAdministrators"]] == [member]
    made = cloudtrail.create_trail(Name="by-delegate", S3BucketName=company.bucket, IsOrganizationTrail=True)
    assert made["TrailARN"] == ARN.replace(NAME, "by-delegate")
    cloudtrail.start_logging(Name=made["TrailARN"])
    with pytest.raises(cloudtrail.exceptions.NotOrganizationMasterAccountException):
        cloudtrail.update_trail(Name=made["TrailARN"], IsOrganizationTrail=False)
    cloudtrail.delete_trail(Name=made["TrailARN"])
    company.cloudtrail.deregister_organization_delegated_admin(DelegatedAdminAccountId=member)
    with pytest.raises(cloudtrail.exceptions.NotOrganizationMasterAccountException):
        cloudtrail.stop_logging(Name=ARN)
    with pytest.raises(company.cloudtrail.exceptions.CannotDelegateManagementAccountException):
        company.cloudtrail.register_organization_delegated_admin(MemberAccountId=ACCOUNT)


def test_the_aws_cli_validates_a_members_chain(company: Company) -> None:
    start = (datetime.now(UTC) - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    member, key = company.account()
    company.delivered(company.server.client("iam", key).create_user(UserName="validated"), member)

    def sealed(account_id: str) -> bool:
        named = {
            each["s3Object"]
            for digest in company.records(account_id, "CloudTrail-Digest")
            for each in digest["logFiles"]
        }
        return named >= set(company.keys(account_id)[:1]) != set()

    until(lambda: sealed(member))
    digest = company.records(member, "CloudTrail-Digest")[0]
    assert digest["awsAccountId"] == member
    said = company.server.aws(
        "cloudtrail", "validate-logs", "--trail-arn", ARN, "--start-time", start, "--account-id", member, "--verbose",
        AWS_ACCESS_KEY_ID=company.admin[0], AWS_SECRET_ACCESS_KEY=company.admin[1],
    )  # fmt: skip
    assert "digest files valid" in said
    assert "log files valid" in said
    assert "INVALID" not in said


def test_the_end_of_trusted_access_leaves_a_trail_of_one_account(company: Company) -> None:
    """Comes last: the company's trail is none of the organization's any more."""
    member, key = company.account()
    company.organizations.disable_aws_service_access(ServicePrincipal=CLOUDTRAIL)
    assert company.cloudtrail.get_trail(Name=NAME)["Trail"]["IsOrganizationTrail"] is False
    cloudtrail = company.server.client("cloudtrail", key)
    assert cloudtrail.describe_trails()["trailList"] == []
    with pytest.raises(company.cloudtrail.exceptions.CloudTrailAccessNotEnabledException):
        company.cloudtrail.update_trail(Name=NAME, IsOrganizationTrail=True)
    company.organizations.enable_aws_service_access(ServicePrincipal=CLOUDTRAIL)
    company.cloudtrail.update_trail(Name=NAME, IsOrganizationTrail=True)
    company.delivered(company.server.client("iam", key).create_user(UserName="again"), member)
