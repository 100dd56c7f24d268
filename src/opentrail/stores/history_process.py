"""The event history's writer: a process of its own, so that reading, indexing and compressing every record never takes
the interpreter lock from the event loop. It runs at low priority, since it may lag behind, and ends with its server.

`ProcessHistory` is the server's end and satisfies `ports.HistoryIndex`; `python -m opentrail.stores.history_process
DIRECTORY FD` is the other. One task at a time is under way: a frame goes out, a frame comes back.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from opentrail.ports import HistorySearch, PastEvent, Seq
from opentrail.stores.history_damage import NONSENSE, is_damage
from opentrail.stores.history_file import Moved
from opentrail.stores.history_reader import HistoryReader
from opentrail.stores.history_sqlite import SqliteHistory
from opentrail.stores.ledger_writer import FRAME, encode, read_frame

NICENESS = 10
CLOSE_SECONDS_MAX = 30.0
"""How long the process may take to end once its socket is closed."""

log = logging.getLogger("opentrail.history")


class Task(msgspec.Struct, frozen=True, array_like=True):
    """What the process is asked to do."""

    name: Literal["cursor", "add", "clear", "mend", "begin", "fill"]
    after: int = 0
    through: int = 0
    oldest: int = 0
    lines: list[tuple[int, bytes]] = []


class Done(msgspec.Struct, frozen=True, array_like=True):
    """Its answer."""

    cursor: int
    failure: str = ""
    lacks: tuple[int, int] = (0, 0)


class HistoryFailed(Exception):
    """The history could not be written; the text says why."""


class ProcessHistory:
    """The history of one data directory, written elsewhere and read here. The process starts with the first task, and
    again after it was lost."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reader = HistoryReader(directory)
        self._lacks: tuple[Seq, Seq] = (0, 0)
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def cursor(self) -> Seq:
        return self._ask(Task("cursor"))

    def add(self, lines: Sequence[tuple[Seq, bytes]], *, after: Seq, through: Seq, oldest: int) -> None:
        self._ask(Task("add", after, through, oldest, list(lines)))

    def clear(self) -> None:
        self._ask(Task("clear"))

    def lacks(self) -> tuple[Seq, Seq]:
        return self._lacks

    def mend(self) -> None:
        self._ask(Task("mend"))

    def begin(self, through: Seq) -> None:
        self._ask(Task("begin", through=through))

    def fill(self, lines: Sequence[tuple[Seq, bytes]], *, after: Seq, through: Seq, oldest: int) -> None:
        self._ask(Task("fill", after, through, oldest, list(lines)))

    def find(self, search: HistorySearch, limit: int) -> Sequence[PastEvent]:
        return self._reader.find(search, limit)

    def close(self) -> None:
        self._end()
        self._reader.close()

    def _ask(self, task: Task) -> Seq:
        channel = self._socket or self._start()
        data = encode(task)
        try:
            channel.sendall(FRAME.pack(len(data)) + data)
            frame = read_frame(channel)
        except OSError as error:
            self._end()
            raise HistoryFailed(f"the history's process is gone: {error}") from error
        if frame is None:
            self._end()
            raise HistoryFailed("the history's process is gone")
        done = msgspec.msgpack.decode(frame, type=Done)
        if done.failure:
            raise HistoryFailed(done.failure)
        self._lacks = done.lacks
        return done.cursor

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "opentrail.stores.history_process", str(self._directory), str(theirs.fileno())]
        # In the server's session: Linux weighs sessions against each other, and niceness only counts within one.
        self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        theirs.close()
        self._socket = ours
        return ours

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.wait(CLOSE_SECONDS_MAX)
            self._process = None


def serve(directory: Path, channel: socket.socket) -> None:
    """Do every task that comes, until the other end is closed."""
    history = SqliteHistory(directory)
    decode = msgspec.msgpack.Decoder(Task).decode
    while (frame := read_frame(channel)) is not None:
        task = decode(frame)
        answer = encode(_done(history, task))
        try:
            channel.sendall(FRAME.pack(len(answer)) + answer)
        except OSError:
            break  # the server is gone; what was written stays
        if task.name in ("add", "fill"):
            _tidy(history, task.oldest)
    history.close()


def _done(history: SqliteHistory, task: Task) -> Done:
    try:
        if task.name == "add":
            history.add(task.lines, after=task.after, through=task.through, oldest=task.oldest)
        elif task.name == "fill":
            history.fill(task.lines, after=task.after, through=task.through, oldest=task.oldest)
        elif task.name == "begin":
            history.begin(task.through)
        elif task.name != "cursor":
            (history.mend if task.name == "mend" else history.clear)()
        return Done(history.cursor(), lacks=history.lacks())
    except (sqlite3.Error, Moved, MemoryError, *NONSENSE) as error:
        _mend(history, error)
        return Done(0, str(error) or type(error).__name__)


def _tidy(history: SqliteHistory, oldest: int) -> None:
    """One step; a step that fails (a full disk) is tried again after the next task."""
    try:
        history.tidy(oldest)
    except (sqlite3.Error, MemoryError, *NONSENSE) as error:
        log.error("the event history cannot be tidied up: %s", error)
        _mend(history, error)


def _mend(history: SqliteHistory, error: Exception) -> None:
    """A damaged file is set aside; the follower sees what the new one lacks, and fills it."""
    if is_damage(error):
        history.mend(error)


if __name__ == "__main__":
    gc.disable()  # nothing here goes in circles
    os.nice(NICENESS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)  # whoever stops all processes of a service means the server, which ends us
    serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
