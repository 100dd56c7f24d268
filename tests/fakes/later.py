"""The server's own clock, put forward."""

from __future__ import annotations

from opentrail.server.clock import SystemClock


class Later(SystemClock):
    """A clock that is `ahead` by so many seconds; it is made with days."""

    def __init__(self, days: float = 0.0) -> None:
        super().__init__()
        self.ahead = days * 86_400

    def now(self) -> float:
        return super().now() + self.ahead
