"""Replication between two real servers, with kills in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server_process import ACCOUNT, ROOT_KEY, ROOT_SECRET, ServerProcess
from tests.clients.waiting import until


class Pair:
    """A server whose bucket `source` is replicated to the bucket `there` of another, under the name `far`."""

    def __init__(self, directory: Path) -> None:
        self.far = ServerProcess(_made(directory / "far")).start()
        self.file = directory / "remotes.toml"
        self.write_file()
        self.near = ServerProcess(_made(directory / "near"), replication_endpoints=str(self.file)).start()
        self.versions: list[tuple[str, bytes]] = []
        _versioned(self.far.client("s3"), "there")
        s3, iam = self.near.client("s3"), self.near.client("iam")
        _versioned(s3, "source")
        trust = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=_policy(trust))
        everything = _policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
        iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=everything)
        rule = {
            "Status": "Enabled",
            "Priority": 1,
            "Filter": {},
            "DeleteMarkerReplication": {"Status": "Enabled"},
            "Destination": {"Bucket": "arn:aws:s3:::far"},
        }
        configuration = {"Role": f"arn:aws:iam::{ACCOUNT}:role/r", "Rules": [rule]}
        s3.put_bucket_replication(Bucket="source", ReplicationConfiguration=configuration)

    def write_file(self) -> None:
        self.file.write_text(
            f'[far]\nendpoint = "{self.far.url}"\nregion = "eu-west-1"\nbucket = "there"\n'
            f'access-key-id = "{ROOT_KEY}"\nsecret-access-key = "{ROOT_SECRET}"\n'
        )

    def put(self, key: str, body: bytes) -> None:
        self.near.client("s3").put_object(Bucket="source", Key=key, Body=body)
        self.versions.append((key, body))

    def arrived(self) -> list[tuple[str, bytes]]:
        """(key, body) of all versions at the other server, oldest first, once there are as many as were put."""
        s3 = self.far.client("s3")
        listed: list[dict[str, Any]] = []

        def look() -> bool:
            listed[:] = s3.list_object_versions(Bucket="there", Prefix="k/").get("Versions", [])
            return len(listed) >= len(self.versions)

        until(look, lambda: f"{len(listed)} of {len(self.versions)}")
        listed.sort(key=lambda each: each["VersionId"])
        return [
            (each["Key"], s3.get_object(Bucket="there", Key=each["Key"], VersionId=each["VersionId"])["Body"].read())
            for each in listed
        ]

    def status(self, key: str) -> str:
        s3 = self.near.client("s3")

        def look() -> str:
            found = str(s3.head_object(Bucket="source", Key=key)["ReplicationStatus"])
            return "" if found == "PENDING" else found

        return str(until(look))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _versioned(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def _policy(statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    for process in (made.near, made.far):
        assert not process.tracebacks(), process.log()
        process.kill()


def test_objects_go_to_another_server(pair: Pair):
    near, far = pair.near.client("s3"), pair.far.client("s3")
    near.put_object(
        Bucket="source", Key="a b/é", Body=b"x" * 300_000, Metadata={"m": "1"}, Tagging="t=u", ContentType="text/x"
    )
    assert pair.status("a b/é") == "COMPLETED"
    found = far.get_object(Bucket="there", Key="a b/é")
    assert found["Body"].read() == b"x" * 300_000
    assert (found["Metadata"], found["ContentType"], found["TagCount"]) == ({"m": "1"}, "text/x", 1)
    near.put_object_tagging(Bucket="source", Key="a b/é", Tagging={"TagSet": [{"Key": "n", "Value": "w"}]})
    assert pair.status("a b/é") == "COMPLETED"
    assert far.get_object_tagging(Bucket="there", Key="a b/é")["TagSet"] == [{"Key": "n", "Value": "w"}]
    near.delete_object(Bucket="source", Key="a b/é")
    until(lambda: far.list_object_versions(Bucket="there").get("DeleteMarkers"))
    assert len(far.list_object_versions(Bucket="there")["DeleteMarkers"]) == 1


def test_kills_lose_no_version_and_double_none(pair: Pair):
    for round_ in range(2):
        for number in range(8):
            pair.put(f"k/{number % 3}", f"{round_} {number} ".encode() * 10)
        if round_ == 0:
            pair.near.kill()
            pair.near.start()
        else:  # the other server is away for a while
            pair.far.kill()
            pair.put("k/while-away", b"%d" % round_)
            pair.far.start()
            pair.write_file()
            pair.near.kill()
            pair.near.start()
    arrived = pair.arrived()
    assert sorted(arrived) == sorted(pair.versions)
    for key in ("k/0", "k/1", "k/2"):
        assert [body for name, body in arrived if name == key] == [body for name, body in pair.versions if name == key]


def test_what_the_other_server_refuses_is_failed(pair: Pair):
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::there/*"}
    pair.far.client("s3").put_bucket_policy(Bucket="there", Policy=_policy(denied))
    pair.put("denied", b"x")
    assert pair.status("denied") == "FAILED"
