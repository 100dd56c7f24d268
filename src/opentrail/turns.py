"""How often somebody may do something: a rate with as much credit as a second brings. Time is passed in.

Bounded: what is forgotten is who has not come for longest, and he has his full credit by then, or nearly so. Knows no
operation and no error.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

CALLERS_MAX = 10_000
"""Callers that are remembered."""


class Turns:
    """Token buckets, one for each caller."""

    def __init__(self) -> None:
        self._credits: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, caller: Hashable, rate: int, now: float) -> bool:
        """Take a turn at `now` (epoch seconds); False when `rate` turns a second are used up."""
        credit, since = self._credits.pop(caller, (float(rate), now))
        credit = min(credit + max(now - since, 0.0) * rate, float(rate))
        taken = credit >= 1.0
        self._credits[caller] = (credit - 1.0 if taken else credit, now)
        if len(self._credits) > CALLERS_MAX:
            self._credits.popitem(last=False)
        return taken
