"""A real PostgreSQL of the tests' own: a cluster in a temporary directory, reached by a socket in it. Skips without one."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import psycopg
import pytest

PROGRAMS = (Path("/usr/lib/postgresql"), Path("/usr/local/lib/postgresql"))
"""Where Debian puts the server's programs, by version."""
_numbers = itertools.count(1)


class Cluster:
    """Trusts whoever can reach its socket; writes nothing through to the disk but what a commit asks for."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._directory = Path(tempfile.mkdtemp(prefix="opentrail-pg-", dir="/tmp"))
        self._user = _user()
        if self._user is not None:
            os.chown(self._directory, pwd.getpwnam(self._user).pw_uid, -1)
        atexit.register(self.end)
        self._run("initdb", "-A", "trust", "-U", "opentrail", "-E", "UTF8", "--locale=C", "-N", "-D", self._data)
        options = f"-c listen_addresses='' -c unix_socket_directories={self._directory} -c shared_buffers=16MB"
        self._run("pg_ctl", "-D", self._data, "-o", options, "-l", f"{self._directory}/log", "-w", "start")

    @property
    def _data(self) -> str:
        return f"{self._directory}/data"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            user=self._user,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=240,
        )

    def new_database(self) -> str:
        """Its conninfo."""
        name = f"opentrail_{next(_numbers)}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name}")
        return self._conninfo(name)

    def _conninfo(self, database: str) -> str:
        return f"host={self._directory} user=opentrail dbname={database}"

    def end(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # it may never have started
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._directory, ignore_errors=True)


def _user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package brings a user."""
    return "postgres" if os.geteuid() == 0 else None


@cache
def cluster() -> Cluster:
    """One for all tests of a process."""
    versions = [found for place in PROGRAMS for found in place.glob("*/bin/initdb")]
    if not versions:
        pytest.skip("no PostgreSQL server is installed")
    return Cluster(max(versions, key=lambda path: float(path.parts[-3])).parent)


def end_session(conninfo: str, session: int) -> None:
    """End another session, and wait until it has ended."""
    with psycopg.connect(conninfo, autocommit=True) as own:
        own.execute("SELECT pg_terminate_backend(%s, 60000)", (session,))
