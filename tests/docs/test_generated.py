"""The pages that are facts of the code say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from opentrail.server.reference import pages, renew_between_markers
from opentrail.server.reference_limits import limits, show

ROOT = Path(__file__).parents[2]
PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_reference_page_is_up_to_date(name: str):
    assert (ROOT / "docs/reference" / name).read_text() == PAGES[name], "run `make docs` and commit what it writes"


def test_readme_table_is_up_to_date():
    text = (ROOT / "README.md").read_text()
    assert renew_between_markers(text) == text, "run `make docs` and commit what it writes"


def test_markers_must_be_there():
    with pytest.raises(ValueError, match="markers"):
        renew_between_markers("# A README without a table\n")


def test_limits_are_found_with_value_unit_and_meaning():
    found = {(limit.module, limit.name): limit for limit in limits()}
    url = found["opentrail.server.edge", "URL_BYTES_MAX"]
    assert url.value == "16 KiB"
    assert "1,024-byte key" in url.meaning
    assert found["opentrail.services.iam_common", "TAGS_MAX"].meaning == "", "a docstring speaks of the line above it"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("X_BYTES_MAX", 5 << 30, "5 GiB"),
        ("X_BYTES_MAX", 1500, "1,500 bytes"),
        ("X_SECONDS_MAX", 30.0, "30 seconds"),
        ("X_MAX", 100_000, "100,000"),
    ],
)
def test_values_are_shown_in_their_unit(name: str, value: float, shown: str):
    assert show(name, value) == shown
