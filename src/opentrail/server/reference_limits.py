"""Finds the named bounds of the code: module constants that end in `_MAX`, with their values, units and docstrings.

Reads the sources, so a constant nobody imports is found too. Knows no module by name.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import opentrail

ROOT = Path(opentrail.__file__).parent
SUFFIX = "_MAX"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound: where it stands, its value with its unit as text, and what it means (may be empty)."""

    module: str
    name: str
    value: str
    meaning: str


def limits() -> Iterator[Limit]:
    """Every bound, by module and place."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = list(_constants(tree))
        if constants:
            module = ".".join(("opentrail", *path.relative_to(ROOT).with_suffix("").parts))
            values = vars(importlib.import_module(module))
            for name, meaning in constants:
                yield Limit(module, name, show(name, values[name]), meaning)


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, docstring) of the bounds. A docstring speaks of the statement right above it."""
    for step, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        for name in _assigned(step):
            if name.endswith(SUFFIX):
                yield name, _text(below)


def _text(step: ast.stmt | None) -> str:
    if isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant) and isinstance(step.value.value, str):
        return " ".join(step.value.value.split())
    return ""


def _assigned(step: ast.stmt) -> list[str]:
    targets = step.targets if isinstance(step, ast.Assign) else [step.target] if isinstance(step, ast.AnnAssign) else []
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def show(name: str, value: object) -> str:
    """The value in its unit, which the name tells: bytes, seconds, or plain counting."""
    if isinstance(value, int) and "BYTES" in name:
        for size, text in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
            if value >= size and value % size == 0:
                return f"{value // size:,} {text}"
        return f"{value:,} bytes"
    if isinstance(value, int | float):
        shown = f"{value:,}" if isinstance(value, int) else f"{value:g}"
        unit = next((word for word in ("seconds", "minutes", "hours", "days") if word.upper() in name), "")
        return f"{shown} {unit}".strip()
    return f"`{value}`"
