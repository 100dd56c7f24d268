"""What a run of the benchmark is: how long, how often, where its files lie, and how A and B take turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load, Outcome, Wrk
from bench.processes import Processes


@dataclass(frozen=True, slots=True)
class Run:
    """The size of a run. `say` shows what is going on."""

    directory: Path
    """On a real disk, since durability is part of what is measured."""
    environments: Path
    repetitions: int
    seconds: int
    """How long one repetition drives one peer."""
    uploads: int
    calls: int
    """How many calls the memory is looked at after."""
    events: int
    """How many events the history holds."""
    lines: int
    """How many lines a trail has to catch up with."""
    keys: int
    """How many keys the large bucket has."""
    parts: int
    """How many parts of 64 MiB the huge object has."""
    say: Callable[[str], None]

    @contextmanager
    def processes(self, name: str) -> Iterator[Processes]:
        """A room for one measure's servers and files, empty at first and gone afterwards."""
        self.directory.mkdir(parents=True, exist_ok=True)
        room = tempfile.TemporaryDirectory(prefix=f"{name}-", dir=self.directory)
        with room as made, Processes(Path(made).resolve()) as processes:
            yield processes

    def take_turns(self, wrk: Wrk, loads: Mapping[str, Load]) -> dict[str, list[Outcome]]:
        """A B A B …, so that whatever else the machine does hits all alike; the outcomes of each, in order."""
        for name, load in loads.items():
            self.say(f"warming up {name}")
            wrk.warm_up(load)
        outcomes: dict[str, list[Outcome]] = {name: [] for name in loads}
        for repetition in range(self.repetitions):
            for name, load in loads.items():
                self.say(f"round {repetition + 1} of {self.repetitions}: {name}")
                outcomes[name].append(wrk.run(load, self.seconds))
        return outcomes


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours by theirs, of each repetition."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]
