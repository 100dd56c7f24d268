from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from opentrail.model.facts import partition, resource_arn
from opentrail.model.load import IN_SCOPE, load_models
from opentrail.model.overlay import table
from opentrail.model.shapes import Facts

MODELS = load_models()
D, M, R, W = "Data", "Management", True, False


def facts(service: str, operation: str) -> Facts:
    return MODELS.operation(service, operation).facts


@pytest.mark.parametrize(
    ("operation", "event", "category", "read_only", "action"),
    [
        ("GetBucketAccelerateConfiguration", "GetAccelerateConfiguration", M, R, "s3:GetAccelerateConfiguration"),
        ("PutBucketAccelerateConfiguration", "PutAccelerateConfiguration", M, W, "s3:PutAccelerateConfiguration"),
        ("GetPublicAccessBlock", "GetBucketPublicAccessBlock", M, R, "s3:GetBucketPublicAccessBlock"),
        ("DeletePublicAccessBlock", "DeleteBucketPublicAccessBlock", M, W, "s3:PutBucketPublicAccessBlock"),
        ("GetObjectLockConfiguration", "GetBucketObjectLockConfiguration", M, R, "s3:GetBucketObjectLockConfiguration"),
        ("GetBucketLifecycleConfiguration", "GetBucketLifecycle", M, R, "s3:GetLifecycleConfiguration"),
        ("PutBucketLifecycleConfiguration", "PutBucketLifecycle", M, W, "s3:PutLifecycleConfiguration"),
        ("PutBucketNotificationConfiguration", "PutBucketNotification", M, W, "s3:PutBucketNotification"),
        ("ListBucketMetricsConfigurations", "GetBucketMetricsConfiguration", M, R, "s3:GetMetricsConfiguration"),
        ("PutObjectRetention", "PutObjectLockRetention", D, W, "s3:PutObjectRetention"),
        ("GetObjectLegalHold", "GetObjectLockLegalHold", D, R, "s3:GetObjectLegalHold"),
        ("ListObjectsV2", "ListObjects", D, R, "s3:ListBucket"),
        ("ListObjects", "ListObjects", D, R, "s3:ListBucket"),
        ("ListObjectVersions", "ListObjectVersions", D, R, "s3:ListBucketVersions"),
        ("ListMultipartUploads", "ListMultipartUploads", M, R, "s3:ListBucketMultipartUploads"),
        ("ListParts", "ListParts", D, R, "s3:ListMultipartUploadParts"),
        ("ListBuckets", "ListBuckets", M, R, "s3:ListAllMyBuckets"),
        ("HeadBucket", "HeadBucket", D, R, "s3:ListBucket"),
        ("HeadObject", "HeadObject", D, R, "s3:GetObject"),
        ("DeleteObjects", "DeleteObjects", D, W, "s3:DeleteObject"),
        ("CreateMultipartUpload", "CreateMultipartUpload", D, W, "s3:PutObject"),
        ("CompleteMultipartUpload", "CompleteMultipartUpload", D, W, "s3:PutObject"),
        ("CopyObject", "CopyObject", D, W, "s3:PutObject"),
        ("PutObject", "PutObject", D, W, "s3:PutObject"),
        ("GetBucketCors", "GetBucketCors", M, R, "s3:GetBucketCORS"),
        ("DeleteBucketEncryption", "DeleteBucketEncryption", M, W, "s3:PutEncryptionConfiguration"),
        ("PutBucketReplication", "PutBucketReplication", M, W, "s3:PutReplicationConfiguration"),
        ("SelectObjectContent", "SelectObjectContent", D, R, "s3:GetObject"),
        ("PostObject", "PostObject", D, W, "s3:PutObject"),
    ],
)
def test_s3(operation: str, event: str, category: str, read_only: bool, action: str) -> None:
    found = facts("s3", operation)
    assert (found.event_name, found.category, found.read_only) == (event, category, read_only)
    assert found.actions[0] == action
    assert found.event_source == "s3.amazonaws.com"


def test_a_preflight_is_anonymous_and_needs_no_permission() -> None:
    found = facts("s3", "PreflightRequest")
    assert (found.event_name, found.category, found.read_only, found.actions) == ("PreflightRequest", D, R, ())


def test_the_guides_spelling_is_kept_beside_the_real_one() -> None:
    assert facts("s3", "PutPublicAccessBlock").documented_name == "PutPublicAccessBlock"
    assert facts("s3control", "PutPublicAccessBlock").documented_name == "PutPublicAccessBlock"
    assert facts("s3control", "PutPublicAccessBlock").event_name == "PutAccountPublicAccessBlock"
    assert facts("s3", "ListObjectsV2").documented_name == "ListObjects"


