"""One real server for the session, and what most of the clients' tests begin with."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server_process import OTHER_ACCOUNT, OTHER_KEY, OTHER_SECRET, ServerProcess
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
