"""Replicates: does at each destination what has happened to versions of a bucket with rules, in the rules' role.

On this server a replica, its record, the end of its task and the status at the source are one commit. What goes to another
server cannot be; there `replication_remote` sees to it that nothing is written twice. Tasks lie in the ledger; in memory
are only those under way. Tasks of one key are done in their order, of different keys at the same time. Annotations have
tasks of their own, and go to this server's buckets only. What fails for a reason that may pass is tried again, keeping its
place; what is refused is FAILED, as at AWS. Knows no rule and no service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from opentrail.call import ByteStream, Principal
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.hearing import hearing, rest
from opentrail.followers.replication_remote import Remote, RemoteFailure, Remotes
from opentrail.followers.replication_write import local_write, read_annotation, read_source
from opentrail.ports import Key, Versioned, Writes
from opentrail.rows.s3 import BUCKETS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_annotations import ANNOTATIONS
from opentrail.rows.s3_event import ObjectEvent, Source
from opentrail.rows.s3_notices import KIND as NOTIFICATION
from opentrail.rows.s3_notices import notify
from opentrail.rows.s3_replication import (
    BELL,
    COMPLETED,
    FAILED,
    SERVICE,
    SESSION_NAME,
    TASK_BELL,
    TASKS,
    Task,
    lane_of,
    same_object,
    settle,
    settle_annotation,
)
from opentrail.service import RoleSession
from opentrail.state import House, Unit

TOGETHER: Final = 16
"""Tasks of one destination under way at the same time."""
LANES_MAX: Final = 8
"""Destinations served at the same time."""
CONFLICTS_MAX: Final = 8
"""How often a task is begun again at once because its version was changed meanwhile."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""How often is looked unasked: for what another process may have written, and for what is to be tried again."""
AGE_SECONDS_MAX: Final = 86_400.0
"""After this long a task that could not be done is FAILED."""
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.5, 300.0
"""Between two tries at one destination; twice as long each time."""
PASSING: Final = frozenset(
    {"OperationAborted", "SlowDown", "ServiceUnavailable", "RequestTimeout", "RequestTimeTooSkewed"}
)
"""Errors below 500 that may pass."""
ITSELF: Final = Source(SERVICE, SERVICE, SERVICE, "", "")

log = logging.getLogger("opentrail.replication")


