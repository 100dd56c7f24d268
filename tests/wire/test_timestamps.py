"""Points in time, in every format a client or AWS writes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from opentrail.wire.scalars import Malformed
from opentrail.wire.timestamps import (
    format_all_iso8601_millis,
    format_http_date,
    format_iso8601,
    format_iso8601_millis,
    format_timestamp,
    parse_epoch,
    parse_timestamp,
    to_epoch,
)

MOMENT = datetime(2026, 11, 21, 2, 42, 43, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T02:42:43Z",
        "2026-11-21T02:42:43.000Z",
        "2026-11-21T02:42:43",
        "2026-11-21t02:42:43z",
        "2026-11-21T03:42:43+01:00",
        "2026-11-21T01:12:43-0130",
        "Sat, 21 Nov 2026 02:42:43 GMT",
        "Sat, 21 Nov 2026 02:42:43 +0000",
        "Saturday, 21-Nov-26 02:42:43 GMT",
        "Sat Nov 21 02:42:43 2026",
        "1795228963",
        "1795228963.0",
        "1.795228963e9",
    ],
)
def test_every_format_is_read(text):
    assert parse_timestamp(text) == MOMENT
    assert parse_timestamp(text).tzinfo is UTC


def test_a_date_alone_is_its_midnight():
    assert parse_timestamp("2026-11-21") == datetime(2026, 11, 21, tzinfo=UTC)


def test_fractions_of_a_second():
    moment = MOMENT + timedelta(microseconds=123456)
    assert parse_timestamp("2026-11-21T02:42:43.123456789Z") == moment
    assert parse_epoch(to_epoch(moment)) == moment
    assert format_iso8601(moment) == "2026-11-21T02:42:43.123456Z"
    assert format_iso8601_millis(moment) == "2026-11-21T02:42:43.123Z"


def test_what_is_written():
    assert format_iso8601(MOMENT) == "2026-11-21T02:42:43Z"
    assert format_iso8601_millis(MOMENT) == "2026-11-21T02:42:43.000Z"


@pytest.mark.parametrize("times", [[0.5, 1.25], [0.5, 1], [0, 1], [1e9, 0.001], [0.123456, -1.5, 253402300799.5]])
def test_many_are_written_as_each_by_itself(times):
    assert format_all_iso8601_millis(times) == [format_iso8601_millis(time) for time in times]
    assert format_http_date(MOMENT) == "Sat, 21 Nov 2026 02:42:43 GMT"
    assert to_epoch(MOMENT) == 1795228963
    assert isinstance(to_epoch(MOMENT), int)
    assert to_epoch(MOMENT + timedelta(milliseconds=500)) == 1795228963.5
    assert format_timestamp(MOMENT, "unixTimestamp") == "1795228963"


def test_handlers_may_give_seconds_naive_times_and_other_zones():
    assert format_iso8601(1795228963) == "2026-11-21T02:42:43Z"
    assert format_iso8601(1795228963.25) == "2026-11-21T02:42:43.250Z"
    assert format_iso8601(MOMENT.replace(tzinfo=None)) == "2026-11-21T02:42:43Z"
    assert format_iso8601(MOMENT.astimezone(timezone(timedelta(hours=9)))) == "2026-11-21T02:42:43Z"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e18, -1e18])
def test_seconds_out_of_range_are_refused(seconds):
    with pytest.raises(Malformed):
        parse_epoch(seconds)
