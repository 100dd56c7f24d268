"""Reads the ledger's file for the checker: its lines, and what it says is still on its way. Read-only, also while a server
runs; shares no code with what writes it.

The form, as the checker knows it: a SQLite file. `batches` holds lines, msgpack lists of [Seq, kind, bytes], kind 0 a
record; `kv` holds rows, msgpack maps under keys of NUL-separated parts. Nothing is held whole.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

FILE_NAME = "ledger.db"
PAGE_BATCHES = 200
"""Batches read at once, so that a running server's write-ahead log is never held up for long."""
RECORD = 0
_lines = msgspec.msgpack.Decoder(list[tuple[int, int, bytes]])
_row = msgspec.msgpack.Decoder(dict[str, Any])


class LedgerUnreadable(Exception):
    """There is no ledger, or it is not one; the text says where."""


@dataclass(slots=True)
class Waiting:
    """What one trail has not delivered yet, by the ledger's own account."""

    after: int
    """Lines behind this Seq are not laid out in files."""
    since: int
    """The trail had none before this Seq."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """(first Seq, last Seq) of lines in files that are planned, in order."""

    def holds(self, seq: int) -> bool:
        if seq >= self.since and seq > self.after:
            return True
        index = bisect_right(self.runs, (seq, 1 << 62)) - 1
        return index >= 0 and self.runs[index][0] <= seq <= self.runs[index][1]


class LedgerFile:
    """One ledger, open until `close`."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / FILE_NAME if data_dir.is_dir() else data_dir
        if not path.is_file():
            raise LedgerUnreadable(f"{path}: no such file")
        try:
            self._file = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, isolation_level=None)
            self.head()
        except sqlite3.Error as error:
            raise LedgerUnreadable(f"{path}: {error}") from error

    def close(self) -> None:
        self._file.close()

    def head(self) -> int:
        """The Seq of the newest line; 0 if there is none."""
        found: int | None = self._file.execute("SELECT max(last) FROM batches").fetchone()[0]
        return found or 0

    def records(self, after: int, through: int) -> Iterator[tuple[int, bytes]]:
        """(Seq, record) of each line behind `after` up to `through`, in order. Raises LedgerUnreadable."""
        query = "SELECT last, lines FROM batches WHERE last > ? AND last <= ? ORDER BY last LIMIT ?"
        while after < through:
            page = self._file.execute(query, (after, through, PAGE_BATCHES)).fetchall()
            for last, packed in page:
                try:
                    yield from ((seq, data) for seq, kind, data in _lines.decode(packed) if kind == RECORD)
                except msgspec.MsgspecError as error:
                    raise LedgerUnreadable(f"the batch that ends at Seq {last} cannot be read: {error}") from error
                after = last
            if len(page) < PAGE_BATCHES:
                return

    def waiting(self) -> dict[str, list[Waiting]]:
        """What is on its way, by the ARN of the trail; several where a trail was deleted and made again."""
        found: dict[str, Waiting] = {}
        arns: dict[str, str] = {}
        for parts, version, row in self._rows("trail_config"):
            arns[parts[0]] = trail_arn(row["home_region"], row["account_id"], row["name"])
            found.setdefault(parts[0], Waiting(after=version - 1, since=version))
        for parts, _, row in self._rows("trail_cursor"):
            if parts[0] in found:
                found[parts[0]].after = row["through"]
        for parts, _, row in self._rows("trail_planned"):
            if parts[0] in found:
                found[parts[0]].runs += [(first, first + count - 1) for first, count in row["runs"]]
        by_arn: dict[str, list[Waiting]] = {}
        for trail_id, waiting in found.items():
            waiting.runs.sort()
            by_arn.setdefault(arns[trail_id], []).append(waiting)
        return by_arn

    def _rows(self, table: str) -> Iterator[tuple[list[str], int, dict[str, Any]]]:
        """(parts of the key, version, row) of a table."""
        prefix = table.encode() + b"\0"
        query = "SELECT key, version, value FROM kv WHERE key >= ? AND key < ? ORDER BY key"
        for key, version, value in self._file.execute(query, (prefix, table.encode() + b"\1")):
            try:
                row = _row.decode(value)
            except msgspec.MsgspecError as error:
                raise LedgerUnreadable(f"a row of {table} cannot be read: {error}") from error
            yield key[len(prefix) :].decode("utf-8", "replace").split("\0"), version, row


def partition_of(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def trail_arn(region: str, account_id: str, name: str) -> str:
    """A trail's ARN, in the partition of its region."""
    return f"arn:{partition_of(region)}:cloudtrail:{region}:{account_id}:trail/{name}"
