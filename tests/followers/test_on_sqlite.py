"""The three followers on the embedded mode's own ledger, whose Seqs have gaps where commits have no lines."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.digests import DigestFollower
from opentrail.followers.history import HistoryFollower
from opentrail.ports import Writes
from opentrail.stores.history_sqlite import SqliteHistory
from opentrail.stores.ledger_sqlite import SqliteLedger
from tests.followers.cli_oracle import traverse
from tests.followers.trail_house import (
    ACCOUNT,
    BUCKET,
    append,
    delivered_records,
    invoke,
    logging_trail,
    names,
    objects,
    record,
    trail_house,
)

HOUR = 3_600
ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"


async def test_files_digests_and_history_survive_restarts(tmp_path):
    now = 0.0
    for start in range(3):
        ledger = SqliteLedger(tmp_path / "ledger.db")
        house = trail_house(ledger, **({"now": now} if now else {}))
        if not start:
            await logging_trail(house, EnableLogFileValidation=True)
        digests = DigestFollower(house)
        await digests.step()
        await append(house, record(f"Before{start}"))
        await ledger.commit(Writes(puts={b"gap": b""}), ())
        await append(house, record(f"After{start}"))
        await DeliveryFollower(house).flush()
        house.clock.time += HOUR + 1
        await digests.step()
        now = house.clock.time
        if start < 2:
            await ledger.close()
    counts = Counter(names(delivered_records(ledger)))
    assert counts == dict.fromkeys(["StartLogging", *(f"{w}{n}" for w in ("Before", "After") for n in range(3))], 1)
    keys = await invoke(house, "ListPublicKeys", {"StartTime": now - 9 * HOUR, "EndTime": now})
    verdict = traverse(ledger, keys, ARN, BUCKET, now - 9 * HOUR, now, "us-east-1")
    assert verdict.complaints == []
    named = [file["s3Object"] for digest in verdict.digests for file in digest["logFiles"]]
    assert sorted(named) == sorted(key for _, key in objects(ledger, "/CloudTrail/"))
    index = SqliteHistory(tmp_path)
    house.history = HistoryFollower(ledger, index, house.clock.now)
    await house.history.catch_up()
    found = (await invoke(house, "LookupEvents", {"EndTime": now}))["Events"]
    assert {"CreateTrail", "StartLogging", "GetBucketAcl", "Before0", "After2"} <= {each["EventName"] for each in found}
    await ledger.close()


async def later(ledger):
    await asyncio.sleep(0.2)
    return ledger.head()


async def test_an_idle_house_does_not_write(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    house = trail_house(ledger, delivery_interval=0.02)
    await logging_trail(house)
    running = asyncio.ensure_future(DeliveryFollower(house).run())
    async with asyncio.timeout(60):
        while not objects(ledger, "/CloudTrail/"):
            await asyncio.sleep(0.01)
    async with asyncio.timeout(60):  # ten intervals without a commit: it has come to rest
        while (head := ledger.head()) != await later(ledger):
            assert head
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await ledger.close()
