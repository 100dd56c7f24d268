"""Links between the pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target, anchor in _LINK.findall(_FENCE.sub("", page.read_text())):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor in _anchors(found), (
                f"{page.name} links to #{anchor} of {found.name}, which has no such heading"
            )


@pytest.mark.parametrize("page", [page for page in PAGES if "docs" in page.parts and page.name != "README.md"], ids=str)
def test_pages_can_be_found(page: Path):
    """Every page is linked to from an index."""
    indexes = [ROOT / "README.md", ROOT / "docs/README.md", *ROOT.glob("docs/*/README.md")]
    linked = {(index.parent / target).resolve() for index in indexes for target, _ in _LINK.findall(index.read_text())}
    assert page.resolve() in linked, "name it in docs/README.md"
