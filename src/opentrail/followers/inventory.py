"""Writes the inventories of buckets: begins a list when its day or week has come, and carries it on until it is delivered.

Each data file and the place that the walk has reached are one commit, and so is each of the files that end a list; after a
crash the list goes on behind its last file, and none is written twice. Files are put by S3 itself, so the destination's
policy must let it. It follows the clock, not the lines, so it has no cursor among them. Knows no object: `Page` reads rows.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from opentrail.call import ByteStream
from opentrail.errors import AwsError, Conflict, LedgerUnavailable
from opentrail.followers.inventory_files import SUFFIXES, ConversionFailed, FileStream, Value, digest, new_draft
from opentrail.followers.inventory_manifest import base, checksum, key_of, links, manifest, put_input, target_of
from opentrail.rows.s3 import BUCKETS, CONFIGS, Bucket
from opentrail.rows.s3_inventory import (
    FILES,
    NEXT,
    RUNS,
    Column,
    InventoryFile,
    InventoryRun,
    columns_of,
    file_part,
    is_due,
)
from opentrail.rows.s3_notices import as_s3
from opentrail.state import House, Unit

KIND = "inventory"
PASSES_PER_DAY = 24
PASS_SECONDS_MIN = 0.05
PAGE_ROWS = 500
"""Rows read at once; requests get their turn between two pages."""
PAUSE_SECONDS = 0.001
FILE_ROWS_MAX = 100_000
"""Rows of one data file."""
FILE_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of one data file before compression, give or take a page."""
BUCKETS_PAGE = 100
DROP_ROWS = 500
"""Rows of an abandoned list removed in one commit."""

log = logging.getLogger("opentrail.inventory")


class Listed(Protocol):
    """A page of rows: `services.s3.inventory_list.Listed`."""

    @property
    def rows(self) -> list[tuple[Value, ...]]: ...
    @property
    def place(self) -> tuple[str, str]: ...
    @property
    def ended(self) -> bool: ...


Page = Callable[[Unit, Bucket, str, bool, tuple[Column, ...], tuple[str, str], int], Listed]
"""(unit, bucket, prefix, all versions?, columns, place, most) → the rows behind the place."""


class List(NamedTuple):
    """A list under way: which, of what, by which configuration."""

    bucket: Bucket
    id: str
    config: dict[str, Any]
    run: InventoryRun


