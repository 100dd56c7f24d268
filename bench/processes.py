"""Processes that a benchmark starts, and their certain end: when it is over, when it fails, on Ctrl-C.

Everything listens on loopback only. Knows no peer.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
READY_SECONDS_MAX = 60.0
"""How long a server may take to listen."""
STOP_SECONDS_MAX = 10.0
"""How long it may take to end after SIGTERM before it is killed."""


class CannotRun(Exception):
    """Something that a measure needs is not there; the text says what to install or where to look."""


def tool(name: str) -> str:
    """The path of a program; raises CannotRun with the Debian package to install."""
    places = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    found = shutil.which(name, path=places)
    if found is None:
        raise CannotRun(f"{name} is not installed; on Debian: apt-get install {name}")
    return found


def free_port() -> int:
    """A TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class Processes:
    """Starts servers, each in a process group of its own, and ends them all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _: TracebackType | None
    ) -> None:
        for process in self._running:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for process in self._running:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
        self._running.clear()

    def start(self, name: str, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> int:
        """Start a server and wait until it listens; its process id. What it prints goes to NAME.log in the directory."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
                env={**os.environ, **(environment or {})},
            )
        self._running.append(process)
        wait_for_port(process, name, port, log)
        return process.pid

    def stop(self, pid: int) -> None:
        """End one of them; raises CannotRun if it does not end by itself."""
        process = next(each for each in self._running if each.pid == pid)
        _signal(process, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX * 3)
        except subprocess.TimeoutExpired as error:
            raise CannotRun(f"process {pid} does not end after SIGTERM") from error
        self._running.remove(process)


def wait_for_port(process: subprocess.Popen[bytes], name: str, port: int, log: Path) -> None:
    """Return as soon as somebody listens; raises CannotRun with the end of the log if the process ends first."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection((LOOPBACK, port), 1.0).close()
        except OSError:
            time.sleep(0.02)
            continue
        return
    tail = log.read_text(errors="replace")[-2000:]
    raise CannotRun(f"{name} does not listen on port {port}; its output ends with:\n{tail}")


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the whole group, so that workers of a server end with it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
