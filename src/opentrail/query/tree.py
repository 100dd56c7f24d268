"""What an expression of S3 Select says, as a tree. Data only: `parse` makes it, `compile` reads it. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import msgspec


class Name(msgspec.Struct, frozen=True):
    """A step of a path. Without quotes its case does not count."""

    text: str
    quoted: bool = False

    def means(self, other: str) -> bool:
        return self.text == other or (not self.quoted and self.text.lower() == other.lower())


class Every(msgspec.Struct, frozen=True):
    """`[*]` of the FROM clause: every element of a list."""


Step: TypeAlias = Name | int | Every
"""An int is an index into a list."""


class Literal(msgspec.Struct, frozen=True):
    """A value that stands in the expression. `timestamp` marks the text of an Ion timestamp."""

    value: str | int | bool | Decimal | None
    timestamp: bool = False


class Path(msgspec.Struct, frozen=True):
    """A column or attribute, as written. After `bind` the table's alias is gone; no steps then mean the whole record."""

    steps: tuple[Step, ...]


class Apply(msgspec.Struct, frozen=True):
    """An operator, a function or a CASE, by its name in upper case. `word` is what is no expression: a type, a date part,
    which end to trim."""

    name: str
    arguments: tuple[Node, ...]
    word: str = ""


class Aggregate(msgspec.Struct, frozen=True):
    """COUNT, SUM, AVG, MIN, MAX; no argument is COUNT(*)."""

    name: str
    argument: Node | None


Node: TypeAlias = Literal | Path | Apply | Aggregate


class Column(msgspec.Struct, frozen=True):
    """One expression of the SELECT list."""

    node: Node
    alias: str = ""


class Select(msgspec.Struct, frozen=True):
    """A whole expression. No columns: `*`. `source` is the path behind S3Object; `limit` None is no limit."""

    columns: tuple[Column, ...]
    source: tuple[Step, ...]
    alias: Name | None
    where: Node | None
    limit: int | None
