"""`opentrail verify --ledger` of an organization trail on a real server: members' records are judged like its own."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable

import pytest

from tests.clients.company import ARN, BUCKET, Company, Record
from tests.clients.server_process import ACCOUNT, TOOLS
from tests.clients.waiting import COMMAND_SECONDS_MAX, until

pytestmark = pytest.mark.slow
AWAY = "eu-west-1"
"""A region in which nobody but the member does anything, unless other tests do."""


def verified(company: Company) -> tuple[int, Record]:
    """Exit status and report."""
    command = [
        TOOLS / "opentrail",
        "verify",
        "--trail-arn",
        ARN,
        "--json",
        "--ledger",
        company.server.directory / "data",
    ]
    done = subprocess.run(
        command,
        env=company.server.environment(company.admin),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def found(report: Record, kind: str) -> list[str]:
    return [f"{each['file']} {each['detail']}" for each in report["findings"] if each["kind"] == kind]


def rewrite(company: Company, key: str, change: Callable[[list[Record]], list[Record]]) -> None:
    """Give a log file other records."""
    whole = company.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    text = json.dumps({"Records": change(json.loads(gzip.decompress(whole))["Records"])}, separators=(",", ":"),
                      ensure_ascii=False)  # fmt: skip
    company.s3.put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(text.encode()))


def test_a_members_records_are_proven_and_missed(company: Company) -> None:
    member, _ = company.account()
    boss = company.boss(member)
    iam = company.client("iam", boss)
    inside = company.delivered(iam.create_user(UserName="inside"), member)
    company.client("events", boss, region=AWAY).put_rule(Name="r", EventPattern='{"source":["x"]}')
    until(
        lambda: (
            AWAY in {each["digestS3Object"].split("/")[4] for each in company.documents(member, "CloudTrail-Digest")}
        )
    )
    company.delivered(company.client("organizations", boss).leave_organization(), member)
    iam.create_user(UserName="outside")
    delivered = len(company.records(member)) + len(company.records(ACCOUNT))  # counted before: reading them adds more
    status, report = verified(company)
    serious = [each for each in report["findings"] if each["serious"]]
    assert (status, serious) == (0, [])
    assert {each["kind"] for each in report["findings"]} <= {"unnamed", "gap"}
    assert report["ledger"]["proven"] >= delivered

    keys = {record["eventID"]: key for key in company.keys(member) for record in company.contents(key)}
    first = next(each for each in company.records(member) if each["eventName"] == "AttachUserPolicy")
    foreign = {"eventID": "made-up", "recipientAccountId": member}
    whole = {key: company.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in set(keys.values())}
    rewrite(company, keys[first["eventID"]], lambda records: [
        *(each | {"eventVersion": "9"} if each == first else each for each in records), foreign
    ])  # fmt: skip
    rewrite(company, keys[inside["eventID"]], lambda records: [each for each in records if each != inside])
    status, report = verified(company)
    for key, body in whole.items():
        company.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert status == 1
    for kind, named in (
        ("missing record", inside["eventID"]),
        ("altered record", first["eventID"]),
        ("unexpected record", "made-up"),
    ):
        [told] = found(report, kind)
        assert named in told
