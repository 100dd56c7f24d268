"""How often somebody may do something: a rate with as much credit as a second brings, or tries that get rarer with each
miss. Time is passed in.

Bounded: what is forgotten is who has not come for longest, and he has his full credit by then, or nearly so. Knows no
operation and no error.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

CALLERS_MAX = 10_000
"""Callers that are remembered."""
MISSES_FREE = 5
"""Misses in a row after which one has to wait."""
WAIT_SECONDS, WAIT_SECONDS_MAX = 60.0, 3_600.0
"""After the last free miss; each further one doubles it up to the most."""


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


class Misses:
    """Who guessed wrong how often in a row, and until when he may not try again."""

    def __init__(self) -> None:
        self._misses: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def may(self, guesser: Hashable, now: float) -> bool:
        """Whether a guess counts at `now` (epoch seconds)."""
        return self._misses.get(guesser, (0, 0.0))[1] <= now

    def missed(self, guesser: Hashable, now: float) -> None:
        """One more miss; what is tried while one has to wait is none."""
        count, until = self._misses.pop(guesser, (0, 0.0))
        if until <= now:
            count += 1
            late = count - MISSES_FREE
            until = now + min(WAIT_SECONDS * 2.0 ** min(late, 16), WAIT_SECONDS_MAX) if late >= 0 else 0.0
        self._misses[guesser] = (count, until)
        if len(self._misses) > CALLERS_MAX:
            self._misses.popitem(last=False)

    def forget(self, guesser: Hashable) -> None:
        """He knew it."""
        self._misses.pop(guesser, None)
