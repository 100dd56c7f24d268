"""A run's JUnit report, counted by the suite's areas, and its failures gathered by what they say."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

NOT_CORE = frozenset(
    {
        "fails_on_aws",
        "fails_on_rgw",
        "lifecycle_expiration",
        "lifecycle_transition",
        "cloud_transition",
        "cloud_restore",
        "target_by_bucket",
        "bucket_logging",
        "bucket_logging_cleanup",
        "sse_s3",
        "auth_aws2",
    }
)
"""Tests with one of these markers are not core: AWS or Ceph itself fails them, or they need another cloud, hours, or
what only Ceph has."""
BUILT_IN = frozenset({"parametrize", "skip", "skipif", "timeout", "xfail", "usefixtures"})
"""Marks of pytest's, which are no areas."""
_ERROR = re.compile(r"^E\s+(?P<text>\S.*)$", re.MULTILINE)
_CLIENT_ERROR = re.compile(r"An error occurred \((\w+)\) when calling the (\w+) operation(?: \([^)]*\))?: ?(.*)")
_VARYING = re.compile(r"ot-[0-9a-f]{10}-\d*|0x[0-9a-f]+|\b[0-9a-f]{16,}\b|\d{4,}")
REASON_CHARS_MAX = 160


@dataclass(frozen=True, slots=True)
class Result:
    """One test. `outcome` is passed, failed or skipped; `reason` is the line that tells why not."""

    name: str
    outcome: str
    markers: frozenset[str]
    reason: str = ""

    @property
    def core(self) -> bool:
        return self.markers.isdisjoint(NOT_CORE)


def read_results(report: Path) -> list[Result]:
    """All tests of a JUnit file that pytest wrote with the plugin. A test whose clean-up fails is failed."""
    found: dict[str, Result] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        result = _result(case)
        earlier = found.get(result.name)
        if earlier is None or earlier.outcome == "passed":
            found[result.name] = result
    return list(found.values())


def _result(case: ElementTree.Element) -> Result:
    name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
    markers = frozenset(each.get("value", "") for each in case.iter("property") if each.get("name") == "marker")
    for kind in ("failure", "error"):
        wrong = case.find(kind)
        if wrong is not None:
            return Result(name, "failed", markers - BUILT_IN, reason_of(wrong.text or wrong.get("message", "")))
    skipped = case.find("skipped")
    if skipped is not None:
        return Result(name, "skipped", markers - BUILT_IN, skipped.get("message", ""))
    return Result(name, "passed", markers - BUILT_IN)


def reason_of(text: str) -> str:
    """What a traceback comes down to, without what differs from run to run."""
    lines = _ERROR.findall(text)
    said = next((line for line in lines if "Error" in line or "assert" in line or "DID NOT RAISE" in line), "")
    said = said or (lines[0] if lines else text.strip().partition("\n")[0])
    known = _CLIENT_ERROR.search(said)
    if known is not None:
        said = f"{known[2]}: {known[1]} {known[3]}"
    return _VARYING.sub("…", said)[:REASON_CHARS_MAX].strip()


def areas(results: Iterable[Result]) -> list[tuple[str, Counter[str]]]:
    """(area, outcomes), the totals first, then by marker."""
    results = list(results)
    counted = [
        ("all", Counter(each.outcome for each in results)),
        ("not fails_on_aws", Counter(each.outcome for each in results if "fails_on_aws" not in each.markers)),
        ("core", Counter(each.outcome for each in results if each.core)),
        ("test_headers", Counter(each.outcome for each in results if each.name.startswith("test_headers::"))),
    ]
    by_marker: dict[str, Counter[str]] = defaultdict(Counter)
    for each in results:
        for marker in each.markers:
            by_marker[marker][each.outcome] += 1
    return counted + sorted(by_marker.items())


def table(results: Iterable[Result]) -> str:
    """Markdown: passed, failed, skipped by area."""
    lines = ["| Area | Passed | Failed | Skipped | Tests |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, counts in areas(results):
        numbers = (counts["passed"], counts["failed"], counts["skipped"], counts.total())
        lines.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines) + "\n"


def failures(results: Iterable[Result]) -> str:
    """Markdown: the tests that did not pass, by reason, the most frequent reason first. Core tests are bold."""
    by_reason: dict[str, list[Result]] = defaultdict(list)
    for each in results:
        if each.outcome != "passed":
            by_reason[each.reason].append(each)
    lines = ["| Reason | Tests | Which (core in bold) |", "| --- | ---: | --- |"]
    for reason, tests in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        names = ", ".join(_shown(each) for each in sorted(tests, key=lambda each: each.name))
        lines.append(f"| {_cell(reason)} | {len(tests)} | {names} |")
    return "\n".join(lines) + "\n"


def _shown(result: Result) -> str:
    name = result.name.rpartition("::")[2]
    return f"**{name}**" if result.core else name


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
