"""The commands that the docs show, taken out of Markdown: fenced blocks behind `<!-- run -->`.

<!-- run -->           run the block that follows (`sh` or `python`)
<!-- run: s3cmd -->    run it where that program is installed
<!-- shows -->         every line of the block that follows is part of a line that has been printed
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

DOCS_ADDRESS = "127.0.0.1:4580"
"""Where the docs' server listens; tests put the address of theirs in its place."""
_BLOCK = re.compile(r"<!-- (run|shows)(?:: ([\w ]+))? -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (?:run|shows)\b.*?-->")


@dataclass(frozen=True, slots=True)
class Page:
    """A page's commands as one shell script, and the lines it promises to print."""

    script: str
    shown: tuple[str, ...]


def read_page(path: Path, address: str) -> Page:
    """The marked blocks of a page, in order, for a server at `address` (host:port)."""
    text = path.read_text()
    steps, shown, skipped = [], [], False
    blocks = list(_BLOCK.finditer(text))
    assert len(blocks) == len(_MARK.findall(text)), f"{path.name}: a marker is not followed by a fenced block"
    for kind, programs, language, code in (block.groups() for block in blocks):
        if kind == "run":
            skipped = any(shutil.which(program) is None for program in (programs or "").split())
            if not skipped:
                steps.append(_step(language, code.replace(DOCS_ADDRESS, address)))
        elif not skipped:
            shown += code.splitlines()
    return Page("\n".join(["set -euo pipefail", *steps]) + "\n", tuple(shown))


def _step(language: str, code: str) -> str:
    if language == "python":
        return f"python3 - <<'END OF PYTHON'\n{code}END OF PYTHON"
    assert language == "sh", f"commands in {language} cannot be run"
    return code
