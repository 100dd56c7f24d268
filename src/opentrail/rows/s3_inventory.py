"""Inventories on their way: which list of which bucket is being written, how far it has come, what its columns are.

    s3.inventory-run    bucket id           the list that is being written, or the last that was
    s3.inventory-file   bucket id number    a data file that it has so far; the number with six digits

A list is begun when its day or week has come, and goes on from its run's row after a crash. Source of columns, names and
schemas: S3 user guide, "Amazon S3 Inventory list", "Locating your inventory list", and manifests that S3 wrote.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from opentrail.state import Row, Table

DAY_SECONDS = 86_400.0
DAILY_AT = 3_600.0
"""Seconds after midnight at which S3 begins its lists."""
SUNDAY = 3 * DAY_SECONDS
"""The first Sunday of the epoch, from its start: weekly lists are written on Sundays."""
Stage = Literal["walk", "manifest", "checksum", "symlink", "done"]
NEXT: dict[Stage, Stage] = {"manifest": "checksum", "checksum": "symlink", "symlink": "done"}


class InventoryRun(Row, frozen=True):
    """One list. `document` is the configuration (JSON text) it follows; `started` is epoch seconds."""

    document: str
    started: float
    stage: Stage = "walk"
    key: str = ""
    """The key of the last object that is in a data file, and (of versions) the last part of its row's key."""
    suffix: str = ""
    files: int = 0


class InventoryFile(Row, frozen=True):
    """A data file of the list: its key in the destination, bytes, MD5 in hexadecimal."""

    key: str
    size: int
    md5: str


RUNS: Table[InventoryRun] = Table("s3.inventory-run", InventoryRun)
FILES: Table[InventoryFile] = Table("s3.inventory-file", InventoryFile)


def file_part(number: int) -> str:
    return f"{number:06d}"


class Column(NamedTuple):
    """A column: as CSV calls it, as Parquet and ORC do, and what it holds (`time`: epoch seconds)."""

    field: str
    name: str
    kind: Literal["text", "number", "flag", "time"] = "text"


FIXED = (Column("Bucket", "bucket"), Column("Key", "key"))
OF_VERSIONS = (
    Column("VersionId", "version_id"),
    Column("IsLatest", "is_latest", "flag"),
    Column("IsDeleteMarker", "is_delete_marker", "flag"),
)
OPTIONAL = (
    Column("Size", "size", "number"),
    Column("LastModifiedDate", "last_modified_date", "time"),
    Column("ETag", "e_tag"),
    Column("StorageClass", "storage_class"),
    Column("IsMultipartUploaded", "is_multipart_uploaded", "flag"),
    Column("ReplicationStatus", "replication_status"),
    Column("EncryptionStatus", "encryption_status"),
    Column("ObjectLockRetainUntilDate", "object_lock_retain_until_date", "time"),
    Column("ObjectLockMode", "object_lock_mode"),
    Column("ObjectLockLegalHoldStatus", "object_lock_legal_hold_status"),
    Column("IntelligentTieringAccessTier", "intelligent_tiering_access_tier"),
    Column("BucketKeyStatus", "bucket_key_status"),
    Column("ChecksumAlgorithm", "checksum_algorithm"),
    Column("ObjectAccessControlList", "object_access_control_list"),
    Column("ObjectOwner", "object_owner"),
    Column("LifecycleExpirationDate", "lifecycle_expiration_date", "time"),
)
"""Columns a configuration may ask for, in the order of a list."""


def columns_of(config: dict[str, Any]) -> tuple[Column, ...]:
    """The columns of a configuration's list."""
    wanted = set(config.get("OptionalFields") or ())
    versions = OF_VERSIONS if config["IncludedObjectVersions"] == "All" else ()
    return (*FIXED, *versions, *(column for column in OPTIONAL if column.field in wanted))


_PARQUET = {"text": "binary", "number": "int64", "flag": "boolean", "time": "int64"}
_PARQUET_NOTE = {"text": " (STRING)", "time": " (TIMESTAMP(MILLIS,true))"}
_ORC = {"text": "string", "number": "bigint", "flag": "boolean", "time": "timestamp"}


def file_schema(format_: str, columns: tuple[Column, ...]) -> str:
    """`fileSchema` of a manifest."""
    if format_ == "CSV":
        return ", ".join(column.field for column in columns)
    if format_ == "ORC":
        return f"struct<{','.join(f'{column.name}:{_ORC[column.kind]}' for column in columns)}>"
    shown = [
        f"  {'required' if column in FIXED else 'optional'} {_PARQUET[column.kind]} {column.name}"
        f"{_PARQUET_NOTE.get(column.kind, '')};"
        for column in columns
    ]
    return f"message s3.inventory {{{''.join(shown)}}}"


def last_due(frequency: str, now: float, day: float) -> float:
    """The latest moment at which a list was to be begun. `day` is how long a day is (tests have shorter ones)."""
    scale = day / DAY_SECONDS
    if frequency == "Daily":
        period, offset = day, DAILY_AT * scale
    else:
        period, offset = 7 * day, (SUNDAY + DAILY_AT) * scale
    return (now - offset) // period * period + offset


def is_due(run: InventoryRun | None, frequency: str, now: float, day: float) -> bool:
    """Is a list to be begun? The first one at once, whatever the hour."""
    return run is None or run.started < last_due(frequency, now, day)


def stamp(started: float, form: str) -> str:
    """`2016-11-06T21-32Z` and its like, of a list's beginning."""
    return datetime.fromtimestamp(started, UTC).strftime(form)
