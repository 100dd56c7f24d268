"""The table of figures: what was measured, the ratio, the target, met or missed."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

Sense = Literal["at least", "at most", "below"]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for the median. `unit` follows the number (`×`, ` %`, ` ms`)."""

    sense: Sense
    bound: float
    unit: str

    def met_by(self, value: float) -> bool:
        if self.sense == "at least":
            return value >= self.bound
        return value <= self.bound if self.sense == "at most" else value < self.bound

    def __str__(self) -> str:
        sign = {"at least": "≥", "at most": "≤", "below": "<"}[self.sense]
        return f"{sign} {self.bound:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `values` are those of the repetitions; `worst` is the one furthest from the target."""

    measure: str
    ours: str
    other: str
    target: Target
    values: Sequence[float]
    more: dict[str, object] = field(default_factory=dict)
    """For the JSON file only: raw figures."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def worst(self) -> float:
        return min(self.values) if self.target.sense == "at least" else max(self.values)

    @property
    def met(self) -> bool:
        return self.target.met_by(self.median)


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(title="OpenTrail against others, one run on this machine", title_justify="left")
    for name in ("measure", "OpenTrail", "compared with"):
        table.add_column(name)
    for name in ("worst", "median", "target"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        unit = row.target.unit
        verdict = "[green]met[/]" if row.met else "[red]missed[/]"
        table.add_row(
            row.measure,
            row.ours,
            row.other,
            _number(row.worst) + unit,
            _number(row.median) + unit,
            str(row.target),
            verdict,
        )
    console.print(table)


def _number(value: float) -> str:
    """Three digits that say something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def write_json(path: Path, rows: Sequence[Row], failures: dict[str, str]) -> None:
    """Everything that was measured, with what it was measured on."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "rows": [
            {**asdict(row), "target": str(row.target), "median": row.median, "worst": row.worst, "met": row.met}
            for row in rows
        ],
        "could not run": failures,
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
