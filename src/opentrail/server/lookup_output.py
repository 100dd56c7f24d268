"""What `opentrail lookup` prints: tables for people, JSON lines and CSV for programs. Knows rows, not their finding."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Protocol, TextIO

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from opentrail.server.cli_text import cell, shown
from opentrail.server.lookup_rows import CSV_COLUMNS, EventRow, row_of

PIPE_COLUMNS = 240
"""Width of a table where there is no terminal."""
WIDE, MEDIUM = 150, 100
"""Columns of a terminal from which on more is shown."""


class Output(Protocol):
    """One way to print."""

    def events(self, records: Sequence[bytes]) -> None:
        """Some more events, in the order in which they are to be read."""
        ...

    def counts(self, kind: str, counts: Sequence[tuple[str, int]], total: int) -> None:
        """How many events each value has; `total` events were looked at."""
        ...


def _plain_table(*, show_header: bool = True, expand: bool = False) -> Table:
    return Table(
        box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=show_header, expand=expand
    )


class JsonLines:
    """Each record as it was kept, one a line, so that whatever reads lines can follow."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def events(self, records: Sequence[bytes]) -> None:
        for record in records:
            one_line = record if b"\n" not in record and b"\r" not in record else msgspec.json.format(record, indent=-1)
            self._stream.write(one_line.decode() + "\n")
        self._stream.flush()

    def counts(self, kind: str, counts: Sequence[tuple[str, int]], total: int) -> None:
        for value, number in counts:
            self._stream.write(json.dumps({kind: value, "count": number}, ensure_ascii=False) + "\n")


class Csv:
    """Cells that a spreadsheet would run are made text."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = csv.writer(stream, lineterminator="\n")
        self._begun = False

    def events(self, records: Sequence[bytes]) -> None:
        if not self._begun:
            self._writer.writerow(CSV_COLUMNS)
            self._begun = True
        for record in records:
            row = row_of(record)
            self._writer.writerow([cell(get(row)) for get in CSV_COLUMNS.values()])
        self._stream.flush()

    def counts(self, kind: str, counts: Sequence[tuple[str, int]], total: int) -> None:
        self._writer.writerow((kind, "count"))
        self._writer.writerows((cell(value), number) for value, number in counts)


class Tables:
    """For people: as much as the terminal has room for. `zone` None is the machine's own."""

    def __init__(self, stream: TextIO, zone: tzinfo | None) -> None:
        console = Console(file=stream, highlight=False)
        self._console = console if console.is_terminal else Console(file=stream, width=PIPE_COLUMNS, highlight=False)
        self._zone = zone
        self._headed = False

    def events(self, records: Sequence[bytes]) -> None:
        rows = [row_of(record) for record in records]
        if rows:
            self._console.print(self._table(rows))

    def _table(self, rows: Iterable[EventRow]) -> Table:
        width = self._console.width
        table = _plain_table(show_header=not self._headed, expand=self._console.is_terminal)
        self._headed = True  # once, also when more follows
        table.add_column(f"TIME ({self._zone_name()})", no_wrap=True, min_width=19)
        if width >= WIDE:
            table.add_column("ACCOUNT", no_wrap=True)
            table.add_column("REGION", no_wrap=True)
        for name, share in (("USER", 3), ("EVENT", 3), ("ON", 6)):
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=share if width < PIPE_COLUMNS else None)
        if width >= MEDIUM:
            table.add_column("FROM", no_wrap=True, overflow="ellipsis", max_width=24)
        table.add_column("ERROR", no_wrap=True, overflow="ellipsis", max_width=28)
        for row in rows:
            wide = [row.account, row.region] if width >= WIDE else []
            middle = [row.ip] if width >= MEDIUM else []
            cells = [self._time(row.time), *wide, row.user, row.event, row.target, *middle]
            table.add_row(*(Text(shown(text)) for text in cells), Text(shown(row.error), style="red"))
        return table

    def _zone_name(self) -> str:
        return "UTC" if self._zone is UTC else datetime.now().astimezone().strftime("%Z") or "local"

    def _time(self, text: str) -> str:
        try:
            return datetime.fromisoformat(text).astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")
        except (ValueError, OverflowError):
            return text

    def counts(self, kind: str, counts: Sequence[tuple[str, int]], total: int) -> None:
        table = _plain_table()
        table.add_column("COUNT", justify="right")
        table.add_column("SHARE", justify="right")
        table.add_column(kind.upper(), overflow="fold")
        for value, number in counts:
            table.add_row(f"{number:,}", f"{number / total:.1%}", Text(shown(value)))
        self._console.print(table)
