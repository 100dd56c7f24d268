"""An organization trail by boto3 and the AWS CLI: one server, a management account and members that come and go."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from tests.clients.company import ARN, BUCKET, CLOUDTRAIL, NAME, Company
from tests.clients.server_process import ACCOUNT
from tests.clients.waiting import until

pytestmark = pytest.mark.slow


def test_each_account_has_a_folder(company: Company) -> None:
    member, key = company.account()
    theirs = company.client("iam", key).create_user(UserName="theirs")
    record = company.delivered(theirs, member)
    assert (record["recipientAccountId"], record["eventName"]) == (member, "CreateUser")
    ours = company.client("iam").create_user(UserName="ours")
    assert company.delivered(ours, ACCOUNT)["recipientAccountId"] == ACCOUNT
    west = company.client("events", key, region="eu-west-1").put_rule(Name="r", EventPattern='{"source":["x"]}')
    assert company.delivered(west, member)["awsRegion"] == "eu-west-1"
    entered = [each for each in company.records(member) if each["eventName"] == "AssumeRole"]
    shared = {each["sharedEventID"] for each in entered}
    assert shared <= {each.get("sharedEventID") for each in company.records(ACCOUNT)}


def test_a_member_sees_the_trail_and_cannot_change_it(company: Company) -> None:
    _, key = company.account()
    cloudtrail = company.client("cloudtrail", key)
    assert [each["TrailARN"] for each in cloudtrail.describe_trails()["trailList"]] == [ARN]
    assert cloudtrail.describe_trails(includeShadowTrails=False)["trailList"] == []
    assert [each["TrailARN"] for each in cloudtrail.list_trails()["Trails"]] == [ARN]
    trail = cloudtrail.get_trail(Name=ARN)["Trail"]
    assert (trail["IsOrganizationTrail"], trail["S3BucketName"]) == (True, BUCKET)
    until(lambda: "LatestDeliveryTime" in cloudtrail.get_trail_status(Name=ARN))
    assert cloudtrail.get_event_selectors(TrailName=ARN)["AdvancedEventSelectors"]
    for change in (
        lambda: cloudtrail.stop_logging(Name=ARN),
        lambda: cloudtrail.delete_trail(Name=ARN),
        lambda: cloudtrail.update_trail(Name=ARN, IsMultiRegionTrail=False),
        lambda: cloudtrail.put_event_selectors(TrailName=ARN, EventSelectors=[{"ReadWriteType": "WriteOnly"}]),
        lambda: cloudtrail.create_trail(Name="mine", S3BucketName=BUCKET, IsOrganizationTrail=True),
    ):
        with pytest.raises(cloudtrail.exceptions.NotOrganizationMasterAccountException):
            change()
    with pytest.raises(cloudtrail.exceptions.TrailNotFoundException):
        cloudtrail.get_trail(Name=NAME)


def test_accounts_come_and_go(company: Company) -> None:
    """What a member does before it comes in and after it left is its own business."""
    member, _ = company.account()
    root = company.boss(member)
    iam, organizations = company.client("iam", root), company.client("organizations", root)
    inside = iam.create_user(UserName="inside")
    left = organizations.leave_organization()
    outside = iam.create_user(UserName="outside")
    with pytest.raises(organizations.exceptions.AWSOrganizationsNotInUseException):
        organizations.describe_organization()
    cloudtrail = company.client("cloudtrail", root)
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


def test_a_closed_account_is_logged_on(company: Company) -> None:
    """Nobody gets in any more, by key, session or role; what others do to what it owns is still its record."""
    member, key = company.account()
    boss, bucket = company.boss(member), f"closed-{member}"
    theirs = company.client("s3", boss)
    theirs.create_bucket(Bucket=bucket)
    grant = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    theirs.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [grant]}))
    closed = company.organizations.close_account(AccountId=member)
    account = company.organizations.describe_account(AccountId=member)["Account"]
    assert (account["Status"], account["State"]) == ("SUSPENDED", "CLOSED")
    for credentials in (boss, key):
        with pytest.raises(ClientError) as caught:
            company.client("iam", credentials).list_users()
        assert caught.value.response["Error"]["Code"] == "InvalidClientTokenId"
        with pytest.raises(ClientError) as caught:
            company.client("s3", credentials).list_buckets()
        assert caught.value.response["Error"]["Code"] == "InvalidAccessKeyId"
    with pytest.raises(ClientError) as caught:
        company.enter(member)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(company.organizations.exceptions.AccountAlreadyClosedException):
        company.organizations.close_account(AccountId=member)
    put = company.s3.put_object(Bucket=bucket, Key="left", Body=b"behind")
    assert company.delivered(put, member)["recipientAccountId"] == member
    assert company.delivered(closed, ACCOUNT)["requestParameters"] == {"accountId": member}
    records = company.records(ACCOUNT)
    [told] = [each for each in records if each["eventName"] == "CloseAccountResult"]
    assert told["serviceEventDetails"]["closeAccountStatus"]["accountId"] == member
    assert told["awsRegion"] == "us-east-1"


def test_a_delegated_administrator(company: Company) -> None:
    member, key = company.account()
    cloudtrail = company.client("cloudtrail", key)
    company.cloudtrail.register_organization_delegated_admin(MemberAccountId=member)
    listed = company.organizations.list_delegated_administrators(ServicePrincipal=CLOUDTRAIL)
    assert [each["Id"] for each in listed["DelegatedAdministrators"]] == [member]
    made = cloudtrail.create_trail(Name="by-delegate", S3BucketName=BUCKET, IsOrganizationTrail=True)
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
    company.delivered(company.client("iam", key).create_user(UserName="validated"), member)

    def sealed(account_id: str) -> bool:
        named = {
            each["s3Object"]
            for digest in company.documents(account_id, "CloudTrail-Digest")
            for each in digest["logFiles"]
        }
        return named >= set(company.keys(account_id)[:1]) != set()

    until(lambda: sealed(member))
    digest = company.documents(member, "CloudTrail-Digest")[0]
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
    cloudtrail = company.client("cloudtrail", key)
    assert cloudtrail.describe_trails()["trailList"] == []
    with pytest.raises(company.cloudtrail.exceptions.CloudTrailAccessNotEnabledException):
        company.cloudtrail.update_trail(Name=NAME, IsOrganizationTrail=True)
    company.organizations.enable_aws_service_access(ServicePrincipal=CLOUDTRAIL)
    company.cloudtrail.update_trail(Name=NAME, IsOrganizationTrail=True)
    company.delivered(company.client("iam", key).create_user(UserName="again"), member)
