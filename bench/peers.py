"""The servers to compare with: nginx without signatures, moto's server and ministack, each started afresh for a run.

The emulators live in virtual environments of their own, made at first use, and keep objects in memory. moto checks no
signature; ministack checks those of presigned URLs, and so needs a key that it knows. nginx knows no S3 at all. Knows
nothing of what is measured.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clients import Key, client
from bench.processes import LOOPBACK, CannotRun, Processes, free_port, tool

MOTO = "moto[server]==5.2.5"
MINISTACK = "ministack==1.5.33"
ANY_KEY: Key = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
"""Unsigned as good as signed: the emulators take every key but in ministack's presigned URLs."""

NGINX_CONFIGURATION = """
{user}
daemon off;
worker_processes auto;
pid {prefix}/nginx.pid;
error_log stderr error;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen {host}:{port};
        root {root};
    }}
}}
"""
"""Debian's own settings, apart from the log (off) and the place."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs. `s3` is a boto3 client, or None for one that only serves files."""

    name: str
    url: str
    s3: Any


def start_nginx(processes: Processes, root: Path) -> Peer:
    """nginx on a directory of files."""
    port, prefix = free_port(), processes.directory / "nginx"
    prefix.mkdir()
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    configuration = prefix / "nginx.conf"
    configuration.write_text(
        NGINX_CONFIGURATION.format(user=user, prefix=prefix, host=LOOPBACK, port=port, root=root.resolve())
    )
    command = [tool("nginx"), "-p", str(prefix), "-c", str(configuration), "-e", "stderr"]
    processes.start("nginx", command, port)
    return Peer("nginx", f"http://{LOOPBACK}:{port}", None)


def start_moto(processes: Processes, environments: Path) -> Peer:
    """moto's server, its log of requests switched to nowhere."""
    port, programs = free_port(), environment(environments, MOTO)
    processes.start("moto", [str(programs / "moto_server"), "-H", LOOPBACK, "-p", str(port)], port)
    return _emulator("moto", port)


def start_ministack(processes: Processes, environments: Path) -> Peer:
    """ministack in memory, without its log of requests."""
    port, programs = free_port(), environment(environments, MINISTACK)
    settings = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        "LOG_LEVEL": "ERROR",
        "S3_PERSIST": "0",
        "S3_DATA_DIR": str(processes.directory / "ministack"),
    }
    processes.start("ministack", [str(programs / "ministack")], port, settings)
    return _emulator("ministack", port)


EMULATORS: dict[str, Callable[[Processes, Path], Peer]] = {"moto": start_moto, "ministack": start_ministack}


def _emulator(name: str, port: int) -> Peer:
    url = f"http://{LOOPBACK}:{port}"
    iam = client("iam", url, ANY_KEY)
    iam.create_user(UserName="bench")
    made = iam.create_access_key(UserName="bench")["AccessKey"]
    return Peer(name, url, client("s3", url, (made["AccessKeyId"], made["SecretAccessKey"])))


def environment(directory: Path, requirement: str) -> Path:
    """The programs of a virtual environment with just this requirement; made when it is not there yet."""
    place = directory.resolve() / requirement.replace("[", "-").replace("]", "").replace("==", "-")
    programs, ready = place / "bin", place / "ready"
    if not ready.exists():
        _run([sys.executable, "-m", "venv", "--clear", str(place)], f"make a virtual environment in {place}")
        install = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, requirement], f"install {requirement} from PyPI")
        ready.touch()
    return programs


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"cannot {what}: {(done.stderr or done.stdout)[-1000:]}")
