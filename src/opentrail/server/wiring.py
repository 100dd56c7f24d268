"""Puts the house together: stores, services, followers, gate, edge. Everything that exists is named here, once."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from opentrail.actions.providers import ACTIONS
from opentrail.followers.access_logs import AccessLogFollower
from opentrail.followers.analysis import AnalysisFollower
from opentrail.followers.annotations import AnnotationsFollower
from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.digests import DigestFollower
from opentrail.followers.executions import ExecutionsFollower
from opentrail.followers.history import HistoryFollower
from opentrail.followers.insights import InsightsFollower
from opentrail.followers.inventory import InventoryFollower
from opentrail.followers.keys import KeysFollower
from opentrail.followers.lifecycle import LifecycleFollower
from opentrail.followers.log_keeping import LogKeepingFollower
from opentrail.followers.notifications import NotificationsFollower
from opentrail.followers.post import Gatekeeper
from opentrail.followers.queues import QueuesFollower
from opentrail.followers.replication import ReplicationFollower
from opentrail.followers.replication_remote import Remote
from opentrail.followers.request_meter import RequestMeter
from opentrail.followers.rules import RulesFollower
from opentrail.followers.select_jobs import SelectJobsFollower
from opentrail.followers.topics import TopicsFollower
from opentrail.followers.trail_log_groups import TrailLogGroupsFollower
from opentrail.model.load import load_models
from opentrail.ports import Follower
from opentrail.rows.sqs import BELL
from opentrail.server import metrics
from opentrail.server.clock import SystemClock
from opentrail.server.edge import Edge
from opentrail.server.endpoints import read_endpoints
from opentrail.server.gate import Gate
from opentrail.server.loops import end, follow, spawn
from opentrail.server.remotes import read_remotes
from opentrail.server.road import InternalRoad
from opentrail.server.signing import Signer
from opentrail.service import Service
from opentrail.services import cloudtrail, codepipeline, events, iam, kms, logs, organizations, s3control, sns, sqs, sts
from opentrail.services.accounts import ensure_root
from opentrail.services.identity import credentials_holder
from opentrail.services.kms_due import due_step
from opentrail.services.s3 import service as s3
from opentrail.services.s3.archive import TIERING
from opentrail.services.s3.inventory_list import list_page
from opentrail.services.s3.lifecycle_pass import lifecycle_step
from opentrail.services.s3.tiers import tiering_step
from opentrail.services.sts_sessions import role_session
from opentrail.settings import Settings
from opentrail.state import House, Sealer, Unit
from opentrail.stores.blobs_files import FileBlobs
from opentrail.stores.history_process import ProcessHistory
from opentrail.stores.ledger_sqlite import SqliteLedger
from opentrail.targets.plugs import target_plugs

SERVICES: dict[str, Service] = {
    module.service.name: module.service
    for module in (s3, s3control, iam, sts, organizations, cloudtrail, events, codepipeline, logs, sns, sqs, kms)
}
"""The services that are built, by botocore's name."""
KEY_FILE = "server.key"
DRAFTS = "drafts"
"""Where reports lie while they are written, in the data directory."""
TIMEOUT_CHECK_SECONDS = 5.0
LOCK_SECONDS_MAX = 15.0
"""How long to wait for the end of the server before this one."""
GC_THRESHOLDS = (20_000, 20, 100)
"""The defaults cost a tenth of the throughput, since calls that wait for the disk look long-lived."""
TLS_HANDSHAKE_SECONDS_MAX = 10.0
TLS_SHUTDOWN_SECONDS_MAX = 1.0
"""How long a client may take to say goodbye; one that keeps an idle connection never does."""
DRAIN_SECONDS_MAX = 30.0
"""How long requests under way may take to end at shutdown."""


class DataDirectoryInUse(Exception):
    """Another process works on this data directory."""


@dataclass(slots=True)
class Running:
    """A started server: where it listens, and the root key it made at its first start."""

    house: House
    edge: Edge
    url: str
    port: int
    new_root_key: tuple[str, str] | None


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """A server from start to clean end. Raises DataDirectoryInUse, OSError (the port), ssl.SSLError."""
    lock = await _lock(settings.data_dir)
    try:
        house, gate, new_root_key = await _open(settings, lock)
        _settle_memory()
        edge = Edge(gate.handle, spawn, read_endpoints(settings))
        servers = await _listen(edge, settings)
        port = servers[0].sockets[0].getsockname()[1]
        followers = _followers(house)
        gate.pages.added["metrics"] = (metrics.CONTENT_TYPE, metrics.Metrics(house, followers).page)
        tasks = [spawn(follow(follower), follower.name) for follower in followers]
        tasks.append(spawn(_check_timeouts(edge), "timeouts"))
        scheme = "https" if settings.tls_certificate else "http"
        shown = settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
        try:
            yield Running(house, edge, f"{scheme}://{shown}:{port}", port, new_root_key)
        finally:
            for server in servers:
                server.close()
            _end_waiting(house)
            await _drain(edge)
            await end(tasks)
            await asyncio.gather(
                *(asyncio.to_thread(each.close) for each in followers if isinstance(each, HistoryFollower))
            )
            await house.ledger.close()
    finally:
        os.close(lock)


