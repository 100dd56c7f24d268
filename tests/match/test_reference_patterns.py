"""Patterns judged by AWS and by its open matcher: run where the reference data is at hand (OPENTRAIL_REFERENCE_DATA)."""

import json
import os
from pathlib import Path

import pytest

from opentrail.errors import AwsError
from opentrail.match.pattern import compile_pattern

DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")
pytestmark = pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA is not set")


def rows(name):
    return json.loads((Path(DATA) / name).read_text()) if DATA else []


def judge(row):
    pattern = row.get("pattern_raw") or json.dumps(row["pattern"])
    event = row.get("event_raw") or json.dumps(row["event"])
    try:
        return compile_pattern(pattern).matches(event), ""
    except AwsError as error:
        return "error", error.message


def test_aws_verdicts_and_sentences():
    wrong = []
    for row in rows("patterns_aws.json"):
        if row.get("error_code", "InvalidEventPatternException") != "InvalidEventPatternException":
            continue
        verdict, message = judge(row)
        if verdict != row["expect"]:
            wrong.append((row["name"], row["expect"], verdict, message))
        elif verdict == "error" and message != _as_sent(row):
            wrong.append((row["name"], row["error_message_raw"], message))
    assert wrong == []


def _as_sent(row):
    """The recording replaces partition and region inside quoted patterns."""
    return row["error_message_raw"].replace("<partition>", "aws").replace("<region>", "us-east-1")


def test_verdicts_of_the_matcher():
    wrong = []
    for row in rows("patterns_generated.json"):
        verdict, message = judge(row)
        expected = row.get("ruler_error", "")
        if (
            verdict != row["expect"]
            or message.split("\n")[0].removeprefix("Event pattern is not valid. Reason: ") != expected.split("\n")[0]
        ):
            wrong.append((row["name"], row["expect"], verdict, message, expected))
    assert wrong == []
