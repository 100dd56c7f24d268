"""One real server for the session, and what most of the clients' tests begin with."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.company import ARN, BUCKET, CLOUDTRAIL, EVERYTHING, NAME, Company, bucket_policy
from tests.clients.server_process import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, OTHER_SECRET, ServerProcess
from tests.clients.trail_log import TrailLog, new_trail

Server = ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two accounts. The second one got its root by a start of its own, as somebody may who moves the
    server to another account id; both stay."""
    directory: Path = tmp_path_factory.mktemp("server")
    other = {
        "account_id": OTHER_ACCOUNT,
        "root_access_key_id": OTHER_KEY,
        "root_secret_access_key": OTHER_SECRET,
    }
    first = ServerProcess(directory, **other).start()
    assert first.stop() == 0
    process = ServerProcess(directory)
    try:
        yield process.start()
        assert process.stop() == 0
        assert not process.tracebacks()
    finally:
        process.kill()


@pytest.fixture(autouse=True)
def no_traceback(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may leave a traceback in the server's log."""
    watched: Server | None = request.getfixturevalue("server") if "server" in request.fixturenames else None
    before = watched.tracebacks() if watched else 0
    yield
    if watched and watched.tracebacks() > before:
        raise AssertionError(watched.log()[-20_000:])


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def s3(server: Server) -> Any:
    return server.client("s3")


@pytest.fixture(scope="session")
def iam(server: Server) -> Any:
    return server.client("iam")


@pytest.fixture(scope="session")
def sts(server: Server) -> Any:
    return server.client("sts")


@pytest.fixture(scope="session")
def cloudtrail(server: Server) -> Any:
    return server.client("cloudtrail")


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def trail(s3: Any, cloudtrail: Any) -> TrailLog:
    """The session's trail, which logs everything in every region."""
    return new_trail(s3, cloudtrail, f"everything-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A server of its own with an organization and its trail, which is made as somebody would who reads no manual: each
    thing that must be right before is wrong at first."""
    made = Company(tmp_path_factory.mktemp("company"))
    try:
        made.found()
        make_trail(made)
        yield made
        assert made.server.stop() == 0
        assert not made.server.tracebacks(), made.server.log()[-20_000:]
    finally:
        made.server.kill()


def make_trail(company: Company) -> None:
    cloudtrail, s3 = company.cloudtrail, company.s3
    errors = cloudtrail.exceptions
    reach = {"IsOrganizationTrail": True, "IsMultiRegionTrail": True, "EnableLogFileValidation": True}
    given = {"Name": NAME, "S3BucketName": BUCKET} | reach
    with pytest.raises(errors.CloudTrailAccessNotEnabledException):
        cloudtrail.create_trail(**given)
    company.organizations.enable_aws_service_access(ServicePrincipal=CLOUDTRAIL)
    with pytest.raises(errors.S3BucketDoesNotExistException):
        cloudtrail.create_trail(**given)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=bucket_policy(ACCOUNT))
    with pytest.raises(errors.InsufficientS3BucketPolicyException):
        cloudtrail.create_trail(**given)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=bucket_policy(ACCOUNT, company.id))
    made = cloudtrail.create_trail(**given)
    assert (made["TrailARN"], made["IsOrganizationTrail"]) == (ARN, True)
    selectors = [{"FieldSelectors": fields} for fields in EVERYTHING]
    cloudtrail.put_event_selectors(TrailName=NAME, AdvancedEventSelectors=selectors)
    cloudtrail.start_logging(Name=NAME)
    role = company.client("iam").get_role(RoleName="AWSServiceRoleForCloudTrail")["Role"]
    assert role["Path"] == f"/aws-service-role/{CLOUDTRAIL}/"
