"""A real server of its own, with something in it that must be the same after every attack."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess
from tests.clients.trail_log import TrailLog, new_trail
from tests.hostile.raw import Answer, Attacker

VICTIM = "victim"
TRUST = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"codepipeline.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}}'
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("hostile"))
    try:
        process.start()
        _furnish(process)
        yield process
        assert process.stop() == 0
        assert not process.tracebacks()
    finally:
        process.kill()


def _furnish(server: ServerProcess) -> None:
    """A bucket with an object, a user, a role, a rule, a pipeline."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket=VICTIM)
    s3.put_object(Bucket=VICTIM, Key="k", Body=b"safe", Metadata={"a": "1"}, Tagging="a=b")
    s3.put_bucket_tagging(Bucket=VICTIM, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    iam = server.client("iam")
    iam.create_user(UserName="victim")
    iam.create_role(RoleName="victim", AssumeRolePolicyDocument=TRUST)
    server.client("events").put_rule(Name="victim", EventPattern='{"source":["aws.s3"]}', State="DISABLED")


@pytest.fixture(scope="session")
def trail(server: ServerProcess) -> TrailLog:
    return new_trail(server.client("s3"), server.client("cloudtrail"), "victim-trail")


@pytest.fixture(scope="session")
def look(server: ServerProcess, trail: TrailLog) -> Any:
    """Everything that an attack could have changed, as far as the clients can list it."""
    s3, iam, events = server.client("s3"), server.client("iam"), server.client("events")
    cloudtrail, pipelines = server.client("cloudtrail"), server.client("codepipeline")

    def settings() -> list[Any]:
        found = []
        for name in ("versioning", "tagging", "acl", "policy", "ownership_controls", "request_payment"):
            try:
                found.append(_plain(getattr(s3, f"get_bucket_{name}")(Bucket=VICTIM)))
            except ClientError as error:
                found.append(error.response["Error"]["Code"])
        return found

    def state() -> dict[str, Any]:
        return {
            "buckets": [each["Name"] for each in s3.list_buckets()["Buckets"]],
            "objects": _plain(s3.list_object_versions(Bucket=VICTIM)),
            "uploads": _plain(s3.list_multipart_uploads(Bucket=VICTIM)),
            "object": _plain(s3.head_object(Bucket=VICTIM, Key="k")),
            "tags": _plain(s3.get_object_tagging(Bucket=VICTIM, Key="k")),
            "settings": settings(),
            "users": iam.list_users()["Users"],
            "groups": iam.list_groups()["Groups"],
            "roles": iam.list_roles()["Roles"],
            "policies": iam.list_policies(Scope="Local")["Policies"],
            "keys": iam.list_access_keys(UserName="victim")["AccessKeyMetadata"],
            "trails": cloudtrail.describe_trails()["trailList"],
            "selectors": _plain(cloudtrail.get_event_selectors(TrailName="victim-trail")),
            "buses": _plain(events.list_event_buses()),
            "rules": events.list_rules()["Rules"],
            "targets": events.list_targets_by_rule(Rule="victim")["Targets"],
            "pipelines": pipelines.list_pipelines()["pipelines"],
        }

    return state


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


class Known:
    """The state after the last test, while it is still known to be the state."""

    state: dict[str, Any] | None = None


@pytest.fixture
def unchanged(look: Any) -> Iterator[list[Answer]]:
    """Whatever the test does, the house looks the same afterwards; unless the test notes that something was done."""
    before = Known.state or look()
    Known.state = None
    done: list[Answer] = []
    yield done
    if not done:
        after = look()
        for name, value in before.items():
            assert after[name] == value, name
        Known.state = after


@pytest.fixture(autouse=True)
def calm(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[None]:
    """After every attack: the server answers, soon, and there is no traceback in its log."""
    before = server.tracebacks()
    if "unchanged" not in request.fixturenames:
        Known.state = None
    yield
    started = time.monotonic()
    with urllib.request.urlopen(server.url + "/_opentrail/health", timeout=60) as answer:
        assert json.loads(answer.read())["status"] == "ok"
    assert time.monotonic() - started < 30.0
    if server.tracebacks() > before:
        raise AssertionError(server.log()[-20_000:])


@pytest.fixture
def attacker(server: ServerProcess) -> Iterator[Attacker]:
    made = Attacker(server)
    yield made
    made.close()


__all__ = ["ACCOUNT", "REGION", "VICTIM"]
