"""Clients that need an environment of their own, made at first use under build/: Python ones that pin another botocore than
the tests', and the JavaScript SDK. `make test` makes them beforehand; by themselves: `python -m tests.clients.environments`.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
LOCKS = ROOT / "requirements"
SCRIPTS = Path(__file__).parent / "js"
INSTALL_SECONDS_MAX = 600.0
NODE_MAJOR_MIN = 20


class Unavailable(Exception):
    """This machine cannot make the environment; why."""


def python_clients() -> Path:
    """The folder of the programs (`python`, `s3cmd`) of an environment with what requirements/clients.lock pins."""
    return _python("clients")


def python_readers() -> Path:
    """The folder of the programs (`trailscraper`) of an environment with what requirements/readers.lock pins."""
    return _python("readers")


def _python(name: str) -> Path:
    lock = LOCKS / f"{name}.lock"

    def install(place: Path) -> None:
        _run([sys.executable, "-m", "venv", "--clear", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--require-hashes", "-r", str(lock)])

    return _made(name, [lock, Path(sys.executable)], install) / "bin"


def javascript_clients() -> Path:
    """A folder with the AWS SDK for JavaScript that tests/clients/js pins, and the scripts that use it. Raises Unavailable
    where there is no node, or no way to npm's registry."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable("node and npm are not installed")
    version = _run([node, "--version"]).strip().removeprefix("v")
    if int(version.split(".", 1)[0]) < NODE_MAJOR_MIN:
        raise Unavailable(f"node is {version}; the SDK needs {NODE_MAJOR_MIN} or newer")

    def install(place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SCRIPTS / name, place)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(place)]
        try:
            _run(command, cwd=place)
        except RuntimeError as error:
            raise Unavailable(f"npm could not install the SDK: {error}") from error

    place = _made("clients-js", [SCRIPTS / "package-lock.json"], install)
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, place)
    return place


def _made(name: str, inputs: Iterable[Path], install: Callable[[Path], None]) -> Path:
    """The environment, made anew when its inputs are others than they were. One process at a time."""
    place, ready = BUILD / name, BUILD / f"{name}.ready"
    BUILD.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    for each in inputs:
        digest.update(each.read_bytes() if each.suffix else str(each.resolve()).encode())
    with _alone(BUILD / f"{name}.lock"):
        if not ready.exists() or ready.read_text() != digest.hexdigest():
            ready.unlink(missing_ok=True)
            install(place)
            ready.write_text(digest.hexdigest())
    return place


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def main() -> None:
    """Make all."""
    python_clients()
    python_readers()
    try:
        javascript_clients()
    except Unavailable as reason:
        print(f"without the SDK for JavaScript: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
