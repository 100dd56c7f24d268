"""A trail, a rule and a pipeline, set up as the AWS guides tell: an upload is recorded, matched, and deployed.

Works on any boto3 clients: `clients` makes one by service name. Used wherever a whole story is needed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

ACCOUNT = "000000000000"
REGION = "us-east-1"
SOURCE, KEY = "story-source", "app.zip"
ARTIFACTS, SITE, LOGS = "story-artifacts", "story-site", "story-logs"
TRAIL, PIPELINE, RULE = "story", "story", "story-upload"
TRAIL_ARN = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{TRAIL}"
PIPELINE_ARN = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{PIPELINE}"
UPLOADS = ["PutObject", "CopyObject", "CompleteMultipartUpload"]

Clients = Callable[[str], Any]


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]})


def set_up(clients: Clients, *, data_events: list[str]) -> None:
    """Everything, in order; logging is on when it returns. `data_events`: ARN prefixes of objects whose events the
    trail logs besides those of the source object."""
    _buckets(clients("s3"))
    _trail(clients("cloudtrail"), data_events)
    _roles(clients("iam"))
    clients("codepipeline").create_pipeline(pipeline=declaration())
    events = clients("events")
    events.put_rule(Name=RULE, EventPattern=json.dumps(upload_pattern()))
    events.put_targets(Rule=RULE, Targets=[{"Id": "pipeline", "Arn": PIPELINE_ARN, "RoleArn": role_arn("story-rule")}])


def _buckets(s3: Any) -> None:
    for name in (SOURCE, ARTIFACTS, SITE, LOGS):
        s3.create_bucket(Bucket=name)
    for name in (SOURCE, LOGS):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    cloudtrail = {"Service": "cloudtrail.amazonaws.com"}
    acl = {"Principal": cloudtrail, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{LOGS}"}
    write = {
        "Principal": cloudtrail,
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{LOGS}/AWSLogs/{ACCOUNT}/*",
        "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
    }
    s3.put_bucket_policy(Bucket=LOGS, Policy=policy(acl, write))


def _trail(cloudtrail: Any, data_events: list[str]) -> None:
    cloudtrail.create_trail(Name=TRAIL, S3BucketName=LOGS, EnableLogFileValidation=True)
    objects = {"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{SOURCE}/{KEY}", *data_events]}
    selector = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [objects]}
    cloudtrail.put_event_selectors(TrailName=TRAIL, EventSelectors=[selector])
    cloudtrail.start_logging(Name=TRAIL)


def _roles(iam: Any) -> None:
    start = {"Action": "codepipeline:StartPipelineExecution", "Resource": PIPELINE_ARN}
    move = {"Action": ["s3:GetObject*", "s3:GetBucket*", "s3:PutObject*", "s3:ListBucket"], "Resource": "*"}
    roles = (("story-rule", "events.amazonaws.com", start), ("story-pipeline", "codepipeline.amazonaws.com", move))
    for name, service, allowed in roles:
        trust = policy({"Principal": {"Service": service}, "Action": "sts:AssumeRole"})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=policy(allowed))


def upload_pattern() -> dict[str, Any]:
    """The rule of the CodePipeline guide for an S3 source."""
    parameters = {"bucketName": [SOURCE], "key": [KEY]}
    detail = {"eventSource": ["s3.amazonaws.com"], "eventName": UPLOADS, "requestParameters": parameters}
    return {"source": ["aws.s3"], "detail-type": ["AWS API Call via CloudTrail"], "detail": detail}


def declaration() -> dict[str, Any]:
    """A pipeline that takes the zip and deploys what is in it."""
    source = {
        "name": "Source",
        "actionTypeId": _s3("Source"),
        "configuration": {"S3Bucket": SOURCE, "S3ObjectKey": KEY, "PollForSourceChanges": "false"},
        "outputArtifacts": [{"name": "App"}],
    }
    deploy = {
        "name": "Deploy",
        "actionTypeId": _s3("Deploy"),
        "configuration": {"BucketName": SITE, "Extract": "true"},
        "inputArtifacts": [{"name": "App"}],
    }
    return {
        "name": PIPELINE,
        "roleArn": role_arn("story-pipeline"),
        "artifactStore": {"type": "S3", "location": ARTIFACTS},
        "stages": [{"name": "Source", "actions": [source]}, {"name": "Deploy", "actions": [deploy]}],
    }


def _s3(category: str) -> dict[str, str]:
    return {"category": category, "owner": "AWS", "provider": "S3", "version": "1"}


def application(text: str) -> bytes:
    """A zip with one page."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.html", text)
    return packed.getvalue()
