"""Records of CSV and of JSON: which paths there are, and what each finds. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw

from opentrail.query.faults import QueryFault
from opentrail.query.json_records import members_of, step_into
from opentrail.query.result import MISSING, CsvResult, Result, compact
from opentrail.query.tree import Name, Path, Select, Step

_POSITION = re.compile(r"_([1-9]\d{0,5})", re.ASCII)
TABLE = Name("S3Object")


class CsvShape:
    """Columns by their place (`_1`) or by the names of the header."""

    kind = "text"
    column_type = "VARCHAR"

    def __init__(self, select: Select, header: Sequence[str] | None) -> None:
        if select.source:
            raise QueryFault("InvalidKeyPath")
        self._alias = select.alias
        self._header = header

    def finder(self, path: Path) -> Callable[[list[str]], Any]:
        steps = bound(path, self._alias or TABLE)
        if len(steps) != 1 or not isinstance(steps[0], Name):
            raise QueryFault("InvalidColumnIndex" if steps else "InvalidTableAlias")
        place = self._place(steps[0])
        return lambda record: record[place] if place < len(record) else MISSING

    def _place(self, name: Name) -> int:
        header = self._header or ()
        exact = [place for place, each in enumerate(header) if each == name.text]
        if not exact and not name.quoted:
            exact = [place for place, each in enumerate(header) if name.means(each)]
        if len(exact) > 1:
            raise QueryFault("AmbiguousFieldName", name.text[:50])
        if exact:
            return exact[0]
        position = _POSITION.fullmatch(name.text)
        if position is None:
            raise QueryFault("MissingHeaders", name.text[:50])
        return int(position[1]) - 1

    def whole(self, record: list[str], result: Result) -> None:
        if isinstance(result, CsvResult):
            result.add_row(record)
            return
        header = self._header or ()
        names = [header[place] if place < len(header) else f"_{place + 1}" for place in range(len(record))]
        result.add(names, record)


class JsonShape:
    """Attributes at any depth. The last name of the FROM clause's path is a name for the record, as is `_1`."""

    kind = "any"
    column_type = "JSON"

    def __init__(self, select: Select) -> None:
        last = select.source[-1] if select.source else None
        self._alias = select.alias or (last if isinstance(last, Name) else TABLE)
        self._named = select.alias is not None

    def finder(self, path: Path) -> Callable[[Raw | None], Any]:
        steps = bound(path, self._alias)
        if not self._named and steps and isinstance(steps[0], Name) and steps[0].text == "_1":
            steps = steps[1:]

        def take(record: Raw | None) -> Any:  # noqa: ANN401
            for step in steps:
                if record is None:
                    return MISSING
                record = step_into(record, step)
            return MISSING if record is None else record

        return take

    def whole(self, record: Raw | None, result: Result) -> None:
        members = {} if record is None else members_of(record)
        if isinstance(result, CsvResult):
            values = [record] if members is None else list(members.values())
            result.add([""] * len(values), values)
        elif members is None or record is None:
            result.add(["_1"] * (record is not None), [record] * (record is not None))
        else:
            result.add_whole(compact(record))


def bound(path: Path, alias: Name) -> tuple[Step, ...]:
    """The steps of a path without the table's name or alias."""
    first = path.steps[0] if path.steps else None
    if (
        isinstance(first, Name)
        and (first.means(alias.text) or alias.means(first.text))
        and (len(path.steps) > 1 or alias is not TABLE)
    ):
        return path.steps[1:]
    return path.steps
