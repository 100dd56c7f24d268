"""How handlers see state: typed tables over the ledger's keys, through a unit that remembers reads and gathers writes.

Rules: a row is a frozen `Row`; a handler never writes to the ledger, it writes into its `Unit`; reads and writes of one
unit are committed together by the gate. Nothing here suspends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from opentrail.model.load import Models
from opentrail.ports import Blobs, Clock, History, Key, Ledger, Line, NoHistory, Road, Versioned, Writes
from opentrail.settings import Settings
from opentrail.turns import Misses, Turns

SCAN_PAGE = 1_000
"""Rows fetched at once by an unbounded scan."""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of everything stored. Fields may be added with a default, never renamed."""


T = TypeVar("T", bound=Row)


@dataclass(slots=True)
class House:
    """Everything a handler may reach besides its call. Built once by `server.wiring`."""

    ledger: Ledger
    blobs: Blobs
    clock: Clock
    road: Road
    settings: Settings
    models: Models
    seal: Sealer
    history: History = field(default_factory=NoHistory)
    lookup_turns: Turns = field(default_factory=Turns)
    """LookupEvents' turns, by account and region."""
    mfa_misses: Misses = field(default_factory=Misses)
    """Wrong MFA codes, by the device's serial number."""
    elsewhere: frozenset[str] = frozenset()
    """Names of buckets on other servers, to which this one may replicate."""
    ending: bool = False
    """The server is about to end: who waits on a caller's behalf answers now."""


class Sealer(msgspec.Struct, frozen=True):
    """Encryption of secrets at rest and of session tokens (AES-256-GCM under the server's key).

    `purpose` is bound into the ciphertext, so that one kind of secret cannot be passed off as another.
    """

    key: bytes

    def seal(self, plain: bytes, purpose: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(self.key).encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """The plain bytes; raises ValueError if they were not sealed by this key for this purpose."""
        try:
            return AESGCM(self.key).decrypt(sealed[:12], sealed[12:], purpose.encode())
        except InvalidTag as error:
            raise ValueError("not sealed here") from error


class Unit:
    """One call's view of the state and its intended changes. Own writes are read back."""

    __slots__ = ("events", "house", "now", "writes")

    def __init__(self, house: House, now: float) -> None:
        self.house = house
        self.now = now
        self.writes = Writes()
        self.events: list[Line] = []

    def get(self, key: Key) -> Versioned | None:
        writes = self.writes
        if writes.puts or writes.deletes:
            if key in writes.puts:
                return Versioned(writes.puts[key], -1)
            if key in writes.deletes:
                return None
        found = self.house.ledger.get(key)
        writes.reads[key] = 0 if found is None else found.version
        return found

    def put(self, key: Key, value: bytes) -> None:
        self.writes.deletes.discard(key)
        self.writes.puts[key] = value

    def delete(self, key: Key) -> None:
        self.writes.puts.pop(key, None)
        self.writes.deletes.add(key)

    def scan(self, prefix: Key, after: Key = b"", limit: int = SCAN_PAGE) -> list[tuple[Key, Versioned]]:
        """One page of rows in key order, own writes included. Rows seen are not guarded against later change."""
        mine = self.writes
        if not mine.puts and not mine.deletes:
            return list(self.house.ledger.scan(prefix, after, limit))
        hidden = sum(1 for key in mine.deletes if key.startswith(prefix) and key > after)
        rows = list(self.house.ledger.scan(prefix, after, limit + hidden))
        last = rows[-1][0] if rows and len(rows) == limit + hidden else None
        merged = {key: value for key, value in rows if key not in mine.deletes}
        for key, value in mine.puts.items():
            if key.startswith(prefix) and key > after and (last is None or key <= last):
                merged[key] = Versioned(value, -1)
        return sorted(merged.items())[:limit]

    def scan_columns(self, prefix: Key, after: Key, limit: int) -> tuple[Sequence[Key], Sequence[bytes]]:
        """As `scan`, the keys and the values each by themselves."""
        if not self.writes.puts and not self.writes.deletes:
            return self.house.ledger.scan_columns(prefix, after, limit)
        rows = self.scan(prefix, after, limit)
        return [key for key, _ in rows], [found.value for _, found in rows]

    def group_starts(self, prefix: Key, after: Key, delimiter: bytes, limit: int) -> Sequence[Key]:
        """`ports.Ledger.group_starts`; none while there are own writes."""
        mine = self.writes
        return () if mine.puts or mine.deletes else self.house.ledger.group_starts(prefix, after, delimiter, limit)

    def emit(self, event: bytes) -> None:
        """Add an EventBridge event (compact JSON) to what this commit makes durable."""
        self.events.append(Line("event", event))


class Table(Generic[T]):
    """A named table of rows of one type, keyed by text parts. All parts but the last MUST be free of NUL."""

    def __init__(self, name: str, type_: type[T]) -> None:
        self.name = name
        self._prefix = name.encode() + b"\0"
        self._decoder = msgspec.msgpack.Decoder(type_)
        self._encode = msgspec.msgpack.Encoder().encode

    def key(self, *parts: str) -> Key:
        return self._prefix + "\0".join(parts).encode("utf-8", "surrogatepass")

    def get(self, unit: Unit, *parts: str) -> T | None:
        key = self._prefix + "\0".join(parts).encode("utf-8", "surrogatepass")
        writes = unit.writes
        if writes.puts or writes.deletes:
            found = unit.get(key)
        else:  # as `Unit.get` does, without the call: there are half a dozen of these in every request
            found = unit.house.ledger.get(key)
            writes.reads[key] = 0 if found is None else found.version
        if found is None:
            return None
        row: T | None = found.row
        if row is None:
            row = found.row = self._decoder.decode(found.value)
        return row

    def put(self, unit: Unit, row: T, *parts: str) -> None:
        unit.put(self.key(*parts), self._encode(row))

    def delete(self, unit: Unit, *parts: str) -> None:
        unit.delete(self.key(*parts))

    def decode(self, value: bytes) -> T:
        return self._decoder.decode(value)

    def parts(self, key: Key) -> tuple[str, ...]:
        """The parts a key was made of."""
        return tuple(key[len(self._prefix) :].decode("utf-8", "surrogatepass").split("\0"))

    def page(self, unit: Unit, *parts: str, after: Key = b"", limit: int = SCAN_PAGE) -> list[tuple[Key, T]]:
        """One page of the rows below `parts` (whole parts), in key order, starting behind the key `after`."""
        prefix = self.key(*parts) + b"\0" if parts else self._prefix
        return [(key, self._decoder.decode(found.value)) for key, found in unit.scan(prefix, after, limit)]

    def all(self, unit: Unit, *parts: str) -> Iterator[tuple[tuple[str, ...], T]]:
        """Every row below `parts`, in key order, a page at a time."""
        after = b""
        while True:
            rows = self.page(unit, *parts, after=after)
            for key, row in rows:
                yield self.parts(key), row
            if len(rows) < SCAN_PAGE:
                return
            after = rows[-1][0]
