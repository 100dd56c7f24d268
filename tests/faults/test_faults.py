"""Faults one by one. `make test` runs two of them, `make faults` all, and kills more often."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ServerProcess
from tests.faults.world import ClockedServer, World

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
"""How often the server is killed; `make faults` sets it."""
thorough = pytest.mark.skipif(not ROUNDS, reason="part of `make faults`")
SOON = {"delivery_interval": "200ms", "digest_interval": "1s"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, **SOON)
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[ClockedServer]:
    process = ClockedServer(tmp_path, **SOON)
    try:
        yield process
    finally:
        process.kill()


@thorough
def test_a_policy_that_is_revoked_and_a_bucket_that_is_deleted(server: ServerProcess) -> None:
    """Both in turn: the status and the metrics tell, and all is delivered once the bucket takes it again."""
    world = World(server.start())
    world.call()
    world.settled()
    world.permit(False)
    world.call()
    status = world.until(lambda: (found := world.status()).get("LatestDigestDeliveryError") and found)
    assert (status["LatestDeliveryError"], status["LatestDigestDeliveryError"]) == ("AccessDenied", "AccessDenied")
    assert world.metric("delivery_failing") == world.metric("digest_failing") == 1
    assert world.metric("undelivered_files") >= 1
    assert world.metric("oldest_undelivered_seconds") > 0
    world.permit()
    world.judge()
    world.permit(False)  # or it would be written into while it is emptied
    world.empty_bucket()
    world.s3.delete_bucket(Bucket=world.trail.bucket)
    world.call()
    world.until(lambda: world.status().get("LatestDeliveryError") == "NoSuchBucket")
    world.s3.create_bucket(Bucket=world.trail.bucket)
    world.permit()
    world.settled()
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.call()
    world.settled()
    world.judge(since)


def test_killed_while_it_delivers_and_while_it_seals(server: ServerProcess) -> None:
    world = World(server.start())
    rng = random.Random(5)
    for _ in range(ROUNDS or 2):
        world.call(2)
        time.sleep(rng.uniform(0.0, 0.5))  # the delivery runs every 200 ms, the digests every second
        server.kill()
        world.again()
    world.judge()


@thorough
@pytest.mark.parametrize("room", [100_000, 20_000])
def test_a_disk_that_is_full(server: ServerProcess, room: int) -> None:
    """Calls are refused and did not happen; when there is room again, everything acknowledged is delivered."""
    world = World(server.start())
    world.call()
    world.settled()
    wal = server.directory / "data" / "ledger.db-wal"
    world.limit_files(wal.stat().st_size + room)
    with pytest.raises(ClientError) as refused:
        world.call(500, large=True)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    for _ in range(3):
        with pytest.raises(ClientError):
            world.call(1, large=True)
    world.limit_files(None)
    world.call()
    world.judge()
    assert "InternalError" not in server.log()


@thorough
def test_log_files_that_the_disk_does_not_take(server: ServerProcess) -> None:
    """The ledger has room, a large object has none: delivery waits and says so."""
    server.options["delivery-interval"] = "2s"  # so that a file is larger than what lies in the ledger
    world = World(server.start())
    world.call()
    world.settled()
    world.permit(False)
    world.call(60, large=True)
    world.until(lambda: world.metric("delivery_failing") == 1)
    limit_server_only(world, 32_000)
    world.permit()
    status = world.until(lambda: (found := world.status()).get("LatestDeliveryError") == "ServiceUnavailable" and found)
    assert world.metric("undelivered_files") >= 1
    assert status["IsLogging"]
    limit_server_only(world, None)
    world.judge()


def limit_server_only(world: World, size: int | None) -> None:
    """As `World.limit_files`, but the ledger's writer is free."""
    hard = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def test_a_clock_that_is_set_back_and_forth(clocked: ClockedServer) -> None:
    world = World(clocked.start())
    world.call()
    world.settled()
    for wrong in (-90.0, 20.0, -20.0, 0.0):
        clocked.step(wrong)
        world.call()
        time.sleep(0.5)
    clocked.step(25.0)  # further than it ever was: digests, whose windows never go back, are due again
    world.judge()
