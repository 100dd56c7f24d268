"""The stores run on the loop of the server."""

from __future__ import annotations

from typing import Any

import uvloop


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, Any]:
    return {"uvloop": uvloop.new_event_loop}
