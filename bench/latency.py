"""How long one request takes, asked one after the other over one connection: what a person who waits feels."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from bench.processes import CannotRun


def latencies(url: str, requests: Sequence[tuple[str, str]], rounds: int) -> list[float]:
    """Milliseconds of each request until its answer is read, in order; raises CannotRun if one is refused."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=60)
    taken: list[float] = []
    try:
        for method, path in list(requests) * rounds:
            began = time.perf_counter()
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            taken.append((time.perf_counter() - began) * 1000)
            if answer.status >= 300:
                raise CannotRun(f"{method} {path[:80]} was answered {answer.status}: {body[:300]!r}")
    finally:
        connection.close()
    return taken


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of them lie."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
