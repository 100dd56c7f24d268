"""The ordinary server with lines put into its ledger at a steady rate, as if that many calls came besides the real ones.

`python -m bench.busy_server RATE -- OPTIONS…`: one client on this machine cannot make 5,000 calls a second and leave the
server a processor to answer them with.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.ledger_lines import COMMIT_LINES, Telling, patterns_of
from opentrail.ports import Writes
from opentrail.server.wiring import running
from opentrail.settings import Settings
from opentrail.stores.ledger_sqlite import SqliteLedger

TURN_SECONDS = 0.01


async def serve(rate: int, settings: Settings) -> None:
    """Until SIGTERM."""
    async with running(settings) as server:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        ledger = server.house.ledger
        assert isinstance(ledger, SqliteLedger)
        filling = asyncio.ensure_future(put_lines(ledger, rate))
        await ended.wait()
        filling.cancel()
        with contextlib.suppress(asyncio.CancelledError):  # it has no end of its own
            await filling


async def put_lines(ledger: SqliteLedger, rate: int) -> None:
    """`rate` lines a second, for ever; what a turn was late is made up for by the next."""
    telling = Telling(patterns_of(ledger))
    loop = asyncio.get_running_loop()
    began, done = loop.time(), 0
    while True:
        due = int((loop.time() - began) * rate) - done
        sizes = [min(COMMIT_LINES, due - start) for start in range(0, due, COMMIT_LINES)]
        await asyncio.gather(*(ledger.commit(Writes(), telling.lines(size)) for size in sizes))
        done += due
        await asyncio.sleep(TURN_SECONDS)


def main(arguments: Sequence[str]) -> None:
    rate, data_dir, port, key, secret, interval = arguments
    settings = Settings(
        data_dir=Path(data_dir),
        port=int(port),
        root_access_key_id=key,
        root_secret_access_key=secret,
        delivery_interval=float(interval),
    )
    uvloop.run(serve(int(rate), settings))


if __name__ == "__main__":
    main(sys.argv[1:])
