"""The history's index on its own: order, pages, words, merging, expiry, and files that are damaged."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter

import msgspec
import pytest
from msgspec.structs import replace

from opentrail.errors import HistoryUnavailable
from opentrail.ports import HistorySearch
from opentrail.record.history_words import attribute_word, place_word
from opentrail.stores import (
    history_file,
    history_frames,
    history_lists,
    history_segments,
    history_tables,
    history_upkeep,
)
from opentrail.stores.history_damage import ASIDE_FILE, EVENTS_FILE, IMPORTED_FILE
from opentrail.stores.history_file import HistoryFile, Moved
from opentrail.stores.history_frames import Damaged
from opentrail.stores.history_import import ImportStore
from opentrail.stores.history_lists import rare_entries
from opentrail.stores.history_open import Memory
from opentrail.stores.history_search import Shelf, intersect
from opentrail.stores.history_segments import Entry
from opentrail.stores.history_sqlite import SqliteHistory
from opentrail.stores.history_tables import OtherFormat, SegmentRow
from opentrail.stores.history_upkeep import merge, to_bind, to_merge
from tests.followers.trail_house import ACCOUNT, REGION, data_record, iso, record

T = 1_700_000_000


@pytest.fixture
def index(tmp_path):
    index = SqliteHistory(tmp_path)
    yield index
    index.close()


def add(index, *lines: tuple[int, bytes], oldest: int = 0) -> None:
    index.add(lines, after=index.cursor(), through=lines[-1][0], oldest=oldest)


def search(*words: str, start: int = 0, end: int = T * 2, **more) -> HistorySearch:
    return HistorySearch(words, start, end, **more)


def found(index, *words: str, limit: int = 50, **more) -> list[int]:
    return [event.seq for event in index.find(search(*words, **more), limit)]


def attribute(key: str, value: str) -> str:
    return attribute_word(ACCOUNT, REGION, "M", key, value)


def test_events_are_ordered_by_time_and_then_by_seq(index):
    add(index, (1, record("A", T + 50)), (2, record("A", T + 40)), (3, record("B", T + 50)), (4, record("A", T + 10)))
    everything = place_word(ACCOUNT, REGION, "M")
    assert found(index, everything) == found(index) == [3, 1, 2, 4]
    assert found(index, everything, limit=2, before=(T + 50, 3)) == [1, 2]
    assert found(index, everything, start=T + 40, end=T + 40) == [2]
    assert found(index, attribute("EventName", "A"), start=T + 40) == [1, 2]
    assert found(index, after=3) == [4]
    assert index.cursor() == 4


def test_records_come_back_byte_for_byte(index):
    lines = [(n, record(f"Call{n}", T + n, requestParameters={"blank": " " * (n * 50)})) for n in range(1, 60)]
    add(index, *lines)
    assert [(event.seq, event.record) for event in index.find(search(), 100)] == lines[::-1]


def test_words_do_not_run_into_each_other(index):
    add(index, (1, record("y", T, userIdentity={"type": "IAMUser", "userName": "x"})))
    assert found(index, attribute("EventName", "x")) == found(index, attribute("Username\0x", "")) == []
    assert found(index, attribute("Username", "x")) == found(index, "ux", "ny") == [1]
    assert found(index, "ux", "nx") == found(index, "d") == []


def test_a_data_event_is_no_event_of_lookup_events(index):
    add(index, (1, data_record("PutObject", "b", "some/key", T)), (2, record("A", T)))
    assert found(index, place_word(ACCOUNT, REGION, "M")) == [2]
    assert found(index, "cD", "bb", "ksome/key") == found(index, "rb/some/key") == [1]


def test_the_cursor_moves_with_what_was_added_or_not_at_all(index):
    add(index, (1, record("A", T)))
    with pytest.raises(Moved):
        index.add([(2, record("B", T))], after=0, through=2, oldest=0)
    with pytest.raises(OverflowError):
        index.add([(1 << 70, record("B", T))], after=1, through=3, oldest=0)
    assert (found(index), index.cursor()) == ([1], 1)
    index.add([], after=1, through=9, oldest=0)
    assert index.cursor() == 9


def test_old_events_are_left_out_and_old_segments_dropped(index):
    add(index, (1, record("Old", T)), (2, record("New", T + 100)), oldest=T + 50)
    assert found(index) == [2]
    add(index, (3, record("Newer", T + 200)))
    assert index.tidy(T + 150)
    assert (found(index), index.cursor()) == ([3], 3)
    connection = index._file.connection
    for table in ("events", *history_tables.LISTS):
        column = f"id >> {history_tables.EVENT_BITS}" if table == "events" else "volume"
        assert connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall() in ([(2,)], []), table
    assert not index.tidy(T + 150)


def random_record(rng: random.Random) -> bytes:
    user = {"type": "IAMUser", "userName": rng.choice("abc"), "accessKeyId": f"AKIA{rng.randrange(30)}"}
    at = T + rng.randrange(500)
    if rng.random() < 0.5:
        return data_record(rng.choice(["GetObject", "PutObject"]), "b", f"k{rng.randrange(99)}", at, userIdentity=user)
    return record(rng.choice(["CreateUser", "ListUsers"]), at, userIdentity=user, errorCode=rng.choice(["No", None]))


@pytest.mark.parametrize("remembered", [history_lists.LISTS_REMEMBERED_MAX, 20])
def test_any_search_finds_what_a_scan_finds_before_and_after_merging(tmp_path, monkeypatch, remembered):
    monkeypatch.setattr(history_lists, "LISTS_REMEMBERED_MAX", remembered)
    monkeypatch.setattr(history_file, "SHORT_BYTES", 20)
    monkeypatch.setattr(history_segments, "DICTIONARY_EVENTS", 100)
    monkeypatch.setattr(history_file, "EVENTS_MAX", 100)
    monkeypatch.setattr(history_upkeep, "EVENTS_MAX", 100)
    monkeypatch.setattr(history_upkeep, "VOLUME_SEGMENTS", (2, 4))
    rng = random.Random(7)
    lines = [(seq, random_record(rng)) for seq in range(1, 800)]
    index = SqliteHistory(tmp_path)
    start = 0
    while start < len(lines):
        size = rng.choice([1, 2, 40])
        add(index, *lines[start : start + size])
        start += size
    merged = 0
    for _ in range(2):
        check_against_scan(index, lines, rng)
        while index.tidy(0):
            merged += 1
    assert merged > 1
    assert len({row.volume for row in index._file.rows()}) < len(index._file.rows()) < 60
    index.close()


def check_against_scan(index, lines: list[tuple[int, bytes]], rng: random.Random) -> None:
    decoded = [(seq, msgspec.json.decode(line), line) for seq, line in lines]
    tests = {
        "ua": lambda r: r["userIdentity"]["userName"] == "a",
        "nGetObject": lambda r: r["eventName"] == "GetObject",
        "E": lambda r: bool(r.get("errorCode")),
        "KAKIA7": lambda r: r["userIdentity"]["accessKeyId"] == "AKIA7",
        "kk5": lambda r: (r["requestParameters"] or {}).get("key") == "k5",
        attribute("ReadOnly", "false"): lambda r: r["managementEvent"],
    }
    for _ in range(30):
        words = rng.sample(list(tests), rng.choice([0, 1, 1, 2, 3]))
        low, high = sorted((T + rng.randrange(500), T + rng.randrange(500)))
        wanted = [
            (r["eventTime"], seq, line)
            for seq, r, line in decoded
            if iso(low) <= r["eventTime"] <= iso(high) and all(tests[word](r) for word in words)
        ]
        wanted.sort(key=lambda each: each[:2], reverse=True)
        got = index.find(search(*words, start=low, end=high), 10_000)
        assert [(event.seq, event.record) for event in got] == [(seq, line) for _, seq, line in wanted]
        if len(got) > 3:
            place = (got[2].time, got[2].seq)
            again = index.find(search(*words, start=low, end=high, before=place), 10_000)
            assert [event.seq for event in again] == [event.seq for event in got[3:]]


def test_counts_by_value(index):
    add(index, *((n, record("A" if n % 3 else "B", T + n, sourceIPAddress=f"10.0.0.{n % 2}")) for n in range(1, 31)))
    with index._reader.shelves() as [shelf]:
        assert shelf.count_by(search(), "n") == {"A": 20, "B": 10}
        assert shelf.count_by(search("i10.0.0.1"), "n") == {"A": 10, "B": 5}
        assert shelf.count_by(search(start=T + 29), "i") == {"10.0.0.1": 1, "10.0.0.0": 1}
        assert shelf.count(search("nB")) == 10
        assert shelf.count_by(search("nC"), "n") == {}


def test_segments_of_one_size_are_merged_as_far_as_they_fit():
    rows = [SegmentRow(n, n, 5, T - n, T, 0, 0) for n in range(8)]
    assert to_merge(rows[:7]) == []
    assert to_merge(rows) == rows[::-1]
    large = [SegmentRow(n, n, 10_000, T + n, T, 0, 0) for n in range(4)]
    assert to_merge(large[:3]) == []
    assert to_merge(large) == large[:3]
    assert to_merge([SegmentRow(n, n, 20_000, T, T, 0, 0) for n in range(40)]) == []


def test_full_segments_are_bound_and_expire_together(tmp_path, monkeypatch):
    monkeypatch.setattr(history_file, "EVENTS_MAX", 20)
    monkeypatch.setattr(history_upkeep, "EVENTS_MAX", 20)
    monkeypatch.setattr(history_upkeep, "VOLUME_SEGMENTS", (2, 4))
    index = SqliteHistory(tmp_path)
    for start in (1, 21, 41):
        add(index, *((n, record(f"Call{n % 4}", T + n, userIdentity={})) for n in range(start, start + 20)))
    assert index.tidy(0)
    assert not index.tidy(0)
    assert [row.volume == row.id for row in index._file.rows()] == [False, False, True]
    assert found(index, "nCall1", limit=3) == [57, 53, 49]
    assert found(index, f"dCall3-{T + 7}") == [7]
    assert not index.tidy(T + 30)
    assert index.tidy(T + 41)
    assert found(index, "nCall1") == [57, 53, 49, 45, 41]
    assert [
        index._file.connection.execute(f"SELECT count(DISTINCT volume) FROM {table}").fetchone()
        for table in history_tables.LISTS
    ] == [(1,), (1,), (0,), (1,), (0,)]
    index.close()


def test_rare_words_are_found_in_loose_segments_and_in_small_and_large_volumes(index, monkeypatch):
    monkeypatch.setattr(history_file, "EVENTS_MAX", 20)
    monkeypatch.setattr(history_upkeep, "EVENTS_MAX", 20)
    monkeypatch.setattr(history_upkeep, "VOLUME_SEGMENTS", (2, 4))
    entries = [Entry(T + n, n, record("A", T + n), (), (f"d{n}", f"k{n // 2}")) for n in range(140)]
    for start in range(0, 140, 20):
        index._file.add(entries[start : start + 20], after=index.cursor(), through=index.cursor())
    while index.tidy(0):
        pass
    sizes = Counter(row.volume for row in index._file.rows())
    assert sorted(sizes.values()) == [1, 2, 4]
    for n in range(140):
        assert found(index, f"d{n}") == [n]
        assert found(index, f"k{n // 2}", f"d{n}") == [n]
        assert found(index, f"k{n // 2}") == [n | 1, n & ~1]
    with index._reader.shelves() as [shelf]:
        for row in index._file.rows():
            packed = [entry for part in rare_entries(shelf._connection, row) for entry in memoryview(part).cast("Q")]
            assert len(packed) == 2 * row.count


def test_small_volumes_are_bound_into_large_ones():
    full = history_segments.EVENTS_MAX
    loose = [SegmentRow(n, n, full, T + n, T + n, 0, 0) for n in range(40)]
    assert to_bind(loose[:7]) == []
    assert to_bind(loose[::-1]) == loose[:8]
    small = [replace(row, volume=100 + row.id // 8) for row in loose]
    assert to_bind(small[:31]) == []
    assert to_bind([*loose[:6], *small[8:]]) == small[8:]
    large = [replace(row, volume=100) for row in loose[:32]]
    assert to_bind([*large, *small[32:]]) == []


def test_long_lists_are_intersected_like_short_ones():
    even, third = list(range(0, 6_000, 2)), list(range(0, 6_000, 3))
    assert list(intersect(third, even)) == list(range(0, 6_000, 6))
    assert list(intersect([6, 7, 5_999], even)) == [6]
    assert list(intersect([], even)) == []


def test_a_line_that_is_no_record_is_told_of_and_passed_over(index, caplog):
    odd = (b"{", b"[]", b"{}", record("Odd", eventTime="noon"), b'{"eventTime":"\\ud800"}', b"[" * 9_999)
    add(index, *enumerate((*odd, record("Fine")), 1))
    assert found(index) == [len(odd) + 1]
    assert caplog.text.count("is no record") == len(odd)


def test_clearing_starts_again(index):
    add(index, (1, record("A", T)))
    index.clear()
    assert (index.cursor(), found(index)) == (0, [])
    add(index, (1, record("A", T)))
    assert found(index, "nA") == [1]


@pytest.mark.parametrize("content", [b"this is no database" * 900, b""])
def test_a_damaged_index_is_replaced(tmp_path, content):
    (tmp_path / EVENTS_FILE).write_bytes(content)
    index = SqliteHistory(tmp_path)
    assert index.cursor() == 0
    if content:
        assert (tmp_path / ASIDE_FILE).read_bytes() == content
        with pytest.raises(HistoryUnavailable, match="being built again"):
            found(index)
        index.begin(6)
        index.fill([(3, record("B", T - 1))], after=0, through=6, oldest=0)
    add(index, (7, record("A", T)))
    assert found(index) == ([7, 3] if content else [7])
    index.close()


def test_an_index_of_another_format_is_replaced(tmp_path):
    other = sqlite3.connect(tmp_path / EVENTS_FILE)
    other.executescript("CREATE TABLE meta (name TEXT PRIMARY KEY, value); INSERT INTO meta VALUES ('format', 1)")
    other.close()
    index = SqliteHistory(tmp_path)
    assert (index.cursor(), index.lacks()) == (0, (0, -1))
    with pytest.raises(HistoryUnavailable):
        found(index)
    index.begin(0)
    assert (index.lacks(), found(index)) == ((0, 0), [])
    index.close()


def test_imported_events_of_another_format_are_told_of_once_and_left_alone(index, tmp_path, caplog):
    add(index, (1, record("A", T)))
    other = sqlite3.connect(tmp_path / IMPORTED_FILE)
    other.executescript("CREATE TABLE meta (name TEXT PRIMARY KEY, value); INSERT INTO meta VALUES ('format', 4)")
    other.close()
    assert [found(index) for _ in range(3)] == [[1]] * 3
    assert caplog.text.count("of another version") == 1
    with pytest.raises(OtherFormat):
        ImportStore(tmp_path)
    other = sqlite3.connect(tmp_path / IMPORTED_FILE)
    assert other.execute("SELECT * FROM meta").fetchall() == [("format", 4)]
    other.close()


def test_a_file_that_is_only_being_made_is_read_when_it_is_made(index, tmp_path):
    add(index, (1, record("A", T)))
    (tmp_path / IMPORTED_FILE).touch()
    assert found(index) == [1]
    made = HistoryFile(tmp_path / IMPORTED_FILE, durable=True)
    made.add([Entry(T - 1, -1, record("B", T - 1), (), ())], after=0, through=0)
    assert found(index) == [1, -1]
    made.close()


def test_a_common_word_is_asked_for_in_few_volumes_only(index, monkeypatch):
    for seq in range(1, 40):
        add(index, (seq, record(f"Call{seq % 5}", T + seq)))
    asked = []
    having = Shelf._having_one
    monkeypatch.setattr(
        Shelf, "_having_one", lambda shelf, words, volumes: asked.append(volumes) or having(shelf, words, volumes)
    )
    assert found(index, "nCall1", limit=1) == [36]
    assert [len(volumes) for volumes in asked] == [4, 8], "as far as the second event"
    asked.clear()
    assert found(index, "nCall1") == list(range(36, 0, -5))
    assert [len(volumes) for volumes in asked] == [4, 8, 16, 11]


def test_a_reader_notices_that_the_file_was_replaced(index, tmp_path):
    add(index, (1, record("A", T)))
    assert found(index) == [1]
    history_file.remove(tmp_path / EVENTS_FILE)
    assert found(index) == []
    other = SqliteHistory(tmp_path)
    add(other, (5, record("B", T)))
    assert found(index) == [5]
    other.close()


def test_a_search_sees_the_file_as_it_stood_when_it_began(index):
    add(index, (1, record("A", T)))
    with index._reader.shelves() as [shelf]:
        add(index, (2, record("A", T + 1)))
        assert [row[1] for row in shelf.find(search("nA"), 50)] == [1]
    assert found(index, "nA") == [2, 1]


def test_pages_of_both_files_are_in_one_order(index, tmp_path):
    rng = random.Random(3)
    made = HistoryFile(tmp_path / IMPORTED_FILE, durable=True)
    places = [(T + rng.randrange(40), seq) for seq in (*range(-60, 0), *range(1, 61))]
    for place in places:
        entry = Entry(*place, record("A", place[0]), ("nA",), ())
        writer, cursor = (made, made.cursor()) if place[1] < 0 else (index._file, index.cursor())
        writer.add([entry], after=cursor, through=cursor)
    pages, before = [], None
    while page := index.find(search("nA", before=before), 7):
        pages += [(event.time, event.seq) for event in page]
        before = pages[-1]
    assert pages == sorted(places, reverse=True)
    made.close()


def test_remembered_lists_are_bounded(index, monkeypatch):
    monkeypatch.setattr(history_lists, "LISTS_REMEMBERED_MAX", 30)
    for seq in range(1, 8):
        add(index, (seq, record("A", T + seq)))
    for n in range(100):
        found(index, f"n{n}")
        found(index, attribute("EventName", "A"))
    with index._reader.shelves() as [shelf]:
        words = shelf._lists._words
        kept = [ranks for volumes in words.values() for short in volumes.values() for ranks in (short, *short.values())]
        assert attribute("EventName", "A") in words
        assert len(kept) == shelf._lists._count <= 30


def test_an_event_that_is_gone_is_told_of(index):
    add(index, *((seq, record("A", T + seq)) for seq in range(1, 9)))
    index._file.connection.execute("DELETE FROM events WHERE number = 5")
    with pytest.raises(HistoryUnavailable, match="missing"):
        found(index)
    with pytest.raises(Damaged, match="missing"):
        merge(index._file.connection, index._file.rows())


def test_segments_share_dictionaries_by_the_dozen_and_the_last_one_takes_it_away(index, monkeypatch):
    monkeypatch.setattr(history_segments, "DICTIONARY_EVENTS", 30)
    monkeypatch.setattr(history_frames, "SAMPLES", 50)
    monkeypatch.setattr(history_tables, "DICTIONARY_SEGMENTS", 2)
    rng = random.Random(1)
    for start in (0, 200, 400):
        lines = [(seq, record("A", T + seq, x=rng.randbytes(9).hex())) for seq in range(start, start + 200)]
        index.add(lines, after=index.cursor(), through=lines[-1][0], oldest=0)
    execute = index._file.connection.execute
    assert [row.dictionary for row in index._file.rows()] == [1, 1, 3]
    assert len(found(index, limit=1_000)) == 600
    assert index.tidy(T + 400)
    assert execute("SELECT id FROM dictionaries").fetchall() == [(3,)]
    index.clear()
    add(index, *((seq, record("A", T + seq)) for seq in range(700, 740)))
    assert [row.dictionary for row in index._file.rows()] == [4], "no number is given twice"
    assert len(found(index)) == 40
    execute("DELETE FROM dictionaries")
    with index._reader.shelves() as [shelf], pytest.raises(Damaged, match="dictionary"):
        Memory(shelf._connection).unpack_with(4)
