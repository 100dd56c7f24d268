"""Where log files come from: a file, a folder, or a bucket. Listed first, so that they can be taken in the order of their
times, which keeps the history's parts apart and look-ups quick; the names that CloudTrail gives tell them.

Knows names and bytes; what is in a file is told by `import_files`.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.server.client import Client, Unanswered
from opentrail.server.import_files import FILE_MAX, Unreadable

FILES_MAX = 5_000_000
"""Files of one import: their names are held in memory."""
MISSED_MAX = 1_000
"""Folders and files that are named because they could not be looked at."""
ENDINGS = (".json.gz", ".json", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_STAMP = re.compile(r"_(\d{8}T\d{4}Z)_", re.ASCII)
_LOGS = re.compile(r"/CloudTrail(?:-Insight|-NetworkActivity)?/")


@dataclass(frozen=True, slots=True, order=True)
class LogFile:
    """One file to import, ordered by the time in its name. `version` changes when its content does."""

    stamp: str
    name: str
    size: int
    version: str


class TooMany(Exception):
    """More files than one import takes."""


class Source(Protocol):
    """A place where log files lie."""

    missed: list[tuple[str, str]]
    """(name, reason) of what could not even be looked at while the files were listed, MISSED_MAX at the most."""

    def files(self) -> Iterator[LogFile]:
        """Every file that may hold records, in any order."""
        ...

    def read(self, file: LogFile) -> bytes:
        """A file's bytes, asked for by several threads. Raises Unreadable where it cannot be had."""
        ...


def listed(source: Source) -> list[LogFile]:
    """All files, by time. Raises TooMany, and what the source raises."""
    files = []
    for file in source.files():
        files.append(file)
        if len(files) > FILES_MAX:
            raise TooMany
    return sorted(files)


def may_hold_records(name: str) -> bool:
    """By its name: no digest, and nothing that another service put beside CloudTrail's files (`AWSLogs/…/Config/`)."""
    if not name.endswith(ENDINGS) or "/CloudTrail-Digest/" in name or "_CloudTrail-Digest_" in name.rpartition("/")[2]:
        return False
    return "AWSLogs/" not in name or _LOGS.search(name) is not None


def stamp_of(name: str) -> str:
    """The time in a log file's name; empty for names that tell none."""
    found = _STAMP.search(name.rpartition("/")[2])
    return found[1] if found else ""


class LocalFiles:
    """A folder, with all below it, or one file, whatever it is called."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.missed: list[tuple[str, str]] = []

    def files(self) -> Iterator[LogFile]:
        for path in self._paths():
            name = str(path)
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # gone since it was listed, or a link to nowhere
            except OSError as error:
                self._miss(name, f"it cannot be read: {error.strerror or error}")
                continue
            if stat.S_ISREG(status.st_mode):  # a pipe's end may never come
                yield LogFile(stamp_of(name), name, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")

    def _paths(self) -> Iterable[Path]:
        if self._root.is_file():
            yield self._root
            return
        for folder, _, names in os.walk(self._root, onerror=self._miss_folder):
            for name in names:
                path = Path(folder, name)
                if not may_hold_records(str(path)):
                    continue
                if _encodable(str(path)):
                    yield path
                else:
                    self._miss(str(path), "its name is no UTF-8")

    def _miss_folder(self, error: OSError) -> None:
        self._miss(str(error.filename), f"the folder cannot be listed: {error.strerror or error}")

    def _miss(self, name: str, reason: str) -> None:
        if len(self.missed) < MISSED_MAX:
            self.missed.append((name, reason))

    def read(self, file: LogFile) -> bytes:
        if file.size > FILE_MAX:
            raise Unreadable(f"it is larger than {FILE_MAX:,} bytes")
        try:
            return Path(file.name).read_bytes()
        except OSError as error:
            raise Unreadable(f"it cannot be read: {error.strerror or error}") from error


def _encodable(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


class BucketLogs:
    """Objects of a bucket below a prefix, through any endpoint that speaks S3; each thread over a connection of its own."""

    def __init__(self, client: Client, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self.missed: list[tuple[str, str]] = []
        self._own = threading.local()

    def files(self) -> Iterator[LogFile]:
        for entry in self._entries():
            name = f"s3://{self._bucket}/{entry['Key']}"
            if may_hold_records(name):
                yield LogFile(stamp_of(name), name, entry["Size"], str(entry.get("ETag", "")))

    def _entries(self) -> Iterator[Shape]:
        given = {"Bucket": self._bucket, "Prefix": self._prefix}
        token = ""
        while True:
            page = self._client.call("s3", "ListObjectsV2", {**given, "ContinuationToken": token} if token else given)
            yield from page.get("Contents") or ()
            token = page.get("NextContinuationToken", "")
            if not token:
                return

    def read(self, file: LogFile) -> bytes:
        if file.size > FILE_MAX:
            raise Unreadable(f"it is larger than {FILE_MAX:,} bytes")
        key = file.name.removeprefix(f"s3://{self._bucket}/")
        client: Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = self._client.another()
        try:
            answer = client.call("s3", "GetObject", {"Bucket": self._bucket, "Key": key})
        except AwsError as error:
            raise Unreadable(f"it cannot be read: {error.code}") from error
        except Unanswered as error:
            raise Unreadable(str(error)) from error
        body: bytes = answer["Body"]
        return body
