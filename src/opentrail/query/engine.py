"""DuckDB, locked in: no file but the one it is given, no network, no extensions, one thread, bounded memory, no disk.

Only the query process imports this. What is run was made by `compile`; a fault it raises comes back as AWS's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from opentrail.query.faults import MESSAGES, QueryFault
from opentrail.query.macros import MACROS

MEMORY = "256MB"
"""What DuckDB may take; it has nowhere to put more."""
ROWS_FETCHED = 1_000
_PARAMETER = re.compile(r"\$(p\d+)")
_CODE = re.compile(r"S3SELECT:(\w+)")


class Engine:
    """One database in memory. `file` is the path of the only file it may read, "" for none."""

    def __init__(self, file: str = "") -> None:
        self._database = duckdb.connect(
            ":memory:",
            config={
                "threads": 1,
                "memory_limit": MEMORY,
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
            },
        )
        self._database.execute("SET TimeZone = 'UTC'")
        self._database.execute(MACROS)
        if file:
            self._database.execute(f"SET allowed_paths = ['{file}']")  # a path of ours: /dev/fd/NUMBER
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")

    def rows(self, sql: str, values: Sequence[Any], broken: str = "InternalError") -> Iterator[tuple[Any, ...]]:
        """The rows of a query as they are found. Raises QueryFault, `broken` for what the input is to blame for."""
        try:
            used = {name: values[int(name[1:]) - 1] for name in _PARAMETER.findall(sql)}
            found = self._database.execute(sql, used) if used else self._database.execute(sql)
            while rows := found.fetchmany(ROWS_FETCHED):
                yield from rows
        except (duckdb.Error, RecursionError) as error:
            raise _fault(error, broken) from error


def _fault(error: Exception, broken: str) -> QueryFault:
    told = _CODE.search(str(error))
    if told and told[1] in MESSAGES:
        return QueryFault(told[1])
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryFault("OverMaxParquetBlockSize" if broken == "ParquetParsingError" else "Busy")
    if isinstance(error, duckdb.OutOfRangeException):
        return QueryFault("IntegerOverflow")
    if isinstance(error, duckdb.ConversionException):
        return QueryFault("CastFailed")
    if isinstance(error, duckdb.BinderException | duckdb.ParserException | RecursionError):
        return QueryFault("UnsupportedSqlStructure")
    return QueryFault(broken)
