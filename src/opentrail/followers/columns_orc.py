"""A program: lines of JSON → an ORC file, by PyArrow, which is an extra (`opentrail[orc]`) and may be absent.

    python -m opentrail.followers.columns_orc LINES ORC name:kind,…

Kinds are those of `rows.s3_inventory.Column`. Knows nothing of what the columns mean.
"""

from __future__ import annotations

import sys
from itertools import islice

import msgspec
import pyarrow
from pyarrow import orc

BATCH_ROWS = 10_000
"""Rows in memory at a time."""
TYPES = {
    "text": pyarrow.string(),
    "number": pyarrow.int64(),
    "flag": pyarrow.bool_(),
    "time": pyarrow.timestamp("ms"),
}


def convert(lines: str, target: str, kinds: dict[str, str]) -> None:
    """Write `target`. Times come as milliseconds since the epoch."""
    schema = pyarrow.schema([(name, TYPES[kind]) for name, kind in kinds.items()])
    with open(lines, "rb") as source, orc.ORCWriter(target, compression="zlib") as writer:
        while batch := [msgspec.json.decode(line) for line in islice(source, BATCH_ROWS)]:
            columns = [pyarrow.array([row[field.name] for row in batch], field.type) for field in schema]
            writer.write(pyarrow.Table.from_arrays(columns, schema=schema))


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2], dict(part.split(":", 1) for part in sys.argv[3].split(",")))
