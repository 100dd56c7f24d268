"""A real server in a process of its own, once for all tests with real clients; and where it is, with its root key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ACCESS_KEY, SECRET = "AKIAOPENTRAILCLIENTS", "secret-of-the-client-tests-secret-of-the"
START_SECONDS_MAX = 60.0
_LISTENING = re.compile(r"listening on (https?://\S+)")


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, and the key of its root user."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("data")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from opentrail.server.cli import main; main()", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(directory),
        )
    timer = threading.Timer(START_SECONDS_MAX, process.kill)  # unblocks the reading of a banner that never comes
    timer.start()
    try:
        endpoint = _endpoint(process, directory / "log")
        timer.cancel()
        yield Server(endpoint, ACCESS_KEY, SECRET)
    finally:
        timer.cancel()
        process.terminate()
        process.communicate(timeout=START_SECONDS_MAX)


def _environment(directory: Path) -> dict[str, str]:
    source = str(Path(__file__).parents[2] / "src")
    return {
        **os.environ,
        "PYTHONPATH": source,
        "PYTHONUNBUFFERED": "1",
        "OPENTRAIL_DATA_DIR": str(directory / "opentrail"),
        "OPENTRAIL_ROOT_ACCESS_KEY_ID": ACCESS_KEY,
        "OPENTRAIL_ROOT_SECRET_ACCESS_KEY": SECRET,
    }


def _endpoint(process: subprocess.Popen[str], log: Path) -> str:
    """What the banner says; a server that does not start says why."""
    assert process.stdout is not None
    for line in process.stdout:
        found = _LISTENING.search(line)
        if found:
            return found[1]
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
