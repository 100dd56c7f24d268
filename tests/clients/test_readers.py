"""Readers that are not ours take a bucket of a trail as it is: DuckDB with the table that AWS publishes for Athena, and
trailscraper, which downloads log files and makes policies of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError

from tests.clients.environments import python_readers
from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import TrailLog, new_trail
from tests.clients.waiting import COMMAND_SECONDS_MAX

SESSION = (
    "STRUCT(attributes STRUCT(mfaAuthenticated VARCHAR, creationDate VARCHAR), "
    "sessionIssuer STRUCT(type VARCHAR, principalId VARCHAR, arn VARCHAR, accountId VARCHAR, userName VARCHAR), "
    "ec2RoleDelivery VARCHAR, sourceIdentity VARCHAR, "
    "webIdFederationData STRUCT(federatedProvider VARCHAR, attributes MAP(VARCHAR, VARCHAR)))"
)
COLUMNS = {
    "eventVersion": "VARCHAR",
    "userIdentity": "STRUCT(type VARCHAR, principalId VARCHAR, arn VARCHAR, accountId VARCHAR, invokedBy VARCHAR, "
    f"accessKeyId VARCHAR, userName VARCHAR, sessionContext {SESSION})",
    "eventTime": "TIMESTAMP",
    "eventSource": "VARCHAR",
    "eventName": "VARCHAR",
    "awsRegion": "VARCHAR",
    "sourceIPAddress": "VARCHAR",
    "userAgent": "VARCHAR",
    "errorCode": "VARCHAR",
    "errorMessage": "VARCHAR",
    "requestParameters": "JSON",
    "responseElements": "JSON",
    "additionalEventData": "JSON",
    "requestID": "VARCHAR",
    "eventID": "UUID",
    "readOnly": "BOOLEAN",
    "resources": "STRUCT(ARN VARCHAR, ARNPrefix VARCHAR, accountId VARCHAR, type VARCHAR)[]",
    "eventType": "VARCHAR",
    "apiVersion": "VARCHAR",
    "managementEvent": "BOOLEAN",
    "recipientAccountId": "VARCHAR",
    "serviceEventDetails": "JSON",
    "sharedEventID": "UUID",
    "vpcEndpointId": "VARCHAR",
    "eventCategory": "VARCHAR",
    "tlsDetails": "STRUCT(tlsVersion VARCHAR, cipherSuite VARCHAR, clientProvidedHostHeader VARCHAR)",
    "sessionCredentialFromConsole": "VARCHAR",
}
"""The columns of the table in the Athena user guide ("Querying AWS CloudTrail logs"), in DuckDB's types."""


@pytest.fixture
def trail(s3: Any, cloudtrail: Any, name: str) -> TrailLog:
    """A trail with a few calls in it, all delivered."""
    trail = new_trail(s3, cloudtrail, name)
    s3.create_bucket(Bucket=f"b-{name}")
    for number in range(5):
        s3.put_object(Bucket=f"b-{name}", Key=f"folder/{number}", Body=b"x" * 100)
    with pytest.raises(ClientError):
        s3.get_object(Bucket=f"b-{name}", Key="missing")
    trail.of(s3.delete_object(Bucket=f"b-{name}", Key="folder/0"))
    return trail


def copied(trail: TrailLog, directory: Path) -> Path:
    """The bucket in a directory, as `aws s3 sync` would lay it."""
    for key in trail.files():
        place = directory / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(trail.s3.get_object(Bucket=trail.bucket, Key=key)["Body"].read())
    return directory


def test_duckdb_reads_the_delivered_files_with_athenas_table(trail: TrailLog, tmp_path: Path) -> None:
    trail.refresh()  # before the copy, which makes events of its own: they may be in it already, and are not asked for
    copied(trail, tmp_path)
    record = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
    files = f"{tmp_path}/AWSLogs/*/CloudTrail/*/*/*/*/*.json.gz"
    logs = duckdb.connect()
    logs.execute(
        f"CREATE TABLE cloudtrail_logs AS SELECT unnest(Records, recursive := false) AS r FROM read_json('{files}', "
        f"columns = {{Records: 'STRUCT({record})[]'}}, maximum_object_size = 67108864)"
    )
    rows = logs.execute("SELECT r.eventID::VARCHAR FROM cloudtrail_logs").fetchall()
    assert len(rows) == len({event for (event,) in rows})
    assert {event for (event,) in rows} >= {each["eventID"] for each in trail.records}
    [(who, how_many, bytes_in)] = logs.execute(
        "SELECT r.userIdentity.type, count(*), sum((r.additionalEventData->>'bytesTransferredIn')::BIGINT) "
        "FROM cloudtrail_logs WHERE r.eventName = 'PutObject' AND (r.requestParameters->>'key') LIKE 'folder/%' "
        f"AND (r.requestParameters->>'bucketName') = 'b-{trail.name}' GROUP BY 1"
    ).fetchall()
    assert (who, how_many) == ("Root", 5)
    assert bytes_in >= 500
    [(error, arn)] = logs.execute(
        "SELECT r.errorCode, r.resources[1].ARN FROM cloudtrail_logs "
        f"WHERE r.errorCode IS NOT NULL AND (r.requestParameters->>'bucketName') = 'b-{trail.name}'"
    ).fetchall()
    assert error == "NoSuchKey"
    assert arn.startswith("arn:aws:s3:::b-")


def test_trailscraper_downloads_selects_and_makes_a_policy(
    server: ServerProcess, trail: TrailLog, tmp_path: Path
) -> None:
    program, logs = str(python_readers() / "trailscraper"), str(tmp_path / "logs")

    def run(*arguments: str, given: str = "") -> str:
        command = [program, *arguments]
        done = subprocess.run(
            command,
            env=server.environment(TZ="UTC"),
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    wanted = {each["eventID"] for each in trail.records if each["eventName"] in ("PutObject", "DeleteObject")}
    where = ["--bucket", trail.bucket, "--account-id", ACCOUNT, "--region", REGION]
    # it looks into as many days as lie between the two, the last one first: near midnight, two hours are too few
    run("download", *where, "--from", "two days ago", "--to", "in an hour", "--log-dir", logs)
    found = run("select", "--log-dir", logs, "--from", "an hour ago", "--to", "in an hour")
    records = json.loads(found)["Records"]
    assert {each["eventID"] for each in records} >= wanted
    policy = json.loads(run("generate", given=found))
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {"s3:PutObject", "s3:DeleteObject", "s3:CreateBucket", "cloudtrail:StartLogging"} <= actions
