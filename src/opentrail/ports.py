"""The sockets: what the rooms above need of the rooms below, in MUST words.

An engine (SQLite, PostgreSQL, files, an S3 store) plugs in by satisfying one of these; one contract suite in
`tests/contracts/` runs on every engine. Nothing here knows an engine, a service or a protocol of the wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from opentrail.call import ByteStream, Principal, Shape

Key = bytes
"""Keys sort as bytes. Parts are joined by NUL by `state.Table`; the first part names the table. Keys that begin with NUL,
and the tables `blob` and `blob-drop`, are the engines' own."""
Seq = int
"""Place in the ledger, ever growing. Every line has one of its own; a commit without lines takes one too. A commit's
writes carry its last Seq as their version."""
LineKind = Literal["record", "event"]


class Line(msgspec.Struct, frozen=True):
    """One canonical line, serialised once. A `record` is a CloudTrail record; an `event` an EventBridge event that is no
    API call (PutEvents, a pipeline's state change). `data` is one line of compact JSON in UTF-8, without a newline."""

    kind: LineKind
    data: bytes


class Versioned(msgspec.Struct, eq=False):
    """A stored value and the Seq of the commit that wrote it. Not changed but for `row`."""

    value: bytes
    version: Seq
    row: Any = None
    """The value as `state.Table` decoded it, kept with it so that a hot row is decoded once. Plays no part in equality."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Versioned) and (self.version, self.value) == (other.version, other.value)

    __hash__ = None  # type: ignore[assignment]


class Writes(msgspec.Struct):
    """What a unit wants to become true, and what it has relied on."""

    puts: dict[Key, bytes] = msgspec.field(default_factory=dict)
    deletes: set[Key] = msgspec.field(default_factory=set)
    reads: dict[Key, Seq] = msgspec.field(default_factory=dict)
    """Version seen of each key read; 0 for a key that was absent."""
    blobs: list[str] = msgspec.field(default_factory=list)
    """Refs of blobs that become referenced by this commit."""
    dropped_blobs: list[str] = msgspec.field(default_factory=list)
    """Refs that this commit lets go; the gate removes their bytes once it is durable."""

    def include(self, other: Writes) -> None:
        """Add what another unit wants; where both write a key, the other wins."""
        for key in other.deletes:
            self.puts.pop(key, None)
        self.deletes |= other.deletes
        for key in other.puts:
            self.deletes.discard(key)
        self.puts.update(other.puts)
        self.reads.update(other.reads)
        self.blobs += other.blobs
        self.dropped_blobs += other.dropped_blobs


class Ledger(Protocol):
    """State and evidence in one ordered store. What `commit` returns is durable."""

    def get(self, key: Key) -> Versioned | None:
        """The newest value, writes accepted but not yet durable included.

        Seeing those is safe because whoever acts on them waits for a later commit of its own (its record). MUST NOT
        suspend: what is read and committed without an `await` between is atomic. An engine over a network reads
        through its own cache.
        """
        ...

    def scan(self, prefix: Key, after: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        """Up to `limit` rows whose key begins with `prefix` and is greater than `after`, in key order. `after` empty
        starts at the prefix. MUST be a seek, never a walk over what came before."""
        ...

    def scan_columns(self, prefix: Key, after: Key, limit: int) -> tuple[Sequence[Key], Sequence[bytes]]:
        """As `scan`, the keys and the values each by themselves: for pages of a thousand rows whose versions nobody
        needs."""
        ...

    def scan_back(self, prefix: Key, before: Key, limit: int) -> Sequence[tuple[Key, Versioned]]:
        """As `scan`, in descending order, of keys smaller than `before` (empty: from the prefix's end)."""
        ...

    def group_starts(self, prefix: Key, after: Key, delimiter: bytes, limit: int) -> Sequence[Key]:
        """The keys of up to `limit` rows greater than `after`, each the first of its group: of the rows whose keys begin
        with `prefix` and go on alike up to the first `delimiter`. MUST end before a row that is in no group, and MAY end
        sooner, at once even: whoever wants to know what follows scans. MUST NOT cost more for large groups."""
        ...

    async def commit(self, writes: Writes, lines: Sequence[Line]) -> Seq:
        """All or nothing, durable on return; the Seq of its last line (of the commit itself when it has none).

        MUST raise Conflict if a key of `writes.reads` has another version by now, unless nothing is put or deleted (it
        was true when it was read), and LedgerUnavailable if it could not be made durable, in which case nothing of it
        happened. A crash before it returns leaves all or nothing. It MUST accept the commit (check and order it)
        before its first suspension; a caller that goes away afterwards does not undo it.
        """
        ...

    def read(self, after: Seq, limit: int) -> Sequence[tuple[Seq, Line]]:
        """Up to about `limit` durable lines following `after`, in order. Lines not yet durable MUST NOT be seen."""
        ...

    def head(self) -> Seq:
        """The Seq of the last durable line."""
        ...

    async def wait(self, after: Seq) -> Seq:
        """Return the head as soon as it is greater than `after`."""
        ...

    def is_referenced(self, ref: str) -> bool:
        """Is the blob named by a commit, and by none since let go?"""
        ...

    def dropped_refs(self) -> Sequence[str]:
        """Blobs let go by a durable commit and not yet forgotten: a crash may have left their bytes."""
        ...

    async def forget_dropped(self, refs: Sequence[str]) -> None:
        """Their bytes are gone: nothing needs to remember them."""
        ...

    async def close(self) -> None:
        """Make everything accepted durable, then let go. A later commit MUST raise LedgerUnavailable."""
        ...


class Blobs(Protocol):
    """Object bytes that are too large to lie in the ledger. Written before the commit that names them; swept if that
    commit never came."""

    async def put(self, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Store the stream; (ref, size). MUST be durable on return. An exception of the stream leaves nothing; a disk
        that is full or fails leaves nothing either, and MUST raise LedgerUnavailable."""
        ...

    async def open(self, ref: str, offset: int, length: int) -> ByteStream:
        """A run of a blob. It stays readable until closed even if the blob is dropped meanwhile."""
        ...

    async def drop(self, refs: Iterable[str]) -> None:
        """Remove; unknown refs are ignored, and held ones wait for their release."""
        ...

    def hold(self, refs: Iterable[str]) -> None:
        """Somebody is about to open these one after the other: until as many releases they can be opened, dropped or
        not."""
        ...

    def release(self, refs: Iterable[str]) -> None:
        """The end of a `hold` of the same refs."""
        ...

    async def keep(self, refs: Iterable[str]) -> None:
        """The commit that names these is durable: they are no longer candidates of `sweep`."""
        ...

    async def sweep(self, referenced: Callable[[str], bool]) -> int:
        """At start-up: remove every blob not kept for which `referenced` says no; the number removed."""
        ...


class Road(Protocol):
    """The way OpenTrail's own calls take: the same gate as everybody's, under an identity of its own."""

    async def call(
        self,
        principal: Principal,
        service: str,
        operation: str,
        input: Shape,
        *,
        region: str,
        body: bytes | ByteStream = b"",
        source: str = "",
        also: Writes | None = None,
        stash: Mapping[str, Any] | None = None,
    ) -> InternalAnswer:
        """Walk one call inside the process; raises the call's AwsError.

        `source` is what the record shows as sourceIPAddress and userAgent (default: `principal.invoked_by`). `also` is
        committed together with the call's own effect, and not at all if the call fails. `stash` tells the service's
        handlers what no client could.
        """
        ...


@dataclass(slots=True)
class InternalAnswer:
    """Output of an internal call; `stream` is its payload when it has one (the caller MUST close it)."""

    output: Shape
    stream: ByteStream | None = None


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is looked up in one account and region. Times are whole epoch seconds, both ends included."""

    account_id: str
    region: str
    start: int
    end: int
    limit: int
    attribute: tuple[str, str] | None = None
    """(AttributeKey, AttributeValue) of LookupEvents."""
    before: tuple[int, Seq] | None = None
    """(event time, Seq) behind which a next page starts."""
    category: str = "Management"
    """`Management` or `Insight`."""


class PastEvent(msgspec.Struct, frozen=True, gc=False):
    """One event found: its place, its time (epoch seconds) and its record's bytes. The places of imported events, which
    have no line in the ledger, are below zero."""

    seq: Seq
    time: int
    record: bytes


class History(Protocol):
    """The event history: a follower's index over the ledger's lines, which may lag behind its head for a moment, and the
    events that were imported."""

    async def lookup(self, query: HistoryQuery) -> Sequence[PastEvent]:
        """Up to `query.limit` events, newest first (by event time, then Seq). Events that arrive while a client pages
        through MUST NOT shift what follows `before`."""
        ...


FIRST_NUMBER = -(1 << 62)
"""Below every Seq and every number of an imported event."""


@dataclass(frozen=True, slots=True)
class HistorySearch:
    """Events that have all of some words (`record.history_words`). Times are epoch seconds, both ends included."""

    words: tuple[str, ...]
    start: int
    end: int
    before: tuple[int, Seq] | None = None
    """(event time, Seq) behind which to go on."""
    after: Seq = FIRST_NUMBER
    """Only events with a greater Seq: those that came since."""
    any_of: tuple[tuple[str, ...], ...] = ()
    """Groups of words: of each group an event has at least one."""


class HistoryIndex(Protocol):
    """Keeps lines, compressed, and finds them by their words. Holds nothing of the ledger's that could not be read from
    it again; called from worker threads, but never two writers at once."""

    def cursor(self) -> Seq:
        """The Seq up to which lines are kept; 0 for a new index."""
        ...

    def add(self, lines: Sequence[tuple[Seq, bytes]], *, after: Seq, through: Seq, oldest: int) -> None:
        """All or nothing: the records of `lines`, and the cursor from `after` to `through`.

        MUST raise if the cursor is not at `after` (another process has written), and keep what can be read when a line
        is no record. Events from before `oldest` (epoch seconds) MAY be left out or dropped at any time.
        """
        ...

    def find(self, search: HistorySearch, limit: int) -> Sequence[PastEvent]:
        """Up to `limit` events, newest first by (time, Seq), those that were imported among them. The work MUST be
        bounded by `limit` and the number of parts the index consists of, not by the number of events it holds.

        MUST raise HistoryUnavailable rather than leave out what is lacking or damaged."""
        ...

    def clear(self) -> None:
        """Forget everything that came from the ledger and start at Seq 0."""
        ...

    def lacks(self) -> tuple[Seq, Seq]:
        """Lines behind the first, up to the second, are missing although the cursor is past them, and are to be handed to
        `fill`; the second is -1 while `begin` has to say how far they reach. Nothing is missing where it is not greater.
        As of the last change by this index; cheap."""
        ...

    def mend(self) -> None:
        """What came from the ledger is damaged: set it aside, and lack it."""
        ...

    def begin(self, through: Seq) -> None:
        """Put the cursor to `through`; what is before it is lacking."""
        ...

    def fill(self, lines: Sequence[tuple[Seq, bytes]], *, after: Seq, through: Seq, oldest: int) -> None:
        """As `add`, for lines that are lacking: `after` and `through` are of these."""
        ...

    def close(self) -> None:
        """Let go of files and processes; what was added stays."""
        ...


class NoHistory:
    """The history of a house that keeps none."""

    async def lookup(self, query: HistoryQuery) -> Sequence[PastEvent]:
        return ()


class Clock(Protocol):
    """Time and randomness, passed in so that tests own them."""

    def now(self) -> float:
        """Epoch seconds, UTC."""
        ...

    def token(self, length: int, alphabet: str) -> str: ...

    def uuid(self) -> str:
        """Random UUID (version 4), lower-case with hyphens."""
        ...


class Follower(Protocol):
    """Reads lines in order; its cursor is committed with what it wrote, so each line counts once."""

    name: str

    async def run(self) -> None:
        """Follow for ever; cancelled at shutdown at any await. MUST resume from its cursor."""
        ...


@runtime_checkable
class Reading(Protocol):
    """A follower that can tell how far it has come."""

    name: str

    def position(self) -> Seq:
        """Every line up to this Seq is read; 0 before it has begun."""
        ...
