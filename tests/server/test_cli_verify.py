"""`opentrail verify`: of a trail on a real server, and of a copy of its bucket, before and after somebody touched it."""

from __future__ import annotations

import gzip
import json
import shutil
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opentrail.server.bucket_files import TrailPlace
from opentrail.server.cli_verify import lost_digests
from tests.clients.server_process import ACCOUNT, REGION, ServerProcess, user_key
from tests.clients.trail_log import is_sealed
from tests.clients.waiting import until

pytestmark = pytest.mark.slow
PREFIX = "kept"


@dataclass
class Delivered:
    """A trail with some digests, and a folder with a copy of its bucket and its public keys."""

    s3: Any
    bucket: str
    name: str
    folder: Path

    @property
    def arn(self) -> str:
        return f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{self.name}"

    @property
    def keys_file(self) -> str:
        return str(self.folder / "keys.json")

    def listed(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith(".gz")]

    def digests(self) -> list[str]:
        return sorted(key for key in self.listed() if f"_CloudTrail-Digest_{REGION}_{self.name}_" in key)

    def named(self) -> list[str]:
        """The log files that digests name, in order."""
        names = []
        for key in self.digests():
            said = json.loads(gzip.decompress(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()))
            names += [entry["s3Object"] for entry in said["logFiles"]]
        return names

    def download(self) -> None:
        for key in self.listed():
            answer = self.s3.get_object(Bucket=self.bucket, Key=key)
            path = self.folder / "copy" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(answer["Body"].read())
            path.with_name(path.name + ".metadata.json").write_text(json.dumps(answer["Metadata"]))


