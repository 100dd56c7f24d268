"""One statement over a Parquet object. The file is needed whole (its index is at its end), so it is put into a file without
a name, which nobody else can open and which is gone with the process; DuckDB may read that one and no other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

from opentrail.query.compile import Compiler
from opentrail.query.engine import Engine
from opentrail.query.faults import QueryFault
from opentrail.query.job import Job
from opentrail.query.parse import walk
from opentrail.query.result import Result
from opentrail.query.shapes import TABLE, bound
from opentrail.query.sql import Kind, Sql
from opentrail.query.statement import _shown, names_of
from opentrail.query.tree import Aggregate, Column, Name, Path, Select

PARQUET_BYTES_MAX = 1024 * 1024 * 1024
"""Bytes of an object that are put into a file."""
COLUMNS_MAX = 10_000
BROKEN = "ParquetParsingError"
_INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)


def spool(chunks: Iterator[bytes]) -> str:
    """Put the object into a file; the path by which DuckDB opens it."""
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (open as long as the process lives)
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > PARQUET_BYTES_MAX:
            raise QueryFault("OverMaxParquetBlockSize")
        file.write(chunk)
    return f"/dev/fd/{os.dup(file.fileno())}"


class ParquetStatement:
    """A statement over one file."""

    def __init__(self, select: Select, file: str, result: Result, job: Job) -> None:
        if select.source:
            raise QueryFault("InvalidKeyPath")
        self._select = select
        self._result = result
        self._engine = Engine(file)
        self._file = file
        self._alias = select.alias or TABLE
        described = self._engine.rows(f"DESCRIBE SELECT * FROM read_parquet('{file}')", (), BROKEN)
        self._schema = [(str(row[0]), str(row[1])) for row in described]
        if len(self._schema) > COLUMNS_MAX:
            raise QueryFault("OverMaxColumn")
        self._compiler = Compiler(self._find, job.now)
        self._source = f"read_parquet('{file}')" if job.scan is None else self._scanned(*job.scan)

    def _scanned(self, first: int, last: int) -> str:
        """The rows of the row groups that begin in the range."""
        sql = (
            "SELECT row_group_id, any_value(row_group_num_rows), "
            f"min(coalesce(nullif(dictionary_page_offset, 0), data_page_offset)) FROM parquet_metadata('{self._file}') "
            "GROUP BY row_group_id ORDER BY row_group_id"
        )
        runs, row = ["false"], 0
        for _, count, begin in self._engine.rows(sql, (), BROKEN):
            if first <= begin <= last:
                runs.append(f"file_row_number BETWEEN {row} AND {row + count - 1}")
            row += count
        return (
            f"(SELECT * EXCLUDE (file_row_number) FROM read_parquet('{self._file}', file_row_number = true) "
            f"WHERE {' OR '.join(runs)})"
        )

    def run(self) -> Iterator[None]:
        select = self._select
        columns = select.columns or tuple(Column(Path((Name(name, quoted=True),))) for name, _ in self._schema)
        if any(isinstance(each, Aggregate) for each in walk(select.where)):
            raise QueryFault("UnsupportedSqlStructure")
        aggregate = any(isinstance(each, Aggregate) for column in columns for each in walk(column.node))
        where = f" WHERE {self._compiler.condition(select.where)}" if select.where is not None else ""
        computed = [self._compiler.node(column.node) for column in columns]
        source, values = f"FROM {self._source}{where}", self._compiler.values
        shown = ", ".join(_selected(each) for each in computed)
        if aggregate:
            parts = ", ".join(f"{one} AS p{place}" for place, (one, _) in enumerate(self._compiler.parts, 1))
            sql = f"SELECT {shown} FROM (SELECT {parts} {source})"
        else:
            sql = f"SELECT {shown} {source}"
        names = names_of(columns)
        sql += "" if select.limit is None else f" LIMIT {select.limit}"
        for row in self._engine.rows(sql, values, BROKEN):
            self._result.add(names, [_shown(value, of) for value, of in zip(row, computed, strict=True)])
            yield

    def _find(self, path: Path, there: bool) -> Sql:
        steps = bound(path, self._alias)
        if not steps or not isinstance(steps[0], Name):
            raise QueryFault("InvalidKeyPath")
        name, type_ = self._column(steps[0])
        column = '"' + name.replace('"', '""') + '"'
        if there:
            return Sql("true", "bool")
        kind = _kind(type_)
        if len(steps) == 1:
            return Sql(f"decode({column})" if type_ == "BLOB" else column, kind)
        if kind != "nested":
            return Sql("NULL", "null")
        pointer = "".join(f"/{_pointed(step)}" for step in steps[1:])
        return Sql(f"json_extract(to_json({column}), {self._compiler.bind(pointer)})", "any")

    def _column(self, name: Name) -> tuple[str, str]:
        found = [each for each in self._schema if each[0] == name.text] or [
            each for each in self._schema if name.means(each[0])
        ]
        if len(found) > 1:
            raise QueryFault("AmbiguousFieldName", name.text[:50])
        if not found and name.text.startswith("_") and name.text[1:].isdecimal() and len(name.text) < 7:
            place = int(name.text[1:])
            found = self._schema[place - 1 : place] if place else []
        if not found:
            raise QueryFault("MissingHeaders", name.text[:50])
        return found[0]


def _kind(type_: str) -> Kind:
    if type_ in _INTEGERS:
        return "int"
    if type_ in ("FLOAT", "DOUBLE") or type_.startswith("DECIMAL"):
        return "number"
    if type_ == "BOOLEAN":
        return "bool"
    if type_.startswith(("TIMESTAMP", "DATE")) and "[" not in type_:
        return "time"
    if type_ in ("VARCHAR", "BLOB") or type_.startswith("ENUM"):
        return "text"
    return "nested"


def _selected(each: Sql) -> str:
    if each.kind == "nested":
        return f"CAST(to_json({each.text}) AS VARCHAR)"
    return f"CAST({each.text} AS TIMESTAMP)" if each.kind == "time" else each.text


def _pointed(step: Any) -> str:  # noqa: ANN401
    return str(step) if isinstance(step, int) else str(step.text).replace("~", "~0").replace("/", "~1")
