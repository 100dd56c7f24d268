"""The whole story, played through boto3 as an ordinary client: an upload becomes evidence and starts a pipeline.

    make demo           set up, start a server on a free loopback port, play, stop
    make demo KEEP=1    leave the server running at the end

Ends with a non-zero status if any step is not as it should be.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))

from story import Story, StoryFailed
from story_server import DemoServer


def main() -> int:
    """Start a server, play the story, stop or keep the server; the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    directory = Path(tempfile.mkdtemp(prefix="opentrail-demo-"))
    server = DemoServer(directory)
    try:
        with console.status("starting a server on the embedded store"):
            server.start()
        console.print(f"OpenTrail is listening on [bold]{server.url}[/], data in {directory}\n")
        Story(server, console).play()
    except StoryFailed as failure:
        console.print(f"\n[bold red]not as it should be:[/] {failure}")
        console.print(server.log_tail())
        return 1
    finally:
        server.finish(console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