def test_s3_against_the_whole_list_of_event_names() -> None:
    directory = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")
    path = Path(directory) / "s3_event_map.tsv"
    if not directory or not path.exists():
        pytest.skip("no reference data")
    for row in csv.DictReader(path.read_text().splitlines(), delimiter="\t"):
        if row["botocore_op"] == "WriteGetObjectResponse":
            continue
        found = facts("s3", row["botocore_op"])
        told = (found.event_name, found.category[0], "R" if found.read_only else "W", found.level)
        level = {"svc": "service", "bkt": "bucket", "obj": "object"}[row["level"]]
        assert told == (row["event_name"], row["category(M/D)"], row["readOnly(R/W)"], level)


@pytest.mark.parametrize(
    ("service", "operation", "source", "read_only", "action"),
    [
        ("cloudtrail", "LookupEvents", "cloudtrail", R, "cloudtrail:LookupEvents"),
        ("cloudtrail", "StartLogging", "cloudtrail", W, "cloudtrail:StartLogging"),
        ("cloudwatch", "DescribeAlarms", "monitoring", R, "cloudwatch:DescribeAlarms"),
        ("events", "TestEventPattern", "events", R, "events:TestEventPattern"),
        ("events", "PutRule", "events", W, "events:PutRule"),
        ("codepipeline", "UpdatePipeline", "codepipeline", W, "codepipeline:UpdatePipeline"),
        ("codepipeline", "PollForJobs", "codepipeline", W, "codepipeline:PollForJobs"),
        ("logs", "FilterLogEvents", "logs", R, "logs:FilterLogEvents"),
        ("sts", "AssumeRole", "sts", R, "sts:AssumeRole"),
        ("sts", "GetCallerIdentity", "sts", R, "sts:GetCallerIdentity"),
        ("kms", "GenerateDataKey", "kms", R, "kms:GenerateDataKey"),
        ("kms", "Decrypt", "kms", R, "kms:Decrypt"),
        ("kms", "DisableKey", "kms", W, "kms:DisableKey"),
        ("iam", "CreateUser", "iam", W, "iam:CreateUser"),
        ("secretsmanager", "BatchGetSecretValue", "secretsmanager", R, "secretsmanager:BatchGetSecretValue"),
        ("ecr", "PutImage", "ecr", W, "ecr:PutImage"),
        ("sesv2", "ListEmailIdentities", "ses", R, "ses:ListEmailIdentities"),
        ("ec2", "GetPasswordData", "ec2", R, "ec2:GetPasswordData"),
    ],
)
def test_other_services(service: str, operation: str, source: str, read_only: bool, action: str) -> None:
    found = facts(service, operation)
    assert found.event_source == f"{source}.amazonaws.com"
    assert (found.event_name, found.category, found.read_only) == (operation, M, read_only)
    assert found.actions[0] == action


def test_lambda_events_bear_the_api_version() -> None:
    assert facts("lambda", "CreateFunction").event_name == "CreateFunction20150331"
    assert facts("lambda", "UpdateFunctionCode").event_name == "UpdateFunctionCode20150331v2"


@pytest.mark.parametrize(
    "pair", ["sns.Publish", "sqs.SendMessage", "logs.PutLogEvents", "lambda.Invoke", "events.PutEvents"]
)
def test_what_carries_payload_is_data(pair: str) -> None:
    service, _, operation = pair.partition(".")
    assert facts(service, operation).category == D
    assert facts(service, operation).secrets


@pytest.mark.parametrize(
    ("service", "operation", "secret"),
    [
        ("iam", "CreateAccessKey", "AccessKey.SecretAccessKey"),
        ("iam", "CreateLoginProfile", "Password"),
        ("sts", "AssumeRole", "Credentials.SecretAccessKey"),
        ("codepipeline", "PutWebhook", "webhook.definition.authenticationConfiguration.SecretToken"),
        ("codepipeline", "UpdatePipeline", "pipeline.stages.actions.configuration.OAuthToken"),
        ("kms", "Decrypt", "Plaintext"),
        ("sqs", "SendMessageBatch", "Entries.MessageBody"),
        ("secretsmanager", "CreateSecret", "SecretString"),
        ("ssm", "PutParameter", "Value"),
    ],
)
def test_secrets(service: str, operation: str, secret: str) -> None:
    assert secret in facts(service, operation).secrets


def test_session_tokens_stand_in_real_records() -> None:
    assert "Credentials.SessionToken" not in facts("sts", "AssumeRole").secrets


def test_global_services() -> None:
    assert all(facts(*pair).global_service for pair in (("iam", "GetUser"), ("organizations", "ListRoots")))
    assert not facts("sts", "AssumeRole").global_service


