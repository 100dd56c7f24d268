"""A server of its own for the demo: started on a free port, stopped at the end or left running."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

START_SECONDS_MAX = 30.0
DELIVERY_SECONDS = 2
DIGEST_SECONDS = 4
"""Five minutes and an hour outside of a demo."""


class DemoServer:
    """`opentrail serve` as a process; `url` once started, and the root user's key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self.region = "us-east-1"
        self.account_id = "000000000000"
        self.access_key_id = "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
        self.secret = secrets.token_urlsafe(30)
        self._log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [sys.executable, "-m", "opentrail", "serve", "--port", "0"]
        command += ["--data-dir", str(self.directory / "data"), "--region", self.region]
        command += ["--delivery-interval", f"{DELIVERY_SECONDS}s", "--digest-interval", f"{DIGEST_SECONDS}s"]
        keys = {
            "OPENTRAIL_ROOT_ACCESS_KEY_ID": self.access_key_id,
            "OPENTRAIL_ROOT_SECRET_ACCESS_KEY": self.secret,
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **keys}, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.search(r"listening on (\S+)", self._log.read_text())
            if found and _answers(found[1]):
                self.url = found[1]
                return
            time.sleep(0.05)
        raise SystemExit(f"the server did not start:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines the server wrote."""
        return "\n".join(self._log.read_text().splitlines()[-20:]) if self._log.exists() else ""

    def finish(self, console: Console) -> None:
        """Stop and clean up; with KEEP=1 leave it running and say how to use and stop it."""
        if self._process is None:
            return
        if os.environ.get("KEEP", "0") not in ("", "0") and self.url:
            console.print("\nThe server is still running. Point the AWS CLI at it:")
            console.print(f"  export AWS_ENDPOINT_URL={self.url} AWS_DEFAULT_REGION={self.region}")
            console.print(f"  export AWS_ACCESS_KEY_ID={self.access_key_id}")
            console.print(f"  export AWS_SECRET_ACCESS_KEY={self.secret}")
            console.print("  aws cloudtrail lookup-events --max-results 5    (.venv/bin/aws is the AWS CLI)")
            console.print(f"Stop it with: kill {self._process.pid}; its data is in {self.directory}")
            return
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(timeout=60) != 0:
            console.print(self.log_tail())
        shutil.rmtree(self.directory, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/_opentrail/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
