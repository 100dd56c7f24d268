"""The modelled dialect, on the real models."""

from __future__ import annotations

import datetime

import pytest

from opentrail.call import Evidence, Resource
from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.record.parameters import lower_first, record_time
from tests.record.made import ACCOUNT, OTHER, call, record, records, request

TRAIL = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
MOMENT = 1_688_990_241.0
"""2023-07-10T11:57:21Z."""


def modelled(service, name, given=None, output=None, **parts):
    made = call(load_models().operation(service, name), input=given or {}, output=output, **parts)
    made.evidence = parts.get("evidence", Evidence())
    return record(made)


def test_creating_a_trail():
    shown = modelled(
        "cloudtrail",
        "CreateTrail",
        {
            "Name": "main",
            "S3BucketName": "audit-logs",
            "SnsTopicName": "t",
            "KmsKeyId": "alias/a",
            "IncludeGlobalServiceEvents": True,
            "TagsList": [{"Key": "Team", "Value": "Ops"}],
        },
        {"Name": "main", "S3BucketName": "audit-logs", "SnsTopicARN": "arn:t", "TrailARN": TRAIL, "KmsKeyId": "arn:k"},
    )
    assert shown["eventSource"] == "cloudtrail.amazonaws.com"
    assert shown["userAgent"] == "Boto3/1.40 md/Botocore#1.40"
    assert shown["requestParameters"] == {
        "name": "main",
        "s3BucketName": "audit-logs",
        "snsTopicName": "t",
        "kmsKeyId": "alias/a",
        "includeGlobalServiceEvents": True,
        "tagsList": [{"key": "Team", "value": "Ops"}],
    }
    assert shown["responseElements"] == {
        "name": "main",
        "s3BucketName": "audit-logs",
        "snsTopicARN": "arn:t",
        "trailARN": TRAIL,
        "kmsKeyId": "arn:k",
    }
    assert not {"resources", "additionalEventData", "apiVersion"} & set(shown)
    assert (shown["readOnly"], shown["managementEvent"], shown["eventCategory"]) == (False, True, "Management")


def test_selectors_of_a_trail_recursively():
    selectors = [
        {
            "ReadWriteType": "WriteOnly",
            "IncludeManagementEvents": False,
            "DataResources": [{"Type": "AWS::S3::Object", "Values": []}],
            "ExcludeManagementEventSources": [],
        }
    ]
    shown = modelled("cloudtrail", "PutEventSelectors", {"TrailName": "main", "EventSelectors": selectors})
    assert shown["requestParameters"] == {
        "trailName": "main",
        "eventSelectors": [
            {
                "readWriteType": "WriteOnly",
                "includeManagementEvents": False,
                "dataResources": [{"type": "AWS::S3::Object", "values": []}],
                "excludeManagementEventSources": [],
            }
        ],
    }


def test_reads_and_void_calls_have_no_response():
    assert modelled("cloudtrail", "GetTrail", {"Name": "main"}, {"Trail": {"Name": "main"}})["responseElements"] is None
    assert modelled("cloudtrail", "StartLogging", {"Name": "main"}, {})["responseElements"] is None
    assert modelled("cloudtrail", "ListTrails", {}, {"Trails": []})["requestParameters"] is None


def test_a_failed_call_keeps_its_parameters_under_the_name_of_the_shape():
    shown = modelled("iam", "GetRole", {"RoleName": "x"}, error=AwsError("NoSuchEntity", "The role cannot be found."))
    assert shown["errorCode"] == "NoSuchEntityException"
    assert shown["requestParameters"] == {"roleName": "x"}
    shown = modelled("cloudtrail", "StopLogging", {"Name": "x"}, error=AwsError("TrailNotFoundException", "Unknown"))
    assert shown["errorCode"] == "TrailNotFoundException"


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
def test_a_refused_call_has_none(code):
    shown = modelled("codepipeline", "StartPipelineExecution", {"name": "p"}, error=AwsError(code, "User: x is not"))
    assert (shown["errorCode"], shown["requestParameters"]) == ("AccessDenied", None)
    shown = modelled("kms", "DescribeKey", {"KeyId": "k"}, error=AwsError(code, "no"))
    assert shown["requestParameters"] == {"keyId": "k"}


def test_ec2_says_whose_fault_it_is():
    op = load_models().operation("ec2", "DescribeVpcs")
    assert record(call(op, error=AwsError("InvalidVpcID.NotFound", "x", 400)))["errorCode"] == (
        "Client.InvalidVpcID.NotFound"
    )
    assert record(call(op, error=AwsError("InternalError", "x", 500)))["errorCode"] == "Server.InternalError"


def pipeline(version, stage):
    return {
        "name": "site",
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/pipeline",
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "stages": [
            {
                "name": stage,
                "actions": [
                    {
                        "name": "Fetch",
                        "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
                        "runOrder": 1,
                        "configuration": {"S3Bucket": "source", "PollForSourceChanges": "false"},
                        "outputArtifacts": [{"name": "App"}],
                        "inputArtifacts": [],
                    }
                ],
            }
        ],
        "version": version,
    }


def test_renaming_a_stage_of_a_pipeline():
    shown = modelled(
        "codepipeline",
        "UpdatePipeline",
        {"pipeline": pipeline(1, "MySourceStage")},
        {"pipeline": pipeline(2, "MySourceStage")},
    )
    assert shown["requestParameters"] == {"pipeline": pipeline(1, "MySourceStage")}
    assert shown["responseElements"]["pipeline"]["version"] == 2
    configuration = shown["requestParameters"]["pipeline"]["stages"][0]["actions"][0]["configuration"]
    assert list(configuration) == ["S3Bucket", "PollForSourceChanges"]


