"""Events of segments that overlap in time: in order, each once, and no more of them read than is useful."""

from __future__ import annotations

import random
from itertools import islice

from opentrail.stores.history_runs import RUN_MAX, Row, Runs
from opentrail.stores.history_tables import EVENT_BITS, SegmentRow


class World:
    """Segments of events at random times, all of which are wanted, or those that `wanted` chooses."""

    def __init__(self, rng: random.Random, segments: int, events: int, spread: int) -> None:
        self.rows: dict[int, Row] = {}
        self.segments: list[SegmentRow] = []
        self.ranks: dict[int, list[int]] = {}
        self.reads: list[int] = []
        self.opened = 0
        numbers = rng.sample(range(segments * events), segments * events)
        for id_ in range(1, segments + 1):
            start = id_ * 100
            places = sorted((start + rng.randrange(spread), numbers.pop()) for _ in range(events))
            for rank, (time, number) in enumerate(places):
                row = (time, number, id_ << EVENT_BITS | rank, b"")
                self.rows[row[2]] = row
            self.segments.append(SegmentRow(id_, id_, events, places[0][0], places[-1][0], 0, 0))
            self.ranks[id_] = sorted(rng.sample(range(events), rng.randrange(events + 1)))
        self.segments.sort(key=lambda row: (-row.last, row.id))

    def runs(self) -> Runs:
        return Runs(iter(self.segments), self._open, self._read)

    def _open(self, segment: SegmentRow) -> list[int]:
        self.opened += 1
        return self.ranks[segment.id]

    def _read(self, ids: list[int]) -> list[Row]:
        self.reads.append(len(ids))
        return [self.rows[each] for each in sorted(ids)]

    def wanted(self) -> list[Row]:
        ids = [id_ << EVENT_BITS | rank for id_, ranks in self.ranks.items() for rank in ranks]
        return sorted((self.rows[each] for each in ids), reverse=True)


def test_all_come_in_order_and_once_however_segments_overlap():
    rng = random.Random(5)
    for _ in range(150):
        world = World(rng, rng.randrange(6), rng.randrange(1, 60), rng.choice([1, 20, 150, 1_000]))
        assert list(world.runs().newest_first(rng.choice([1, 5, 51]))) == world.wanted()


def test_a_page_of_the_newest_segment_is_one_read():
    world = World(random.Random(1), 20, 200, 99)
    world.ranks = {id_: list(range(200)) for id_ in world.ranks}
    assert list(islice(world.runs().newest_first(51), 51)) == world.wanted()[:51]
    assert (world.reads, world.opened) == ([51], 1)


def test_a_page_of_what_is_rare_is_one_read_of_many_segments():
    world = World(random.Random(1), 60, 10, 99)
    world.ranks = {id_: [4] for id_ in world.ranks}
    assert list(islice(world.runs().newest_first(51), 51)) == world.wanted()[:51]
    assert (world.reads, world.opened) == ([51], 51)


def test_where_everything_overlaps_a_few_of_each_are_read():
    world = World(random.Random(1), 30, 200, 10_000)
    world.ranks = {id_: list(range(200)) for id_ in world.ranks}
    assert list(islice(world.runs().newest_first(51), 51)) == world.wanted()[:51]
    assert sum(world.reads) < 800 < sum(map(len, world.ranks.values()))


def test_reads_are_bounded_however_many_are_wanted():
    world = World(random.Random(1), 1, 3_000, 99)
    world.ranks = {1: list(range(3_000))}
    assert list(world.runs().newest_first(1_000_000)) == world.wanted()
    assert max(world.reads) == RUN_MAX
