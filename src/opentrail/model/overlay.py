"""The JSON files in `overlays/`: what AWS's models leave out or get wrong, as data, each with the source of the fact.

Only finds and decodes them; what a table means is known to the module that reads it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

DIRECTORY = Path(__file__).with_name("overlays")


@cache
def overlay(name: str) -> dict[str, Any]:
    """The decoded `overlays/<name>.json`, an object. Keys that begin with `_` are notes for the reader."""
    decoded: dict[str, Any] = msgspec.json.decode((DIRECTORY / f"{name}.json").read_bytes())
    return decoded


@cache
def table(name: str) -> dict[str, Any]:
    """As `overlay`, without the notes."""
    return {key: value for key, value in overlay(name).items() if not key.startswith("_")}
