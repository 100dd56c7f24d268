"""Data files of inventories: rows go into a file on disk as they come, and out of it in the form that was asked for.

CSV is compressed as it is written. Parquet and ORC are made of lines of JSON by a process of their own, so that neither the
server's memory nor its event loop feels it (`columns_parquet`, `columns_orc`). Knows no bucket and no configuration.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from opentrail.rows.s3_inventory import Column

SUFFIXES = {"CSV": ".csv.gz", "Parquet": ".parquet", "ORC": ".orc"}
PROGRAMS = {"Parquet": "opentrail.followers.columns_parquet", "ORC": "opentrail.followers.columns_orc"}
CONVERT_SECONDS_MAX = 600.0
READ_BYTES = 256 * 1024
Value = str | int | float | bool | None


class ConversionFailed(Exception):
    """The process that makes Parquet or ORC did not; its last words."""


class Draft(Protocol):
    """A data file in the making. `written` counts bytes before compression."""

    written: int

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        """Blocks on the disk; called from a worker thread."""
        ...

    async def finish(self) -> Path:
        """The finished file."""
        ...


def new_draft(format_: str, columns: tuple[Column, ...], directory: Path) -> Draft:
    """A draft in an empty directory of its own."""
    return CsvDraft(columns, directory) if format_ == "CSV" else ColumnsDraft(format_, columns, directory)


class CsvDraft:
    """Every value in quotes, keys percent-encoded, no heading: the form of S3's lists."""

    def __init__(self, columns: tuple[Column, ...], directory: Path) -> None:
        self.written = 0
        self._columns = columns
        self._path = directory / "list.csv.gz"
        self._raw = self._path.open("wb")
        self._packed = gzip.GzipFile(fileobj=self._raw, mode="wb", mtime=0, filename="")

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        text = "".join(csv_line(self._columns, row) for row in rows).encode("utf-8", "surrogatepass")
        self.written += len(text)
        self._packed.write(text)

    async def finish(self) -> Path:
        await asyncio.to_thread(self._close)
        return self._path

    def _close(self) -> None:
        self._packed.close()
        self._raw.close()


def csv_line(columns: Sequence[Column], row: Sequence[Value]) -> str:
    return ",".join(f'"{_csv_value(column, value)}"' for column, value in zip(columns, row, strict=True)) + "\n"


def _csv_value(column: Column, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if column.kind == "time":
        return datetime.fromtimestamp(float(value), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if column.field == "Key":
        return quote(str(value), safe="/", errors="surrogatepass")
    return str(value).replace('"', '""')


class ColumnsDraft:
    """Lines of JSON, which a program turns into columns. Times are milliseconds since the epoch."""

    def __init__(self, format_: str, columns: tuple[Column, ...], directory: Path) -> None:
        self.written = 0
        self._columns = columns
        self._format = format_
        self._directory = directory
        self._lines = (directory / "lines.json").open("wb")

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        text = b"".join(_json_line(self._columns, row) for row in rows)
        self.written += len(text)
        self._lines.write(text)

    async def finish(self) -> Path:
        await asyncio.to_thread(self._lines.close)
        path = self._directory / f"list{SUFFIXES[self._format]}"
        kinds = ",".join(f"{column.name}:{column.kind}" for column in self._columns)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", PROGRAMS[self._format], self._lines.name, str(path), kinds,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(CONVERT_SECONDS_MAX):
                _, words = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise ConversionFailed(words.decode("utf-8", "replace")[-500:])
        return path


def _json_line(columns: Sequence[Column], row: Sequence[Value]) -> bytes:
    shown = {
        column.name: int(float(value) * 1000) if column.kind == "time" and value is not None else value
        for column, value in zip(columns, row, strict=True)
    }
    return msgspec.json.encode(shown) + b"\n"


def digest(path: Path) -> tuple[int, str]:
    """(bytes, MD5 in hexadecimal) of a file; blocks."""
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        return file.tell(), md5.hexdigest()


class FileStream:
    """The bytes of a file; `call.ByteStream`."""

    def __init__(self, path: Path, length: int) -> None:
        self.length = length
        self._path = path

    async def chunks(self) -> AsyncIterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, READ_BYTES):
                yield chunk

    def runs(self) -> AsyncIterator[tuple[int, int, int]] | None:
        return None

    async def close(self) -> None:
        """Nothing is held."""
