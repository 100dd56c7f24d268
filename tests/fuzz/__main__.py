"""`python -m tests.fuzz --requests 100000 [--seed N] [--only NUMBER]`: tells how far it is; on failure keeps the data."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import click

from tests.fuzz.run import FuzzFailed, run


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--requests", default=100_000, show_default=True, help="How many are sent.")
@click.option("--seed", type=int, default=None, help="Repeats the requests of a run.")
@click.option("--only", type=int, default=None, help="Send just the request of this number.")
def main(requests: int, seed: int | None, only: int | None) -> None:
    """Send a real server requests that nobody would send: no internal error, no hang, no leak, a ledger that is whole."""
    signal.signal(signal.SIGTERM, _interrupted)
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    directory = Path(tempfile.mkdtemp(prefix="opentrail-fuzz-"))
    click.echo(f"seed {seed}, data in {directory}")
    try:
        totals = run(directory, requests, seed, click.echo, only)
    except FuzzFailed as error:
        click.echo(f"FAILED:\n{error}\nthe data directory is kept: {directory}", err=True)
        sys.exit(1)
    shutil.rmtree(directory)
    click.echo(
        f"{totals.requests} requests of {len(totals.operations)} operations in {totals.seconds:.0f} s; "
        f"statuses {dict(sorted(totals.statuses.items()))}; kinds {dict(totals.kinds)}; slowest {totals.slowest}; "
        f"memory in MiB {[size >> 20 for _, size in totals.memory]}; {totals.records} records, of which "
        f"{len(totals.recorded)} of calls that succeeded, none missing"
    )


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends like Ctrl-C, so that no server is left behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
