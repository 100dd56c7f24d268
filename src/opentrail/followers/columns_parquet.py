"""A program: lines of JSON → a Parquet file, by DuckDB, within a bounded memory and without the network.

    python -m opentrail.followers.columns_parquet LINES PARQUET name:kind,…

Kinds are those of `rows.s3_inventory.Column`. Knows nothing of what the columns mean.
"""

from __future__ import annotations

import sys

import duckdb

MEMORY = "256MB"
"""What DuckDB may take."""
TYPES = {"text": "VARCHAR", "number": "BIGINT", "flag": "BOOLEAN", "time": "BIGINT"}


def convert(lines: str, target: str, kinds: dict[str, str]) -> None:
    """Write `target`. Times come as milliseconds since the epoch."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "threads": 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    database = duckdb.connect(config=settings)
    shown = ", ".join(
        f"CAST(epoch_ms({name}) AS TIMESTAMP_MS) AS {name}" if kind == "time" else name for name, kind in kinds.items()
    )
    types = ", ".join(f"{name}: '{TYPES[kind]}'" for name, kind in kinds.items())
    source = f"read_json(?, format = 'newline_delimited', columns = {{{types}}}, maximum_object_size = 1048576)"
    escaped = target.replace("'", "''")
    database.execute(
        f"COPY (SELECT {shown} FROM {source}) TO '{escaped}' (FORMAT parquet, COMPRESSION snappy)", [lines]
    )


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2], dict(part.split(":", 1) for part in sys.argv[3].split(",")))
