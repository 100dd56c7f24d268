"""Buckets of millions of keys, quickly: rows are written straight into the ledger of a server that does not run.

Every row is a copy of one that the server itself wrote, under another key and with an ETag and a time of its own, so that
listings find what they always find and nothing in a page is alike that would not be.
Knows the ledger and S3's rows; sends no request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from opentrail.ports import Writes
from opentrail.rows.s3 import OBJECTS, ObjectVersion
from opentrail.stores.ledger_sqlite import SqliteLedger

ROWS_OF_COMMIT = 20_000


def fill_bucket(data: Path, bucket: str, template: str, keys: Iterable[str], say: Callable[[int], None]) -> None:
    """Give a bucket the keys, each a copy of the object `template`. `say` hears how many are there by now."""
    asyncio.run(_fill(data, bucket, template, iter(keys), say))


async def _fill(data: Path, bucket: str, template: str, keys: Iterator[str], say: Callable[[int], None]) -> None:
    ledger = SqliteLedger(data / "ledger.db")
    encode = msgspec.msgpack.Encoder().encode
    try:
        found = ledger.get(OBJECTS.key(bucket, template))
        assert found is not None
        pattern, done = OBJECTS.decode(found.value), 0
        while names := list(islice(keys, ROWS_OF_COMMIT)):
            await ledger.commit(
                Writes(puts={OBJECTS.key(bucket, name): encode(_named(pattern, name)) for name in names}), ()
            )
            done += len(names)
            say(done)
    finally:
        await ledger.close()


def _named(pattern: ObjectVersion, key: str) -> ObjectVersion:
    etag = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    return msgspec.structs.replace(pattern, key=key, etag=etag, modified=pattern.modified + int(etag[:6], 16) / 1_000)
