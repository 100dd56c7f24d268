"""`opentrail verify --ledger`: files compared with the ledger they came from, before and after somebody touched them."""

from __future__ import annotations

import gzip
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import is_sealed
from tests.clients.waiting import until
from tests.server.test_cli_verify import PREFIX, bucket_policy

pytestmark = pytest.mark.slow


@dataclass
class Evidence:
    """A bucket's copy, in which everything is that two trails logged, and the ledger."""

    copy: Path
    keys: Path
    ledger: Path
    arn: str


def verified(run, evidence: Evidence, *more: str, folder: Path | None = None) -> tuple[int, dict[str, Any]]:
    """Exit status and report of a check against the ledger, offline."""
    where = ("--folder", str(folder or evidence.copy), "--public-keys", str(evidence.keys))
    outcome = run("verify", *where, "--ledger", str(evidence.ledger), "--json", *more, AWS_ACCESS_KEY_ID="")
    return outcome.exit_code, json.loads(outcome.stdout) if outcome.stdout else {}


def found(report: dict[str, Any], kind: str) -> list[str]:
    return [each["file"] + " " + each["detail"] for each in report["findings"] if each["kind"] == kind]


@pytest.fixture(scope="module")
def evidence(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    s3, cloudtrail = server.client("s3"), server.client("cloudtrail")
    name, folder = f"e{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("ledger")
    bucket = f"logs-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=bucket_policy(bucket))
    for each in (name, f"{name}-2"):
        cloudtrail.create_trail(Name=each, S3BucketName=bucket, S3KeyPrefix=PREFIX, EnableLogFileValidation=True)
        cloudtrail.start_logging(Name=each)
    objects = {"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{bucket}/mine"]}
    cloudtrail.put_event_selectors(
        TrailName=name, EventSelectors=[{"ReadWriteType": "WriteOnly", "DataResources": [objects]}]
    )
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"mine/{number}", Body=b"x")
        cloudtrail.describe_trails()
    until(lambda: len([key for key in listed(s3, bucket) if "Digest" in key]) >= 6)
    for each in (name, f"{name}-2"):
        cloudtrail.stop_logging(Name=each)
    made = Evidence(
        folder / "copy",
        folder / "keys.json",
        server.directory / "data",
        f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{name}",
    )
    until(lambda: all(is_sealed(server.directory / "data", each) for each in (name, f"{name}-2")))
    for key in listed(s3, bucket):
        answer = s3.get_object(Bucket=bucket, Key=key)
        path = made.copy / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer["Body"].read())
        path.with_name(path.name + ".metadata.json").write_text(json.dumps(answer["Metadata"]))
    made.keys.write_text(server.aws("cloudtrail", "list-public-keys", "--output", "json", "--start-time", "2020-01-01"))
    return made


def listed(s3: Any, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return sorted(each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith(".gz"))


def test_everything_that_was_logged_is_there_once(run, evidence, server):
    status, report = verified(run, evidence)
    assert (status, report["valid"]) == (0, True), report
    told = report["ledger"]
    assert told["events"] >= 20
    assert told["proven"] > 10
    assert told["waiting"] == 0
    outcome = run("verify", "--trail-arn", evidence.arn, "--ledger", str(evidence.ledger))
    assert outcome.exit_code == 0, outcome.output
    assert "found as they should be, 0 on their way" in outcome.stdout


def largest(evidence: Evidence, folder: Path) -> Path:
    """The largest log file that the trail's own digests name; there are those of another trail, too."""
    name = evidence.arn.rpartition("/")[2]
    digests = [json.loads(gzip.decompress(path.read_bytes())) for path in folder.rglob(f"*_{name}_{REGION}_*.json.gz")]
    named = [folder / entry["s3Object"] for digest in digests for entry in digest["logFiles"]]
    return max(named, key=lambda each: each.stat().st_size)


def changed(evidence: Evidence, to: Path, change: Callable[[list[bytes]], list[bytes]]) -> tuple[Path, list[bytes]]:
    """A copy of which the largest log file has other records, and what they were."""
    folder = Path(shutil.copytree(evidence.copy, to / "copy"))
    path = largest(evidence, folder)
    records = [json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode()
               for each in json.loads(gzip.decompress(path.read_bytes()))["Records"]]  # fmt: skip
    path.write_bytes(gzip.compress(b'{"Records":[' + b",".join(change(records)) + b"]}"))
    return folder, records


def test_a_record_that_was_taken_out_is_named(run, evidence, tmp_path):
    folder, records = changed(evidence, tmp_path, lambda each: each[1:])
    status, report = verified(run, evidence, folder=folder)
    assert status == 1
    [missing] = found(report, "missing record")
    assert json.loads(records[0])["eventID"] in missing
    assert len(found(report, "altered")) == 1


def test_a_record_that_was_changed_is_named(run, evidence, tmp_path):
    folder, records = changed(
        evidence, tmp_path, lambda each: [each[0].replace(b'eventVersion":"1.', b'eventVersion":"2.'), *each[1:]]
    )
    status, report = verified(run, evidence, folder=folder)
    assert status == 1
    [altered] = found(report, "altered record")
    assert json.loads(records[0])["eventID"] in altered
    assert found(report, "missing record") == found(report, "unexpected record") == []


def test_records_told_twice_or_made_up_are_named(run, evidence, tmp_path):
    made_up = b'{"eventID":"made-up"}'
    folder, records = changed(evidence, tmp_path, lambda each: [*each, each[-1], made_up])
    status, report = verified(run, evidence, folder=folder)
    assert status == 1
    [twice] = found(report, "duplicated record")
    assert json.loads(records[-1])["eventID"] in twice
    [foreign] = found(report, "unexpected record")
    assert "made-up" in foreign


def test_the_newest_digests_are_missed_two_in_a_row(run, evidence, tmp_path):
    folder = Path(shutil.copytree(evidence.copy, tmp_path / "copy"))
    name = evidence.arn.rpartition("/")[2]
    digests = sorted(folder.rglob(f"*_{name}_{REGION}_*.json.gz"))
    for path in digests[-2:]:
        path.unlink()
    status, report = verified(run, evidence, folder=folder)
    assert status == 1
    gone = found(report, "missing")
    assert [any(path.name in each for each in gone) for path in digests[-3:]] == [False, True, True]
    assert found(report, "missing record") == []


def test_a_log_file_that_is_gone_is_named_with_its_records(run, evidence, tmp_path):
    folder = Path(shutil.copytree(evidence.copy, tmp_path / "copy"))
    path = largest(evidence, folder)
    records = json.loads(gzip.decompress(path.read_bytes()))["Records"]
    path.unlink()
    status, report = verified(run, evidence, folder=folder)
    assert status == 1
    assert [each for each in found(report, "missing") if path.name in each]
    assert len(found(report, "missing record")) == len(records)


def test_times_restrict_what_has_to_be_there(run, evidence, tmp_path):
    folder = Path(shutil.copytree(evidence.copy, tmp_path / "copy"))
    for path in folder.rglob("*_CloudTrail_*.json.gz"):
        path.unlink()
    status, report = verified(run, evidence, "--start-time", "2100-01-01", folder=folder)
    assert found(report, "missing record") == []
    assert status == 1, "no digest of that time proves anything"


def test_what_is_no_ledger_cannot_be_checked(run, evidence, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"no database" * 100)
    assert verified(run, Evidence(evidence.copy, evidence.keys, tmp_path, evidence.arn))[0] == 2
    (tmp_path / "ledger.db").unlink()
    assert verified(run, Evidence(evidence.copy, evidence.keys, tmp_path, evidence.arn))[0] == 2
