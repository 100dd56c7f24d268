"""The independent checker of completeness: is every line of the ledger that a trail should have logged in exactly one of
its log files, byte for byte?

What should have been logged is judged anew from the records (`verify_trails`), what was delivered is read from the files,
and the two are compared by hash in a temporary file, so that memory does not grow with the trail. The ledger's own word
is taken for one thing only: which lines are still on their way. Everything that CloudTrail wrote into the bucket, by the
records of its PutObject calls, has to be there too, digests above all.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from opentrail.verify import Finding, Kind
from opentrail.verify_files import Files, Unreadable, inflate
from opentrail.verify_ledger import LedgerFile, Waiting
from opentrail.verify_members import ORGANIZATIONS
from opentrail.verify_trails import CLOUDTRAIL, Head, Place, Trail, Trails, read_head

FILE_MAX = 1 << 28
"""Bytes of a log file when inflated, at the most."""
PENDING_MAX = 2_000
"""Rows gathered before they are written to the temporary file."""
FINDINGS_MAX = 1_000
"""Findings of one kind that are named; the rest are counted."""
PROGRESS_LINES = 1_000
_TELLING = tuple(f'"eventSource":"{source}"'.encode() for source in (CLOUDTRAIL, ORGANIZATIONS))
"""In records that may tell of trails and members."""
_FILE = re.compile(
    r"(?P<prefix>(?:.*/)?)AWSLogs/(?:(?P<organization>o-[a-z0-9]+)/)?(?P<account>\d{12})/(?P<kind>CloudTrail|CloudTrail-Insight|CloudTrail-Digest)/[a-z0-9-]+/"
    r"\d{4}/\d\d/\d\d/[^/]+\.json\.gz",
    re.ASCII,
)
SCHEMA = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384;
CREATE TABLE wanted (hash BLOB PRIMARY KEY, seq INTEGER, event TEXT, least INTEGER, most INTEGER, found INTEGER)
  WITHOUT ROWID;
CREATE TABLE others (hash BLOB, event TEXT, file TEXT);
CREATE TABLE written (key TEXT PRIMARY KEY, at TEXT, seen INTEGER) WITHOUT ROWID;
"""


Step = Callable[[str, int, int], None]
"""(what is being done, how much is done, of how much); for a bar."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files are looked at: those of a bucket, or of one prefix in it and of an account or of organizations.
    `digest_name` restricts digests to one trail's; log files do not tell whose they are."""

    bucket: str
    prefix: str | None = None
    account: str | None = None
    digest_name: str = ""
    arn: str = ""
    """The one trail that it is about. Every organization whose trail this ever was belongs to the scope."""
    organizations: frozenset[str] = frozenset()

    def takes(self, trail: Trail) -> bool:
        return self.covers(trail.account, Place(trail.bucket, trail.prefix, trail.organization))

    def covers(self, account: str, place: Place) -> bool:
        """Do files for an account lie within, that are delivered to a place?"""
        if place.bucket != self.bucket or self.prefix not in (None, place.prefix):
            return False
        if place.organization and self.account is not None:
            return place.organization in self.organizations
        return self.account in (None, account)

    def holds(self, key: str) -> bool:
        found = _FILE.fullmatch(key)
        if found is None:
            return False
        place = Place(self.bucket, found["prefix"].removesuffix("/"), found["organization"] or "")
        return self.covers(found["account"], place) and (
            found["kind"] != "CloudTrail-Digest" or self.digest_name in key
        )


@dataclass(slots=True)
class Completeness:
    """What the comparison saw."""

    lines: int = 0
    """Lines that trails should have logged here."""
    proven: int = 0
    """Those found as often as they should be, to the byte."""
    waiting: int = 0
    """Those that are on their way."""
    records: int = 0
    """Records in the log files."""


