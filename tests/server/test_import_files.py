"""Reading log files: every kind that Amazon and others write, and what must not get through."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from opentrail.server import import_files
from opentrail.server.import_files import Unreadable, records_in
from tests.server.import_world import event, log_file

ODD = '{"eventTime" : "2014-03-06T21:22:54Z",\t"x":"\\u00e9\\/é", "n": 1.0e3 }'.encode()


def test_records_come_out_byte_for_byte():
    text = b'{"other": [1], "Records":[' + ODD + b"," + ODD + b" ] }"
    assert records_in(gzip.compress(text)) == records_in(text) == [ODD, ODD]


def test_several_gzip_members_are_one_file():
    text = b'{"Records":[' + ODD + b"]}"
    assert records_in(gzip.compress(text[:20]) + gzip.compress(text[20:])) == [ODD]
    assert records_in(gzip.compress(text) + bytes(512)) == [ODD]


def test_a_record_a_line():
    lines = [json.dumps(event(n)).encode() for n in range(3)]
    assert records_in(b"\n".join(lines)) == records_in(gzip.compress(b"\r\n".join(lines) + b"\n\n")) == lines
    assert records_in(lines[0]) == lines[:1]


def test_a_record_without_a_time_does_not_hide_the_lines_around_it():
    lines = [json.dumps(event(0)).encode(), b'{"eventName":"X"}', json.dumps(event(1)).encode()]
    assert records_in(b"\n".join(lines)) == lines
    assert records_in(b"\n".join([lines[1], lines[0]])) == [lines[1], lines[0]]


def test_an_empty_log_file_holds_nothing():
    assert records_in(log_file([])) == []


WHOLE = log_file([event(n) for n in range(200)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (WHOLE[:-9], "cut off"),
        (WHOLE[:200], "cut off"),
        (WHOLE[:300] + b"\xff" * 40 + WHOLE[340:], "damaged|no JSON"),
        (WHOLE + b"more", "damaged"),
        (b"\x1f\x8b", "cut off"),
        (b"", "no JSON"),
        (b"PK\x03\x04", "no JSON"),
        (b"[]", "no list of Records"),
        (b'{"Records": 7}', "no list of Records"),
        (b'{"configurationItems":[]}', "no list of Records"),
        (b'{"Records":[{"a":1},]}', "no JSON"),
        (b'{"a":1}\n{"b":2}', "no list of Records"),
        (b'{"eventTime":"2026-11-20T10:00:00Z"}\n{"eventTime":"2026-', "record 2 of it, one a line, is no JSON"),
        (b"[" * 100_000, "no JSON|no list"),
        (b'{"Records":' + b"[" * 100_000, "no JSON"),
        (b'{"Records":["' + b"x" * (1 << 20) + b'"]}', "record of it is larger"),
    ],
)
def test_what_is_no_log_file_is_refused_with_a_reason(data, reason):
    with pytest.raises(Unreadable, match=reason):
        records_in(data)


def test_nothing_is_inflated_without_end(monkeypatch):
    monkeypatch.setattr(import_files, "INFLATED_MAX", 1 << 20)
    monkeypatch.setattr(import_files, "INFLATE_STEP", 1 << 16)
    stream = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(stream.compress(bytes(1 << 20)) for _ in range(64)) + stream.flush()
    assert len(bomb) < 100_000
    with pytest.raises(Unreadable, match="larger than"):
        records_in(bomb)
    with pytest.raises(Unreadable, match="larger than"):
        records_in(bytes(1 << 21))
