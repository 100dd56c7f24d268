"""A process that reads log files and makes batches of them, so that an import uses all processors.

`python -m opentrail.server.import_worker DIRECTORY FD`: a frame with files' bytes comes in, a frame with their batch goes
out, until the other end is closed. It opens no log file and writes nothing.
"""

from __future__ import annotations

import gc
import signal
import socket
import sys
from pathlib import Path

import msgspec

from opentrail.server.import_files import Unreadable, records_in
from opentrail.stores.history_import import Batch, BatchBuilder
from opentrail.stores.ledger_writer import FRAME, encode, read_frame


class Job(msgspec.Struct, frozen=True, array_like=True):
    """Files to make a batch of: (name, version, bytes)."""

    files: list[tuple[str, str, bytes]]


class Done(msgspec.Struct, frozen=True, array_like=True):
    """The batch, and the files that could not be read: (name, reason)."""

    batch: Batch
    skipped: list[tuple[str, str]]


def done(builder: BatchBuilder, job: Job) -> Done:
    """The batch of a job."""
    skipped = []
    for name, version, data in job.files:
        try:
            builder.take(name, version, records_in(data))
        except Unreadable as error:
            skipped.append((name, str(error)))
    return Done(builder.build(), skipped)


def serve(directory: Path, channel: socket.socket) -> None:
    """Do every job that comes."""
    builder = BatchBuilder(directory)
    decode = msgspec.msgpack.Decoder(Job).decode
    while (frame := read_frame(channel)) is not None:
        answer = encode(done(builder, decode(frame)))
        try:
            channel.sendall(FRAME.pack(len(answer)) + answer)
        except OSError:
            break


if __name__ == "__main__":
    gc.disable()  # nothing here goes in circles, and looking for it takes a third of the time
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the import, which ends us
    serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
