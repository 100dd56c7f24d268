"""Every marked command of the docs works, on a fresh server, as a reader would type it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.server_process import TOOLS, ServerProcess
from tests.docs.commands import read_page

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if "<!-- run" in path.read_text())
PAGE_SECONDS_MAX = 270.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path)
    try:
        yield process.start()
        assert process.stop() == 0
        assert not process.tracebacks(), process.log()
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_page(path: Path, server: ServerProcess, tmp_path: Path):
    page = read_page(path, server.host)
    work = tmp_path / "work"
    work.mkdir()
    (work / "opentrail-data").symlink_to(server.directory / "data")  # where a server started here would have it
    search = os.pathsep.join([str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = subprocess.run(
        ["bash", "-c", page.script],
        cwd=work,
        env=server.environment(PATH=search, HOME=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PAGE_SECONDS_MAX,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
    missing = [line for line in page.shown if not any(line in printed for printed in ended.stdout.splitlines())]
    assert not missing, f"not printed: {missing}\n{ended.stdout[-4000:]}"