def bucket_policy(bucket: str) -> str:
    service = {"Service": "cloudtrail.amazonaws.com"}
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{PREFIX}/AWSLogs/*"]
    statement = {"Effect": "Allow", "Principal": service, "Action": ["s3:Get*", "s3:PutObject"], "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def delivered(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """Two trails of one bucket, of which the first is what is verified; it has stopped."""
    s3, cloudtrail = server.client("s3"), server.client("cloudtrail")
    name = f"v{uuid.uuid4().hex[:8]}"
    bucket = f"logs-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=bucket_policy(bucket))
    for each in (name, f"{name}-2"):
        cloudtrail.create_trail(Name=each, S3BucketName=bucket, S3KeyPrefix=PREFIX, EnableLogFileValidation=True)
        cloudtrail.start_logging(Name=each)
    made = Delivered(s3, bucket, name, tmp_path_factory.mktemp("verify"))

    def enough() -> bool:
        cloudtrail.describe_trails()  # something to deliver
        return len(made.digests()) >= 3 and len(made.named()) >= 3

    until(enough)
    for each in (name, f"{name}-2"):
        cloudtrail.stop_logging(Name=each)
    until(lambda: all(is_sealed(server.directory / "data", each) for each in (name, f"{name}-2")))
    keys = server.aws("cloudtrail", "list-public-keys", "--output", "json", "--start-time", "2020-01-01")
    (made.folder / "keys.json").write_text(keys)
    made.download()
    return made


@pytest.fixture
def copy(delivered: Delivered, tmp_path: Path) -> Path:
    """A folder to spoil."""
    return Path(shutil.copytree(delivered.folder / "copy", tmp_path / "copy"))


def offline(run, delivered: Delivered, folder: Path, *more: str):
    return run("verify", "--folder", str(folder), "--public-keys", delivered.keys_file, *more, AWS_ACCESS_KEY_ID="")


def rewrite(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"root", b"toor")))


def test_what_the_server_delivered_is_proven(run, delivered):
    outcome = run("verify", "--trail-arn", delivered.arn)
    assert outcome.exit_code == 0, outcome.output
    assert "NOT" not in outcome.stdout
    told = json.loads(run("verify", "--trail-arn", delivered.arn, "--json").stdout)
    assert (told["valid"], told["digests"]) == (True, len(delivered.digests()))
    assert told["logFiles"] >= 3
    assert {finding["kind"] for finding in told["findings"]} <= {"unnamed"}


def test_a_copy_is_proven_without_a_server(run, delivered, copy):
    outcome = offline(run, delivered, copy)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.startswith("proven: ")


def test_an_altered_and_a_removed_log_file_are_named(run, delivered, copy):
    first, second, third = delivered.named()[:3]
    rewrite(copy / first)
    (copy / second).unlink()
    outcome = offline(run, delivered, copy)
    assert outcome.exit_code == 1
    assert f"altered: {first}\n" in outcome.stdout
    assert f"missing: {second}\n" in outcome.stdout
    assert third not in outcome.stdout
    told = json.loads(offline(run, delivered, copy, "--json").stdout)
    serious = {finding["file"]: finding["kind"] for finding in told["findings"] if finding["serious"]}
    assert not told["valid"]
    assert (serious[first], serious[second]) == ("altered", "missing")


def test_an_exchanged_digest_is_named(run, delivered, copy):
    shutil.copy(copy / delivered.digests()[0], copy / delivered.digests()[-1])
    outcome = offline(run, delivered, copy)
    assert outcome.exit_code == 1
    assert f"exchanged: {delivered.digests()[-1]}\n" in outcome.stdout


def test_a_name_cannot_steer_the_terminal(run, delivered, copy):
    original = copy / delivered.digests()[0]
    for evil in ("\x1b[2K", "\udcff", "x\rproven"):
        shutil.copy(original, original.with_name(original.name.replace(delivered.name, evil)))
    outcome = offline(run, delivered, copy)
    assert outcome.exit_code == 1
    assert "NOT as delivered: 3 findings" in outcome.stdout
    assert all(line.isprintable() for line in outcome.stdout.split("\n"))


def test_an_object_altered_in_the_bucket_is_named(run, delivered):
    key = delivered.named()[0]
    kept = delivered.s3.get_object(Bucket=delivered.bucket, Key=key)["Body"].read()
    delivered.s3.put_object(Bucket=delivered.bucket, Key=key, Body=gzip.compress(b'{"Records":[]}'))
    outcome = run("verify", "--trail-arn", delivered.arn)
    delivered.s3.delete_object(Bucket=delivered.bucket, Key=key)
    removed = run("verify", "--trail-arn", delivered.arn)
    delivered.s3.put_object(Bucket=delivered.bucket, Key=key, Body=kept)
    assert (outcome.exit_code, removed.exit_code) == (1, 1)
    assert f"altered: {key}\n" in outcome.stdout
    assert f"missing: {key}\n" in removed.stdout
    assert run("verify", "--trail-arn", delivered.arn).exit_code == 0


def test_the_loss_of_every_digest_is_told_by_the_server(run, delivered, server):
    """Of a trail that nobody else looks at: its digests are taken away and not brought back."""
    name = f"{delivered.name}-2"
    arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{name}"
    assert run("verify", "--trail-arn", arn).exit_code == 0
    mine = [key for key in delivered.listed() if f"_CloudTrail-Digest_{REGION}_{name}_" in key]
    for key in mine:
        delivered.s3.delete_object(Bucket=delivered.bucket, Key=key)
    outcome = run("verify", "--trail-arn", arn)
    assert outcome.exit_code == 1
    assert f"missing: {PREFIX}/AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/\n" in outcome.stdout
    assert "no digest that new is left" in outcome.stdout
    assert run("verify", "--trail-arn", delivered.arn).exit_code == 0


def test_a_digest_that_is_too_old_to_be_the_last_is_told():
    place = TrailPlace(ACCOUNT, REGION, "t", "b", "")
    then = datetime(2026, 1, 1, tzinfo=UTC)
    told = {REGION: then, "eu-west-1": then}
    newest = {REGION: then - timedelta(hours=1), "eu-west-1": then - timedelta(seconds=2)}
    [lost] = lost_digests(place, told, newest)
    assert (lost.kind, lost.key) == ("missing", f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/")
    assert not list(lost_digests(place, {}, {}))


def test_a_period_leaves_the_rest_out(run, delivered, copy):
    now = datetime.now(UTC)
    for period in (("--end-time", "2020-01-01"), ("--start-time", (now + timedelta(days=1)).isoformat())):
        for outcome in (run("verify", "--trail-arn", delivered.arn, *period), offline(run, delivered, copy, *period)):
            assert outcome.exit_code == 1
            assert "proven: 0 digests and 0 log files\nNOTHING is proven" in outcome.stdout
    assert run("verify", "--trail-arn", delivered.arn, "--start-time", "2020-01-01T00:00:00+02:00").exit_code == 0
    second = delivered.digests()[1]
    stamp = datetime.strptime(second[-24:-8], "%Y%m%dT%H%M%SZ")
    told = json.loads(run("verify", "--trail-arn", delivered.arn, "--end-time", stamp.isoformat(), "--json").stdout)
    assert (told["valid"], told["digests"]) == (True, 2)
    told = json.loads(run("verify", "--trail-arn", delivered.arn, "--start-time", stamp.isoformat(), "--json").stdout)
    assert (told["valid"], told["digests"]) == (True, len(delivered.digests()) - 1)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--folder", "."),
        ("--public-keys", "."),
        ("--trail-arn", "arn:aws:cloudtrail:us-east-1:000000000000:trail/x", "--folder", "."),
        ("--trail-arn", "nonsense"),
        ("--trail-arn", "arn:aws:cloudtrail:us-east-1:000000000000:trail/nobody"),
        ("--trail-arn", "arn:aws:cloudtrail:us-east-1:999999999999:trail/foreign"),
        ("--trail-arn", "x", "--start-time", "soon"),
        ("--trail-arn", "x", "--start-time", "2026-02-01", "--end-time", "2026-01-01"),
        ("--folder", "/nowhere", "--public-keys", "/nowhere"),
    ],
)
def test_what_cannot_be_checked_is_told_apart_from_what_is_wrong(run, arguments):
    outcome = run("verify", *arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "Error: " in outcome.stderr


def test_keys_that_are_none_are_refused(run, delivered, copy, tmp_path):
    odd = tmp_path / "odd.json"
    for text in (b"", b"[]", b"\xff", b'{"PublicKeyList":[{}]}', b'{"PublicKeyList":[{"Value":"AAAA"}]}', b"[" * 9999):
        odd.write_bytes(text)
        outcome = run("verify", "--folder", str(copy), "--public-keys", str(odd))
        assert (outcome.exit_code, outcome.stdout) == (2, ""), text
        assert "aws cloudtrail list-public-keys" in outcome.stderr


def test_other_keys_prove_nothing(run, copy, tmp_path):
    none = tmp_path / "none.json"
    none.write_text('{"PublicKeyList":[]}')
    outcome = run("verify", "--folder", str(copy), "--public-keys", str(none))
    assert outcome.exit_code == 1
    assert "unknown key: " in outcome.stdout


def test_who_may_not_read_the_bucket_learns_nothing(run, delivered, server):
    iam = server.client("iam")
    name = f"reader-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": "cloudtrail:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    outcome = run("verify", "--trail-arn", delivered.arn, key=user_key(iam.create_access_key(UserName=name)))
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "AccessDenied" in outcome.stderr


def test_help_teaches_with_examples(run):
    text = run("verify", "--help").stdout
    assert "opentrail verify --folder copy --public-keys keys.json" in text
    assert "Exit status: 0" in text
