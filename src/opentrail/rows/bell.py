"""Tells whoever waits in this process that rows of some kind have been written, so that nobody has to keep looking.

A bell is only a hint: it rings before the commit that writes the rows, and not at all in other processes. Whoever listens
looks at the rows, and looks again after a while unasked. Knows no event loop: an ear is any function.
"""

from __future__ import annotations

from collections.abc import Callable

Ear = Callable[[], None]


class Bell:
    """Ears by the name of what they listen for. Holds nothing of names that nobody listens for."""

    def __init__(self) -> None:
        self._ears: dict[str, list[Ear]] = {}

    def listen(self, name: str, ear: Ear) -> None:
        self._ears.setdefault(name, []).append(ear)

    def leave(self, name: str, ear: Ear) -> None:
        """Stop listening; raises ValueError if `ear` did not listen."""
        ears = self._ears.get(name, [])
        ears.remove(ear)
        if not ears:
            del self._ears[name]

    def ring(self, name: str) -> None:
        for ear in tuple(self._ears.get(name, ())):
            ear()

    def ring_all(self) -> None:
        """Ring for everybody: the process is about to end."""
        for name in tuple(self._ears):
            self.ring(name)
