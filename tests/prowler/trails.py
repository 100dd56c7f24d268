"""Two servers' worth of trails: one as Prowler wants it, one as it does not."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import log_bucket_policy
from tests.fakes.authenticator import ROOT_DEVICE, Authenticator

LOGS, ACCESS_LOGS, GROUP, ROLE = "prowler-logs", "prowler-access-logs", "prowler", "prowler-trail"
TRAIL = "prowler"


def make_good_trail(server: ServerProcess) -> None:
    """All regions, validated, encrypted, delivered to a log group too, with data events and Insights, into a bucket that
    nobody else reads, whose readers are logged and whose versions stay unless the root shows a code."""
    s3, cloudtrail = server.client("s3"), server.client("cloudtrail")
    _make_bucket(s3)
    _require_mfa(s3, server.client("iam"))
    _log_access(s3)
    cloudtrail.create_trail(
        Name=TRAIL,
        S3BucketName=LOGS,
        IsMultiRegionTrail=True,
        EnableLogFileValidation=True,
        KmsKeyId=_key(server.client("kms")),
        CloudWatchLogsLogGroupArn=_group(server.client("logs")),
        CloudWatchLogsRoleArn=_role(server.client("iam")),
    )
    everything = {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}
    selector = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [everything]}
    cloudtrail.put_event_selectors(TrailName=TRAIL, EventSelectors=[selector])
    kinds = [{"InsightType": "ApiCallRateInsight"}, {"InsightType": "ApiErrorRateInsight"}]
    cloudtrail.put_insight_selectors(TrailName=TRAIL, InsightSelectors=kinds)
    cloudtrail.start_logging(Name=TRAIL)


def make_bad_trail(server: ServerProcess) -> None:
    """One region, nothing validated, encrypted or delivered elsewhere, into a bucket that all the world may read."""
    s3, cloudtrail = server.client("s3"), server.client("cloudtrail")
    _make_bucket(s3)
    s3.delete_public_access_block(Bucket=LOGS)
    s3.put_bucket_ownership_controls(Bucket=LOGS, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    s3.put_bucket_acl(Bucket=LOGS, ACL="public-read")
    cloudtrail.create_trail(Name=TRAIL, S3BucketName=LOGS)
    cloudtrail.start_logging(Name=TRAIL)


def _make_bucket(s3: Any) -> None:
    s3.create_bucket(Bucket=LOGS)
    s3.put_bucket_policy(Bucket=LOGS, Policy=log_bucket_policy(LOGS, ACCOUNT))


def _require_mfa(s3: Any, iam: Any) -> None:
    app = Authenticator(iam.create_virtual_mfa_device(VirtualMFADeviceName=ROOT_DEVICE)["VirtualMFADevice"])
    iam.enable_mfa_device(UserName="root", SerialNumber=app.serial, **app.pair(time.time()))
    wanted = {"Status": "Enabled", "MFADelete": "Enabled"}
    shown = f"{app.serial} {app.next(time.time())}"
    s3.put_bucket_versioning(Bucket=LOGS, VersioningConfiguration=wanted, MFA=shown)


def _log_access(s3: Any) -> None:
    s3.create_bucket(Bucket=ACCESS_LOGS)
    write = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{ACCESS_LOGS}/*",
    }
    s3.put_bucket_policy(Bucket=ACCESS_LOGS, Policy=_policy(write))
    target = {"TargetBucket": ACCESS_LOGS, "TargetPrefix": "logs/"}
    s3.put_bucket_logging(Bucket=LOGS, BucketLoggingStatus={"LoggingEnabled": target})


def _key(kms: Any) -> str:
    """A key that CloudTrail may encrypt with, as its guide writes the key's policy."""
    owner = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trails = {"StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"}}
    cloudtrail = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Resource": "*"}
    document = _policy(
        {"Effect": "Allow", "Principal": owner, "Action": "kms:*", "Resource": "*"},
        {**cloudtrail, "Action": "kms:GenerateDataKey*", "Condition": trails},
        {**cloudtrail, "Action": "kms:DescribeKey"},
    )
    return str(kms.create_key(Policy=document)["KeyMetadata"]["Arn"])


def _group(logs: Any) -> str:
    logs.create_log_group(logGroupName=GROUP)
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*"


def _role(iam: Any) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=_policy(trust))
    streams = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:log-stream:{ACCOUNT}_CloudTrail_{REGION}*"
    write = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": streams}
    iam.put_role_policy(RoleName=ROLE, PolicyName="deliver", PolicyDocument=_policy(write))
    return str(made["Role"]["Arn"])


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
