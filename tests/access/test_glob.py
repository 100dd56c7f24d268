"""Wildcards: what they match, what variables may not smuggle in, and that no pattern can stall."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.access.glob import Glob, Patterns, parse, resolve


def glob(pattern: str, text: str) -> bool:
    return Glob(parse(pattern, True)).matches(text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("abc", "abc", True),
        ("abc", "abcd", False),
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("**", "anything", True),
        ("a*", "a", True),
        ("*a", "ba", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*bc*c", "abc", False),
        ("?", "", False),
        ("?", "é", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*?x?*", "axb", True),
        ("*?x?*", "xb", False),
        ("a*?", "a", False),
        ("a.c", "abc", False),
        ("a*c", "a\nc", True),
        ("a?c", "a\nc", True),
        ("[ab]", "a", False),
        ("${*}", "*", True),
        ("${*}", "x", False),
        ("a${?}${$}", "a?$", True),
        ("${unclosed*", "${unclosed-x", True),
    ],
)
def test_patterns(pattern, text, expected):
    assert glob(pattern, text) is expected


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_agrees_with_a_backtracking_matcher(pattern, text):
    assert glob(pattern, text) is bool(re.fullmatch(fnmatch.translate(pattern), text))


def test_no_pattern_stalls():
    started = time.process_time()
    text = "a" * 1024
    for pattern in ("*a" * 5000, "a*" * 500 + "b", "*" * 10000, "?" * 1025, "*" + "a?" * 400 + "*b", "${" * 10000):
        assert glob(pattern, text) is (pattern == "*" * 10000)
    assert time.process_time() - started < 30  # a pattern that backtracks takes hours


def test_variables_are_literal_text():
    patterns = Patterns([parse("arn:aws:s3:::b/${aws:username}/*", True)])
    assert patterns.matches("arn:aws:s3:::b/alice/x", lambda _key: ("alice",))
    assert not patterns.matches("arn:aws:s3:::b/alice/x", lambda _key: ("*",))
    assert patterns.matches("arn:aws:s3:::b/*/x", lambda _key: ("*",))
    assert not patterns.matches("arn:aws:s3:::b/${aws:username}/x", lambda _key: ("${aws:username}x",))


def test_variables_need_exactly_one_value():
    tokens = parse("${aws:username}", True)
    assert resolve(tokens, lambda _key: None) is None
    assert resolve(tokens, lambda _key: ("a", "b")) is None
    assert resolve(parse("${aws:username, 'nobody'}", True), lambda _key: None) == ("nobody",)


def test_names_are_looked_up_in_lower_case():
    asked = []
    resolve(parse("${aws:PrincipalTag/Team}", True), lambda key: asked.append(key))
    assert asked == ["aws:principaltag/team"]


def test_no_variables_in_the_old_version():
    assert Glob(parse("${aws:username}", False)).matches("${aws:username}")
