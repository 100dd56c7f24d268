"""Condition operators, one row a case: operator, policy values, request values, what holds."""

from __future__ import annotations

import pytest

from opentrail.access.conditions import BadCondition, compile_condition, read_date


def holds(name, wanted, found, key="aws:x"):
    values = wanted if isinstance(wanted, tuple) else (wanted,)
    context = {} if found is None else {"aws:x": found if isinstance(found, tuple) else (found,)}
    return compile_condition(name, key, values, True).holds(context.get)


ARN = "arn:aws:sns:us-east-1:111111111111:topic"

CASES = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", ("a", "b"), "b", True),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", "a*", "a*", True),
    ("StringEquals", "a", None, False),
    ("StringEqualsIfExists", "a", None, True),
    ("StringEqualsIfExists", "a", "b", False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", ("a", "b"), "b", False),
    ("StringNotEquals", "a", None, True),
    ("StringNotEqualsIfExists", "a", None, True),
    ("StringEqualsIgnoreCase", "AbC", "aBc", True),
    ("StringNotEqualsIgnoreCase", "AbC", "aBc", False),
    ("StringLike", "a*c?", "abbbcd", True),
    ("StringLike", "a*", "Ab", False),
    ("StringNotLike", "a*", "ab", False),
    ("StringNotLike", "a*", None, True),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", "10", "ten", False),
    ("NumericEquals", "10", "1_0", False),
    ("NumericNotEquals", "10", "11", True),
    ("NumericLessThan", "10", "9", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericGreaterThan", "10", "1e2", True),
    ("NumericGreaterThanEquals", "10", "nan", False),
    ("NumericGreaterThan", "10", "9" * 65, False),
    ("NumericLessThan", "10", None, False),
    ("DateLessThan", "2030-01-01T00:00:00Z", "2026-09-21T14:13:20Z", True),
    ("DateGreaterThan", "2030-01-01T00:00:00Z", "2026-09-21T14:13:20Z", False),
    ("DateGreaterThan", "2020-01-01", "2026-09-21T14:13:20Z", True),
    ("DateLessThan", "1893456000", "2026-09-21T14:13:20Z", True),
    ("DateEquals", "2026-09-21T16:13:20+02:00", "2026-09-21T14:13:20Z", True),
    ("DateNotEquals", "2026-09-21", "nonsense", True),
    ("Bool", "true", "true", True),
    ("Bool", "True", "TRUE", True),
    ("Bool", "false", "true", False),
    ("Bool", "true", None, False),
    ("BoolIfExists", "true", None, True),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
    ("BinaryEquals", "QmluYXJ5", "@@", False),
    ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
    ("IpAddress", "10.0.0.1/8", "10.1.2.3", True),
    ("IpAddress", "10.0.0.1", "10.0.0.1", True),
    ("IpAddress", "10.0.0.0/8", "::ffff:10.1.2.3", True),
    ("IpAddress", "10.0.0.0/8", "2001:db8::1", False),
    ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
    ("IpAddress", "0.0.0.0/0", "cloudtrail.amazonaws.com", False),
    ("NotIpAddress", "10.0.0.0/8", "11.0.0.1", True),
    ("NotIpAddress", "10.0.0.0/8", None, True),
    ("ArnEquals", ARN, ARN, True),
    ("ArnEquals", "arn:aws:sns:*:111111111111:*", ARN, True),
    ("ArnLike", "arn:aws:sns:*:topic", ARN, False),
    ("ArnLike", "arn:aws:sns:us-*:*:t?pic", ARN, True),
    ("ArnLike", "arn:aws:s*:topic", ARN, False),
    ("ArnLike", "arn:aws:sns:*", ARN, True),
    ("ArnLike", "*", ARN, True),
    ("ArnLike", "arn:aws:sns:*:*:*", "not-an-arn", False),
    ("ArnLike", "arn:aws:logs:*:*:log-group:*", "arn:aws:logs:r:1:log-group:a:b", True),
    ("ArnNotLike", "arn:aws:sns:*:*:*", ARN, False),
    ("ArnNotEquals", ARN, None, True),
    ("Null", "true", None, True),
    ("Null", "true", "x", False),
    ("Null", "false", "x", True),
    ("Null", "false", None, False),
    ("ForAllValues:StringEquals", ("a", "b"), ("a", "b"), True),
    ("ForAllValues:StringEquals", ("a", "b"), ("a", "c"), False),
    ("ForAllValues:StringEquals", ("a",), None, True),
    ("ForAllValues:StringEquals", ("a",), (), True),
    ("ForAllValues:StringNotEquals", ("a",), ("b", "c"), True),
    ("ForAllValues:StringNotEquals", ("a",), ("a", "c"), False),
    ("ForAnyValue:StringEquals", ("a", "b"), ("x", "b"), True),
    ("ForAnyValue:StringEquals", ("a",), ("x", "y"), False),
    ("ForAnyValue:StringEquals", ("a",), None, False),
    ("ForAnyValue:StringNotEquals", ("a",), ("a", "b"), True),
    ("ForAnyValue:StringNotEquals", ("a",), None, False),
    ("ForAnyValue:StringLikeIfExists", ("a*",), None, True),
    ("StringEquals", (), "a", False),
    ("StringNotEquals", (), "a", True),
]


@pytest.mark.parametrize(("name", "wanted", "found", "expected"), CASES)
def test_operators(name, wanted, found, expected):
    assert holds(name, wanted, found) is expected


def test_keys_are_case_insensitive():
    assert holds("StringEquals", "a", "a", key="AWS:X")


@pytest.mark.parametrize("operator", ["StringEquals", "StringLike", "ArnLike"])
def test_variables_in_values(operator):
    value = "arn:aws:iam::1:user/${aws:username}"
    condition = compile_condition(operator, "aws:x", (value,), True)
    context = {"aws:x": ("arn:aws:iam::1:user/alice",), "aws:username": ("alice",)}
    assert condition.holds(context.get)
    assert not condition.holds((context | {"aws:username": ("*",)}).get)
    del context["aws:username"]
    assert not condition.holds(context.get)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StringMatches", "a"),
        ("stringequals", "a"),
        ("ForSomeValues:StringEquals", "a"),
        ("ForAnyValue:", "a"),
        ("NullIfExists", "true"),
        ("IfExists", "a"),
        ("", "a"),
        ("NumericEquals", "ten"),
        ("NumericEquals", "١٢"),
        ("NumericEquals", "9" * 5000),
        ("DateEquals", "tomorrow"),
        ("DateEquals", "99999-01-01T00:00:00Z"),
        ("Bool", "yes"),
        ("IpAddress", "10.0.0.0/99"),
        ("IpAddress", "everywhere"),
        ("BinaryEquals", "?"),
    ],
)
def test_what_cannot_be_meant(name, value):
    with pytest.raises(BadCondition):
        compile_condition(name, "aws:x", (value,), True)


def test_dates():
    assert read_date("2026-09-21T14:13:20Z") == 1_790_000_000
    assert read_date("20260921") == 1_789_948_800
    assert read_date("1790000000") == 1_790_000_000
    assert read_date("9" * 400) is None
    assert read_date("0001-01-01T00:00:00+23:59") < 0