ARNS = [
    ("events", "PutRule", {"Name": "r"}, "arn:aws:events:eu-west-1:123456789012:rule/r"),
    ("events", "PutTargets", {"Rule": "r", "EventBusName": "b"}, "arn:aws:events:eu-west-1:123456789012:rule/b/r"),
    ("events", "PutTargets", {"Rule": "r", "EventBusName": "default"}, "arn:aws:events:eu-west-1:123456789012:rule/r"),
    (
        "events",
        "PutTargets",
        {"Rule": "r", "EventBusName": "arn:aws:events:eu-west-1:123456789012:event-bus/b"},
        "arn:aws:events:eu-west-1:123456789012:rule/b/r",
    ),
    ("events", "DescribeEventBus", {}, "arn:aws:events:eu-west-1:123456789012:event-bus/default"),
    ("cloudtrail", "StartLogging", {"Name": "t"}, "arn:aws:cloudtrail:eu-west-1:123456789012:trail/t"),
    (
        "cloudtrail",
        "StartLogging",
        {"Name": "arn:aws:cloudtrail:us-east-1:1:trail/t"},
        "arn:aws:cloudtrail:us-east-1:1:trail/t",
    ),
    (
        "cloudtrail",
        "StartLogging",
        {"Name": "arn:aws:s3:::t"},
        "arn:aws:cloudtrail:eu-west-1:123456789012:trail/arn:aws:s3:::t",
    ),
    ("codepipeline", "CreatePipeline", {"pipeline": {"name": "p"}}, "arn:aws:codepipeline:eu-west-1:123456789012:p"),
    ("codepipeline", "CreatePipeline", {"pipeline": "p"}, "arn:aws:codepipeline:eu-west-1:123456789012:*"),
    (
        "codepipeline",
        "RetryStageExecution",
        {"pipelineName": "p", "stageName": "S"},
        "arn:aws:codepipeline:eu-west-1:123456789012:p/S",
    ),
    ("iam", "GetUser", {"UserName": "ann"}, "arn:aws:iam::123456789012:user/ann"),
    ("iam", "GetUser", {}, "arn:aws:iam::123456789012:user/*"),
    ("iam", "AttachRolePolicy", {"RoleName": "r", "PolicyArn": "x"}, "arn:aws:iam::123456789012:role/r"),
    ("sts", "AssumeRole", {"RoleArn": "arn:aws:iam::1:role/r"}, "arn:aws:iam::1:role/r"),
    ("sqs", "SendMessage", {"QueueUrl": "http://localhost/123456789012/q"}, "arn:aws:sqs:eu-west-1:123456789012:q"),
    ("sns", "Publish", {"TopicArn": "arn:aws:sns:eu-west-1:1:t"}, "arn:aws:sns:eu-west-1:1:t"),
    ("sns", "CreateTopic", {"Name": "t"}, "arn:aws:sns:eu-west-1:123456789012:t"),
    (
        "logs",
        "PutLogEvents",
        {"logGroupName": "/a/b", "logStreamName": "s"},
        "arn:aws:logs:eu-west-1:123456789012:log-group:/a/b:log-stream:s",
    ),
    ("cloudwatch", "PutMetricAlarm", {"AlarmName": "a"}, "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a"),
    ("s3", "ListBuckets", {}, "arn:aws:s3:::*"),
    ("s3", "PutObject", {"Bucket": "b", "Key": "a//b/{c}"}, "arn:aws:s3:::b/a//b/{c}"),
    ("s3", "PutObject", {"Bucket": "b", "Key": "arn:aws:s3:::other/x"}, "arn:aws:s3:::b/arn:aws:s3:::other/x"),
    ("s3", "PutObject", {"Bucket": "b", "Key": "k://x/y"}, "arn:aws:s3:::b/k://x/y"),
]


@pytest.mark.parametrize(("service", "operation", "given", "arn"), ARNS)
def test_resources(service: str, operation: str, given: dict[str, object], arn: str) -> None:
    assert resource_arn(facts(service, operation).resource, given, "eu-west-1", "123456789012") == arn


def test_every_template_of_our_services_renders() -> None:
    for service in IN_SCOPE:
        for operation in MODELS.service(service).operations.values():
            arn = resource_arn(operation.facts.resource, {}, "r", "1")
            assert "{" not in arn, operation.name
            assert "[" not in arn, operation.name


def test_the_tables_name_only_operations_and_members_there_are() -> None:
    assert set(table("s3_facts")) <= set(MODELS.service("s3").operations)
    for service, about in table("facts").items():
        operations = MODELS.service(service).operations
        assert set(about.get("operations", {})) <= set(operations), service
        given = {name for one in operations.values() if one.input for name in one.input.members}
        assert set(about.get("members", {})) <= given, service
        assert "events" in about or about.keys() <= {"global", "members", "operations", "source", "iam_prefix"}


def test_partitions():
    regions = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "garage", "")
    assert [partition(name) for name in regions] == ["aws", "aws", "aws-cn", "aws-us-gov", "aws", "aws"]