class ReplicationFollower:
    """A `ports.Follower`."""

    name = "replication"

    def __init__(self, house: House, role_session: RoleSession, remotes: Remotes) -> None:
        self._house = house
        self._role_session = role_session
        self._remotes = remotes
        self._waiting: dict[tuple[str, str], tuple[float, float]] = {}
        """By lane: when it is tried again, and how long is waited after that. Bounded by the buckets."""

    async def run(self) -> None:
        """Replicate for ever; what a former run left comes first."""
        with hearing(BELL, TASK_BELL) as rung:
            while True:
                rung.clear()
                await self.flush()
                await rest(rung, LOOK_AGAIN_SECONDS)

    async def flush(self) -> None:
        """Do every task there is, but where has to be waited."""
        slots = asyncio.Semaphore(LANES_MAX)
        now = self._house.clock.now()
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes():
                if self._waiting.get(lane, (0.0, 0.0))[0] <= now:
                    await slots.acquire()
                    group.create_task(self._drain(lane)).add_done_callback(lambda _: slots.release())

    def _lanes(self) -> Iterator[tuple[str, str]]:
        """(source bucket, destination) with tasks: one seek for each."""
        after = b""
        while rows := Unit(self._house, 0.0).scan(TASKS.key(""), after, 1):
            lane = lane_of(rows[0][0])
            yield lane
            after = TASKS.key(*lane) + b"\0\xff"

    async def _drain(self, lane: tuple[str, str]) -> None:
        while batch := self._batch(lane):
            done = await asyncio.gather(*[self._do(lane, key, found) for key, found in batch])
            if not all(done):
                pause = self._waiting.get(lane, (0.0, RETRY_SECONDS_MIN))[1]
                self._waiting[lane] = (self._house.clock.now() + pause, min(pause * 2, RETRY_SECONDS_MAX))
                return
            self._waiting.pop(lane, None)

    def _batch(self, lane: tuple[str, str]) -> list[tuple[Key, Versioned]]:
        """The next tasks, none of a key of which an earlier one is among them."""
        rows = Unit(self._house, 0.0).scan(TASKS.key(*lane) + b"\0", b"", TOGETHER)
        first: dict[str, tuple[Key, Versioned]] = {}
        for key, found in rows:
            first.setdefault(TASKS.decode(found.value).key, (key, found))
        return list(first.values())

    async def _do(self, lane: tuple[str, str], key: Key, found: Versioned) -> bool:
        """False if it has to be tried again later."""
        for _ in range(CONFLICTS_MAX):
            try:
                return await self._try(lane, key, found)
            except Conflict:
                now = self._house.ledger.get(key)
                if now is None:
                    return True
                found = now
            except LedgerUnavailable:
                return False
        log.info("%s of %s to %s is too busy now", TASKS.decode(found.value).key, *lane)
        return False

    async def _try(self, lane: tuple[str, str], key: Key, found: Versioned) -> bool:
        """As `_do`; raises Conflict if something was changed meanwhile, LedgerUnavailable."""
        task = TASKS.decode(found.value)
        unit = Unit(self._house, self._house.clock.now())
        bucket = BUCKETS.get(unit, lane[0])
        version = None if bucket is None else VERSIONS.get(unit, lane[0], task.key, order_part(task.order))
        done = Writes(deletes={key}, reads={key: found.version})
        if bucket is None or version is None or version.version_id != task.version_id:
            await self._house.ledger.commit(done, ())  # gone before it could be replicated
            return True
        if task.annotation and _annotation(unit, version, task) is None:
            await self._house.ledger.commit(done, ())
            return True
        try:
            await self._replicate(bucket, version, lane[1], task, key, done)
        except AwsError as error:
            if error.code == "OperationAborted":
                raise Conflict(key) from error
            return await self._failed(bucket, lane[1], task, key, error)
        except (RemoteFailure, OSError) as error:
            return await self._failed(bucket, lane[1], task, key, AwsError("ServiceUnavailable", str(error), 503))
        return True

    async def _replicate(
        self, bucket: Bucket, version: ObjectVersion, destination: str, task: Task, key: Key, done: Writes
    ) -> None:
        """Do the task and note that it is done; raises AwsError, Conflict, LedgerUnavailable, RemoteFailure, OSError."""
        house, now = self._house, self._house.clock.now()
        behalf = {"aws:sourcearn": (f"arn:aws:s3:::{bucket.name}",), "aws:sourceaccount": (bucket.owner,)}
        role = self._role_session(Unit(house, now), task.role, SESSION_NAME, SERVICE, now, behalf)
        remote = self._remotes.get(destination)
        annotation = _annotation(Unit(house, now), version, task)
        if task.annotation and annotation is None:
            raise Conflict(key)  # it went a moment ago
        if remote is not None:
            if task.annotation:
                raise AwsError("NotImplemented", "Annotations are not replicated to another server.", 400)
            await self._send(remote, role, bucket, version, task, key, done)
            return
        target = BUCKETS.get(Unit(house, now), destination)
        region = bucket.region if target is None else target.region
        write = local_write(version, destination, task, annotation)
        source = await self._source(role, bucket, version, task)
        try:
            if annotation is None:
                self._completed(bucket, version, destination, done)
            else:
                self._annotated(version, annotation, destination, task, done)
            await house.road.call(
                role, "s3", task.operation, write.given, region=region, body=source, also=done, stash=write.stash
            )
        finally:
            if not isinstance(source, bytes):
                await source.close()

    async def _source(self, role: Principal, bucket: Bucket, version: ObjectVersion, task: Task) -> bytes | ByteStream:
        if task.annotation:
            return await read_annotation(self._house.road, role, bucket, version, task.annotation)
        if task.operation != "PutObject":
            return b""
        return await read_source(self._house.road, role, bucket, version)

    def _completed(self, bucket: Bucket, version: ObjectVersion, destination: str, done: Writes, id_: str = "") -> None:
        """Add to `done` what the source says once the task is done. It guards the version as it was replicated."""
        unit = Unit(self._house, self._house.clock.now())
        now = VERSIONS.get(unit, bucket.name, version.key, order_part(version.order))
        if now is None or not same_object(now, version):
            raise Conflict(version.key)  # changed while it was replicated; that has left a task of its own
        settle(unit, bucket, now, destination, COMPLETED, id_)
        done.include(unit.writes)

    def _annotated(
        self, version: ObjectVersion, annotation: ObjectVersion, destination: str, task: Task, done: Writes
    ) -> None:
        """As `_completed`, of an annotation."""
        unit = Unit(self._house, self._house.clock.now())
        now = _annotation(unit, version, task)
        if now is None or replace(now, replication={}) != replace(annotation, replication={}):
            raise Conflict(version.key)
        settle_annotation(unit, version, task.annotation, destination, COMPLETED)
        done.include(unit.writes)

    async def _send(
        self,
        remote: Remote,
        role: Principal,
        bucket: Bucket,
        version: ObjectVersion,
        task: Task,
        key: Key,
        done: Writes,
    ) -> None:
        """Do the task on another server, and note it here once that has answered."""
        before = await remote.newest(task.key)
        if task.sent and remote.has_it(before, version, task):
            log.info("%s of %s had been replicated already", task.key, bucket.name)
            id_ = before.version_id
        else:
            done.reads[key] = await self._about_to_send(key, task, before.version_id, done)
            source = await self._source(role, bucket, version, task)
            try:
                id_ = await remote.do(version, task, source)
            finally:
                if not isinstance(source, bytes):
                    await source.close()
        self._completed(bucket, version, remote.name, done, id_)
        await self._house.ledger.commit(done, ())

    async def _about_to_send(self, key: Key, task: Task, before: str, done: Writes) -> int:
        """Make durable what is there now, so that after a crash is known whether it has come."""
        unit = Unit(self._house, 0.0)
        unit.writes.reads.update(done.reads)
        marked = replace(task, sent=True, before=before)
        TASKS.put(unit, marked, *TASKS.parts(key))
        return await self._house.ledger.commit(unit.writes, ())

    async def _failed(self, bucket: Bucket, destination: str, task: Task, key: Key, error: AwsError) -> bool:
        """Keep what may still succeed; end the rest in sight."""
        unit = Unit(self._house, self._house.clock.now())
        passing = error.status >= 500 or error.code in PASSING
        if passing and unit.now - task.first < AGE_SECONDS_MAX:
            log.info("%s of %s to %s: %s: %s", task.key, bucket.name, destination, error.code, error.message)
            return False
        log.warning("%s of %s to %s failed: %s: %s", task.key, bucket.name, destination, error.code, error.message)
        version = VERSIONS.get(unit, bucket.name, task.key, order_part(task.order))
        unit.get(key)
        unit.delete(key)
        if version is not None and version.version_id == task.version_id:
            if task.annotation:
                settle_annotation(unit, version, task.annotation, destination, FAILED)
            else:
                settle(unit, bucket, version, destination, FAILED)
            if NOTIFICATION in bucket.configured and not task.annotation:
                name = "Replication:OperationFailedReplication"
                event = ObjectEvent(name, task.key, task.order, task.version_id, version.etag, version.size)
                notify(unit, bucket, event, ITSELF)
        await self._house.ledger.commit(unit.writes, unit.events)
        return True


def _annotation(unit: Unit, version: ObjectVersion, task: Task) -> ObjectVersion | None:
    """The annotation that the task is about, as it is now."""
    if not task.annotation or not version.annotated:
        return None
    return ANNOTATIONS.get(unit, version.annotated, task.annotation)