class InventoryFollower:
    """A `ports.Follower`. `directory` is for drafts, and emptied at the start."""

    name = "inventory"

    def __init__(self, house: House, page: Page, directory: Path) -> None:
        self._house = house
        self._page = page
        self._directory = directory
        self._day = house.settings.lifecycle_day
        self._interval = max(self._day / PASSES_PER_DAY, PASS_SECONDS_MIN)

    async def run(self) -> None:
        """Write lists for ever, from the server's start."""
        await asyncio.to_thread(shutil.rmtree, self._directory, True)
        while True:
            await self.sweep()
            await asyncio.sleep(self._interval)

    async def sweep(self) -> None:
        """Begin what is due, and carry on what is under way as far as it goes."""
        try:
            await self._begin_due()
            for name, id_ in list(self._under_way()):
                await self._carry_on(name, id_)
        except LedgerUnavailable as failure:
            log.warning("inventories wait for the ledger: %s", failure)

    def _unit(self) -> Unit:
        return Unit(self._house, self._house.clock.now())

    # Which

    async def _begin_due(self) -> None:
        after = b""
        while True:
            rows = BUCKETS.page(self._unit(), after=after, limit=BUCKETS_PAGE)
            for _, bucket in rows:
                if KIND in bucket.configured:
                    await self._begin(bucket)
            if len(rows) < BUCKETS_PAGE:
                return
            after = rows[-1][0]
            await asyncio.sleep(PAUSE_SECONDS)

    async def _begin(self, bucket: Bucket) -> None:
        """Begin those of a bucket's lists whose time has come; one that was under way is given up for the new one."""
        unit = self._unit()
        for key, row in CONFIGS.all(unit, bucket.name, KIND):
            config, run = msgspec.json.decode(row.document), RUNS.get(unit, bucket.name, key[-1])
            if not config["IsEnabled"] or not is_due(run, config["Schedule"]["Frequency"], unit.now, self._day):
                continue
            await self._drop_files(bucket.name, key[-1])
            begun = self._unit()
            RUNS.put(begun, InventoryRun(row.document, begun.now), bucket.name, key[-1])
            await self._commit(begun)

    def _under_way(self) -> Iterator[tuple[str, str]]:
        """Lists that are not done, and those whose bucket or configuration is gone."""
        for (name, id_), run in RUNS.all(self._unit()):
            if run.stage != "done" or CONFIGS.get(self._unit(), name, KIND, id_) is None:
                yield name, id_

    async def _carry_on(self, name: str, id_: str) -> None:
        """Take one list to its end, or as far as its destination lets it."""
        try:
            while (found := await self._find(name, id_)) is not None:
                await (self._write_data(found) if found.run.stage == "walk" else self._write_end(found))
        except (AwsError, ConversionFailed, OSError) as failure:
            log.warning("the inventory %s of %s waits: %s", id_, name, failure)
        except Conflict:
            log.info("the inventory %s of %s is taken up in the next pass", id_, name)

    async def _find(self, name: str, id_: str) -> List | None:
        """The list as it is now; None when it is done, or was given up since its configuration is gone or another."""
        unit = self._unit()
        run, bucket, config = RUNS.get(unit, name, id_), BUCKETS.get(unit, name), CONFIGS.get(unit, name, KIND, id_)
        if run is None or (run.stage == "done" and config is not None):
            return None
        if bucket is None or config is None or config.document != run.document:
            await self._give_up(name, id_)
            return None
        return List(bucket, id_, msgspec.json.decode(run.document), run)

    async def _give_up(self, name: str, id_: str) -> None:
        await self._drop_files(name, id_)
        unit = self._unit()
        RUNS.delete(unit, name, id_)
        await self._commit(unit)

    async def _drop_files(self, name: str, id_: str) -> None:
        """Forget the data files of a list; the files themselves stay where they are."""
        while True:
            unit = self._unit()
            rows = FILES.page(unit, name, id_, limit=DROP_ROWS)
            for key, _ in rows:
                FILES.delete(unit, *FILES.parts(key))
            await self._commit(unit)
            if len(rows) < DROP_ROWS:
                return

    async def _commit(self, unit: Unit) -> None:
        if unit.writes.puts or unit.writes.deletes:
            await self._house.ledger.commit(unit.writes, ())

    # Files

    async def _write_data(self, found: List) -> None:
        """The next data file, and with it the place behind its rows."""
        directory = self._directory / self._house.clock.uuid()
        await asyncio.to_thread(directory.mkdir, parents=True)
        try:
            path, place, ended = await self._draft(found, directory)
            unit = self._unit()
            following = replace(found.run, key=place[0], suffix=place[1], stage="manifest" if ended else "walk")
            if path is None:
                RUNS.put(unit, following, found.bucket.name, found.id)
                await self._commit(unit)
                return
            size, md5 = await asyncio.to_thread(digest, path)
            format_ = target_of(found.config)["Format"]
            key = f"{base(found.bucket.name, found.config)}/data/{self._house.clock.uuid()}{SUFFIXES[format_]}"
            RUNS.put(unit, replace(following, files=found.run.files + 1), found.bucket.name, found.id)
            row = InventoryFile(key, size, md5)
            FILES.put(unit, row, found.bucket.name, found.id, file_part(found.run.files))
            await self._put(found, key, FileStream(path, size), unit)
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, True)

    async def _draft(self, found: List, directory: Path) -> tuple[Path | None, tuple[str, str], bool]:
        """(the file, the place behind its rows, whether these were the last); no file when there were no rows."""
        config, columns = found.config, columns_of(found.config)
        prefix = (config.get("Filter") or {}).get("Prefix", "")
        versions = config["IncludedObjectVersions"] == "All"
        draft = new_draft(target_of(config)["Format"], columns, directory)
        place, count, ended = (found.run.key, found.run.suffix), 0, False
        while not ended and count < FILE_ROWS_MAX and draft.written < FILE_BYTES_MAX:
            listed = self._page(self._unit(), found.bucket, prefix, versions, columns, place, PAGE_ROWS)
            place, ended = listed.place, listed.ended
            count += len(listed.rows)
            await asyncio.to_thread(draft.add, listed.rows)
            await asyncio.sleep(PAUSE_SECONDS)
        path = await draft.finish() if count else None
        return path, place, ended

    async def _write_end(self, found: List) -> None:
        """The file of the stage the list is in; the last one also forgets the data files, and the list is done."""
        stage, unit, name = found.run.stage, self._unit(), found.bucket.name
        files = (row for _, row in FILES.all(Unit(self._house, unit.now), name, found.id))
        if stage == "symlink":
            data = links(found.config, files)
        else:
            data = manifest(name, found.config, found.run, files)
            data = data if stage == "manifest" else checksum(data)
        RUNS.put(unit, replace(found.run, stage=NEXT[stage]), name, found.id)
        await self._put(found, key_of(stage, name, found.config, found.run), data, unit)
        if NEXT[stage] == "done":
            await self._drop_files(name, found.id)

    async def _put(self, found: List, key: str, body: bytes | ByteStream, unit: Unit) -> None:
        """PutObject as S3, together with what `unit` writes, provided the list is still as it was."""
        if RUNS.get(Unit(self._house, unit.now), found.bucket.name, found.id) != found.run:
            raise Conflict(b"somebody else carried the list on")
        principal = as_s3(f"arn:aws:s3:::{found.bucket.name}", found.bucket.owner)
        given = put_input(found.config, key)
        await self._house.road.call(
            principal, "s3", "PutObject", given, region=found.bucket.region, body=body, also=unit.writes
        )
