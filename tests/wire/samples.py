"""Random values of a shape that every protocol can carry: the inputs and outputs of the oracle tests."""

from __future__ import annotations

import random
import string
from datetime import UTC, datetime, timedelta
from typing import Any

from opentrail.model.shapes import Member, ShapeModel

TEXT = string.ascii_letters + string.digits + " <>&\"'/+%=~é€\U0001f600\n\t]]>"
TOKEN = string.ascii_letters + string.digits + "-_.:/=+"
DEPTH_MAX = 5


class Nothing(Exception):
    """The shape has no value that would be visible on the wire."""


class Sampler:
    """Draws values. `empties` allows empty lists, maps and structures, `where` narrows the alphabet of text."""

    def __init__(self, seed: object, *, empties: bool, single_precision: bool = False) -> None:
        self.random = random.Random(str(seed))
        self.empties = empties
        self.single_precision = single_precision

    def structure(self, shape: ShapeModel, depth: int = 0, where: str = "") -> dict[str, Any]:
        # S3's deprecated notifications have a scalar and a list of the same name
        members = list({(m.location, m.wire_name): m for m in shape.members.values()}.values())
        if shape.union:
            members = [self.random.choice(members)]
        value = {}
        for member in members:
            must = member.required or member.location == "uri" or shape.union or shape.payload == member.name
            if not must and (depth >= DEPTH_MAX or self.random.random() > (0.7 if depth < 2 else 0.4)):
                continue
            try:
                value[member.name] = self.member(member, depth + 1, member.location if depth == 0 else where)
            except Nothing:
                continue
        if not value and not self.empties:
            raise Nothing
        return value

    def member(self, member: Member, depth: int, where: str = "") -> Any:
        shape = member.shape
        if shape.eventstream or (member.location == "" and depth > DEPTH_MAX + 2 and shape.type in ("list", "map")):
            raise Nothing
        if shape.type == "structure":
            if depth > DEPTH_MAX + 3:
                raise Nothing
            return {"a": [1, "b"]} if shape.document else self.structure(shape, depth, where)
        if shape.type == "list":
            return self.items(member, depth, where)
        if shape.type == "map":
            return self.entries(member, depth, where)
        return self.scalar(member, where)

    def count(self, member: Member, where: str) -> int:
        low = 0 if self.empties and not member.flattened and not where else 1
        return self.random.randint(low, 3)

    def items(self, member: Member, depth: int, where: str) -> list[Any]:
        assert member.shape.item is not None
        return [self.member(member.shape.item, depth + 1, where) for _ in range(self.count(member, where))]

    def entries(self, member: Member, depth: int, where: str) -> dict[str, Any]:
        shape = member.shape
        assert shape.key is not None
        assert shape.value is not None
        keys = {self.scalar(shape.key, where).lower() for _ in range(self.count(member, where))}
        return {key: self.member(shape.value, depth + 1, where) for key in sorted(keys)}

    def scalar(self, member: Member, where: str) -> Any:
        kind = member.shape.type
        if kind == "string":
            return self.text(member, where)
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind == "integer":
            return self.random.choice([0, 1, -(2**31), 2**31 - 1, self.random.randint(0, 10_000)])
        if kind == "long":
            return self.random.choice([0, -(2**63), 2**63 - 1, self.random.randint(0, 2**40)])
        if kind in ("float", "double"):
            return self.random.choice([0.0, 1.5, -2.25, 1024.0 if self.single_precision else 1e-7])
        if kind == "blob":
            return self.random.randbytes(self.random.randint(1, 12)) if not where else b"abc"
        return self.moment(member, where)

    def text(self, member: Member, where: str) -> str:
        if member.host_label:
            return "123456789012"
        if member.shape.enum:
            return self.random.choice(sorted(member.shape.enum))
        alphabet = TOKEN if where in ("header", "headers") else TEXT
        text = "".join(self.random.choices(alphabet, k=self.random.randint(0, 12)))
        return text.strip() + "x" if where else text

    def moment(self, member: Member, where: str) -> datetime:
        moment = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=self.random.randint(-(10**9), 10**9))
        whole = where in ("header", "uri") or member.timestamp_format.lower() == "rfc822"
        return (
            moment
            if whole or self.random.random() < 0.5
            else moment + timedelta(milliseconds=self.random.randint(1, 999))
        )
