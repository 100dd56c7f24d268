"""One loop and one open ledger per engine for a whole module: a test keeps to a key prefix of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.contracts.engines import ENGINES

_spaces = itertools.count(1)


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, Any]:
    """The loop of the server."""
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=sorted(ENGINES))
async def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    made = await ENGINES[request.param](tmp_path_factory.mktemp(request.param))
    yield made
    await made.end()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ledger(engine: Any) -> AsyncIterator[Any]:
    """A ledger shared by the tests of a module."""
    opened = await engine.open()
    yield opened
    await opened.close()


@pytest.fixture
def space() -> bytes:
    """A prefix no other test uses."""
    return b"space-%06d\0" % next(_spaces)
