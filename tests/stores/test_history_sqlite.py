"""The history's index on its own: seeks, pages, and files that are damaged."""

from __future__ import annotations

import pytest

from opentrail.ports import HistoryQuery, IndexedEvent
from opentrail.stores.history_sqlite import SqliteHistory


@pytest.fixture
def index(tmp_path):
    index = SqliteHistory(tmp_path / "history.db")
    yield index
    index.close()


def event(seq: int, time: int, *values: tuple[str, str], data: bool = False) -> IndexedEvent:
    return IndexedEvent(seq, time, "111111111111", "us-east-1", data, f"id-{seq}", values)


def query(limit: int = 50, **more) -> HistoryQuery:
    return HistoryQuery("111111111111", "us-east-1", more.pop("start", 0), more.pop("end", 999), limit, **more)


def test_events_are_ordered_by_time_and_then_by_place(index):
    index.add([event(1, 50), event(2, 40), event(3, 50), event(4, 10)], 4)
    assert index.find(query()) == [(50, 3), (50, 1), (40, 2), (10, 4)]
    assert index.find(query(2, before=(50, 3))) == [(50, 1), (40, 2)]
    assert index.find(query(start=40, end=40)) == [(40, 2)]
    assert index.cursor() == 4


def test_adding_again_changes_nothing(index):
    for _ in range(2):
        index.add([event(1, 5, ("EventName", "A"))], 1)
    assert index.find(query(attribute=("EventName", "A"))) == [(5, 1)]


def test_data_events_are_merged_in_only_when_asked_for(index):
    index.add([event(1, 1), event(2, 2, data=True), event(3, 3), event(4, 4, data=True)], 4)
    assert index.find(query()) == [(3, 3), (1, 1)]
    assert index.find(query(3, data_events=True)) == [(4, 4), (3, 3), (2, 2)]


def test_attributes_do_not_run_into_each_other(index):
    index.add([event(1, 1, ("Username", "x"), ("EventName", "y"))], 1)
    assert index.find(query(attribute=("EventName", "x"))) == []
    assert index.find(query(attribute=("Username\0x", ""))) == []
    assert index.find(query(attribute=("EventId", "id-1"))) == [(1, 1)]


def test_a_failed_batch_leaves_nothing(index):
    broken = event(2, 2, ("EventName", "new"))
    index.add([event(1, 1)], 1)
    with pytest.raises(OverflowError):
        index.add([broken, event(1 << 70, 3)], 9)
    assert index.find(query()) == [(1, 1)]
    assert index.cursor() == 1
    index.add([event(3, 3, ("EventName", "newer"))], 3)
    assert index.find(query(attribute=("EventName", "new"))) == []
    index.add([broken], 3)
    assert index.find(query(attribute=("EventName", "new"))) == [(2, 2)]


def test_clearing_starts_again(index):
    index.add([event(1, 1, ("EventName", "A"))], 1)
    index.clear()
    assert (index.cursor(), index.find(query())) == (0, [])
    index.add([event(1, 1, ("EventName", "A"))], 1)
    assert index.find(query(attribute=("EventName", "A"))) == [(1, 1)]


def test_a_damaged_or_foreign_index_is_replaced(tmp_path):
    path = tmp_path / "history.db"
    path.write_bytes(b"this is no database" * 500)
    index = SqliteHistory(path)
    assert index.cursor() == 0
    index.add([], 7)
    index._writer.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
    index._writer.commit()
    index.close()
    index = SqliteHistory(path)
    assert index.cursor() == 0
    index.close()
