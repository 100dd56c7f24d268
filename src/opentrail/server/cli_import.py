"""`opentrail import`: takes CloudTrail's log files from a folder or a bucket into the event history.

Everything is kept by `stores.history_import`; this module fetches, shows how far it is, and sets the exit status.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from opentrail.server.cli_client import CannotDo, connect, connection_options, explained
from opentrail.server.cli_text import shown
from opentrail.server.import_sources import FILES_MAX, BucketLogs, LocalFiles, LogFile, Source, TooMany, listed
from opentrail.server.import_worker import Done
from opentrail.server.import_workers import Workers
from opentrail.settings import Settings
from opentrail.stores.history_damage import IMPORTED_FILE, is_damage
from opentrail.stores.history_import import AnotherImport, ImportStore
from opentrail.stores.history_tables import OtherFormat

PARTLY = 1
"""Exit status when something could not be taken."""
NAMED_MAX = 1_000
"""Files that are named at the end; more are counted."""


@dataclass(slots=True)
class Outcome:
    """What an import did."""

    files: int = 0
    done_before: int = 0
    kept: int = 0
    known: int = 0
    skipped: list[str] = field(default_factory=list)
    """Files that could not be read, or not whole, with the reason."""
    skipped_count: int = 0

    def add(self, done: Done) -> None:
        """Count a batch that was kept."""
        self.files += len(done.batch.files)
        self.kept += done.batch.kept
        self.known += done.batch.known
        partly = [
            (file.name, f"{file.unusable} of its records have no time or are no objects; the others were taken")
            for file in done.batch.files
            if file.unusable
        ]
        self.skip([*done.skipped, *partly])

    def skip(self, named: Sequence[tuple[str, str]]) -> None:
        """Count and name what was not taken, or not whole."""
        for name, reason in named:
            self.skipped_count += 1
            if len(self.skipped) < NAMED_MAX:
                self.skipped.append(f"{shown(name)}: {shown(reason)}")


@click.command("import")
@click.argument("place", metavar="PATH|s3://BUCKET/PREFIX")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="OPENTRAIL_DATA_DIR",
    default=Settings().data_dir,
    show_default=True,
    help="The directory whose history to import into (OPENTRAIL_DATA_DIR).",
)
@connection_options
def import_logs(place: str, data_dir: Path, endpoint_url: str | None, region: str | None) -> None:
    """Take CloudTrail's log files into the event history.

    Reads Amazon's own files and those of an OpenTrail trail: of any event version, gzipped or plain, in folders of any
    depth, also an organization's. Digests and other services' logs are passed over. What is imported is found by
    `opentrail lookup` and, as far back as the history reaches, by LookupEvents of its account and region; a running
    server shows it at once.

    An import that is interrupted, however hard, goes on where it was when it is started again. A file or an event that
    is there already is not taken twice. A file that is damaged is named and left out; everything else is taken.

    \b
    Examples:
      opentrail import ~/logs
      opentrail import 111122223333_CloudTrail_us-east-1_20261121T1430Z_abc.json.gz
      opentrail import s3://my-logs/AWSLogs/ --endpoint-url https://s3.eu-west-1.amazonaws.com --region eu-west-1

    Exit status: 0 all was taken, 1 some was not, 2 it could not be done.
    """
    with explained():
        source = _source(place, endpoint_url, region)
        files = _listed(source, place)
        store = _store(data_dir)
        try:
            outcome = _import(store, source, files, data_dir)
        except sqlite3.Error as error:
            raise _failed(data_dir, error) from error
        except KeyboardInterrupt:
            click.echo("interrupted; start it again, and it goes on where it was", err=True)
            raise SystemExit(PARTLY) from None
        finally:
            store.close()
    _tell(outcome)
    if outcome.skipped_count:
        raise SystemExit(PARTLY)


def _source(place: str, endpoint_url: str | None, region: str | None) -> Source:
    if place.startswith("s3://"):
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        if not bucket:
            raise click.UsageError(f"{place} names no bucket; write s3://BUCKET/PREFIX")
        return BucketLogs(connect(endpoint_url, region, os.environ), bucket, prefix)
    path = Path(place)
    if not path.exists():
        raise CannotDo(f"there is no {place}")
    return LocalFiles(path)


def _listed(source: Source, place: str) -> list[LogFile]:
    with Console(stderr=True).status("listing"):
        try:
            files = listed(source)
        except TooMany as error:
            raise CannotDo(f"there are more than {FILES_MAX:,} files; import a folder of it at a time") from error
    if not files and not source.missed:
        raise CannotDo(f"there are no log files in {place} (*.json, *.json.gz)")
    return files


def _store(data_dir: Path) -> ImportStore:
    try:
        return ImportStore(data_dir)
    except AnotherImport as error:
        raise CannotDo(f"another import into {data_dir} is under way; wait for its end") from error
    except OtherFormat as error:
        told = f"{data_dir / IMPORTED_FILE} is of another version of OpenTrail; move it away and import its log files again"
        raise CannotDo(told) from error
    except (OSError, sqlite3.Error) as error:
        raise _failed(data_dir, error) from error


def _failed(data_dir: Path, error: Exception) -> CannotDo:
    hint = ""
    if is_damage(error):
        hint = (
            f".\nIf {IMPORTED_FILE} is damaged, nothing but its log files can mend it:"
            " move it away and import them all again."
        )
    return CannotDo(f"cannot import into {data_dir}: {error}{hint}")


def _import(store: ImportStore, source: Source, files: Sequence[LogFile], data_dir: Path) -> Outcome:
    """Take every file, with a bar on standard error where that is a terminal."""
    outcome = Outcome()
    outcome.skip(source.missed)
    console = Console(stderr=True)
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TextColumn("{task.description}"))
    progress = Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    )
    with progress as bar, Workers(data_dir) as workers:
        task = bar.add_task("", total=sum(file.size for file in files))
        left = [file for file in files if not store.is_done(file.name, file.version)]
        outcome.done_before = len(files) - len(left)
        bar.advance(task, sum(file.size for file in files) - sum(file.size for file in left))
        for size, done in workers.batches(source, left, store.keep):
            outcome.add(done)
            bar.update(task, advance=size, description=_rate(outcome, bar.tasks[0].elapsed))
        bar.update(task, description="merging small parts")
        store.tidy()
    return outcome


def _rate(outcome: Outcome, elapsed: float | None) -> str:
    events = outcome.kept + outcome.known
    return f"{events:,} events, {events / elapsed:,.0f} a second" if elapsed else ""


def _tell(outcome: Outcome) -> None:
    click.echo(f"imported {outcome.kept:,} events from {outcome.files:,} files")
    if outcome.known:
        click.echo(f"known already: {outcome.known:,} events")
    if outcome.done_before:
        click.echo(f"imported before: {outcome.done_before:,} files")
    if outcome.skipped_count:
        click.echo(f"NOT taken, or not whole: {outcome.skipped_count:,} files", err=True)
        for line in outcome.skipped:
            click.echo(f"  {line}", err=True)
        if outcome.skipped_count > len(outcome.skipped):
            click.echo(f"  and {outcome.skipped_count - len(outcome.skipped):,} more", err=True)
