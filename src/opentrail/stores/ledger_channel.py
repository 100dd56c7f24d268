"""The event loop's end of the ledger's writer process: starts it, sends batches, hears what became of them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from opentrail.stores.ledger_writer import FRAME, Batch, Settled, encode

RECEIVE_BYTES = 64 * 1024
CLOSE_SECONDS_MAX = 30.0
"""How long the writer may take to end once its socket is closed."""

_decode = msgspec.msgpack.Decoder(Settled).decode


class WriterChannel:
    """One batch at a time is under way. `settled(last, failure)` answers each; `lost()` says the process died, after
    which a new one has been started."""

    def __init__(
        self, path: Path, keep_open: Sequence[int], settled: Callable[[int, str], None], lost: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._keep_open = tuple(keep_open)
        self._settled = settled
        self._lost = lost
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = [sys.executable, "-m", "opentrail.stores.ledger_writer", str(self._path), str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, pass_fds=(theirs.fileno(), *self._keep_open), stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        self._socket = ours
        self._unsent = memoryview(b"")
        self._heard = b""
        self._loop.add_reader(ours.fileno(), self._hear)

    def send(self, batch: Batch) -> None:
        """Hand a batch to the writer; what the socket does not take at once follows when it can."""
        data = encode(batch)
        self._unsent = memoryview(b"".join((self._unsent, FRAME.pack(len(data)), data)))
        self._push()

    def _push(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # gone; `_hear` sees it too
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._socket.fileno(), self._push)
        else:
            self._loop.remove_writer(self._socket.fileno())

    def _hear(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._restart()
            return
        self._heard += data
        while len(self._heard) >= FRAME.size:
            end = FRAME.size + FRAME.unpack_from(self._heard)[0]
            if len(self._heard) < end:
                return
            answer = _decode(self._heard[FRAME.size : end])
            self._heard = self._heard[end:]
            self._settled(answer.last, answer.failure)

    def _restart(self) -> None:
        self._drop_socket()
        self._process.wait()
        self._start()
        self._lost()

    def _drop_socket(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    async def close(self) -> None:
        """End the writer; everything it was given is durable by then."""
        self._drop_socket()
        await asyncio.to_thread(self._process.wait, CLOSE_SECONDS_MAX)
