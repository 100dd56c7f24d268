"""`opentrail lookup`: searches the event history of a data directory, data events and imported events included.

Reads the history's files directly and only reads, so it works while a server runs, and without one. It asks no server
and leaves no record: whoever can read the directory can read everything in it anyway.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import click

from opentrail.errors import HistoryUnavailable
from opentrail.ports import HistorySearch
from opentrail.record import history_words as words
from opentrail.server.cli_client import CannotDo
from opentrail.server.cli_text import quiet_pipe
from opentrail.server.config import BadSetting, duration
from opentrail.server.lookup_output import Csv, JsonLines, Output, Tables
from opentrail.server.lookup_rows import CATEGORY_NAMES
from opentrail.settings import Settings
from opentrail.stores.history_damage import EVENTS_FILE, IMPORTED_FILE, parts_lacking
from opentrail.stores.history_reader import HistoryReader, newest_first
from opentrail.stores.history_search import WORDS_MAX, Shelf

NOTHING = 1
"""Exit status when no event matches."""
LIMIT = 50
FOLLOW_SECONDS = 1.0
"""How often `--follow` looks."""
FOLLOW_EVENTS_MAX = 10_000
"""Events that `--follow` shows of one look; with more, the oldest are left out."""
FILTERS = {
    "user": (words.USER, "IAM user, role session, `root` or service"),
    "event": (words.EVENT, "event name, such as PutObject"),
    "source": (words.SOURCE, "service, such as s3.amazonaws.com"),
    "bucket": (words.BUCKET, "bucket"),
    "key": (words.KEY, "object key, without its bucket"),
    "resource": (words.RESOURCE, "resource: a name or an ARN, of objects BUCKET/KEY"),
    "ip": (words.IP, "address that the call came from"),
    "error": (words.ERROR, "error code, such as AccessDenied"),
    "account": (words.ACCOUNT, "account that the event belongs to"),
    "region": (words.REGION, "region"),
    "arn": (words.ARN, "ARN of who called"),
    "access-key": (words.ACCESS_KEY, "access key id"),
    "request-id": (words.REQUEST_ID, "request id"),
    "event-id": (words.EVENT_ID, "event id"),
}
"""Options that filter: the kind of word, and what it is."""
COUNTS = {name: kind for name, (kind, _) in FILTERS.items() if kind in words.COUNTED} | {
    "read-only": words.READ_ONLY,
    "category": words.CATEGORY,
}
CATEGORY_OPTIONS = {"management": "M", "data": "D", "insight": "I", "network": "X"}

Command = Callable[..., None]
Picked = Mapping[str, Sequence[str]]


class Moment(click.ParamType[datetime]):
    """A moment in ISO 8601, UTC unless it says otherwise, or so long ago (`2h`, `30m`, `7d`)."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            if re.fullmatch(r"[0-9.]+[smhd]", text):
                return datetime.now(UTC) - timedelta(seconds=duration("TIME", text))
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, BadSetting):
            self.fail(f"{text!r} is no time; write 2h, 30m, 7d, 2026-11-21 or 2026-11-21T14:30:00Z", param, ctx)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked: a search, and how to show what it finds."""

    search: HistorySearch
    patterns: tuple[tuple[str, tuple[str, ...]], ...]
    """(kind, values with `*` or `?`, and those beside them), to be made groups of words when the files are open."""
    limit: int
    count_by: str
    follow: bool


def filter_options(command: Command) -> Command:
    """One option for each filter; giving it again widens it."""
    for name, (kind, what) in reversed(FILTERS.items()):
        metavar = "PATTERN" if kind in words.COUNTED else "TEXT"
        command = click.option(f"--{name}", multiple=True, metavar=metavar, help=f"The {what}.")(command)
    return command


@click.command()
@filter_options
@click.option("--errors", is_flag=True, help="Only calls that failed.")
@click.option("--read-only", "read_only", flag_value="true", help="Only calls that read.")
@click.option("--write-only", "read_only", flag_value="false", help="Only calls that may have changed something.")
@click.option("--category", type=click.Choice(list(CATEGORY_OPTIONS)), multiple=True, help="Only events of a category.")
@click.option("--since", type=Moment(), help="Not older than: 2h, 30m, 7d, or a time (UTC). [default: everything]")
@click.option("--until", type=Moment(), help="Not newer than. [default: now]")
@click.option("--limit", type=click.IntRange(0), default=LIMIT, show_default=True, help="At most; 0 shows all.")
@click.option("--count-by", type=click.Choice(list(COUNTS)), help="Count the events by a value instead.")
@click.option("--follow", is_flag=True, help="Show the newest, oldest first, and then whatever comes (Ctrl-C ends).")
@click.option("--json", "form", flag_value="json", help="The records themselves, one a line.")
@click.option("--csv", "form", flag_value="csv", help="A table for spreadsheets; cells cannot become formulas.")
@click.option("--local", is_flag=True, help="Show the table's times in this machine's zone. [default: UTC]")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="OPENTRAIL_DATA_DIR",
    default=Settings().data_dir,
    show_default=True,
    help="The server's directory (OPENTRAIL_DATA_DIR).",
)
def lookup(data_dir: Path, form: str | None, local: bool, **options: Any) -> None:  # noqa: ANN401  (one for each option)
    """Search the event history: who did what, when, from where.

    Works on the data directory itself, with or without a running server. Filters narrow each other; a filter given
    several times finds any of its values. In a PATTERN, * and ? stand for other letters. Newest first.

    \b
    Examples:
      opentrail lookup --since 2h --errors
      opentrail lookup --user alice --event 'Delete*' --bucket logs
      opentrail lookup --bucket logs --key 2026/11/report.csv --json | jq .
      opentrail lookup --since 7d --error AccessDenied --count-by user
      opentrail lookup --bucket logs --write-only --csv --limit 0 > changes.csv
      opentrail lookup --follow --bucket logs

    Exit status: 0 something was found, 1 nothing was, 2 it could not be searched.
    """
    wish = _wish(options)
    reader = _reader(data_dir)
    output = _output(form, local)
    found = True
    with quiet_pipe(), contextlib.suppress(KeyboardInterrupt):
        try:
            found = _follow(reader, wish, output) if wish.follow else _once(reader, wish, output, form)
        except HistoryUnavailable as error:
            raise CannotDo(f"cannot search the event history in {data_dir} completely: {error}") from error
        except sqlite3.Error as error:
            raise CannotDo(f"cannot read the event history in {data_dir}: {error}") from error
    if not found:
        sys.exit(NOTHING)


def _wish(options: Mapping[str, Any]) -> Wish:
    """Raises UsageError for what contradicts itself."""
    since, until = options["since"], options["until"]
    if since and until and since > until:
        raise click.UsageError("--since is after --until")
    if options["follow"] and (options["count_by"] or until):
        raise click.UsageError("--follow goes with neither --count-by nor --until")
    picked: Picked = {name.replace("_", "-"): values for name, values in options.items() if values}
    single, groups, patterns = [], [], []
    for name, (kind, _) in FILTERS.items():
        values = tuple(dict.fromkeys(picked.get(name, ())))
        if kind in words.COUNTED and any(letter in value for value in values for letter in "*?"):
            patterns.append((kind, values))
        elif len(values) == 1:
            single.append(kind + values[0])
        elif values:
            groups.append(tuple(kind + value for value in values))
    if options["errors"]:
        single.append(words.ANY_ERROR)
    if options["read_only"]:
        single.append(words.READ_ONLY + options["read_only"])
    if options["category"]:
        groups.append(tuple(words.CATEGORY + CATEGORY_OPTIONS[name] for name in options["category"]))
    start, end = int(since.timestamp()) if since else 0, int(until.timestamp()) if until else words.TIME_MAX
    search = HistorySearch(tuple(single), start, end, any_of=tuple(groups))
    return Wish(search, tuple(patterns), options["limit"], options["count_by"] or "", options["follow"])


def _reader(data_dir: Path) -> HistoryReader:
    if not any((data_dir / name).exists() for name in (EVENTS_FILE, IMPORTED_FILE)):
        message = f"there is no event history in {data_dir}.\nName a server's directory with --data-dir."
        raise CannotDo(message)
    return HistoryReader(data_dir)


def _output(form: str | None, local: bool) -> Output:
    if form == "json":
        return JsonLines(sys.stdout)
    if form == "csv":
        return Csv(sys.stdout)
    return Tables(sys.stdout, None if local else UTC)


def _once(reader: HistoryReader, wish: Wish, output: Output, form: str | None) -> bool:
    """Show what is there; False when nothing is."""
    with reader.shelves() as shelves:
        search = _expanded(wish, shelves)
        if wish.count_by:
            return _count(shelves, search, wish, output)
        found = newest_first(shelves, search, wish.limit or LIMIT * 20)
        records = (shelf.record(row) for row, shelf in found)
        shown = 0
        while page := list(islice(records, min(wish.limit - shown, LIMIT) if wish.limit else LIMIT * 20)):
            output.events(page)
            shown += len(page)
        if form is None or not shown:
            _sum_up(shelves, search, shown)
    return shown > 0


def _count(shelves: Sequence[Shelf], search: HistorySearch, wish: Wish, output: Output) -> bool:
    counts: Counter[str] = Counter()
    total = 0
    for shelf in shelves:
        counts.update(shelf.count_by(search, COUNTS[wish.count_by]))
        total += shelf.count(search)
    if not counts:
        _sum_up(shelves, search, 0)
        return False
    if wish.count_by == "category":
        counts = Counter({CATEGORY_NAMES[letter]: number for letter, number in counts.items()})
    ranking = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    output.counts(wish.count_by, ranking[: wish.limit] if wish.limit else ranking, total)
    return True


def _sum_up(shelves: Sequence[Shelf], search: HistorySearch, shown: int) -> None:
    """On standard error, so that it never gets between rows."""
    everything = HistorySearch((), 0, words.TIME_MAX)
    if parts_lacking(shelves):
        click.echo(f"{_events(shown)}; the history is being built again, and how many there are is not known", err=True)
        return
    if shown:
        total = sum(shelf.count(search) for shelf in shelves)
        rest = "" if total == shown else f" of {total:,}, the newest; --limit 0 shows all"
        click.echo(f"{_events(shown)}{rest}", err=True)
        return
    kept = sum(shelf.count(everything) for shelf in shelves)
    hint = "" if kept else " Calls show up here moments after a server has answered them."
    click.echo(f"No event matches, of {_events(kept)} in the history.{hint}", err=True)


def _events(number: int) -> str:
    return f"{number:,} event{'' if number == 1 else 's'}"


def _expanded(wish: Wish, shelves: Sequence[Shelf]) -> HistorySearch:
    """The search with the words that its patterns stand for in these files."""
    groups = list(wish.search.any_of)
    for kind, values in wish.patterns:
        found = {word for value in values for shelf in shelves for word in shelf.matching_words(kind, value)}
        if len(found) > WORDS_MAX:
            raise CannotDo(f"{' '.join(values)} stands for more than {WORDS_MAX:,} values; say more of it")
        groups.append(tuple(sorted(found)))
    return replace(wish.search, any_of=tuple(groups))


def _follow(reader: HistoryReader, wish: Wish, output: Output) -> bool:
    """Show the newest, then what comes, until interrupted."""
    limit, after = wish.limit or FOLLOW_EVENTS_MAX, wish.search.after
    while True:
        with reader.shelves() as shelves:
            newest = max([shelf.newest() for shelf in shelves], default=after)
            search = replace(_expanded(wish, shelves), after=after)
            found = islice(newest_first(shelves, search, limit), limit) if newest > after else ()
            records = [shelf.record(row) for row, shelf in found]
        if records:
            output.events(records[::-1])
        limit, after = FOLLOW_EVENTS_MAX, max(after, newest)
        time.sleep(FOLLOW_SECONDS)
