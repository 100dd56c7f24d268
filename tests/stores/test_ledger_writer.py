"""The writer's own loop: frames, batches, failures; and what it leaves when the other end goes away."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from opentrail.stores.ledger_writer import (
    FRAME,
    SCHEMA,
    Batch,
    Settled,
    connect,
    durable_head,
    encode,
    read_frame,
    serve,
    unpack_lines,
    write,
)

answer_of = msgspec.msgpack.Decoder(Settled).decode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    connection = connect(tmp_path / "ledger.db")
    connection.executescript(SCHEMA)
    connection.close()
    return tmp_path / "ledger.db"


class Served:
    """`serve` in a thread, and our end of its socket."""

    def __init__(self, path: Path) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(60)

        def run() -> None:
            with theirs:
                serve(path, theirs)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def send(self, batch: Batch) -> Settled:
        data = encode(batch)
        self.ours.sendall(FRAME.pack(len(data)) + data)
        return self.hear()

    def hear(self) -> Settled:
        frame = read_frame(self.ours)
        assert frame is not None
        return answer_of(frame)

    def end(self) -> None:
        self.ours.close()
        self.thread.join(60)
        assert not self.thread.is_alive()


def rows(path: Path) -> dict[bytes, tuple[int, bytes]]:
    connection = connect(path)
    found = connection.execute("SELECT key, version, value FROM kv WHERE key >= x'01'").fetchall()
    connection.close()
    return {key: (version, value) for key, version, value in found}


def head(path: Path) -> int:
    connection = connect(path)
    found = durable_head(connection)
    connection.close()
    return found


def test_batches_are_answered_one_by_one(path):
    served = Served(path)
    assert served.send(Batch(3, [(b"a", 3, b"1")], [], [(2, 0, b"x"), (3, 1, b"y")])) == Settled(3)
    assert served.send(Batch(5, [(b"b", 5, b"2")], [b"a", b"never"], [])) == Settled(5)
    assert served.send(Batch(6, [], [], [(6, 0, b"z")])) == Settled(6)
    assert served.send(Batch(9, [], [], [])) == Settled(9)
    served.end()
    assert rows(path) == {b"b": (5, b"2")}
    assert head(path) == 9
    lines = [unpack_lines(data) for (data,) in connect(path).execute("SELECT lines FROM batches ORDER BY last")]
    assert lines == [[(2, 0, b"x"), (3, 1, b"y")], [(6, 0, b"z")]]


@pytest.mark.parametrize("cut", [1, 7, 8, 9, -1])
def test_a_batch_that_came_only_in_part_is_not_written(path, cut):
    served = Served(path)
    assert served.send(Batch(1, [(b"a", 1, b"1")], [], [])) == Settled(1)
    data = encode(Batch(2, [(b"a", 2, b"2")], [], []))
    served.ours.sendall((FRAME.pack(len(data)) + data)[:cut])
    served.end()
    assert rows(path) == {b"a": (1, b"1")}


def test_what_came_whole_is_written_even_if_nobody_hears_the_answer(path):
    served = Served(path)
    data = encode(Batch(1, [(b"a", 1, b"1")], [], []))
    served.ours.sendall(FRAME.pack(len(data)) + data)
    served.end()
    assert rows(path) == {b"a": (1, b"1")}


def test_a_frame_may_come_byte_by_byte(path):
    served = Served(path)
    data = encode(Batch(1, [(b"a", 1, b"1")], [], []))
    for byte in FRAME.pack(len(data)) + data:
        served.ours.sendall(bytes([byte]))
    assert served.hear() == Settled(1)
    served.end()


@pytest.mark.parametrize("count", [1, 7, 8, 255, 256, 257, 1_000, 5_003])
def test_batches_of_any_size(path, count):
    connection = connect(path)
    puts = [(b"%05d" % n, count, b"x" * (n % 50)) for n in range(1, count + 1)]
    write(connection, Batch(count, puts, [], [(n, 0, b"line") for n in range(1, count + 1)]))
    assert rows(path) == {key: (version, value) for key, version, value in puts}
    write(connection, Batch(count + 1, [], [key for key, _, _ in puts[1:]], []))
    assert list(rows(path)) == [b"00001"]
    connection.close()


def test_a_batch_of_many_megabytes(path):
    served = Served(path)
    puts = [(b"%02d" % n, 1, bytes([n]) * 2_000_000) for n in range(20)]
    assert served.send(Batch(1, puts, [], [(1, 0, b"x" * 3_000_000)])) == Settled(1)
    served.end()
    assert {key: (len(value), value[:1]) for key, (_, value) in rows(path).items()} == {
        b"%02d" % n: (2_000_000, bytes([n])) for n in range(20)
    }


def test_a_failure_is_told_and_leaves_nothing_and_the_next_batch_is_taken(path):
    connection = connect(path)
    connection.executescript("CREATE TRIGGER full BEFORE INSERT ON batches BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    served = Served(path)
    answer = served.send(Batch(2, [(b"a", 2, b"1")], [], [(1, 0, b"x"), (2, 0, b"y")]))
    assert (answer.last, answer.failure) == (2, "disk full")
    assert rows(path) == {}
    assert head(path) == 0
    assert served.send(Batch(3, [], [], [(3, 0, b"x")])).failure == "disk full"
    connection.execute("DROP TRIGGER full")
    connection.close()
    assert served.send(Batch(4, [(b"a", 4, b"2")], [], [(4, 0, b"z")])) == Settled(4)
    served.end()
    assert rows(path) == {b"a": (4, b"2")}


def test_a_commit_is_synchronised_with_the_disk(path):
    connection = connect(path)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_signals_meant_for_the_whole_service_do_not_end_the_writer(path):
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    process = subprocess.Popen(
        [sys.executable, "-m", "opentrail.stores.ledger_writer", str(path), str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    for last in (1, 2):
        data = encode(Batch(last, [(b"a", last, b"1")], [], []))
        ours.sendall(FRAME.pack(len(data)) + data)
        frame = read_frame(ours)
        assert frame is not None
        assert answer_of(frame) == Settled(last)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
    ours.close()
    assert process.wait(60) == 0


def test_a_server_that_died_with_an_answer_unread_is_gone():
    ours, theirs = socket.socketpair()
    theirs.sendall(b"an answer")
    ours.close()
    assert read_frame(theirs) is None
    theirs.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        connect(tmp_path / "ledger.db")
