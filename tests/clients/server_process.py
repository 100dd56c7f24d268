"""A real server in a process of its own, as the clients' and the hostile tests talk to it over a socket."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.clients.waiting import COMMAND_SECONDS_MAX, PATIENCE_SECONDS

ROOT_KEY, ROOT_SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCOUNT = "000000000000"
OTHER_KEY, OTHER_SECRET = "AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"
OTHER_ACCOUNT = "111122223333"
REGION = "us-east-1"
START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 90.0
_MAKING = threading.Lock()
"""boto3's default session may not make two clients at once."""
_URL = re.compile(r"listening on (https?://\S+)")
TOOLS = Path(sys.executable).parent
"""Where the console scripts of the tests' own environment lie (`opentrail`, `aws`)."""


class ServerProcess:
    """`opentrail serve` on a free port. `options` are long options without dashes."""

    access_key_id, secret_access_key, region = ROOT_KEY, ROOT_SECRET, REGION

    def __init__(self, directory: Path, **options: str) -> None:
        self.directory = directory
        self.options = {
            "data-dir": str(directory / "data"),
            "port": "0",
            "account-id": ACCOUNT,
            "root-access-key-id": ROOT_KEY,
            "root-secret-access-key": ROOT_SECRET,
            "delivery-interval": "1s",
            "digest-interval": "3s",
            "lookup-rate": "0",
            "access-log-interval": "200ms",
        } | {name.replace("_", "-"): value for name, value in options.items()}
        self.url = ""
        self.log_path = directory / "server.log"
        self.out_path = directory / "server.out"
        self.program = [sys.executable, "-c", "from opentrail.server.cli import main; main()"]
        """What is started, without its arguments."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ServerProcess:
        """Start and wait for the banner."""
        arguments = [text for name, value in self.options.items() for text in (f"--{name}", value)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENTRAIL_")}
        with self.log_path.open("ab") as log, self.out_path.open("wb") as out:
            command = [*self.program, "serve", *arguments]
            self._process = subprocess.Popen(
                command, stdout=out, stderr=log, env={**environment, "PYTHONUNBUFFERED": "1"}
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (found := _URL.search(self.out_path.read_text())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{self.log()}")
            time.sleep(0.02)
        self.url = found[1]
        return self

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS_MAX)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS_MAX)

    def metrics(self) -> str:
        """The page of metrics."""
        with urllib.request.urlopen(f"{self.url}/_opentrail/metrics", timeout=PATIENCE_SECONDS) as answer:
            return str(answer.read().decode())

    def log(self) -> str:
        """What the server wrote to its standard error."""
        return self.log_path.read_text(errors="replace")

    def tracebacks(self) -> int:
        """How many tracebacks are in the log: the gate writes one for each InternalError, a follower for each fall."""
        return self.log().count("Traceback")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def endpoint(self) -> str:
        return self.url

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def client(
        self,
        service: str,
        key: tuple[str, ...] = (ROOT_KEY, ROOT_SECRET),
        *,
        region: str = REGION,
        url: str = "",
        verify: str | None = None,
        **config: Any,
    ) -> Any:
        """A boto3 client; `key` is (id, secret) or (id, secret, token), `config` goes into botocore's Config."""
        patient = {
            "retries": {"max_attempts": 0},
            "connect_timeout": PATIENCE_SECONDS,
            "read_timeout": 2 * PATIENCE_SECONDS,
        }
        with _MAKING:
            return boto3.client(
                service,
                region_name=region,
                endpoint_url=url or self.url,
                aws_access_key_id=key[0],
                aws_secret_access_key=key[1],
                aws_session_token=key[2] if len(key) > 2 else None,
                verify=verify,
                config=Config(**{**patient, **config}),
            )

    def environment(self, key: tuple[str, ...] = (ROOT_KEY, ROOT_SECRET), **extra: str) -> dict[str, str]:
        """The environment of a command-line client that shall talk to this server and to nobody else."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OPENTRAIL_"))}
        own = {
            "HOME": str(self.directory),
            "AWS_CONFIG_FILE": str(self.directory / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
            "AWS_PAGER": "",
        }
        if len(key) > 2:
            own["AWS_SESSION_TOKEN"] = key[2]
        return {**clean, **own, **extra}

    def aws(self, *arguments: str, status: int = 0, **extra: str) -> str:
        """Run the AWS CLI; what it says on both channels. Fails unless it ends with `status`."""
        done = subprocess.run(
            [sys.executable, str(TOOLS / "aws"), *arguments],
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == status, f"aws {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


def stored(server: ServerProcess, folder: str = "") -> dict[Path, int]:
    """The files in a server's data directory, and their sizes. It may be at work: what goes away meanwhile is not there."""
    found = {}
    for directory, _, names in os.walk(server.directory / "data" / folder):
        for name in names:
            path = Path(directory, name)
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat().st_size
    return found


def contents(server: ServerProcess) -> bytes:
    """Every byte in its data directory."""
    found = []
    for path in stored(server):
        with contextlib.suppress(FileNotFoundError):
            found.append(path.read_bytes())
    return b"".join(found)


def key_of(answer: dict[str, Any]) -> tuple[str, str, str]:
    """The key in an answer of STS."""
    credentials = answer["Credentials"]
    return credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]


def user_key(answer: dict[str, Any]) -> tuple[str, str]:
    """The key in an answer of CreateAccessKey."""
    return answer["AccessKey"]["AccessKeyId"], answer["AccessKey"]["SecretAccessKey"]
