"""A picture of black and white squares as PNG. Source: PNG specification, third edition. Knows not what it shows."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(rows: Sequence[Sequence[int]], scale: int, margin: int) -> bytes:
    """Squares of `scale` pixels, 1 is black, with a white margin of so many squares; one bit a pixel, greyscale."""
    width = (len(rows[0]) + 2 * margin) * scale
    white = [0] * len(rows[0])
    lines = b"".join(_line(row, scale, margin) * scale for row in (*[white] * margin, *rows, *[white] * margin))
    height = (len(rows) + 2 * margin) * scale
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((1, 0, 0, 0, 0))
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines, 9)) + _chunk(b"IEND", b"")


def _line(row: Sequence[int], scale: int, margin: int) -> bytes:
    """One line of pixels, unfiltered."""
    edge = "1" * (margin * scale)
    bits = edge + "".join("01"[not square] * scale for square in row) + edge
    bits += "0" * (-len(bits) % 8)
    return b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
