"""`python -m tests.conformance --suite DIR`: ceph/s3-tests against a fresh server; figures by area, failures by reason."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from types import FrameType

import click

from tests.clients.server_process import ServerProcess
from tests.conformance.people import environment, make_people, write_configuration
from tests.conformance.results import failures, read_results, table

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "conformance"
PLUGIN = Path(__file__).parent / "plugin"
FILES = ("s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py")
OURS = ("pytest-timeout", "pytest-xdist")
"""What is installed beside the suite's own requirements."""
TEST_SECONDS_MAX = 300


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--suite", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--select", default="", help="pytest's -k: only tests whose names match.")
@click.option("--markers", default="", help="pytest's -m: only tests with these markers.")
@click.option("--junit", type=click.Path(path_type=Path), default=None, help="Where to write the JUnit report.")
@click.option("--workers", default=4, show_default=True, help="Tests at the same time.")
@click.option("--day", default=5, show_default=True, help="Seconds of a day for lifecycle rules.")
@click.option("--present-defaults", is_flag=True, help="As AWS is now: ACLs disabled in new buckets, no display names.")
def main(
    suite: Path, select: str, markers: str, junit: Path | None, workers: int, day: int, present_defaults: bool
) -> None:
    """Run ceph/s3-tests, a copy of which is in the directory SUITE, against a server of this working copy."""
    signal.signal(signal.SIGTERM, _interrupted)
    BUILD.mkdir(parents=True, exist_ok=True)
    report = (junit or BUILD / "junit.xml").resolve()
    python = _environment(suite)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="opentrail-conformance-") as scratch:
        server = _server(Path(scratch), day, legacy=not present_defaults).start()
        try:
            for number, people in enumerate(make_people(server, workers)):
                write_configuration(Path(scratch) / f"gw{number}.conf", server, people, day)
            variables = environment(server, Path(scratch) / "{worker}.conf") | {"PYTHONPATH": str(PLUGIN)}
            command = _command(python, report, select, markers, workers)
            subprocess.run(command, cwd=suite, env=variables, check=False)
        finally:
            server.stop()
            BUILD.joinpath("server.log").write_text(server.log())
            tracebacks = server.tracebacks()
    _tell(report, time.monotonic() - began, tracebacks)


def _server(scratch: Path, day: int, *, legacy: bool) -> ServerProcess:
    settings = scratch / "opentrail.toml"
    word = "true" if legacy else "false"
    settings.write_text(f"legacy-bucket-defaults = {word}\ndisplay-names = {word}\n")
    return ServerProcess(scratch, config=str(settings), lifecycle_day=f"{day}s")


def _environment(suite: Path) -> Path:
    """A virtual environment with the suite's requirements; its python."""
    place = BUILD / "venv"
    python, ready = place / "bin" / "python", place / "ready"
    if not ready.exists():
        click.echo(f"installing the suite's requirements into {place}")
        venv.create(place, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(suite / "requirements.txt"), *OURS], check=True)
        ready.touch()
    return python


def _command(python: Path, report: Path, select: str, markers: str, workers: int) -> list[str]:
    options = ["-q", "-p", "opentrail_isolation", f"--timeout={TEST_SECONDS_MAX}", f"--junitxml={report}", "--tb=short"]
    options += ["-n", str(workers), "--dist", "worksteal", "--no-header", "-r", "N"]
    options += ["-k", select] if select else []
    options += ["-m", markers] if markers else []
    return [str(python), "-m", "pytest", *options, *FILES]


def _tell(report: Path, seconds: float, tracebacks: int) -> None:
    if not report.exists():
        raise click.ClickException("the suite wrote no report; see its output above")
    results = read_results(report)
    BUILD.joinpath("areas.md").write_text(table(results))
    BUILD.joinpath("failures.md").write_text(failures(results))
    click.echo(table(results))
    click.echo(f"{len(results)} tests in {seconds:.0f} s; failures by reason: {BUILD / 'failures.md'}")
    if tracebacks:
        click.echo(f"{tracebacks} tracebacks in {BUILD / 'server.log'}: defects of the server", err=True)
        sys.exit(1)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends like Ctrl-C, so that no server is left behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
