"""A real server for the commands that ask one, and the commands run as a shell would."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import uvloop
from click.testing import CliRunner, Result

from opentrail.server.cli import main
from tests.clients.server_process import ROOT_KEY, ROOT_SECRET, ServerProcess

Run = Callable[..., Result]
VARIABLES = (
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "OPENTRAIL_REGION",
    "OPENTRAIL_PORT",
    "OPENTRAIL_ENDPOINT_URL",
)


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, Callable[[], object]]:
    """The loop of the server."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Delivers often, so that there is something to verify soon."""
    process = ServerProcess(tmp_path_factory.mktemp("server"), delivery_interval="200ms", digest_interval="1s")
    try:
        yield process.start()
        assert process.stop() == 0
        assert not process.tracebacks()
    finally:
        process.kill()


@pytest.fixture
def run(server: ServerProcess) -> Run:
    """`run("account", "list")`: the outcome, by default with the root's key; `key` and variables may be given."""

    def invoke(*arguments: str, key: tuple[str, ...] = (ROOT_KEY, ROOT_SECRET), **variables: str) -> Result:
        environment: dict[str, str | None] = dict.fromkeys(VARIABLES)
        environment |= {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
        if len(key) > 2:
            environment["AWS_SESSION_TOKEN"] = key[2]
        return CliRunner(env=environment | variables).invoke(main, arguments, catch_exceptions=False)

    return invoke
