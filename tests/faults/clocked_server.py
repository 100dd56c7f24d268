"""`opentrail` with a clock that a file sets: `python -m tests.faults.clocked_server FILE serve …`.

The file holds the seconds by which the clock is wrong; it is read again at each look. Everything else is the real thing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from opentrail.server import clock
from opentrail.server.cli import main

if __name__ == "__main__":
    wrong = Path(sys.argv[1])
    clock.time = lambda: time.time() + float(wrong.read_text())
    main(sys.argv[2:])
