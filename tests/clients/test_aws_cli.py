"""The AWS CLI from PyPI, pointed at the server by one environment variable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import log_bucket_policy
from tests.clients.waiting import until


def test_s3(server: ServerProcess, tmp_path: Path, name: str) -> None:
    bucket = f"s3://{name}"
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"small")
    large.write_bytes(bytes(range(256)) * 4 * 1024 * 12)
    assert f"make_bucket: {name}" in server.aws("s3", "mb", bucket)
    server.aws("s3", "cp", str(small), f"{bucket}/folder/small")
    server.aws("s3", "cp", str(large), f"{bucket}/large")
    listed = server.aws("s3", "ls", bucket, "--recursive")
    assert [line.split()[2:] for line in listed.splitlines()] == [["5", "folder/small"], ["12582912", "large"]]
    server.aws("s3", "cp", f"{bucket}/large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    server.aws("s3", "mv", f"{bucket}/large", f"{bucket}/moved")
    (tmp_path / "copy").mkdir()
    server.aws("s3", "sync", bucket, str(tmp_path / "copy"))
    assert sorted(
        str(each.relative_to(tmp_path / "copy")) for each in (tmp_path / "copy").rglob("*") if each.is_file()
    ) == [
        "folder/small",
        "moved",
    ]
    server.aws("s3", "rb", bucket, "--force")
    assert "NoSuchBucket" in server.aws("s3", "ls", bucket, status=255)


def test_s3api(server: ServerProcess, tmp_path: Path, name: str) -> None:
    server.aws("s3api", "create-bucket", "--bucket", name)
    server.aws("s3api", "put-bucket-versioning", "--bucket", name, "--versioning-configuration", "Status=Enabled")
    file = tmp_path / "f"
    file.write_bytes(b"0123456789")
    put = json.loads(
        server.aws(
            "s3api", "put-object", "--bucket", name, "--key", "k", "--body", str(file), "--checksum-algorithm", "SHA256"
        )
    )
    assert put["VersionId"] != "null"
    assert len(put["ChecksumSHA256"]) == 44
    out = tmp_path / "out"
    server.aws("s3api", "get-object", "--bucket", name, "--key", "k", "--range", "bytes=2-4", str(out))
    assert out.read_bytes() == b"234"
    assert "(404)" in server.aws("s3api", "head-object", "--bucket", name, "--key", "absent", status=255)


def test_the_story(server: ServerProcess, s3: Any, name: str) -> None:
    """create-trail to lookup-events, as the pages tell it on the command line."""
    bucket = f"logs-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=log_bucket_policy(bucket, ACCOUNT))
    made = json.loads(
        server.aws(
            "cloudtrail", "create-trail", "--name", name, "--s3-bucket-name", bucket, "--enable-log-file-validation"
        )
    )
    assert made["TrailARN"] == f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{name}"
    selectors = json.dumps(
        [
            {
                "ReadWriteType": "All",
                "IncludeManagementEvents": True,
                "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
            }
        ]
    )
    server.aws("cloudtrail", "put-event-selectors", "--trail-name", name, "--event-selectors", selectors)
    server.aws("cloudtrail", "start-logging", "--name", name)
    assert json.loads(server.aws("cloudtrail", "get-trail-status", "--name", name))["IsLogging"] is True
    attributes = f"AttributeKey=ResourceName,AttributeValue={name}"

    def looked_up() -> list[str]:
        found = json.loads(server.aws("cloudtrail", "lookup-events", "--lookup-attributes", attributes))
        return [each["EventName"] for each in found["Events"]]

    until(lambda: "StartLogging" in looked_up())
    server.aws("cloudtrail", "delete-trail", "--name", name)


def test_other_services(server: ServerProcess, name: str) -> None:
    assert json.loads(server.aws("sts", "get-caller-identity"))["Account"] == ACCOUNT
    assert json.loads(server.aws("iam", "create-user", "--user-name", name))["User"]["UserName"] == name
    rule = server.aws("events", "put-rule", "--name", name, "--event-pattern", '{"source":["aws.s3"]}')
    assert json.loads(rule)["RuleArn"].endswith(f"rule/{name}")
    assert "PipelineNotFoundException" in server.aws("codepipeline", "get-pipeline", "--name", name, status=255)
    assert "NoSuchEntity" in server.aws("iam", "get-user", "--user-name", name + "x", status=255)
    server.aws("events", "delete-rule", "--name", name)
