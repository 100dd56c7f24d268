"""Rules by boto3, and the whole road: an upload, its record, a rule, a pipeline, a deployment, and who did what."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import TrailLog
from tests.clients.waiting import until

UPLOADS = ["CopyObject", "PutObject", "CompleteMultipartUpload"]


@pytest.fixture(scope="session")
def events(server: ServerProcess) -> Any:
    return server.client("events")


@pytest.fixture(scope="session")
def pipelines(server: ServerProcess) -> Any:
    return server.client("codepipeline")


@pytest.fixture
def new_role(iam: Any) -> Callable[..., str]:
    """Makes a role for a service; its ARN."""

    def make(name: str, service: str, *actions: str) -> str:
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        allow = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        role = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
        )
        iam.put_role_policy(
            RoleName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allow})
        )
        return role["Role"]["Arn"]

    return make


def definition(name: str, role: str, source: str, artifacts: str, deploy: str) -> dict[str, Any]:
    def action(stage: str, category: str, configuration: dict[str, str], **more: Any) -> dict[str, Any]:
        kind = {"category": category, "owner": "AWS", "provider": "S3", "version": "1"}
        return {
            "name": stage,
            "actions": [{"name": stage, "actionTypeId": kind, "configuration": configuration, **more}],
        }

    taken = {"S3Bucket": source, "S3ObjectKey": "app.zip", "PollForSourceChanges": "false"}
    given = {"BucketName": deploy, "Extract": "true"}
    return {
        "name": name,
        "roleArn": role,
        "artifactStore": {"type": "S3", "location": artifacts},
        "stages": [
            action("Source", "Source", taken, outputArtifacts=[{"name": "App"}]),
            action("Deploy", "Deploy", given, inputArtifacts=[{"name": "App"}]),
        ],
    }


class Delivery:
    """Buckets, roles and a pipeline of one test."""

    def __init__(self, s3: Any, pipelines: Any, new_role: Callable[..., str], name: str) -> None:
        self.s3, self.pipelines, self.name = s3, pipelines, name
        self.source, self.artifacts, self.deploy = f"{name}-source", f"{name}-artifacts", f"{name}-deploy"
        for bucket in (self.source, self.artifacts, self.deploy):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=self.source, VersioningConfiguration={"Status": "Enabled"})
        self.role = new_role(f"{name}-pipeline", "codepipeline.amazonaws.com", "s3:*")
        self.rule_role = new_role(f"{name}-rule", "events.amazonaws.com", "codepipeline:StartPipelineExecution")
        self.definition = definition(name, self.role, self.source, self.artifacts, self.deploy)
        pipelines.create_pipeline(pipeline=self.definition)
        self.arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{name}"

    def upload(self, **files: str) -> dict[str, Any]:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, text in files.items():
                archive.writestr(name.replace("__", "/"), text)
        return self.s3.put_object(Bucket=self.source, Key="app.zip", Body=packed.getvalue())

    def ended(self, execution: str) -> dict[str, Any]:
        def look() -> Any:
            found = self.pipelines.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=execution)
            return found["pipelineExecution"]["status"] != "InProgress" and found["pipelineExecution"]

        return until(look)

    def triggered(self, kind: str, fewer: int = 0) -> dict[str, Any]:
        """The newest execution of a trigger, once there are more than `fewer`."""

        def look() -> Any:
            listed = self.pipelines.list_pipeline_executions(pipelineName=self.name)["pipelineExecutionSummaries"]
            found = [each for each in listed if each.get("trigger", {}).get("triggerType") == kind]
            return len(found) > fewer and found[0]

        return until(look)

    def deployed(self) -> list[str]:
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=self.deploy).get("Contents", [])]


@pytest.fixture
def delivery(s3: Any, pipelines: Any, new_role: Callable[..., str], name: str) -> Delivery:
    return Delivery(s3, pipelines, new_role, name)


def test_rules(events: Any, name: str) -> None:
    pattern = json.dumps({"source": ["aws.s3"], "detail": {"eventName": UPLOADS}})
    arn = events.put_rule(Name=name, EventPattern=pattern, Description="d", Tags=[{"Key": "a", "Value": "b"}])[
        "RuleArn"
    ]
    assert arn == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"
    kept = events.describe_rule(Name=name)
    assert (kept["State"], json.loads(kept["EventPattern"]), kept["Description"]) == (
        "ENABLED",
        json.loads(pattern),
        "d",
    )
    events.disable_rule(Name=name)
    assert events.list_rules(NamePrefix=name)["Rules"][0]["State"] == "DISABLED"
    events.enable_rule(Name=name)
    target = {
        "Id": "1",
        "Arn": f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:p",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
    }
    assert events.put_targets(Rule=name, Targets=[target])["FailedEntryCount"] == 0
    assert events.list_targets_by_rule(Rule=name)["Targets"] == [target]
    assert events.list_rule_names_by_target(TargetArn=target["Arn"])["RuleNames"] == [name]
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    with pytest.raises(ClientError) as error:
        events.delete_rule(Name=name)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    events.remove_targets(Rule=name, Ids=["1"])
    events.delete_rule(Name=name)
    with pytest.raises(events.exceptions.ResourceNotFoundException):
        events.describe_rule(Name=name)
    for bad in ("not json", "{}", '{"source":"aws.s3"}', '{"source":[{"nonsense":1}]}', '{"source":[]}'):
        with pytest.raises(events.exceptions.InvalidEventPatternException):
            events.put_rule(Name=name, EventPattern=bad)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ({"source": ["aws.s3"]}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"detail": {"n": [{"numeric": [">", 2]}]}}, True),
        ({"detail": {"key": [{"prefix": "in/"}]}}, True),
        ({"detail": {"key": [{"anything-but": ["in/app.zip"]}]}}, False),
        ({"detail": {"none": [{"exists": False}]}}, True),
        ({"detail": {"key": [{"exists": True}], "n": [3]}}, True),
    ],
)
def test_patterns(events: Any, pattern: Any, matches: bool) -> None:
    event = {
        "id": "1", "version": "0", "detail-type": "t", "source": "aws.s3", "account": ACCOUNT, "region": REGION,
        "time": "2026-01-01T00:00:00Z", "resources": [], "detail": {"key": "in/app.zip", "n": 3},
    }  # fmt: skip
    answer = events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
    assert answer["Result"] is matches


def test_custom_events_start_a_pipeline(events: Any, delivery: Delivery) -> None:
    delivery.upload(**{"index.html": "by event"})
    events.put_rule(Name=delivery.name, EventPattern=json.dumps({"source": [delivery.name], "detail": {"go": [True]}}))
    events.put_targets(Rule=delivery.name, Targets=[{"Id": "1", "Arn": delivery.arn, "RoleArn": delivery.rule_role}])
    entry = {"Source": delivery.name, "DetailType": "t", "Detail": '{"go":true}'}
    answer = events.put_events(Entries=[entry, {**entry, "Detail": '{"go":false}'}, {**entry, "Detail": "no json"}])
    assert answer["FailedEntryCount"] == 1
    assert [each.get("ErrorCode") for each in answer["Entries"]] == [None, None, "MalformedDetail"]
    execution = delivery.triggered("CloudWatchEvent")
    assert delivery.ended(execution["pipelineExecutionId"])["status"] == "Succeeded"
    assert delivery.deployed() == ["index.html"]
    assert execution["trigger"]["triggerDetail"].endswith(f"rule/{delivery.name}")


def test_pipelines(pipelines: Any, delivery: Delivery) -> None:
    name = delivery.name
    delivery.upload(**{"index.html": "one", "css__style.css": "two"})
    assert name in [each["name"] for each in pipelines.list_pipelines()["pipelines"]]
    assert pipelines.get_pipeline(name=name)["pipeline"]["version"] == 1
    execution = pipelines.start_pipeline_execution(name=name)["pipelineExecutionId"]
    assert delivery.ended(execution)["status"] == "Succeeded"
    assert delivery.deployed() == ["css/style.css", "index.html"]
    state = pipelines.get_pipeline_state(name=name)
    assert [(each["stageName"], each["latestExecution"]["status"]) for each in state["stageStates"]] == [
        ("Source", "Succeeded"),
        ("Deploy", "Succeeded"),
    ]
    actions = pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    done = [each for each in actions if each["pipelineExecutionId"] == execution]
    assert {(each["stageName"], each["status"]) for each in done} == {("Source", "Succeeded"), ("Deploy", "Succeeded")}
    changed = pipelines.get_pipeline(name=name)["pipeline"]
    changed["stages"][0]["name"] = "MySourceStage"
    updated = pipelines.update_pipeline(pipeline=changed)["pipeline"]
    assert (updated["version"], updated["stages"][0]["name"]) == (2, "MySourceStage")
    assert pipelines.get_pipeline(name=name, version=1)["pipeline"]["stages"][0]["name"] == "Source"
    with pytest.raises(pipelines.exceptions.PipelineNameInUseException):
        pipelines.create_pipeline(pipeline=delivery.definition)
    pipelines.delete_pipeline(name=name)
    with pytest.raises(pipelines.exceptions.PipelineNotFoundException):
        pipelines.get_pipeline(name=name)


def test_a_pipeline_fails_where_its_role_may_not(pipelines: Any, iam: Any, delivery: Delivery) -> None:
    deny = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{delivery.deploy}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": deny})
    iam.put_role_policy(RoleName=f"{delivery.name}-pipeline", PolicyName="no", PolicyDocument=document)
    delivery.upload(**{"index.html": "one"})
    execution = pipelines.start_pipeline_execution(name=delivery.name)["pipelineExecutionId"]
    assert delivery.ended(execution)["status"] == "Failed"
    stages = pipelines.get_pipeline_state(name=delivery.name)["stageStates"]
    assert [each["latestExecution"]["status"] for each in stages] == ["Succeeded", "Failed"]
    assert delivery.deployed() == []


def recorded(trail: TrailLog, event: str, **parameters: str) -> list[dict[str, Any]]:
    """The delivered records of an event with these request parameters, as soon as there is one."""

    def look() -> list[dict[str, Any]]:
        trail.refresh()
        found = [each for each in trail.records if each["eventName"] == event]
        return [each for each in found if parameters.items() <= (each["requestParameters"] or {}).items()]

    return list(until(look))


def test_from_an_upload_to_a_deployment(events: Any, pipelines: Any, trail: TrailLog, delivery: Delivery) -> None:
    """The story of the pages, with the documented pattern, and afterwards the trail tells who did what."""
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {
            "eventSource": ["s3.amazonaws.com"],
            "eventName": UPLOADS,
            "requestParameters": {"bucketName": [delivery.source], "key": ["app.zip"]},
        },
    }
    events.put_rule(Name=delivery.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=delivery.name, Targets=[{"Id": "1", "Arn": delivery.arn, "RoleArn": delivery.rule_role}])
    delivery.s3.put_object(Bucket=delivery.source, Key="another", Body=b"starts nothing")
    put = delivery.upload(**{"index.html": "hello"})
    execution = delivery.triggered("CloudWatchEvent")
    assert delivery.ended(execution["pipelineExecutionId"])["status"] == "Succeeded"
    assert delivery.deployed() == ["index.html"]
    upload = trail.of(put)
    assert upload["responseElements"]["x-amz-version-id"] == put["VersionId"]
    [start] = recorded(trail, "StartPipelineExecution", name=delivery.name)
    who = start["userIdentity"]
    assert (who["type"], who["invokedBy"], start["sourceIPAddress"]) == (
        "AssumedRole",
        "events.amazonaws.com",
        "events.amazonaws.com",
    )
    assert who["sessionContext"]["sessionIssuer"]["arn"] == delivery.rule_role
    assert start["responseElements"] == {"pipelineExecutionId": execution["pipelineExecutionId"]}
    [deployed] = recorded(trail, "PutObject", bucketName=delivery.deploy)
    assert deployed["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == delivery.role
    assert deployed["requestParameters"]["key"] == "index.html"
    listed = pipelines.list_pipeline_executions(pipelineName=delivery.name)["pipelineExecutionSummaries"]
    assert sum(each.get("trigger", {}).get("triggerType") == "CloudWatchEvent" for each in listed) == 1
    delivery.s3.copy_object(
        Bucket=delivery.source,
        Key="app.zip",
        CopySource={"Bucket": delivery.source, "Key": "app.zip"},
        MetadataDirective="REPLACE",
    )
    again = delivery.triggered("CloudWatchEvent", fewer=1)
    assert delivery.ended(again["pipelineExecutionId"])["status"] == "Succeeded"
