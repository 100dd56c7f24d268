"""The writer of the embedded ledger: a process of its own that turns batches into SQLite transactions, one fsync each.

A process and not a thread, because every call into SQLite would otherwise fight the event loop for the interpreter lock.
It lives as long as the other end of its socket is open, finishes what it has read whole, and never outlives its server by
more. Frames are an eight-byte length and msgpack. Knows keys, bytes and sequence numbers; not what they mean.
"""

from __future__ import annotations

import signal
import socket
import sqlite3
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

ROWS_PER_STATEMENT = (256, 32, 8, 1)
"""Rows are written by multi-row statements of these sizes, so that a batch costs few calls into SQLite."""
CACHE_KIB = 8 * 1024
"""Pages of the file that a connection keeps in memory."""
FRAME = struct.Struct(">Q")

SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (key BLOB PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (last INTEGER PRIMARY KEY, lines BLOB NOT NULL);
"""
HEAD_KEY = b"\0head"
"""Its version is the newest durable Seq of the batches that wrote rows; the others show theirs by their lines."""
HEAD = """
SELECT max(coalesce((SELECT max(last) FROM batches), 0), coalesce((SELECT version FROM kv WHERE key = ?), 0))
"""

T = TypeVar("T")
Put = tuple[bytes, int, bytes]
PackedLine = tuple[int, int, bytes]
"""(Seq, kind, bytes)."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What becomes durable together. `last` is the Seq of its last commit."""

    last: int
    puts: list[Put]
    deletes: list[bytes]
    lines: list[PackedLine]


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """The answer: durable up to `last`, or the reason why not."""

    last: int
    failure: str = ""


pack_lines = msgspec.msgpack.Encoder().encode
unpack_lines = msgspec.msgpack.Decoder(list[PackedLine]).decode
encode = msgspec.msgpack.Encoder().encode


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode whose commits are durable. Its memory is bounded by SQLite's cache: a mapped file would
    count as the process's own, and grow with the ledger."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.executescript(
        f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-{CACHE_KIB}; PRAGMA mmap_size=0;"
        "PRAGMA busy_timeout=10000; PRAGMA wal_autocheckpoint=4000;"
    )
    return connection


def durable_head(connection: sqlite3.Connection) -> int:
    """The newest durable Seq."""
    head: int = connection.execute(HEAD, (HEAD_KEY,)).fetchone()[0]
    return head


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """One transaction; raises sqlite3.Error, and then nothing of it is there."""
    if not batch.puts and not batch.deletes and batch.lines:
        connection.execute("INSERT INTO batches VALUES (?, ?)", (batch.last, pack_lines(batch.lines)))
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for puts in _groups([*batch.puts, (HEAD_KEY, batch.last, b"")]):
            rows = ",".join(["(?,?,?)"] * len(puts))
            connection.execute(f"REPLACE INTO kv VALUES {rows}", [value for put in puts for value in put])
        for keys in _groups(batch.deletes):
            marks = ",".join("?" * len(keys))
            connection.execute(f"DELETE FROM kv WHERE key IN ({marks})", keys)
        if batch.lines:
            connection.execute("INSERT INTO batches VALUES (?, ?)", (batch.last, pack_lines(batch.lines)))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _groups(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    start = 0
    for size in ROWS_PER_STATEMENT:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def read_frame(channel: socket.socket) -> bytes | None:
    """The next frame; None when the other end is gone, even in the middle of one."""
    head = _read(channel, FRAME.size)
    return None if head is None else _read(channel, FRAME.unpack(head)[0])


def _read(channel: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        try:
            count = channel.recv_into(view)
        except ConnectionResetError:  # the server died with an answer of ours unread
            return None
        if not count:
            return None
        view = view[count:]
    return bytes(data)


def serve(path: Path, channel: socket.socket) -> None:
    """Write every batch that comes, until the other end is closed."""
    connection = connect(path)
    decode = msgspec.msgpack.Decoder(Batch).decode
    while (frame := read_frame(channel)) is not None:
        batch = decode(frame)
        failure = ""
        try:
            write(connection, batch)
        except (sqlite3.Error, MemoryError) as error:
            failure = str(error) or type(error).__name__
        answer = encode(Settled(batch.last, failure))
        try:
            channel.sendall(FRAME.pack(len(answer)) + answer)
        except OSError:
            break  # the server is gone; what was written stays
    connection.close()


if __name__ == "__main__":
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # whoever stops all processes of a service means the server, which ends us
    serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
