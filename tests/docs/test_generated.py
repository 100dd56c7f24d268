"""The pages that are facts of the code say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from botocore import xform_name

from opentrail.server.reference import is_shared, pages, renew_between_markers
from opentrail.server.reference_limits import limits, show
from opentrail.server.reference_tests import client_name, exercising
from opentrail.server.wiring import SERVICES

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


def test_every_operation_of_s3_that_works_is_exercised():
    built = SERVICES["s3"].handlers
    silent = [name for name in built if not exercising("s3", name, is_shared(name))]
    assert silent == [], "no test calls these by their name"


def test_the_coverage_page_names_tests_that_there_are():
    links = re.findall(r"\(\.\./\.\./(tests/[^)]+)\)", PAGES["coverage.md"])
    assert len(links) > 500
    assert all((ROOT / link).is_file() for link in set(links))


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_operations_are_looked_for_by_the_name_boto3_gives_them(service: str):
    for name in SERVICES[service].handlers:
        assert client_name(name) == xform_name(name)


def test_names_that_services_share_count_where_the_service_is_spoken_of():
    assert is_shared("TagResource")
    assert not is_shared("PutObject")
    assert "tests/clients/test_sqs.py" not in exercising("s3control", "ListTagsForResource", shared=True)
    assert "tests/clients/test_s3_reports.py" in exercising("s3control", "ListTagsForResource", shared=True)
