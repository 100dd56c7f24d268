"""Reads a QR code from a PNG, the way a telephone does, with every codeword checked. Byte mode, level L."""

from __future__ import annotations

import zlib

from opentrail.wire.qr_code import correction_words

_BLOCKS = {
    1: (7, 1), 2: (10, 1), 3: (15, 1), 4: (20, 1), 5: (26, 1), 6: (18, 2), 7: (20, 2), 8: (24, 2),
    9: (30, 2), 10: (18, 4), 11: (20, 4), 12: (24, 4), 13: (26, 4), 14: (30, 4), 15: (22, 6),
}  # fmt: skip
"""Version -> words for correction in a block, blocks (ISO/IEC 18004, table 9)."""
_CENTRES = {7: (22,), 8: (24,), 9: (26,), 10: (28,), 11: (30,), 12: (32,), 13: (34,), 14: (26, 46), 15: (26, 48)}
_FORMATS = {
    "111011111000100": "(i + j) % 2",
    "111001011110011": "i % 2",
    "111110110101010": "j % 3",
    "111100010011101": "(i + j) % 3",
    "110011000101111": "(i // 2 + j // 3) % 2",
    "110001100011000": "i * j % 2 + i * j % 3",
    "110110001000001": "(i * j % 2 + i * j % 3) % 2",
    "110100101110110": "((i + j) % 2 + i * j % 3) % 2",
}  # fmt: skip
"""Format information of level L -> the mask's condition (tables C.1 and 10)."""


def read_picture(picture: bytes) -> bytes:
    return read_modules(read_png(picture))


def read_png(picture: bytes) -> list[str]:
    """Rows of pixels of a one-bit greyscale PNG, black is "0"."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = {}, 8
    while place < len(picture):
        length = int.from_bytes(picture[place : place + 4], "big")
        kind, data = picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        assert zlib.crc32(kind + data) == int.from_bytes(picture[place + 8 + length : place + 12 + length], "big")
        chunks[kind], place = data, place + 12 + length
    assert chunks.keys() == {b"IHDR", b"IDAT", b"IEND"}
    width, height = (int.from_bytes(chunks[b"IHDR"][at : at + 4], "big") for at in (0, 4))
    assert chunks[b"IHDR"][8:] == bytes((1, 0, 0, 0, 0))
    raw, stride = zlib.decompress(chunks[b"IDAT"]), (width + 7) // 8 + 1
    assert len(raw) == stride * height
    lines = [raw[at : at + stride] for at in range(0, len(raw), stride)]
    assert all(line[0] == 0 for line in lines)
    return ["".join(f"{byte:08b}" for byte in line[1:])[:width] for line in lines]


def read_modules(pixels: list[str]) -> bytes:
    """The text of the code in a picture of 5 pixels a module and 4 modules of margin."""
    assert all("0" not in line for line in pixels[:20] + pixels[-20:])
    rows = [line[22:-20:5].translate({48: "1", 49: "0"}) for line in pixels[22:-20:5]]
    size = len(rows)
    version = (size - 17) // 4
    form = rows[8][:6] + rows[8][7:9] + rows[7][8] + "".join(rows[row][8] for row in range(5, -1, -1))
    other = "".join(rows[row][8] for row in range(size - 1, size - 8, -1)) + rows[8][-8:]
    assert form == other
    assert rows[size - 8][8] == "1"
    turned = compile(_FORMATS[form], "mask", "eval")
    bits, upwards = "", True
    for right in (*range(size - 1, 6, -2), 5, 3, 1):
        for i in range(size - 1, -1, -1) if upwards else range(size):
            for j in (right, right - 1):
                if not _reserved(version, i, j):
                    bits += str(int(rows[i][j]) ^ (eval(turned, {"i": i, "j": j}) == 0))
        upwards = not upwards
    return _text(version, bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8)))


def _reserved(version: int, i: int, j: int) -> bool:
    """Whether a module is no data's: patterns, format and version information."""
    size = 17 + 4 * version
    if 6 in (i, j) or (i < 9 and j < 9) or (i < 9 and j >= size - 8) or (i >= size - 8 and j < 9):
        return True
    if version >= 7 and ((i < 6 and j >= size - 11) or (j < 6 and i >= size - 11)):
        return True
    centres = (6, *_CENTRES.get(version, ()), size - 7) if version > 1 else ()
    corners = ((6, 6), (6, size - 7), (size - 7, 6))
    return any(
        abs(i - row) <= 2 and abs(j - column) <= 2
        for row in centres
        for column in centres
        if (row, column) not in corners
    )


def _text(version: int, words: bytes) -> bytes:
    check, blocks = _BLOCKS[version]
    short, longer = len(words) // blocks - check, len(words) % blocks
    lengths = [short] * (blocks - longer) + [short + 1] * longer
    parts: list[list[int]] = [[] for _length in lengths]
    stream = iter(words)
    for place in range(max(lengths)):
        for part, length in zip(parts, lengths, strict=True):
            if place < length:
                part.append(next(stream))
    checks: list[list[int]] = [[] for _length in lengths]
    for _place in range(check):
        for each in checks:
            each.append(next(stream))
    for part, each in zip(parts, checks, strict=True):
        assert bytes(each) == correction_words(bytes(part), check)
    bits = "".join(f"{word:08b}" for part in parts for word in part)
    assert bits[:4] == "0100"
    width = 16 if version >= 10 else 8
    start, length = 4 + width, int(bits[4 : 4 + width], 2)
    return bytes(int(bits[at : at + 8], 2) for at in range(start, start + 8 * length, 8))