async def _open(settings: Settings, lock: int) -> tuple[House, Gate, tuple[str, str] | None]:
    """Stores, house and gate; what a crash left behind is cleared away."""
    directory = settings.data_dir
    clock = SystemClock()
    ledger = SqliteLedger(directory / "ledger.db", keep_open=(lock,))
    blobs = FileBlobs(directory / "blobs", clock)
    await blobs.sweep(ledger.is_referenced)
    dropped = ledger.dropped_refs()
    if dropped:
        await blobs.drop(dropped)
        await ledger.forget_dropped(dropped)
    models = load_models()
    models.preload()
    road = InternalRoad()
    house = House(ledger, blobs, clock, road, settings, models, Sealer(_server_key(directory)))
    unit = Unit(house, clock.now())
    access_key_id, secret, created = ensure_root(unit, settings)
    await ledger.commit(unit.writes, ())
    road.gate = Gate(house, SERVICES, clock, Signer(house))
    shown = created and not settings.root_access_key_id
    return house, road.gate, (access_key_id, secret) if shown else None


def _followers(house: House) -> list[Follower]:
    """The followers, in the order in which they are started."""
    settings = house.settings
    history = HistoryFollower(
        house.ledger,
        ProcessHistory(settings.data_dir),
        house.clock.now,
        days=settings.history_days,
        data_events=settings.history_data_events,
    )
    house.history = history
    return [
        history,
        RulesFollower(house, target_plugs(role_session)),
        ExecutionsFollower(house, role_session, ACTIONS),
        DeliveryFollower(house),
        InsightsFollower(house),
        DigestFollower(house),
        LifecycleFollower(house, lifecycle_step, {TIERING: tiering_step}),
        KeysFollower(house, due_step),
        InventoryFollower(house, list_page, house.settings.data_dir / DRAFTS),
        RequestMeter(house),
        AnalysisFollower(house),
        TopicsFollower(house),
        QueuesFollower(house),
        NotificationsFollower(house),
        LogKeepingFollower(house),
        AnnotationsFollower(house),
        SelectJobsFollower(house),
        AccessLogFollower(house),
        TrailLogGroupsFollower(house, credentials_holder),
        ReplicationFollower(house, role_session, _remotes(house)),
    ]


def _remotes(house: House) -> dict[str, Remote]:
    """Buckets on other servers, by the name that rules call them."""
    gatekeeper = Gatekeeper(house.settings.post_to)
    found = read_remotes(house.settings.replication_endpoints)
    house.elsewhere = frozenset(found)
    return {name: Remote(name, each, gatekeeper, house.models, house.clock) for name, each in found.items()}


async def _listen(edge: Edge, settings: Settings) -> list[asyncio.Server]:
    """The server's own listener first, then those of VPC endpoints."""
    tls = _tls(settings)
    servers = [await _listen_at(settings.host, settings.port, edge.protocol, tls)]
    try:
        for host, port, endpoint in edge.endpoints.listeners:
            servers.append(await _listen_at(host, port, partial(edge.protocol, endpoint), tls))
    except OSError:
        for server in servers:
            server.close()
        raise
    return servers


async def _listen_at(
    host: str, port: int, protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(
        protocol,
        host,
        port,
        ssl=tls,
        backlog=1024,
        ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS_MAX if tls else None,
        ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS_MAX if tls else None,
    )


async def _check_timeouts(edge: Edge) -> None:
    while True:
        await asyncio.sleep(TIMEOUT_CHECK_SECONDS)
        edge.check_timeouts()


def _end_waiting(house: House) -> None:
    """Long polls need not last until the end of their time."""
    house.ending = True
    BELL.ring_all()


async def _drain(edge: Edge) -> None:
    """Let requests under way end, for a while."""
    edge.drain()
    deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS_MAX
    while edge.connections and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)


async def _lock(directory: Path) -> int:
    """One server at a time: a lock that ends with its processes, however they end. A server that was killed leaves a
    writer behind for a moment, which is waited for."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    deadline = asyncio.get_running_loop().time() + LOCK_SECONDS_MAX
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError as error:
            if asyncio.get_running_loop().time() > deadline:
                os.close(file)
                raise DataDirectoryInUse(str(directory)) from error
        await asyncio.sleep(0.02)


def _settle_memory() -> None:
    """What was loaded stays: take it out of the collector's rounds, and let it go round less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _server_key(directory: Path) -> bytes:
    """The key that seals secrets at rest; made at the first start, readable by the owner only."""
    path = directory / KEY_FILE
    if not path.exists():
        fresh = path.with_suffix(".new")
        file = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        try:
            os.write(file, os.urandom(32))
            os.fsync(file)
        finally:
            os.close(file)
        fresh.rename(path)
    return path.read_bytes()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context
