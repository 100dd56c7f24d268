from __future__ import annotations

from typing import Any

import pytest

from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.model.shapes import Protocol
from opentrail.wire.validate import FAULTS_MAX, validate

MODELS = load_models()


def check(service: str, operation: str, given: dict[str, Any], protocol: Protocol = "json") -> None:
    validate(MODELS.operation(service, operation), protocol, given)


def refusal(service: str, operation: str, given: dict[str, Any], protocol: Protocol = "json") -> AwsError:
    with pytest.raises(AwsError) as refused:
        check(service, operation, given, protocol)
    assert refused.value.status == 400
    return refused.value


def test_what_fits_passes() -> None:
    check("events", "PutRule", {"Name": "r", "EventPattern": "{}", "State": "ENABLED"})
    check("iam", "CreateUser", {"UserName": "ann+x=1"}, "query")
    check("events", "PutRule", {"Name": "r", "Unknown": object()})
    check("sts", "GetCallerIdentity", {}, "query")


@pytest.mark.parametrize(
    ("service", "operation", "given", "message"),
    [
        (
            "events",
            "PutRule",
            {"Name": "x" * 65},
            f"1 validation error detected: Value '{'x' * 65}' at 'name' failed to satisfy constraint: "
            "Member must have length less than or equal to 64",
        ),
        (
            "events",
            "PutRule",
            {},
            "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
        ),
        (
            "events",
            "PutTargets",
            {"Rule": "a b", "Targets": []},
            "2 validation errors detected: Value 'a b' at 'rule' failed to satisfy constraint: Member must satisfy regular "
            "expression pattern: [\\.\\-_A-Za-z0-9]+; Value '[]' at 'targets' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            "events",
            "PutEvents",
            {"Entries": [{"Source": "a"}] * 11},
            "1 validation error detected: Value '["
            + ", ".join(["{Source=a}"] * 11)
            + "]' at 'entries' failed to satisfy "
            "constraint: Member must have length less than or equal to 10",
        ),
        (
            "events",
            "PutTargets",
            {"Rule": "r", "Targets": [None]},
            "1 validation error detected: Value '[null]' at 'targets' failed to satisfy constraint: Member must not be null",
        ),
        (
            "codepipeline",
            "GetPipeline",
            {"name": "p", "version": 0},
            "1 validation error detected: Value '0' at 'version' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
    ],
)
def test_faults_are_worded_as_aws_words_them(service: str, operation: str, given: dict[str, Any], message: str) -> None:
    refused = refusal(service, operation, given)
    assert (refused.code, refused.message) == ("ValidationException", message)


def pipeline(configuration: dict[str, str]) -> dict[str, Any]:
    kind = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
    action = {"name": "A", "actionTypeId": kind, "configuration": configuration}
    role = "arn:aws:iam::123456789012:role/x"
    return {"pipeline": {"name": "p", "roleArn": role, "stages": [{"name": "S", "actions": [action]}]}}


def test_paths_and_maps_as_codepipeline_tells_them() -> None:
    check("codepipeline", "CreatePipeline", pipeline({"S3Bucket": "b"}))
    refused = refusal("codepipeline", "CreatePipeline", pipeline({"a": "x" * 1001}))
    assert (
        "at 'pipeline.stages.1.member.actions.1.member.configuration' failed to satisfy constraint: Map value"
        in refused.message
    )
    assert refused.message.endswith(
        "Map value must satisfy constraint: [Member must have length less than or equal to 1000, "
        "Member must have length greater than or equal to 1]"
    )
    assert "Map keys must satisfy" in refusal("codepipeline", "CreatePipeline", pipeline({"": "x"})).message


def test_scalars_in_lists_are_told_together() -> None:
    given = {"RoleArn": "arn:aws:iam::123456789012:role/x", "RoleSessionName": "ss", "TransitiveTagKeys": ["a", ""]}
    refused = refusal("sts", "AssumeRole", given, "query")
    assert refused.code == "ValidationError"
    assert (
        "Value '[a, ]' at 'transitiveTagKeys' failed to satisfy constraint: Member must satisfy constraint: ["
        in refused.message
    )


def test_sensitive_values_are_not_repeated() -> None:
    refused = refusal("iam", "CreateLoginProfile", {"UserName": "u", "Password": "\x01secret"}, "query")
    assert "Value at 'password' failed" in refused.message
    assert "secret" not in refused.message


@pytest.mark.parametrize(
    ("service", "operation", "given", "protocol", "code"),
    [
        ("iam", "CreateUser", {"UserName": "a b"}, "query", "ValidationError"),
        ("iam", "CreateUser", {}, "query", "ValidationError"),
        ("logs", "CreateLogGroup", {"logGroupName": "a b"}, "json", "InvalidParameterException"),
        ("sqs", "SendMessage", {}, "json", "MissingParameter"),
        ("cloudwatch", "PutMetricAlarm", {}, "smithy-rpc-v2-cbor", "MissingParameter"),
        ("cloudwatch", "PutMetricData", {"Namespace": ":a", "MetricData": []}, "query", "ValidationError"),
        ("organizations", "DescribeAccount", {"AccountId": "x"}, "json", "InvalidInputException"),
        ("ec2", "DescribeInstanceAttribute", {}, "ec2", "MissingParameter"),
        ("lambda", "GetFunction", {"FunctionName": ""}, "rest-json", "ValidationException"),
    ],
)
def test_codes_of_services(service: str, operation: str, given: dict[str, Any], protocol: Protocol, code: str) -> None:
    assert refusal(service, operation, given, protocol).code == code


def test_missing_parameter_names_it_as_the_client_knows_it() -> None:
    assert (
        refusal("sqs", "SendMessage", {"MessageBody": "x"}).message
        == "The request must contain the parameter QueueUrl."
    )


def test_cloudtrail_words_its_own_constraints() -> None:
    check("cloudtrail", "LookupEvents", {"MaxResults": 51})
    assert refusal("cloudtrail", "CreateTrail", {"Name": "t"}).code == "ValidationException"


def test_s3_has_rules_of_its_own() -> None:
    check("s3", "PutObject", {}, "rest-xml")


@pytest.mark.parametrize(
    "given",
    [
        {"Rule": 3, "Targets": []},
        {"Rule": True, "Targets": []},
        {"Rule": "r", "Targets": "text"},
        {"Rule": "r", "Targets": {"a": 1}},
        {"Rule": "r", "Targets": ["text"]},
        {"Rule": "r", "Targets": [{"Id": "1", "Arn": "a", "Input": b"bytes"}]},
        {"Rule": "r", "Targets": [{"Id": "1", "Arn": "a", "EcsParameters": []}]},
    ],
)
def test_types_the_model_does_not_have(given: dict[str, Any]) -> None:
    assert refusal("events", "PutTargets", given).code == "SerializationException"


def test_the_whole_input_may_be_of_a_wrong_type() -> None:
    with pytest.raises(AwsError, match="SerializationException"):
        validate(MODELS.operation("events", "PutRule"), "json", [])  # type: ignore[arg-type]


def test_an_answer_stays_bounded() -> None:
    given = {"Rule": "r", "Targets": [{}] * 5000}
    refused = refusal("events", "PutTargets", given)
    assert refused.message.startswith(f"{FAULTS_MAX} validation errors detected")
    long = refusal("events", "PutRule", {"Name": "x" * 1_000_000})
    assert len(long.message) < 3_000


def test_deep_recursion_is_refused_not_crashed() -> None:
    nested: dict[str, Any] = {"Not": {"Tags": {"Key": "k"}}}
    for _ in range(5_000):
        nested = {"Not": nested}
    given = {
        "TimePeriod": {"Start": "2026-01-01", "End": "2026-01-02"},
        "Granularity": "DAILY",
        "Metrics": ["x"],
        "Filter": nested,
    }
    assert refusal("ce", "GetCostAndUsage", given).code == "SerializationException"
