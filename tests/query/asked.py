"""A query run in this process, as the query process runs it: bytes of an object in, the result out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from opentrail.query.faults import QueryFault
from opentrail.query.job import Csv, Job, Json, Stats
from opentrail.query.worker import Pipe, run

NOW = "2026-01-02 03:04:05"
USE = Csv(header="USE")
LINES = Json(lines=True)


class Fed(Pipe):
    """The two pipes, without another end: the object lies here, in chunks of `size` bytes."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(io.BytesIO(), io.BytesIO())
        self._data, self._size = data, size
        self.result = b""

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), self._size):
            chunk = self._data[start : start + self._size]
            self.scanned += len(chunk)
            yield chunk

    def answer(self, data: bytes) -> None:
        self.returned += len(data)
        self.result += data


def ask(expression: str, data: bytes, *, size: int = 1 << 20, **job: Any) -> tuple[str, Stats]:
    """The result as text, and the stats; without further words a CSV without a header, and the result as CSV."""
    given = {
        "format": "CSV",
        "compression": "NONE",
        "csv": Csv(),
        "json": Json(),
        "output": Csv(),
        "json_output": Json(),
    }
    pipe = Fed(data, size)
    run(Job(expression=expression, now=NOW, **(given | job)), pipe)
    return pipe.result.decode(), pipe.stats()


def of_csv(expression: str, data: bytes, csv: Csv = USE, **job: Any) -> list[str]:
    """The lines of the result of a query on CSV with a header."""
    return ask(expression, data, csv=csv, **job)[0].splitlines()


def of_json(expression: str, data: bytes, form: Json = LINES, **job: Any) -> list[Any]:
    """The records of the result of a query on JSON lines."""
    text = ask(expression, data, format="JSON", json=form, output=None, **job)[0]
    return [json.loads(line) for line in text.splitlines()]


def fault(expression: str, data: bytes = b"a,b\n1,2\n", **job: Any) -> str:
    """The code of the query's fault."""
    with pytest.raises(QueryFault) as raised:
        ask(expression, data, **({"csv": USE} | job))
    return raised.value.code
