"""Waiting for what a server does by itself. Bounds are there to end a test that would never end, and are so long that no
busy machine reaches them; a test that waits for something goes on as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 60.0
"""For what takes a second or a few."""
COMMAND_SECONDS_MAX = 240.0
"""For a program that is run to its end."""


def until(ready: Callable[[], Any], told: Callable[[], object] = lambda: "") -> Any:
    """What `ready` answers, as soon as that is something. Fails after PATIENCE_SECONDS with what `told` then says."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := ready()):
        assert time.monotonic() < deadline, f"it did not come {told()}"
        time.sleep(0.1)
    return found
