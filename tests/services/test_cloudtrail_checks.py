"""What CloudTrail's checks make of anything: a value, or AWS's error, never another exception."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import TrailConfig
from opentrail.services.cloudtrail_checks import (
    arn_of,
    check_bucket,
    check_prefix,
    check_resource_arn,
    check_tags,
    check_topic,
    check_trail_name,
    parse_trail,
)
from opentrail.services.cloudtrail_log_group import with_log_group

ACCOUNT = "123456789012"
TRAIL = TrailConfig("t", ACCOUNT, "us-east-1", "b", 0.0)
GROUP = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
CHECKS: list[Callable[[str], object]] = [
    check_trail_name,
    check_bucket,
    check_prefix,
    check_resource_arn,
    lambda text: parse_trail(text, ACCOUNT, "us-east-1"),
    lambda text: parse_trail(f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/{text}", ACCOUNT, "us-east-1"),
    lambda text: check_topic(text, ACCOUNT, "us-east-1"),
    lambda text: check_tags([{"Key": text, "Value": text}]),
    lambda text: with_log_group(TRAIL, {"CloudWatchLogsLogGroupArn": text, "CloudWatchLogsRoleArn": text}),
    lambda text: with_log_group(TRAIL, {"CloudWatchLogsLogGroupArn": f"{GROUP}{text}:*", "CloudWatchLogsRoleArn": "x"}),
]


@pytest.mark.parametrize("check", CHECKS)
@given(text=st.text(st.characters(), max_size=300))
def test_any_text_gives_a_value_or_an_error_of_awss(check, text):
    with contextlib.suppress(AwsError):
        check(text)


@pytest.mark.parametrize("name", ["abc", "a-b_c.d", "A" * 128, "1.2.3", "1.2.3.4.5"])
def test_good_names(name):
    assert check_trail_name(name) == name


@pytest.mark.parametrize("name", ["my-_namespace", "my--namespace", "abc\n", "ab_", "_ab", "1.2.3.4"])
def test_bad_names(name):
    with pytest.raises(AwsError):
        check_trail_name(name)


def test_arns_are_taken_apart():
    arn = "arn:aws:cloudtrail:eu-west-1:999999999999:trail/main"
    assert parse_trail(arn, ACCOUNT, "us-east-1") == ("999999999999", "eu-west-1", "main", True)
    assert parse_trail("main", ACCOUNT, "us-east-1") == (ACCOUNT, "us-east-1", "main", False)
    assert arn_of("main", ACCOUNT, "us-east-1") == f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
    assert arn_of(arn, ACCOUNT, "us-east-1") == arn


def test_a_topic_is_known_by_name_or_arn():
    arn = f"arn:aws:sns:us-east-1:{ACCOUNT}:news"
    assert check_topic("news", ACCOUNT, "us-east-1") == check_topic(arn, ACCOUNT, "us-east-1") == arn
