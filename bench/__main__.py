"""`python -m bench`: measure, and print a table of ratios from one run.

Speed is no test: the exit status is 0 whenever everything could be measured, met or missed, and 1 when something could
not run.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.measures_bulk import measure_deleting, measure_multipart
from bench.measures_delivery import measure_delivery
from bench.measures_history import measure_history
from bench.measures_large import measure_large
from bench.measures_listing import measure_listing
from bench.measures_memory import measure_memory
from bench.measures_pipeline import measure_pipeline
from bench.measures_recording import measure_recording
from bench.measures_small import measure_get, measure_put
from bench.processes import CannotRun
from bench.report import Row, show, write_json
from bench.run import Run

MEASURES: dict[str, Callable[[Run], list[Row]]] = {
    "get": measure_get,
    "put": measure_put,
    "large": measure_large,
    "recording": measure_recording,
    "pipeline": measure_pipeline,
    "delivery": measure_delivery,
    "memory": measure_memory,
    "history": measure_history,
    "listing": measure_listing,
    "multipart": measure_multipart,
    "deleting": measure_deleting,
}
BUILD = Path("build")
REPORT_COLUMNS = 120
"""Width of the table where there is no terminal."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Two short rounds: to see that it works, not for figures.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)), help="Measure just this; may be repeated.")
@click.option("--json", "report", type=click.Path(path_type=Path, dir_okay=False), help="Also write raw figures here.")
def main(quick: bool, only: Sequence[str], report: Path | None) -> None:
    """Measure OpenTrail against nginx, moto and ministack on this machine. Takes about ten minutes."""
    signal.signal(signal.SIGTERM, _interrupted)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.fields[measure]:10}"), BarColumn(), TimeElapsedColumn())
    rows: list[Row] = []
    failures: dict[str, str] = {}
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        chosen = [name for name in MEASURES if not only or name in only]
        task = progress.add_task("", total=len(chosen), measure="")
        run = _run(quick, lambda text: progress.update(task, description=text))
        for name in chosen:
            progress.update(task, measure=name, description="starting")
            try:
                rows += MEASURES[name](run)
            except CannotRun as error:
                failures[name] = str(error)
            progress.advance(task)
    if rows:
        plain = Console()
        show(plain if plain.is_terminal else Console(width=REPORT_COLUMNS), rows)
    if report is not None:
        write_json(report, rows, failures)
    for name, reason in failures.items():
        console.print(f"[red]could not measure {name}:[/] {reason}", highlight=False)
    sys.exit(1 if failures else 0)


def _run(quick: bool, say: Callable[[str], None]) -> Run:
    return Run(
        directory=BUILD / "bench",
        environments=BUILD / "bench-venvs",
        repetitions=2 if quick else 5,
        seconds=2 if quick else 5,
        uploads=20 if quick else 50,
        calls=10_000 if quick else 100_000,
        events=200_000 if quick else 10_000_000,
        lines=50_000 if quick else 400_000,
        keys=100_000 if quick else 10_000_000,
        parts=8 if quick else 80,
        say=say,
    )


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends like Ctrl-C, so that no server is left behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
