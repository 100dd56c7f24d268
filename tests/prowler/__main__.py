"""`python -m tests.prowler`: Prowler's CloudTrail checks on a well-made trail, a bad one and none, each as it should be.

Prowler comes from PyPI into a virtual environment of its own, build/prowler/venv, at the first run; it is large.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import click

from tests.clients.server_process import REGION, ServerProcess
from tests.prowler.trails import TRAIL, make_bad_trail, make_good_trail

PROWLER = "prowler==5.46.0"
BUILD = Path(__file__).parents[2] / "build" / "prowler"
DELIVERED_SECONDS_MAX = 30.0
"""How long the first log files may take, which some checks look for."""
GOOD = dict.fromkeys(
    (
        "cloudtrail_bucket_requires_mfa_delete",
        "cloudtrail_cloudwatch_logging_enabled",
        "cloudtrail_insights_exist",
        "cloudtrail_kms_encryption_enabled",
        "cloudtrail_log_file_validation_enabled",
        "cloudtrail_logs_s3_bucket_access_logging_enabled",
        "cloudtrail_logs_s3_bucket_is_not_publicly_accessible",
        "cloudtrail_multi_region_enabled",
        "cloudtrail_multi_region_enabled_logging_management_events",
        "cloudtrail_s3_dataevents_read_enabled",
        "cloudtrail_s3_dataevents_write_enabled",
    ),
    "PASS",
)
ANY_TRAIL = ("cloudtrail_multi_region_enabled", "cloudtrail_multi_region_enabled_logging_management_events")
"""What Prowler lets pass, when it looks at one region, as long as any trail logs there."""
BAD = {check: "FAIL" for check in GOOD if check not in ANY_TRAIL}
NONE = dict.fromkeys(ANY_TRAIL, "FAIL")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run Prowler against servers with a good trail, with a bad one and with none. Takes some minutes."""
    signal.signal(signal.SIGTERM, _interrupted)
    program = _prowler()
    wrong = _look(program, "good", make_good_trail, GOOD)
    wrong += _look(program, "bad", make_bad_trail, BAD)
    wrong += _look(program, "no", None, NONE)
    for line in wrong:
        click.echo(line, err=True)
    sys.exit(1 if wrong else 0)


def _look(
    program: Path, name: str, make: Callable[[ServerProcess], None] | None, wanted: Mapping[str, str]
) -> list[str]:
    """What Prowler says of a server with this trail, held against what it should say; the differences."""
    click.echo(f"{name} trail")
    with tempfile.TemporaryDirectory(prefix="opentrail-prowler-") as scratch:
        server = ServerProcess(Path(scratch)).start()
        try:
            if make is not None:
                make(server)
                _wait_for_delivery(server)
            found = _findings(program, server, BUILD / name)
        finally:
            server.stop()
    for check, status in sorted(found.items()):
        click.echo(f"  {status} {check}")
    return [
        f"{name} trail: {check} is {found.get(check, 'missing')}, not {status}"
        for check, status in wanted.items()
        if found.get(check) != status
    ]


def _wait_for_delivery(server: ServerProcess) -> None:
    cloudtrail, deadline = server.client("cloudtrail"), time.monotonic() + DELIVERED_SECONDS_MAX
    trail = cloudtrail.get_trail(Name=TRAIL)["Trail"]
    wanted = ["LatestDeliveryTime"] + ["LatestCloudWatchLogsDeliveryTime"] * ("CloudWatchLogsLogGroupArn" in trail)
    while not all(name in cloudtrail.get_trail_status(Name=TRAIL) for name in wanted):
        if time.monotonic() > deadline:
            raise click.ClickException(f"nothing was delivered: {cloudtrail.get_trail_status(Name=TRAIL)}")
        time.sleep(0.2)


def _findings(program: Path, server: ServerProcess, out: Path) -> dict[str, str]:
    """The status of each check that looked at something; FAIL if it is one for any resource."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.json"):
        old.unlink()
    command = [str(program), "aws", "-f", REGION, "--service", "cloudtrail", "--ignore-exit-code-3", "--no-banner"]
    log = out / "prowler.log"
    with log.open("wb") as stream:
        arguments = [*command, "-M", "json-ocsf", "-o", str(out), "-F", "report"]
        done = subprocess.run(arguments, env=server.environment(), stdout=stream, stderr=stream, check=False)
    reports = list(out.glob("*.json"))
    if done.returncode or not reports:
        raise click.ClickException(f"Prowler ended with {done.returncode}; see {log}")
    found: dict[str, str] = {}
    for each in json.loads(reports[0].read_text()):
        check, status = each["metadata"]["event_code"], each["status_code"]
        found[check] = "FAIL" if "FAIL" in (status, found.get(check)) else status
    return found


def _prowler() -> Path:
    """The program, installed at first use."""
    place = BUILD / "venv"
    ready = place / "ready"
    if not ready.exists():
        click.echo(f"installing {PROWLER} into {place}; it is large")
        venv.create(place, with_pip=True, clear=True)
        install = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, PROWLER], check=True)
        ready.touch()
    return place / "bin" / "prowler"


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends like Ctrl-C, so that no server is left behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
