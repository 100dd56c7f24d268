"""Which tests exercise an operation, read out of the tests themselves: whoever calls it, by boto3's name or by AWS's.

A name counts as called where it stands before a parenthesis or in quotes. Names that several services have (`tag_resource`)
count only in files that speak of the service. Deterministic; knows nothing of what a test asserts.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
"""Of the clone; an installed package has no tests."""
SHOWN_MAX = 3
"""Files named for one operation."""
_CALLED = re.compile(r"""\.([a-z][a-z0-9_]+)\(|["']([A-Za-z][A-Za-z0-9_]+)["']""")
_FIRST = ("tests/clients/", "tests/services/", "tests/followers/", "tests/server/")
"""Where tests drive the real thing, the most telling first."""


class TestFile(NamedTuple):
    """A file of tests: the names it calls, and what tells of which services it speaks."""

    path: str
    called: frozenset[str]
    words: frozenset[str]


@cache
def test_files() -> tuple[TestFile, ...]:
    """Every file of tests, those that drive the real thing first."""
    found = [_read(path) for path in (ROOT / "tests").rglob("test_*.py")]
    return tuple(sorted(found, key=lambda file: (_rank(file.path), file.path)))


def _rank(path: str) -> int:
    return next((rank for rank, start in enumerate(_FIRST) if path.startswith(start)), len(_FIRST))


def _read(path: Path) -> TestFile:
    text = path.read_text()
    called = frozenset(method or quoted for method, quoted in _CALLED.findall(text))
    shown = path.relative_to(ROOT).as_posix()
    return TestFile(shown, called, frozenset(re.split(r"[/_.]", shown)) | called)


def client_name(operation: str) -> str:
    """`ListObjectsV2` → `list_objects_v2`, as boto3 calls it."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z]+)", r"\1_\2", operation))
    return spaced.lower()


def exercising(service: str, operation: str, shared: bool) -> list[str]:
    """The files that call an operation; of a name that is `shared`, those that speak of the service."""
    names = {client_name(operation), operation}
    return [
        file.path
        for file in test_files()
        if not names.isdisjoint(file.called) and (not shared or service in file.words)
    ]


def shown_tests(service: str, operation: str, shared: bool) -> str:
    """Links from a page in `docs/reference`, the first few."""
    files = exercising(service, operation, shared)
    links = [f"[{Path(path).stem.removeprefix('test_')}](../../{path})" for path in files[:SHOWN_MAX]]
    more = len(files) - SHOWN_MAX
    return ", ".join(links) + (f" and {more} more" if more > 0 else "")
