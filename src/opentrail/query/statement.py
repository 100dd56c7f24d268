"""One statement over the records of a CSV or JSON object: batch by batch through DuckDB, the result into a `Result`.

DuckDB gets of each record only what WHERE and computed columns speak of, and answers with the records' numbers; what is
selected as it stands is taken from the record itself, so that it comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from msgspec import Raw

from opentrail.query.compile import Compiler
from opentrail.query.engine import Engine
from opentrail.query.faults import QueryFault
from opentrail.query.parse import walk
from opentrail.query.result import MISSING, Result
from opentrail.query.sql import Sql
from opentrail.query.tree import Aggregate, Column, Name, Path, Select

BATCH_RECORDS = 5_000
"""Records that DuckDB gets at once."""
BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of them from which on it gets fewer."""
R = TypeVar("R")
C = TypeVar("C", contravariant=True)


class Shape(Protocol[C]):
    """What a format knows of its records."""

    kind: Any
    column_type: str

    def finder(self, path: Path) -> Callable[[C], Any]:
        """How the value of a path is taken from a record (MISSING if it is not there); raises QueryFault for no path."""
        ...

    def whole(self, record: C, result: Result) -> None:
        """Add the record as it is."""
        ...


class Statement(Generic[R]):
    """A statement and what it needs of each record."""

    def __init__(self, select: Select, shape: Shape[R], result: Result, now: str) -> None:
        self._select = select
        self._shape = shape
        self._result = result
        self._needs: list[Callable[[R], Any]] = []
        self._known: dict[tuple[Path, bool], Sql] = {}
        self._compiler = compiler = Compiler(self._find, now)
        self.left = select.limit
        self._names = names_of(select.columns)
        self._aggregate = any(isinstance(each, Aggregate) for column in select.columns for each in walk(column.node))
        if any(isinstance(each, Aggregate) for each in walk(select.where)):
            raise QueryFault("UnsupportedSqlStructure")
        self._where = compiler.condition(select.where) if select.where is not None else ""
        self._taken: list[Callable[[R], Any] | None] = []
        self._computed: list[Sql] = []
        self._compile_columns()
        self._engine = Engine() if self._where or self._computed else None
        if self._aggregate:
            self._begin_aggregate()

    def _compile_columns(self) -> None:
        for column in self._select.columns:
            if isinstance(column.node, Path):
                if self._aggregate:
                    raise QueryFault("UnsupportedSqlStructure")
                self._taken.append(self._shape.finder(column.node))
            else:
                before = len(self._known)
                self._computed.append(self._compiler.node(column.node))
                self._taken.append(None)
                if self._aggregate and len(self._known) > before and not _within_aggregates(column):
                    raise QueryFault("UnsupportedSqlStructure")

    def _find(self, path: Path, there: bool) -> Sql:
        """The column of a path; records' values are handed over in the order in which paths are met."""
        known = self._known.get((path, there))
        if known is None:
            take = self._shape.finder(path)
            self._needs.append((lambda record: _flag(take(record))) if there else take)
            place = f"v[{len(self._needs)}]"
            known = (
                Sql(f"coalesce({place}::VARCHAR = 'true', false)", "bool") if there else Sql(place, self._shape.kind)
            )
            self._known[path, there] = known
        return known

    def run(self, records: Iterator[R]) -> Iterator[None]:
        """Work through all records. Yields after each batch, when the result may be taken."""
        while self.left is None or self.left > 0:
            batch = list(_sized(records))
            if not batch:
                break
            if self._aggregate:
                self._add_up(batch)
            else:
                self._answer(batch)
            yield
        if self._aggregate and (self.left is None or self.left > 0):
            self._finish_aggregate()
            yield

    # Rows

    def _answer(self, batch: Sequence[R]) -> None:
        for number, *computed in self._matches(batch):
            record, values = batch[number], iter(zip(computed, self._computed, strict=True))
            if not self._taken:
                self._shape.whole(record, self._result)
            else:
                row = [_shown(*next(values)) if take is None else take(record) for take in self._taken]
                self._result.add(self._names, row)
        if self.left is not None:
            self.left -= self._matched

    def _matches(self, batch: Sequence[R]) -> Iterator[Sequence[Any]]:
        """(number, *computed values) of the records that pass, no more than the limit."""
        self._matched = 0
        found: Iterable[Sequence[Any]]
        if self._engine is None:
            found = ((number,) for number in range(len(batch)))
        else:
            columns = "".join(f", {each.text}" for each in self._computed)
            found = self._engine.rows(f"SELECT n{columns} {self._from(batch)}", self._values(batch))
        for row in found if self.left is None else islice(found, self.left):
            self._matched += 1
            yield row

    def _from(self, batch: Sequence[R]) -> str:
        """The batch as a table: its rows as one piece of JSON, and their numbers."""
        where = f" WHERE {self._where}" if self._where else ""
        data, count = len(self._compiler.values) + 1, len(self._compiler.values) + 2
        rows = f"unnest(from_json($p{data}, '[[\"{self._shape.column_type}\"]]'))" if self._needs else "NULL"
        return f"FROM (SELECT {rows} AS v, unnest(range($p{count})) AS n){where}"

    def _values(self, batch: Sequence[R]) -> list[Any]:
        rows = [[_handed(take(record)) for take in self._needs] for record in batch] if self._needs else []
        return [*self._compiler.values, msgspec.json.encode(rows).decode(), len(batch)]

    # Aggregates

    def _begin_aggregate(self) -> None:
        self._partial: list[tuple[Any, ...]] = []
        parts = ", ".join(f"{one} AS p{place}" for place, (one, _) in enumerate(self._compiler.parts, 1))
        self._parts = parts

    def _add_up(self, batch: Sequence[R]) -> None:
        assert self._engine is not None
        verb = "INSERT INTO partial" if self._partial else "CREATE TABLE partial AS"
        self._partial = self._partial or [()]
        list(self._engine.rows(f"{verb} SELECT {self._parts} {self._from(batch)}", self._values(batch)))

    def _finish_aggregate(self) -> None:
        assert self._engine is not None
        if not self._partial:
            self._add_up([])
        columns = ", ".join(each.text for each in self._computed)
        [row] = self._engine.rows(f"SELECT {columns} FROM partial", self._compiler.values)
        self._result.add(self._names, [_shown(*each) for each in zip(row, self._computed, strict=True)])


