"""The server under test: the ordinary command on one data directory and port, killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO

KEY = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
READY_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 90.0


class ServerFailed(Exception):
    """The server did not start, ended by itself, or did not stop."""


class Server:
    """One data directory and whoever serves it."""

    def __init__(self, directory: Path, *, delivery_seconds: float, digest_seconds: float) -> None:
        self.data = directory / "data"
        self.log = directory / "server.log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = ["--delivery-interval", f"{delivery_seconds:g}s", "--digest-interval", f"{digest_seconds:g}s"]
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begins = 0
        """Where in the log the newest start begins."""

    def launch(self) -> None:
        """Start it, without waiting until it listens."""
        program = Path(sys.executable).with_name("opentrail")
        command = [str(program), "serve", "--data-dir", str(self.data), "--port", str(self.port), *self._options]
        root = {"OPENTRAIL_ROOT_ACCESS_KEY_ID": KEY[0], "OPENTRAIL_ROOT_SECRET_ACCESS_KEY": KEY[1]}
        with self.log.open("ab") as out:
            self._log_begins = out.tell()
            self._process = _started(command, out, root)

    def wait_ready(self) -> float:
        """Wait until it answers; the seconds that took. Raises ServerFailed."""
        began = time.monotonic()
        while time.monotonic() - began < READY_SECONDS_MAX:
            if not self.alive:
                if not self._port_was_taken():
                    break
                time.sleep(0.2)
                self.launch()
            try:
                with urllib.request.urlopen(f"{self.url}/_opentrail/health", timeout=5):
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.02)
        raise ServerFailed(f"the server does not start; see {self.log}")

    def _port_was_taken(self) -> bool:
        """While nobody listens there, somebody's connection may begin at it, for a moment."""
        return b"address already in use" in self.log.read_bytes()[self._log_begins :].lower()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def writer_pid(self) -> int | None:
        """The ledger's writer, a child of the server; None if there is none at this moment."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            for child in children:
                if b"ledger_writer" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        except FileNotFoundError:
            return None
        return None

    def kill(self, what: str) -> None:
        """SIGKILL to `server`, `writer` or `both` (the writer first, so that it cannot finish)."""
        writer = self.writer_pid() if what != "server" else None
        if writer is not None:
            try:
                os.kill(writer, signal.SIGKILL)
            except ProcessLookupError:
                writer = None
        if what != "writer" and self._process is not None:
            self._process.kill()
            self._process.wait()

    def demand_quiet_log(self) -> None:
        """Raise ServerFailed if the server wrote of an exception that nothing foresaw."""
        if b"Traceback" in self.log.read_bytes():
            raise ServerFailed(f"there is a traceback in {self.log}")

    def stop(self) -> None:
        """Ask it to end; raises ServerFailed unless it ends well by itself."""
        assert self._process is not None
        self._process.terminate()
        try:
            status = self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"the server does not stop; see {self.log}") from error
        if status:
            raise ServerFailed(f"the server ended with status {status}; see {self.log}")


def _started(command: list[str], out: IO[bytes], root: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **root}, start_new_session=True
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
