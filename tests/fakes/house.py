"""Builds a `state.House` on fakes of the ports, and commits a unit as the gate would."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import Any

from opentrail.call import Principal, Shape
from opentrail.ports import InternalAnswer, Line
from opentrail.settings import Settings
from opentrail.state import House, Sealer, Unit
from tests.fakes.blobs import FakeBlobs
from tests.fakes.ledger import FakeLedger

NOW = 1_790_000_000.0
"""2026-09-21T14:13:20Z."""


class FakeClock:
    """A `ports.Clock` whose time the test sets and whose randomness is seeded."""

    def __init__(self, now: float = NOW) -> None:
        self.time = now
        self._random = random.Random(1)

    def now(self) -> float:
        return self.time

    def token(self, length: int, alphabet: str) -> str:
        return "".join(self._random.choices(alphabet, k=length))

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


class FakeRoad:
    """A `ports.Road` that notes the calls and answers from a table of (service, operation)."""

    def __init__(self) -> None:
        self.calls: list[tuple[Principal, str, str, Shape]] = []
        self.answers: dict[tuple[str, str], InternalAnswer | Exception] = {}

    async def call(
        self, principal: Principal, service: str, operation: str, input: Shape, **_rest: Any
    ) -> InternalAnswer:
        self.calls.append((principal, service, operation, input))
        answer = self.answers.get((service, operation), InternalAnswer({}))
        if isinstance(answer, Exception):
            raise answer
        return answer


def build_house(*, now: float = NOW, models: Any = None, settings: Settings | None = None) -> House:
    """A house of fakes. `models` only for handlers that read the models."""
    return House(
        ledger=FakeLedger(),
        blobs=FakeBlobs(),
        clock=FakeClock(now),
        road=FakeRoad(),
        settings=settings or Settings(),
        models=models,
        seal=Sealer(bytes(32)),
    )


def new_unit(house: House) -> Unit:
    return Unit(house, house.clock.now())


async def commit(unit: Unit, lines: Sequence[Line] = ()) -> int:
    """Make the unit durable; the Seq of its last line."""
    return await unit.house.ledger.commit(unit.writes, [*lines, *unit.events])
