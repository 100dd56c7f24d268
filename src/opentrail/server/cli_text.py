"""Text of other people's on a terminal and in a spreadsheet, where it must not do anything. Knows no command."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula, full-width forms included."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What steers a terminal, or is refused by a spreadsheet."""


def shown(text: str) -> str:
    """Names come from whoever could choose them: none may steer a terminal or look like another line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def cell(text: str) -> str:
    """A cell of a CSV file that a spreadsheet shows and does not run: a formula becomes text by a quote before it.

    Nor does it steer a terminal that the file is shown on: of the control characters only line ends and tabs stay.
    """
    if not text.isprintable():
        text = CONTROL.sub(lambda found: shown(found[0]), text)
    return f"'{text}" if text.startswith(FORMULA) else text


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """Whoever reads our output may stop reading (`| head`): that is no error of ours."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the interpreter's end
