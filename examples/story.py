"""The steps of the story, each checked and shown."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
from rich.console import Console

from story_evidence import count_by_actor, find_record, log_files
from story_policies import (
    SOURCE_KEY,
    log_bucket_policy,
    pipeline_declaration,
    pipeline_role_policy,
    rule_pattern,
    rule_role_policy,
    trust,
    user_policy,
)
from story_server import DELIVERY_SECONDS, DIGEST_SECONDS, DemoServer

FILES = {"index.html": "<h1>It works</h1>\n", "css/site.css": "h1 { color: teal }\n", "about/team.html": "<p>us</p>\n"}
WAIT_SECONDS_MAX = 30.0
T = TypeVar("T")


class StoryFailed(Exception):
    """A step is not as it should be."""


class Story:
    """Plays the story against a server and prints each step and what it produced."""

    def __init__(self, server: DemoServer, console: Console) -> None:
        self.server = server
        self.console = console
        self.session = self._session(server.access_key_id, server.secret)
        suffix = datetime.now(UTC).strftime("%H%M%S")
        self.source, self.artifacts = f"demo-source-{suffix}", f"demo-artifacts-{suffix}"
        self.deploy, self.logs = f"demo-deploy-{suffix}", f"demo-logs-{suffix}"
        self.trail, self.pipeline, self.rule = "demo-trail", "MyFirstPipeline", "demo-source-changed"
        self.started_at = datetime.now(UTC)
        self.step_number = 0

    def play(self) -> None:
        """All steps in order; raises StoryFailed at the first that is wrong."""
        self.make_buckets()
        self.make_roles()
        self.make_trail()
        self.make_pipeline()
        self.make_rule()
        self.upload()
        self.edit_pipeline()
        self.show_history()
        self.show_log_files()
        self.show_digests()
        self.console.print("\n[bold green]Every step was as it should be.[/]")

    # --- the steps

    def make_buckets(self) -> None:
        """Four buckets: source (versioned), artifacts, deploy, logs (with CloudTrail's bucket policy)."""
        self.step("Buckets: a versioned source, artifacts, deploy, and logs with the CloudTrail bucket policy")
        s3 = self.client("s3")
        for bucket in (self.source, self.artifacts, self.deploy, self.logs):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=self.source, VersioningConfiguration={"Status": "Enabled"})
        policy = log_bucket_policy(self.logs, self.server.account_id, self.trail_arn)
        s3.put_bucket_policy(Bucket=self.logs, Policy=json.dumps(policy))
        self.check(s3.get_bucket_versioning(Bucket=self.source).get("Status") == "Enabled", "versioning is not on")
        self.say(", ".join(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]))

    def make_roles(self) -> None:
        """Roles for the pipeline and the rule; a user who uploads and edits."""
        self.step("Identities: roles for the pipeline and for the rule, and a user, JaneDoe-CodePipeline")
        iam = self.client("iam")
        self.pipeline_role = self._role("demo-pipeline-role", "codepipeline", pipeline_role_policy(self))
        self.rule_role = self._role("demo-rule-role", "events", rule_role_policy(self.pipeline_arn))
        iam.create_user(UserName="JaneDoe-CodePipeline")
        iam.put_user_policy(
            UserName="JaneDoe-CodePipeline", PolicyName="work", PolicyDocument=json.dumps(user_policy(self))
        )
        key = iam.create_access_key(UserName="JaneDoe-CodePipeline")["AccessKey"]
        self.jane = self._session(key["AccessKeyId"], key["SecretAccessKey"])
        refused = self.refused(lambda: self.jane.client("s3").list_buckets())
        self.check(refused == "AccessDenied", f"the user may list all buckets ({refused})")
        self.say(
            f"{self.pipeline_role}\n{self.rule_role}\nJane may do her work and nothing else: ListBuckets → {refused}"
        )

    def _role(self, name: str, service: str, policy: dict[str, Any]) -> str:
        iam = self.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust(service)))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName="permissions", PolicyDocument=json.dumps(policy))
        return str(role["Arn"])

    def make_trail(self) -> None:
        """A trail with log file validation and a data event selector on the source object."""
        self.step("A trail with log file validation, logging data events of the source object")
        cloudtrail = self.client("cloudtrail")
        cloudtrail.create_trail(Name=self.trail, S3BucketName=self.logs, EnableLogFileValidation=True)
        resource = {"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{self.source}/{SOURCE_KEY}"]}
        selector = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [resource]}
        cloudtrail.put_event_selectors(TrailName=self.trail, EventSelectors=[selector])
        cloudtrail.start_logging(Name=self.trail)
        self.check(cloudtrail.get_trail_status(Name=self.trail)["IsLogging"], "the trail is not logging")
        self.say(f"{self.trail_arn} is logging into s3://{self.logs}")

    def make_pipeline(self) -> None:
        """A pipeline: S3 source, S3 deploy."""
        self.step("A pipeline: S3 source (PollForSourceChanges false) → S3 deploy (Extract true)")
        answer = self.client("codepipeline").create_pipeline(pipeline=pipeline_declaration(self, "Source"))
        self.check(answer["pipeline"]["version"] == 1, "a new pipeline does not begin at version 1")
        self.wait("the first run, which finds no source yet", lambda: self.executions("Failed"))
        self.say(f"{self.pipeline_arn}, version 1; its first run ends at once: there is no {SOURCE_KEY} yet")

    def make_rule(self) -> None:
        """The documented rule, with the pipeline as its target."""
        self.step("A CloudWatch Events rule: PutObject, CopyObject, CompleteMultipartUpload on the source object")
        events = self.client("events")
        events.put_rule(Name=self.rule, EventPattern=json.dumps(rule_pattern(self.source)))
        target = {"Id": "pipeline", "Arn": self.pipeline_arn, "RoleArn": self.rule_role}
        answer = events.put_targets(Rule=self.rule, Targets=[target])
        self.check(answer["FailedEntryCount"] == 0, str(answer))
        self.say(json.dumps(rule_pattern(self.source)))

    def upload(self) -> None:
        """The upload that sets everything off."""
        self.step(f"Jane uploads {SOURCE_KEY}; the rule starts the pipeline; the files appear in the deploy bucket")
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, text in FILES.items():
                archive.writestr(name, text)
        before = datetime.now(UTC)
        self.jane.client("s3").put_object(Bucket=self.source, Key=SOURCE_KEY, Body=data.getvalue())
        done = self.wait("the execution to succeed", lambda: self.executions("Succeeded"))
        self.check(len(done) == 1, f"{len(done)} executions for one upload")
        trigger = done[0]["trigger"]
        self.check(trigger["triggerType"] == "CloudWatchEvent", f"triggered by {trigger}")
        s3 = self.client("s3")
        found = {
            item["Key"]: s3.get_object(Bucket=self.deploy, Key=item["Key"])["Body"].read().decode()
            for item in s3.list_objects_v2(Bucket=self.deploy)["Contents"]
        }
        self.check(found == FILES, f"deployed: {sorted(found)}")
        self.milliseconds = (done[0]["startTime"] - before).total_seconds() * 1000
        self.say(f"execution {done[0]['pipelineExecutionId']} Succeeded, started by {trigger['triggerDetail']}")
        self.say(f"deployed: {', '.join(sorted(found))}")
        self.say(f"from sending the upload to the pipeline's start: [bold]{self.milliseconds:.0f} ms[/]")

    def edit_pipeline(self) -> None:
        """As the page on CodePipeline logging tells: stage Source becomes MySourceStage, version 1 becomes 2."""
        self.step("Jane renames stage Source to MySourceStage: version 1 → 2")
        pipelines = self.jane.client("codepipeline")
        declaration = pipelines.get_pipeline(name=self.pipeline)["pipeline"]
        self.check(declaration["version"] == 1, f"version {declaration['version']} before the edit")
        declaration["stages"][0]["name"] = "MySourceStage"
        answer = pipelines.update_pipeline(pipeline=declaration)["pipeline"]
        self.check(answer["version"] == 2, f"version {answer['version']} after the edit")
        self.say(f"version {answer['version']}: {' → '.join(stage['name'] for stage in answer['stages'])}")

    def show_history(self) -> None:
        """Event history, looked up."""
        self.step("Event history (lookup-events), newest first")
        cloudtrail = self.client("cloudtrail")
        by_name = [{"AttributeKey": "EventName", "AttributeValue": "UpdatePipeline"}]
        found = self.wait(
            "UpdatePipeline in event history", lambda: cloudtrail.lookup_events(LookupAttributes=by_name)["Events"]
        )
        self.check(found[0]["Username"] == "JaneDoe-CodePipeline", f"UpdatePipeline by {found[0].get('Username')}")
        for event in cloudtrail.lookup_events(MaxResults=12)["Events"]:
            self.say(f"{event['EventTime']:%H:%M:%S}  {event['EventName']:<28} {event.get('Username', '')}")

    def show_log_files(self) -> None:
        """What was delivered: the two records of the pages, and who did what."""
        self.step(f"Log files in s3://{self.logs} (delivered every {DELIVERY_SECONDS} s here, 5 minutes by default)")
        s3 = self.client("s3")
        wanted = {"PutObject": "JaneDoe-CodePipeline", "UpdatePipeline": "JaneDoe-CodePipeline"}
        for name, user in wanted.items():
            record = self.wait(f"{name} in a log file", lambda n=name, u=user: find_record(s3, self.logs, n, u))
            self.console.print_json(json.dumps(record))
        put = find_record(s3, self.logs, "PutObject", "JaneDoe-CodePipeline")
        self.check(put["requestParameters"]["key"] == SOURCE_KEY and not put["managementEvent"], "the PutObject record")
        edit = find_record(s3, self.logs, "UpdatePipeline", "JaneDoe-CodePipeline")
        self.check(edit["requestParameters"]["pipeline"]["version"] == 1, "requestParameters have the old version")
        self.check(edit["responseElements"]["pipeline"]["version"] == 2, "responseElements have the new version")
        actors = self.wait("records of everybody who took part", lambda: self._actors(s3))
        for who, names in sorted(actors.items()):
            self.say(f"{who}: {', '.join(sorted(names))}")
        for key in log_files(s3, self.logs):
            self.say(f"s3://{self.logs}/{key}")

    def _actors(self, s3: Any) -> dict[str, set[str]]:  # noqa: ANN401
        """Who did what, once everybody is among them: the user, both roles, and CloudTrail itself."""
        actors = count_by_actor(s3, self.logs)
        expected = ("JaneDoe-CodePipeline", "demo-rule-role", "demo-pipeline-role", "cloudtrail.amazonaws.com")
        return actors if all(any(name in who for who in actors) for name in expected) else {}

    def show_digests(self) -> None:
        """The digest chain, verified by the AWS CLI."""
        self.step(f"The digest chain (every {DIGEST_SECONDS} s here, hourly by default), verified by the AWS CLI")
        s3 = self.client("s3")
        prefix = f"AWSLogs/{self.server.account_id}/CloudTrail-Digest/"

        def two_digests() -> list[str]:
            listed = s3.list_objects_v2(Bucket=self.logs, Prefix=prefix).get("Contents", [])
            keys = [item["Key"] for item in listed if item["Key"].endswith(".json.gz")]
            return keys if len(keys) >= 3 else []

        for key in self.wait("three digests", two_digests):
            self.say(f"s3://{self.logs}/{key}")
        text = self._validate_logs()
        self.say(text)
        self.check("log files valid" in text and "INVALID" not in text, "validate-logs found something invalid")

    def _validate_logs(self) -> str:
        """`aws cloudtrail validate-logs`, as anybody would call it."""
        start = (self.started_at - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        command = [str(Path(sys.executable).parent / "aws"), "cloudtrail", "validate-logs"]
        command += ["--trail-arn", self.trail_arn, "--start-time", start]
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": self.server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.server.secret,
            "AWS_DEFAULT_REGION": self.server.region,
            "AWS_ENDPOINT_URL": self.server.url,
        }
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        self.check(ended.returncode == 0, f"validate-logs ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
        return ended.stdout.strip()

    # --- helpers

    @property
    def trail_arn(self) -> str:
        return f"arn:aws:cloudtrail:{self.server.region}:{self.server.account_id}:trail/{self.trail}"

    @property
    def pipeline_arn(self) -> str:
        return f"arn:aws:codepipeline:{self.server.region}:{self.server.account_id}:{self.pipeline}"

    def executions(self, status: str) -> list[dict[str, Any]]:
        """Executions of the pipeline in that status."""
        listed = self.client("codepipeline").list_pipeline_executions(pipelineName=self.pipeline)
        return [item for item in listed["pipelineExecutionSummaries"] if item["status"] == status]

    def client(self, service: str) -> Any:  # noqa: ANN401  (boto3's clients have no types)
        return self.session.client(service)

    def _session(self, access_key_id: str, secret: str) -> Session:
        return Session(self.server, access_key_id, secret)

    def refused(self, call: Callable[[], object]) -> str:
        """The code of the error that a call must end in."""
        try:
            call()
        except boto3.client("sts", region_name="us-east-1").exceptions.ClientError as error:
            return str(error.response["Error"]["Code"])
        return "allowed"

    def step(self, title: str) -> None:
        self.step_number += 1
        self.console.print(f"\n[bold cyan]{self.step_number}. {title}[/]")

    def say(self, text: str) -> None:
        self.console.print("\n".join(f"   {line}" for line in text.splitlines()))

    def check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise StoryFailed(otherwise)

    def wait(self, what: str, look: Callable[[], T]) -> T:
        """Look until there is something; StoryFailed after WAIT_SECONDS_MAX."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        with self.console.status(f"waiting for {what}"):
            while time.monotonic() < deadline:
                if found := look():
                    return found
                time.sleep(0.05)
        raise StoryFailed(f"waited {WAIT_SECONDS_MAX:.0f} s for {what}")


class Session:
    """boto3 clients of one caller, pointed at the server."""

    def __init__(self, server: DemoServer, access_key_id: str, secret: str) -> None:
        self._endpoint = server.url
        self._session = boto3.Session(access_key_id, secret, region_name=server.region)
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:  # noqa: ANN401
        if service not in self._clients:
            self._clients[service] = self._session.client(service, endpoint_url=self._endpoint)
        return self._clients[service]
