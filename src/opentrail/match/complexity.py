"""How much work the wildcards of one field can cause: the measure behind AWS's complexity limit.

The complexity is the greatest number of wildcard prefixes that one value can match at a time: `*ab` after `ab` matches
`*` and `*ab`, hence 2. Limit and measure: event-ruler's, as AWS's answers show them. Knows nothing of patterns but
their texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

COMPLEXITY_MAX: Final = 10
STATES_MAX: Final = 2_000
"""Sets of prefixes looked at; a field that has more is too complex."""

STAR: Final = -1
_OTHER: Final = -2
_Prefixes: TypeAlias = frozenset[int]


class _Tree:
    """The prefixes of all wildcard texts of a field: nodes of a tree, one tree for each matcher."""

    def __init__(self, matchers: Sequence[Sequence[str]]) -> None:
        self.children: list[dict[int, int]] = []
        self.star: list[bool] = []
        roots = []
        for texts in matchers:
            roots.append(self._node(star=False))
            for text in texts:
                self._add(roots[-1], _symbols(text))
        self.roots = frozenset(roots)

    def _node(self, *, star: bool) -> int:
        self.children.append({})
        self.star.append(star)
        return len(self.star) - 1

    def _add(self, node: int, symbols: list[int]) -> None:
        for symbol in symbols:
            found = self.children[node].get(symbol)
            if found is None:
                found = self._node(star=symbol == STAR)
                self.children[node][symbol] = found
            node = found

    def after(self, prefixes: _Prefixes, symbol: int) -> _Prefixes:
        """The prefixes matched when `symbol` follows what matched `prefixes`."""
        reached = set()
        for node in prefixes:
            if self.star[node]:
                reached.add(node)
            found = self.children[node].get(symbol)
            if found is not None:
                reached.add(found)
        return self.spread(reached)

    def spread(self, nodes: set[int]) -> _Prefixes:
        """With the stars that may stand for nothing."""
        stars = {self.children[node][STAR] for node in nodes if STAR in self.children[node]}
        return frozenset(nodes | stars)


def too_complex(matchers: Sequence[Sequence[str]]) -> bool:
    """Whether wildcard texts (grouped by matcher, escapes valid) exceed the limit together."""
    texts = [text for group in matchers for text in group]
    if sum(2 * text.count("*") + 2 for text in texts) <= COMPLEXITY_MAX and all(_plain(text) for text in texts):
        return False
    tree = _Tree(matchers)
    waiting, seen = [tree.roots], {tree.roots}
    while waiting:
        prefixes = waiting.pop()
        symbols = {symbol for node in prefixes for symbol in tree.children[node]} - {STAR}
        for symbol in (*symbols, _OTHER):
            reached = tree.after(prefixes, symbol)
            if len(reached) > COMPLEXITY_MAX:
                return True
            if reached and reached not in seen:
                seen.add(reached)
                waiting.append(reached)
        if len(seen) > STATES_MAX:
            return True
    return False


def _plain(text: str) -> bool:
    """No piece can overlap itself, so each counts once (all its characters differ)."""
    return all(len(set(piece)) == len(piece) for piece in text.split("*"))


def _symbols(text: str) -> list[int]:
    """Bytes and stars of the quoted text."""
    symbols: list[int] = [ord('"')]
    escaped = False
    for byte in text.encode("utf-8", "surrogatepass"):
        if escaped or byte not in b"*\\":
            symbols.append(byte)
            escaped = False
        elif byte == ord("\\"):
            escaped = True
        else:
            symbols.append(STAR)
    return [*symbols, ord('"')]