def _sized(records: Iterator[R]) -> Iterator[R]:
    """The next batch."""
    size = 0
    for record in islice(records, BATCH_RECORDS):
        yield record
        size += sum(map(len, record)) if isinstance(record, list) else len(memoryview(record or b""))  # type: ignore[arg-type]
        if size > BATCH_BYTES:
            return


def _flag(value: Any) -> bool:  # noqa: ANN401
    return value is not MISSING


def _handed(value: Any) -> Any:  # noqa: ANN401
    """What DuckDB gets of a value: what is missing is NULL for it."""
    return None if value is MISSING else value


def _shown(value: Any, of: Sql) -> Any:  # noqa: ANN401
    """A computed value: what is JSON comes as text."""
    return Raw(value.encode()) if of.kind in ("any", "nested") and isinstance(value, str) else value


def names_of(columns: Sequence[Column]) -> list[str]:
    """How the columns of the result are called: by alias, by the last name of a path, or by their place."""
    names = []
    for place, column in enumerate(columns, 1):
        last = column.node.steps[-1] if isinstance(column.node, Path) and column.node.steps else None
        names.append(column.alias or (last.text if isinstance(last, Name) else f"_{place}"))
    return names


def _within_aggregates(column: Column) -> bool:
    """Does every path of the column stand within an aggregate?"""
    inside = {id(each) for node in walk(column.node) if isinstance(node, Aggregate) for each in walk(node.argument)}
    return all(id(each) in inside for each in walk(column.node) if isinstance(each, Path))
