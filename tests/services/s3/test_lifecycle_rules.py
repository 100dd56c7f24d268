"""Which rule means what, and when: the reckoning of lifecycle rules by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.rows.s3 import ObjectVersion
from opentrail.services.s3.lifecycle_rules import (
    DAY_SECONDS,
    DEPTH,
    LATEST,
    Plan,
    after_days,
    expiry,
    next_class,
    read_plan,
)

MORNING = datetime(2026, 1, 15, 10, 30, tzinfo=UTC).timestamp()
LARGE = 1024 * 1024


def plan(*rules: dict[str, Any], **more: Any) -> Plan:
    named = [{"ID": f"r{n}", "Status": "Enabled", "Filter": {}, **each} for n, each in enumerate(rules)]
    return read_plan(msgspec.json.encode({"Rules": named, **more}).decode())


def version(key: str = "k", **more: Any) -> ObjectVersion:
    return ObjectVersion(key, "null", 1, more.pop("modified", MORNING), "1" * 12, size=more.pop("size", LARGE), **more)


def test_ages_are_counted_to_the_next_midnight():
    assert after_days(MORNING, 3) == datetime(2026, 1, 19, tzinfo=UTC).timestamp()
    midnight = datetime(2026, 1, 15, tzinfo=UTC).timestamp()
    assert after_days(midnight, 3) == datetime(2026, 1, 18, tzinfo=UTC).timestamp()
    assert after_days(MORNING, 3, 10.0) == MORNING + 30
    assert after_days(MORNING, 2**31 - 1) == LATEST


@given(st.integers(0, 4_000_000_000), st.integers(0, 40_000))
def test_nothing_is_due_before_its_age_nor_a_day_later(since: int, days: int):
    due = after_days(since, days)
    assert since + days * DAY_SECONDS <= due < since + (days + 1) * DAY_SECONDS
    assert due % DAY_SECONDS == 0


def test_the_first_rule_to_expire_wins():
    both = plan({"Expiration": {"Days": 9}}, {"Expiration": {"Date": "2026-01-20T00:00:00Z"}})
    assert expiry(both, version()) == (datetime(2026, 1, 20, tzinfo=UTC).timestamp(), "r1")
    assert expiry(both, version(modified=0.0)) == (10 * DAY_SECONDS - DAY_SECONDS, "r0")
    assert expiry(plan(), version()) is None
    assert read_plan("").rules == ()


@given(st.lists(st.text("ab/", max_size=4), max_size=8), st.text("ab/", max_size=6))
def test_prefixes_cover_every_rule_and_no_key_twice(prefixes: list[str], key: str):
    rules = plan(*({"Filter": {"Prefix": each}, "Expiration": {"Days": 1}} for each in prefixes))
    walked = rules.prefixes("objects")
    assert walked == sorted(walked)
    assert sum(key.startswith(each) for each in walked) == any(key.startswith(each) for each in prefixes)
    assert rules.prefixes("uploads") == []


@pytest.mark.parametrize(
    ("present", "wanted", "moves"),
    [
        ("STANDARD", "GLACIER_IR", True),
        ("REDUCED_REDUNDANCY", "STANDARD_IA", True),
        ("STANDARD_IA", "INTELLIGENT_TIERING", True),
        ("INTELLIGENT_TIERING", "STANDARD_IA", False),
        ("ONEZONE_IA", "GLACIER_IR", False),
        ("ONEZONE_IA", "GLACIER", True),
        ("GLACIER", "GLACIER", False),
        ("DEEP_ARCHIVE", "GLACIER", False),
    ],
)
def test_objects_only_move_down(present: str, wanted: str, moves: bool):
    rules = plan({"Transitions": [{"Days": 0, "StorageClass": wanted}]})
    assert next_class(rules, version(storage_class=present), MORNING + 2 * DAY_SECONDS, DAY_SECONDS) == (
        wanted if moves else ""
    )


def test_of_several_moves_the_coldest_is_made():
    moves = [{"Days": days, "StorageClass": DEPTH[-days]} for days in (1, 2, 3)]
    rules = plan(*({"Transitions": [each]} for each in moves))
    assert next_class(rules, version(), MORNING + 9 * DAY_SECONDS, DAY_SECONDS) == "DEEP_ARCHIVE"
    dated = plan({"Transitions": [{"Date": "2026-01-16T00:00:00Z", "StorageClass": "GLACIER"}]})
    assert next_class(dated, version(), MORNING, DAY_SECONDS) == ""
    assert next_class(dated, version(), MORNING + DAY_SECONDS, DAY_SECONDS) == "GLACIER"


def test_markers_have_neither_tags_nor_sizes():
    marker = version(delete_marker=True, size=0)
    tagged = plan({"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"Days": 1}})
    small = plan({"Filter": {"ObjectSizeLessThan": 5}, "Expiration": {"Days": 1}})
    assert expiry(tagged, marker) is None
    assert expiry(small, marker) is None
    assert expiry(plan({"Expiration": {"Days": 1}}), marker) is not None
