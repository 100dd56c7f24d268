"""`python -m tests.crash --rounds 50 [--seed N]`: prints a line for each round; on failure keeps the data directory."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import click

from tests.crash.run import CrashFailed, run
from tests.crash.server import ServerFailed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=50, show_default=True, help="How often something is killed.")
@click.option("--seed", type=int, default=None, help="Repeats the choices of a run (not its instants).")
def main(rounds: int, seed: int | None) -> None:
    """Kill the server, its writer, or both, under load; nothing acknowledged may be lost or told twice."""
    signal.signal(signal.SIGTERM, _interrupted)
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    directory = Path(tempfile.mkdtemp(prefix="opentrail-crash-"))
    began = time.monotonic()
    click.echo(f"seed {seed}, data in {directory}")
    try:
        totals = run(directory, rounds, seed, click.echo)
    except (CrashFailed, ServerFailed) as error:
        click.echo(f"FAILED: {error}\nthe data directory is kept: {directory}", err=True)
        sys.exit(1)
    shutil.rmtree(directory)
    click.echo(
        f"{rounds} rounds in {time.monotonic() - began:.0f} s: {totals.calls} acknowledged calls each once in a ledger of "
        f"{totals.records} records and once in {totals.log_files} log files; {totals.validated}"
    )


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends like Ctrl-C, so that no server is left behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