class _Check:
    def __init__(
        self, ledger: LedgerFile, files: Files, scope: Scope, times: tuple[str, str], step: Step, told: Completeness
    ) -> None:
        self._ledger, self._files, self._scope = ledger, files, scope
        self._since, self._until = times
        self._step, self._told = step, told
        self._store = sqlite3.connect("", isolation_level=None)  # SQLite's own temporary file
        self._store.executescript(SCHEMA)
        self._store.execute("BEGIN")  # for ever: nothing of it is to last
        self._trails = Trails()
        self._moved: set[str] = set()
        self._waiting: dict[str, list[Waiting]] = {}

    def run(self) -> Iterator[Finding]:
        try:
            self._waiting = self._ledger.waiting()
            self._look_ahead()
            head = self._ledger.head()
            self._read_lines(0, head)
            yield from self._read_files()
            self._read_lines(head, self._ledger.head(), late=True)  # what a running server delivered meanwhile
            self._match_late()
            yield from self._unjudged()
            yield from self._compare()
            yield from self._files_gone()
        finally:
            self._store.close()

    def _look_ahead(self) -> None:
        """What has to be known of trails before lines are judged: the organizations of the one that is asked for, and
        which of them delivered here and elsewhere too. At a move, lines may have gone either way."""
        trails = Trails()
        head = self._ledger.head()
        for seq, data in self._ledger.records(0, head):
            if any(source in data for source in _TELLING) and (read := _head(data)) is not None:
                trails.see(read)
            if seq % PROGRESS_LINES == 0:
                self._step("reading trails", seq, head)
        own = {each.organization for each in trails.destinations.get(self._scope.arn, ())}
        self._scope = replace(self._scope, organizations=frozenset(own - {""}))
        self._moved = {
            arn
            for arn, places in trails.destinations.items()
            if len({self._scope.covers(arn.split(":")[4], place) for place in places}) == 2
        }

    def _read_lines(self, after: int, head: int, *, late: bool = False) -> None:
        rows: list[tuple[bytes, int, str, int, int]] = []
        for seq, data in self._ledger.records(after, head):
            read = _head(data)
            if read is not None:
                if not late:
                    self._note_written(read)
                least, most = self._counts(seq, read, late)
                if most:
                    rows.append((_hash(data), seq, read.event_id, least, most))
            if len(rows) >= PENDING_MAX:
                self._want(rows)
            if seq % PROGRESS_LINES == 0:
                self._step("judging lines", seq, head)
        self._want(rows)

    def _want(self, rows: list[tuple[bytes, int, str, int, int]]) -> None:
        self._store.executemany("INSERT OR IGNORE INTO wanted VALUES (?, ?, ?, ?, ?, 0)", rows)
        rows.clear()

    def _counts(self, seq: int, head: Head, late: bool) -> tuple[int, int]:
        """How often, at the least and at the most, a line has to be in the files."""
        least = most = 0
        for trail in self._trails.see(head):
            here = self._scope.takes(trail)
            if not here and trail.arn not in self._moved:
                continue
            most += 1
            self._told.lines += here
            if any(each.holds(seq) for each in self._waiting.get(trail.arn, ())):
                self._told.waiting += here
            elif here and trail.arn not in self._moved and not late and self._in_time(head.event_time):
                least += 1
        return least, most

    def _in_time(self, event_time: str) -> bool:
        return (not self._since or event_time >= self._since) and (not self._until or event_time <= self._until)

    def _note_written(self, head: Head) -> None:
        """CloudTrail's own PutObject tells of every file that it ever wrote."""
        if head.event_name != "PutObject" or head.user_identity.invoked_by != CLOUDTRAIL or head.error_code:
            return
        start = f"arn:aws:s3:::{self._scope.bucket}/"
        for each in head.resources:
            key = each.arn.removeprefix(start)
            if each.arn.startswith(start) and self._scope.holds(key) and self._in_time(head.event_time):
                self._store.execute("INSERT OR IGNORE INTO written VALUES (?, ?, 0)", (key, head.event_time))

    def _read_files(self) -> Iterator[Finding]:
        keys = sorted(self._files.keys())
        for number, key in enumerate(keys, 1):
            self._store.execute("UPDATE written SET seen = 1 WHERE key = ?", (key,))
            found = _FILE.fullmatch(key)
            if found is not None and found["kind"] != "CloudTrail-Digest" and self._scope.holds(key):
                yield from self._read_file(key)
            self._step("reading log files", number, len(keys))

    def _read_file(self, key: str) -> Iterator[Finding]:
        raw = self._files.read(key)
        if raw is None:
            return
        try:
            records = _records(b"".join(inflate(raw, FILE_MAX)))
        except (Unreadable, msgspec.MsgspecError):
            yield Finding("altered", key, "it is no log file that can be read")
            return
        for record in records:
            self._told.records += 1
            found = self._store.execute("UPDATE wanted SET found = found + 1 WHERE hash = ?", (_hash(record),))
            if not found.rowcount:
                read = _head(record)
                event_id = read.event_id if read is not None else ""
                self._store.execute("INSERT INTO others VALUES (?, ?, ?)", (_hash(record), event_id, key))

    def _match_late(self) -> None:
        """Records that were no lines yet when the lines were read."""
        counts = "SELECT hash, count(*) FROM others WHERE hash IN (SELECT hash FROM wanted) GROUP BY hash"
        for hash_, count in self._store.execute(counts).fetchall():
            self._store.execute("UPDATE wanted SET found = found + ? WHERE hash = ?", (count, hash_))
            self._store.execute("DELETE FROM others WHERE hash = ?", (hash_,))

    def _unjudged(self) -> Iterator[Finding]:
        for arn in sorted(self._trails.unknown):
            yield Finding("not judged", arn, "no record tells in full how it was configured")

    def _compare(self) -> Iterator[Finding]:
        some = self._store.execute("SELECT count(*) FROM wanted WHERE found BETWEEN max(least, 1) AND most")
        self._told.proven = some.fetchone()[0]
        self._store.execute("CREATE INDEX by_event ON others (event)")
        lost = "FROM wanted WHERE found < least"
        for seq, event, least, found in self._some(f"SELECT seq, event, least, found {lost} ORDER BY seq"):
            other = self._store.execute("SELECT file FROM others WHERE event = ? LIMIT 1", (event,)).fetchone()
            if other is not None:
                yield Finding(
                    "altered record", other[0], f"eventID {event} (Seq {seq}) says something else in the ledger"
                )
            else:
                yield Finding("missing record", f"Seq {seq}", f"eventID {event} is in {found} of {least} log files")
        yield from self._rest("missing record", lost)
        many = "FROM wanted WHERE found > most"
        for seq, event, most, found in self._some(f"SELECT seq, event, most, found {many} ORDER BY seq"):
            yield Finding("duplicated record", f"Seq {seq}", f"eventID {event} is there {found} times, not {most}")
        yield from self._rest("duplicated record", many)
        foreign = "FROM others WHERE event NOT IN (SELECT event FROM wanted WHERE found < least)"
        if not self._trails.unknown:
            for event, file in self._some(f"SELECT event, file {foreign} ORDER BY file"):
                yield Finding("unexpected record", file, f"eventID {event} is not what a trail should have logged here")
            yield from self._rest("unexpected record", foreign)

    def _some(self, query: str) -> Iterator[Any]:
        return iter(self._store.execute(f"{query} LIMIT {FINDINGS_MAX}").fetchall())

    def _rest(self, kind: Kind, which: str) -> Iterator[Finding]:
        count = self._store.execute(f"SELECT count(*) {which}").fetchone()[0] - FINDINGS_MAX
        if count > 0:
            yield Finding(kind, f"{count} more", "too many to name each")

    def _files_gone(self) -> Iterator[Finding]:
        for key, at in self._some("SELECT key, at FROM written WHERE NOT seen ORDER BY key"):
            yield Finding("missing", key, f"the ledger tells that CloudTrail wrote it at {at}")
        yield from self._rest("missing", "FROM written WHERE NOT seen")


class _LogFile(msgspec.Struct):
    Records: list[msgspec.Raw]


_log_file = msgspec.json.Decoder(_LogFile)


def _records(text: bytes) -> Iterator[bytes]:
    return (bytes(each) for each in _log_file.decode(text).Records)


def _head(data: bytes) -> Head | None:
    try:
        return read_head(data)
    except msgspec.MsgspecError:
        return None


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:20]


def check_records(
    ledger: LedgerFile, files: Files, scope: Scope, *, since: str, until: str, step: Step, told: Completeness
) -> Iterator[Finding]:
    """Findings as they are made. `since` and `until` are ISO seconds (empty: open) of the events that have to be there;
    files are always read all, since an event may be delivered long after it happened."""
    yield from _Check(ledger, files, scope, (since, until), step, told).run()
