"""A piece of SQL, and the static kind of what it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from opentrail.query.tree import Path

Kind = Literal["any", "text", "int", "number", "bool", "time", "null", "nested"]
NUMBERS = frozenset({"int", "number"})


class Sql(NamedTuple):
    """A piece of SQL and what it is of."""

    text: str
    kind: Kind


Find = Callable[[Path, bool], Sql]
"""The column that a path names; with True whether it is there at all (a bool). Raises QueryFault for an unknown one."""
