"""Event JSON → its leaves under the paths that patterns ask for, each with its place in the arrays above it.

Only the asked-for branches of an event are walked, without recursion, so the cost is that of the event's text whatever
its depth. Knows nothing of patterns but their paths. Source: `PATTERNS.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from opentrail.match.values import Number, Value

EVENT_BYTES_MAX: Final = 1_048_576
"""Larger texts are refused unread; EventBridge's own limit is 256 KiB."""

Trail: TypeAlias = tuple[tuple[int, int], ...]
"""(array, index) from the outermost array inwards: the elements that a leaf lies in. Arrays are numbered per event; a
plain value is not counted as an element of the array that holds it directly."""
Leaf: TypeAlias = tuple[Value, Trail]
Leaves: TypeAlias = dict[str, list[Leaf]]
"""Leaves by dotted path; a path without any is absent."""


def _no_constant(name: str) -> Any:  # noqa: ANN401  (json's hook)
    raise ValueError(f"{name} is no JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=_no_constant
).decode


def parse_event(event: str | bytes) -> tuple[Any, ...]:
    """An event as a tuple of (key, value) pairs: objects are tuples (a repeated key stays), arrays lists, numbers
    `Number`. Raises ValueError for what is no JSON object, too large, or nested too deep for the parser."""
    if len(event) > EVENT_BYTES_MAX:
        raise ValueError("event is too large")
    try:
        parsed = _decode(event if isinstance(event, str) else event.decode())
    except RecursionError as error:
        raise ValueError("event is nested too deep") from error
    if type(parsed) is not tuple:
        raise ValueError("event is no object")
    return parsed


class Paths:
    """A set of dotted paths as a tree of their steps."""

    __slots__ = ("root",)

    def __init__(self, paths: Iterable[str]) -> None:
        self.root = _Step("")
        for path in paths:
            step = self.root
            for name in path.split("."):
                step = step.children.setdefault(name, _Step(""))
            step.path, step.ends = path, True


class _Step:
    __slots__ = ("children", "ends", "path")

    def __init__(self, path: str) -> None:
        self.children: dict[str, _Step] = {}
        self.path = path
        self.ends = False

    def follow(self, key: str) -> _Step | None:
        """The step reached by a key of the event, which may contain dots of its own."""
        step: _Step | None = self.children.get(key)
        if step is None and "." in key:
            step = self
            for name in key.split("."):
                step = step.children.get(name)
                if step is None:
                    return None
        return step


def flatten(event: tuple[Any, ...], paths: Paths) -> Leaves:
    """The leaves of a parsed event under `paths`."""
    leaves: Leaves = {}
    waiting: list[tuple[Any, _Step, Trail]] = [(event, paths.root, ())]
    arrays = 0
    while waiting:
        node, step, trail = waiting.pop()
        if type(node) is list:
            arrays += 1
            for index, element in enumerate(node):
                kind = type(element)
                if kind is tuple or kind is list:
                    waiting.append((element, step, (*trail, (arrays, index))))
                elif step.ends:
                    leaves.setdefault(step.path, []).append((element, trail))
            continue
        if not step.children:
            continue
        for key, value in node:
            below = step.follow(key)
            if below is None:
                continue
            kind = type(value)
            if kind is tuple or kind is list:
                waiting.append((value, below, trail))
            elif below.ends:
                leaves.setdefault(below.path, []).append((value, trail))
    return leaves
