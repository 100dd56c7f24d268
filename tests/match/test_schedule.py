import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opentrail.errors import AwsError
from opentrail.match.schedule import parse_schedule


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("cron(0 12 * * ? *)", "2026-03-01T12:00:00", "2026-03-02T12:00:00"),
        ("cron(0 12 * * ? *)", "2026-03-01T11:59:59", "2026-03-01T12:00:00"),
        ("cron(0/15 * * * ? *)", "2026-03-01T12:14:30", "2026-03-01T12:15:00"),
        ("cron(15 10 ? * 6L 2026-2027)", "2026-03-01T00:00:00", "2026-03-27T10:15:00"),
        ("cron(0 2 ? * SAT#3 *)", "2026-03-01T00:00:00", "2026-03-21T02:00:00"),
        ("cron(0 8 1 * ? *)", "2026-12-02T00:00:00", "2027-01-01T08:00:00"),
        ("cron(0 0 L 2 ? *)", "2027-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("cron(0 0 LW * ? *)", "2026-05-01T00:00:00", "2026-05-29T00:00:00"),
        ("cron(0 0 1W * ? *)", "2026-08-01T00:00:00", "2026-08-03T00:00:00"),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-03-06T17:56:00", "2026-03-09T08:00:00"),
        ("cron(0 22-2 ? * * *)", "2026-03-06T23:30:00", "2026-03-07T00:00:00"),
    ],
)
def test_next_time_of_cron(expression, after, expected):
    assert parse_schedule(expression).next_after(at(after), 0.0) == at(expected)


def test_a_past_cron_never_comes():
    assert parse_schedule("cron(15 10 ? * 6L 2002-2005)").next_after(at("2026-01-01T00:00:00"), 0.0) is None


def test_rates_count_from_their_beginning():
    schedule = parse_schedule("rate(5 minutes)")
    assert schedule.next_after(1_000.0, 1_000.0) == 1_300.0
    assert schedule.next_after(1_300.0, 1_000.0) == 1_600.0
    assert schedule.next_after(1_299.0, 1_000.0) == 1_300.0


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "rate(1 minutes)",
        "rate(2 minute)",
        "rate(0 minutes)",
        "rate(99999999999 days)",
        "rate(٣ days)",
        "cron(0 1 * * * *)",
        "cron(0 1 ? * ? *)",
        "cron(60 1 * * ? *)",
        "cron(0 1 32 * ? *)",
        "cron(0 1 0W * ? *)",
        "cron(0 1 ? * SAT#6 *)",
        "cron(0 1 ? * 8 *)",
        "cron(0/0 1 * * ? *)",
        "cron(0/ 1 * * ? *)",
        "cron(, 1 * * ? *)",
        "cron(0 1 * * ? 1969)",
        "cron(0  1 * * ? *)",
        "cron(" + "0," * 200 + "0 1 * * ? *)x",
    ],
)
def test_refused(expression):
    with pytest.raises(AwsError) as caught:
        parse_schedule(expression)
    assert (caught.value.code, caught.value.message) == (
        "ValidationException",
        "Parameter ScheduleExpression is not valid.",
    )


DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")


@pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA is not set")
def test_expressions_judged_by_aws():
    cases = json.loads((Path(DATA) / "schedule_cases.json").read_text())
    for expression in cases["valid"]:
        parse_schedule(expression)
    for expression in cases["invalid"]:
        with pytest.raises(AwsError):
            parse_schedule(expression)
