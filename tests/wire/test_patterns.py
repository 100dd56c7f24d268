from __future__ import annotations

import time

import pytest

from opentrail.model.load import IN_SCOPE, load_models
from opentrail.model.shapes import ShapeModel
from opentrail.wire.patterns import MANY_REPEATS_VALUE_MAX, PATTERN_VALUE_MAX, compile_pattern, matches


def fits(pattern: str, value: str) -> bool:
    compiled = compile_pattern(pattern)
    assert compiled is not None
    return matches(compiled, value)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"[\w+=,.@-]+", "a+b", "a b"),
        (r"[\w+=,.@-]+", "a", "a\n"),
        (r"[\w+=,.@-]+", "a", "é"),
        (r"^[a-z]+$", "abc", "abc\n"),
        (r"[\w-_]*", "a-_", "a b"),
        (r"AWS|ThirdParty", "ThirdParty", "AWSx"),
        (r"arn:aws(-[\w]+)*:iam::[0-9]{12}:role/.*", "arn:aws-cn:iam::123456789012:role/x", "arn:aws:iam::1:role/x"),
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", "Ünï 1", "a#b"),
        (r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)", "/a/b/", "a/"),
        (r"((/[A-Za-z0-9\.,\+@=_-]+)*)/", "/a/b/", "//"),
        (r"\d{12}", "123456789012", "12345678901"),
        (r"[a[\]]+", "[a]", "b"),
    ],
)
def test_translated(pattern: str, good: str, bad: str) -> None:
    assert fits(pattern, good)
    assert not fits(pattern, bad)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a*)*b",
        "(a|aa)+",
        "(a|a?)+",
        "([a-z]+)*$",
        r"^[ \t]*[\x20-\x7E]+([ \t]+[\x20-\x7E]+)*[ \t]*$",
        "((a+)b?)+",
        "(a.*)+",
        "(-[-a]+)*",
        "(-a?a?)*",
        "(a|[a-z])*",
        "(a+){9}",
        ".*x.*y.*z",
        "[",
        "(",
        ")",
        "a{2,1}",
        r"\p{M}+",
        "(a{1,}){1,}",
        "(a{50}){9,}" * 3 + "(",
    ],
)
def test_left_out(pattern: str) -> None:
    assert compile_pattern(pattern) is None


def every_pattern() -> set[str]:
    found: set[str] = set()
    seen: set[int] = set()

    def walk(shape: ShapeModel) -> None:
        if id(shape) in seen:
            return
        seen.add(id(shape))
        if shape.pattern:
            found.add(shape.pattern)
        for member in (*shape.members.values(), shape.item, shape.key, shape.value):
            if member is not None:
                walk(member.shape)

    for service in IN_SCOPE:
        for operation in load_models().service(service).operations.values():
            if operation.input is not None:
                walk(operation.input)
    return found


def test_most_patterns_of_our_services_are_checked() -> None:
    patterns = every_pattern()
    left_out = [pattern for pattern in patterns if compile_pattern(pattern) is None]
    assert len(left_out) < len(patterns) * 0.1


def test_no_pattern_runs_away() -> None:
    seeds = ["a", "a-", "/a", " a", ".", "-", "%", "$.a", "0.", ":x/", "a.b-", "arn:aws:", "(1)"]
    hostile = [(seed * PATTERN_VALUE_MAX)[: PATTERN_VALUE_MAX - 1] + "\x01" for seed in seeds]
    compiled = [one for one in (compile_pattern(pattern) for pattern in every_pattern()) if one is not None]
    hostile += [value[-MANY_REPEATS_VALUE_MAX:] for value in hostile]
    started = time.process_time()
    for pattern in compiled:
        for value in hostile:
            matches(pattern, value)
    assert time.process_time() - started < 2


def test_values_too_long_to_try_pass() -> None:
    assert fits("b", "a" * (PATTERN_VALUE_MAX + 1))