def test_starting_a_pipeline():
    shown = modelled("codepipeline", "StartPipelineExecution", {"name": "site"}, {"pipelineExecutionId": "e1"})
    assert shown["responseElements"] == {"pipelineExecutionId": "e1"}


def test_a_new_access_key_without_its_secret():
    key = {
        "UserName": "alice",
        "AccessKeyId": "AKIANEWNEWNEWNEWNEW0",
        "Status": "Active",
        "SecretAccessKey": "wJalrXUtnFEMI",
        "CreateDate": MOMENT,
    }
    shown = modelled("iam", "CreateAccessKey", {"UserName": "alice"}, {"AccessKey": key})
    assert shown["responseElements"] == {
        "accessKey": {
            "userName": "alice",
            "accessKeyId": "AKIANEWNEWNEWNEWNEW0",
            "status": "Active",
            "createDate": "Jul 10, 2023 11:57:21 AM",
        }
    }
    assert shown["awsRegion"] == "us-east-1"


def assume(**parts):
    role = f"arn:aws:iam::{OTHER}:role/audit"
    answer = {
        "Credentials": {
            "AccessKeyId": "ASIANEWNEWNEWNEWNEW0",
            "SecretAccessKey": "top-secret-1",
            "SessionToken": "top-secret-2",
            "Expiration": datetime.datetime(2023, 7, 10, 12, 9, 47, tzinfo=datetime.UTC),
        },
        "AssumedRoleUser": {"AssumedRoleId": "AROAX:s", "Arn": "arn:aws:sts::1:assumed-role/audit/s"},
    }
    evidence = Evidence(
        owner_account_id=parts.pop("owner", ""), resources=[Resource("AWS::IAM::Role", role, account_id=OTHER)]
    )
    op = load_models().operation("sts", "AssumeRole")
    given = {"RoleArn": role, "RoleSessionName": "s", "DurationSeconds": 900, "TokenCode": "123456"}
    return records(call(op, input=given, output=answer, evidence=evidence, **parts))


def test_assuming_a_role_shows_the_session_but_no_secret():
    [shown] = assume()
    assert shown["readOnly"] is True
    assert shown["requestParameters"] == {
        "roleArn": f"arn:aws:iam::{OTHER}:role/audit",
        "roleSessionName": "s",
        "durationSeconds": 900,
    }
    assert shown["responseElements"]["credentials"] == {
        "accessKeyId": "ASIANEWNEWNEWNEWNEW0",
        "sessionToken": "***",
        "expiration": "Jul 10, 2023, 12:09:47 PM",
    }
    assert shown["responseElements"]["assumedRoleUser"]["assumedRoleId"] == "AROAX:s"
    assert shown["resources"] == [
        {"accountId": OTHER, "type": "AWS::IAM::Role", "ARN": f"arn:aws:iam::{OTHER}:role/audit"}
    ]


def test_assuming_a_role_of_another_account_tells_both():
    callers, owners = assume(owner=OTHER)
    assert callers["sharedEventID"] == owners["sharedEventID"]
    assert owners["userIdentity"]["type"] == "AWSAccount"
    assert owners["responseElements"] == callers["responseElements"]


def test_messages_of_queues_and_topics_are_hidden():
    shown = modelled("sqs", "SendMessage", {"QueueUrl": "https://q", "MessageBody": "private"})
    assert shown["requestParameters"] == {"queueUrl": "https://q", "messageBody": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    shown = modelled("sns", "Publish", {"TopicArn": "arn:t", "Message": "private", "Subject": "private"})
    assert "private" not in str(shown)


def test_keys_of_maps_keep_their_spelling():
    shown = modelled("sqs", "SetQueueAttributes", {"QueueUrl": "u", "Attributes": {"VisibilityTimeout": "30"}})
    assert shown["requestParameters"]["attributes"] == {"VisibilityTimeout": "30"}


def test_some_services_name_their_version_unless_they_refuse():
    op = load_models().operation("logs", "CreateLogGroup")
    made = call(op, input={"logGroupName": "g", "tags": {"Team": "Ops"}})
    assert record(made)["apiVersion"] == "20140328"
    assert record(made)["requestParameters"] == {"logGroupName": "g", "tags": {"Team": "Ops"}}
    made.error = AwsError("AccessDeniedException", "no")
    assert "apiVersion" not in record(made)


def test_without_a_user_agent_there_is_none():
    made = call(load_models().operation("cloudtrail", "ListTrails"), input={}, request=request())
    made.request.headers = {"host": "x"}
    assert "userAgent" not in record(made)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("S3BucketName", "s3BucketName"), ("DBName", "dBName"), ("ARN", "aRN"), ("name", "name"), ("", "")],
)
def test_only_the_first_letter_changes(name, expected):
    assert lower_first(name) == expected


@pytest.mark.parametrize(
    ("value", "service", "expected"),
    [
        (MOMENT, "iam", "Jul 10, 2023 11:57:21 AM"),
        (MOMENT, "sts", "Jul 10, 2023, 11:57:21 AM"),
        (MOMENT + 7_200, "iam", "Jul 10, 2023 1:57:21 PM"),
        (MOMENT - 43_200 + 160, "iam", "Jul 10, 2023 12:00:01 AM"),
        (MOMENT, "lambda", "2023-07-10T11:57:21Z"),
        (datetime.datetime(2023, 7, 3, 12, 7), "iam", "Jul 3, 2023 12:07:00 PM"),
        ("2023-07-10", "iam", "2023-07-10"),
        (10**30, "iam", str(10**30)),
        (float("nan"), "iam", "nan"),
        (True, "iam", "True"),
    ],
)
def test_times_as_each_service_writes_them(value, service, expected):
    assert record_time(value, service) == expected
