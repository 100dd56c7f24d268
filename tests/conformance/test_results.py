"""A report is counted and its failures gathered as the page shows them."""

from __future__ import annotations

import pytest

from tests.conformance.results import areas, failures, read_results, reason_of, table

REPORT = """<testsuites><testsuite>
<testcase classname="s3tests.functional.test_s3" name="test_good">
  <properties><property name="marker" value="checksum"/></properties></testcase>
<testcase classname="s3tests.functional.test_s3" name="test_bad">
  <properties><property name="marker" value="fails_on_aws"/></properties>
  <failure message="m">file.py:1: in test_bad
E   botocore.exceptions.ClientError: An error occurred (NoSuchKey) when calling the GetObject operation: No 0x1f</failure>
</testcase>
<testcase classname="s3tests.functional.test_headers" name="test_torn_down"/>
<testcase classname="s3tests.functional.test_headers" name="test_torn_down"><error message="m">E   KeyError: 'x'|</error>
</testcase>
<testcase classname="s3tests.functional.test_s3" name="test_left_out"><skipped message="no cloud"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def results(tmp_path):
    (tmp_path / "junit.xml").write_text(REPORT)
    return read_results(tmp_path / "junit.xml")


def test_outcomes_are_counted_by_area(results):
    counts = dict(areas(results))
    assert counts["all"] == {"passed": 1, "failed": 2, "skipped": 1}
    assert counts["core"] == {"passed": 1, "failed": 1, "skipped": 1}
    assert counts["test_headers"] == {"failed": 1}
    assert counts["fails_on_aws"] == {"failed": 1}
    assert "| checksum | 1 | 0 | 0 | 1 |" in table(results)


def test_failures_stand_by_reason(results):
    lines = failures(results).splitlines()
    assert "| GetObject: NoSuchKey No … | 1 | test_bad |" in lines
    assert "| KeyError: 'x'\\| | 1 | **test_torn_down** |" in lines
    assert "| no cloud | 1 | **test_left_out** |" in lines


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\nE   assert 1 == 2\nE    + where", "assert 1 == 2"),
        ("E   AssertionError: ot-0123456789-12 is there", "AssertionError: … is there"),
        ("Failed: Timeout\nmore", "Failed: Timeout"),
        ("", ""),
    ],
)
def test_a_traceback_comes_down_to_a_line(text, reason):
    assert reason_of(text) == reason
