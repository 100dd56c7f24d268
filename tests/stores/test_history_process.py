"""The history's writer as a process: what it is given it keeps, and its end loses nothing and doubles nothing."""

from __future__ import annotations

import os
import signal
import sqlite3

import pytest

from opentrail.errors import HistoryUnavailable
from opentrail.ports import HistorySearch
from opentrail.stores import history_tables, history_upkeep
from opentrail.stores.history_damage import ASIDE_FILE, EVENTS_FILE
from opentrail.stores.history_process import HistoryFailed, ProcessHistory
from tests.followers.trail_house import record

T = 1_700_000_000
ALL = HistorySearch((), 0, T * 2)


@pytest.fixture
def history(tmp_path):
    history = ProcessHistory(tmp_path)
    yield history
    history.close()


def seqs(history) -> list[int]:
    return [event.seq for event in history.find(ALL, 1_000)]


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again_and_goes_on_at_its_cursor(history):
    assert (history.cursor(), seqs(history)) == (0, [])
    history.add([(1, record("A", T)), (2, record("B", T))], after=0, through=2, oldest=0)
    assert seqs(history) == [2, 1]
    os.kill(history._process.pid, signal.SIGKILL)
    with pytest.raises(HistoryFailed, match="gone"):
        history.add([(3, record("C", T))], after=2, through=3, oldest=0)
    cursor = history.cursor()
    history.add([(3, record("C", T))] if cursor == 2 else [], after=cursor, through=3, oldest=0)
    assert (history.cursor(), seqs(history)) == (3, [3, 2, 1])


@pytest.mark.slow
def test_two_writers_never_keep_a_line_twice(history, tmp_path):
    other = ProcessHistory(tmp_path)
    history.add([(1, record("A", T))], after=0, through=1, oldest=0)
    with pytest.raises(HistoryFailed, match="Moved"):
        other.add([(1, record("A", T))], after=0, through=1, oldest=0)
    assert seqs(other) == [1]
    history.clear()
    assert (other.cursor(), seqs(other)) == (0, [])
    other.close()


@pytest.mark.slow
def test_damage_that_shows_later_is_mended_by_building_anew(history, tmp_path):
    for seq in range(1, 4):
        history.add([(seq, record("A", T) + b" " * 50_000)], after=seq - 1, through=seq, oldest=0)
    history.close()
    again = ProcessHistory(tmp_path)
    assert again.cursor() == 3
    with (tmp_path / EVENTS_FILE).open("r+b") as file:
        file.seek(16 * 1024)
        file.write(b"\xff" * 640 * 1024)
    with pytest.raises(HistoryFailed):
        again.add([(4, record("B", T))], after=3, through=4, oldest=0)
    assert (again.cursor(), again.lacks()) == (3, (0, 3))
    with pytest.raises(HistoryUnavailable, match=f"{ASIDE_FILE} is damaged"):
        seqs(again)
    again.fill([(2, record("B", T))], after=0, through=3, oldest=0)
    again.add([(4, record("B", T))], after=3, through=4, oldest=0)
    assert (seqs(again), again.lacks()) == ([4, 2], (3, 3))
    again.close()


@pytest.mark.slow
def test_a_damaged_record_is_found_when_it_is_merged_and_mended_by_building_anew(history, tmp_path):
    for seq in range(1, history_upkeep.MERGED):
        history.add([(seq, record("A", T))], after=seq - 1, through=seq, oldest=0)
    other = sqlite3.connect(tmp_path / EVENTS_FILE)
    with other:
        other.execute("UPDATE events SET record = substr(record, 1, length(record) - 5) WHERE id = 1 << ?",
                      (history_tables.EVENT_BITS,))  # fmt: skip
    other.close()
    with pytest.raises(HistoryUnavailable, match="damaged") as failure:
        seqs(history)
    assert failure.value.mend
    last = history_upkeep.MERGED
    history.add([(last, record("A", T))], after=last - 1, through=last, oldest=0)
    assert (history.cursor(), history.lacks()) == (last, (0, last))
    with pytest.raises(HistoryUnavailable, match=f"{ASIDE_FILE} is damaged"):
        seqs(history)
    others = HistorySearch((), 0, T * 2, before=(T, last + 1), after=1)
    assert [event.seq for event in history.find(others, last - 1)] == list(range(last, 1, -1))
    history.fill([(1, record("A", T))], after=0, through=1, oldest=0)
    assert seqs(history) == list(range(last, 0, -1)), "what is filled is read there, the others where they are whole"
    history.add([(last + 1, record("B", T))], after=last, through=last + 1, oldest=0)
    history.fill([(seq, record("A", T)) for seq in range(2, last + 1)], after=1, through=last, oldest=0)
    (tmp_path / ASIDE_FILE).unlink()
    assert seqs(history) == list(range(last + 1, 0, -1))
