"""Text as a QR code: its modules, dark or light.

Source: ISO/IEC 18004:2015; byte mode, error correction level L, versions 1 to 15 (520 bytes). Knows no picture format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

BYTES_MAX = 520
Modules = list[list[int]]
"""Rows of modules, 1 is dark."""

_VERSIONS: tuple[tuple[int, int, int, tuple[int, ...]], ...] = (
    (26, 7, 1, ()),
    (44, 10, 1, (6, 18)),
    (70, 15, 1, (6, 22)),
    (100, 20, 1, (6, 26)),
    (134, 26, 1, (6, 30)),
    (172, 18, 2, (6, 34)),
    (196, 20, 2, (6, 22, 38)),
    (242, 24, 2, (6, 24, 42)),
    (292, 30, 2, (6, 26, 46)),
    (346, 18, 4, (6, 28, 50)),
    (404, 20, 4, (6, 30, 54)),
    (466, 24, 4, (6, 32, 58)),
    (532, 26, 4, (6, 34, 62)),
    (581, 30, 4, (6, 26, 46, 66)),
    (655, 22, 6, (6, 26, 48, 70)),
)
"""Codewords, of them for correction in each block, blocks, centres of alignment patterns (tables 1, 9 and E.1)."""
_LONG_COUNT_FROM = 10
"""The version from which on the number of bytes takes sixteen bits (table 3)."""
_MASKS: tuple[Callable[[int, int], int], ...] = (
    lambda i, j: (i + j) % 2,
    lambda i, _j: i % 2,
    lambda _i, j: j % 3,
    lambda i, j: (i + j) % 3,
    lambda i, j: (i // 2 + j // 3) % 2,
    lambda i, j: i * j % 2 + i * j % 3,
    lambda i, j: (i * j % 2 + i * j % 3) % 2,
    lambda i, j: ((i + j) % 2 + i * j % 3) % 2,
)
"""By row and column; a module is turned over where the value is 0 (table 10)."""
_RUN = re.compile("0{5,}|1{5,}")
_LIKE_A_FINDER = re.compile("(?=00001011101|10111010000)")


def qr_code(text: bytes) -> Modules:
    """The modules of a code that says `text`; ValueError beyond BYTES_MAX."""
    if len(text) > BYTES_MAX:
        raise ValueError(f"at most {BYTES_MAX} bytes")
    version = next(number for number in range(1, len(_VERSIONS) + 1) if _fits(number, len(text)))
    frame = _frame(version)
    bits = _bits(_codewords(version, text))
    free = list(_free(frame))
    codes = [_masked(frame, free, bits, mask) for mask in range(len(_MASKS))]
    return min(codes, key=_penalty)


def _data_words(version: int) -> int:
    total, correction, blocks, _centres = _VERSIONS[version - 1]
    return total - correction * blocks


def _count_bits(version: int) -> int:
    return 16 if version >= _LONG_COUNT_FROM else 8


def _fits(version: int, length: int) -> bool:
    return 4 + _count_bits(version) + 8 * length <= 8 * _data_words(version)


def _codewords(version: int, text: bytes) -> list[int]:
    """Data and correction, blocks interleaved (§7.6)."""
    data = _data(version, text)
    total, correction, blocks, _centres = _VERSIONS[version - 1]
    shorter = blocks - total % blocks
    length = total // blocks - correction
    parts, start = [], 0
    for number in range(blocks):
        end = start + length + (number >= shorter)
        parts.append(data[start:end])
        start = end
    checks = [correction_words(part, correction) for part in parts]
    return [*_interleaved(parts), *_interleaved(checks)]


def _interleaved(parts: Sequence[bytes]) -> Iterator[int]:
    for place in range(max(map(len, parts))):
        yield from (part[place] for part in parts if place < len(part))


def _data(version: int, text: bytes) -> bytes:
    """Mode, count, text and padding (§7.4)."""
    words = _data_words(version)
    stream = f"0100{len(text):0{_count_bits(version)}b}" + "".join(f"{byte:08b}" for byte in text)
    stream += "0" * min(4, 8 * words - len(stream))
    stream += "0" * (-len(stream) % 8)
    known = bytes(int(stream[place : place + 8], 2) for place in range(0, len(stream), 8))
    return known + (b"\xec\x11" * words)[: words - len(known)]


def _times(one: int, other: int) -> int:
    """Product in GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    while other:
        if other & 1:
            product ^= one
        one = one << 1 ^ (0x11D if one & 0x80 else 0)
        other >>= 1
    return product


def correction_words(data: bytes, count: int) -> bytes:
    """The Reed-Solomon codewords of a block (§7.5.2)."""
    generator, root = [1], 1
    for _degree in range(count):
        shifted = [*generator, 0]
        for place, factor in enumerate(generator):
            shifted[place + 1] ^= _times(factor, root)
        generator, root = shifted, _times(root, 2)
    rest = [0] * count
    for word in data:
        lead = word ^ rest[0]
        rest = [*rest[1:], 0]
        rest = [old ^ _times(factor, lead) for old, factor in zip(rest, generator[1:], strict=True)]
    return bytes(rest)


def _bits(words: Sequence[int]) -> list[int]:
    return [word >> shift & 1 for word in words for shift in range(7, -1, -1)]


_FREE = 2
"""In a frame: data goes here. Format bits are 0 until the mask is known."""


def _frame(version: int) -> Modules:
    """All that is the same for every text of a version (§6.3), with format bits reserved."""
    size = 17 + 4 * version
    frame = [[_FREE] * size for _row in range(size)]
    for place in range(8, size - 8):
        frame[6][place] = frame[place][6] = 1 - place % 2
    for top, left in ((0, 0), (0, size - 7), (size - 7, 0)):
        _draw_finder(frame, top, left)
    centres = _VERSIONS[version - 1][3]
    corners = {(6, 6), (6, size - 7), (size - 7, 6)}
    for row in centres:
        for column in centres:
            if (row, column) not in corners:
                _draw_alignment(frame, row, column)
    for place in range(9):
        for row, column in ((8, place), (place, 8), (8, size - 1 - place), (size - 1 - place, 8)):
            if frame[row][column] == _FREE and (place < 8 or row == column):
                frame[row][column] = 0
    frame[size - 8][8] = 1
    if version >= 7:
        _draw_version(frame, version)
    return frame


def _draw_finder(frame: Modules, top: int, left: int) -> None:
    """A finder pattern with its separator."""
    size = len(frame)
    for row in range(max(top - 1, 0), min(top + 8, size)):
        for column in range(max(left - 1, 0), min(left + 8, size)):
            ring = max(abs(row - top - 3), abs(column - left - 3))
            frame[row][column] = int(ring in (0, 1, 3))


def _draw_alignment(frame: Modules, row: int, column: int) -> None:
    for down in range(-2, 3):
        for right in range(-2, 3):
            frame[row + down][column + right] = int(max(abs(down), abs(right)) != 1)


def _with_check(value: int, bits: int, generator: int) -> int:
    """A value with the `bits` bits of its BCH code behind it."""
    rest = value << bits
    for place in range(rest.bit_length() - 1, bits - 1, -1):
        if rest >> place & 1:
            rest ^= generator << place - bits
    return value << bits | rest


def version_bits(version: int) -> int:
    """Eighteen bits (§7.10)."""
    return _with_check(version, 12, 0x1F25)


def format_bits(mask: int) -> int:
    """Fifteen bits of level L and a mask (§7.9)."""
    return _with_check(0b01 << 3 | mask, 10, 0x537) ^ 0x5412


def _draw_version(frame: Modules, version: int) -> None:
    size, bits = len(frame), version_bits(version)
    for place in range(18):
        bit, far, near = bits >> place & 1, size - 11 + place % 3, place // 3
        frame[far][near] = frame[near][far] = bit


def _draw_format(code: Modules, mask: int) -> None:
    size, bits = len(code), format_bits(mask)
    upright = [*range(6), 7, 8, *range(size - 7, size)]
    flat = [*range(size - 1, size - 9, -1), 7, *range(5, -1, -1)]
    for place in range(15):
        code[upright[place]][8] = code[8][flat[place]] = bits >> place & 1


def _free(frame: Modules) -> Iterator[tuple[int, int]]:
    """(row, column) of the modules that data goes into, in order: pairs of columns, upwards and downwards (§7.7.3)."""
    size = len(frame)
    rows, upwards = range(size), True
    pairs = [*range(size - 1, 6, -2), 5, 3, 1]
    for right in pairs:
        for row in reversed(rows) if upwards else rows:
            yield from ((row, column) for column in (right, right - 1) if frame[row][column] == _FREE)
        upwards = not upwards


def _masked(frame: Modules, free: Sequence[tuple[int, int]], bits: Sequence[int], mask: int) -> Modules:
    code, turns = [row[:] for row in frame], _MASKS[mask]
    for place, (row, column) in enumerate(free):
        bit = bits[place] if place < len(bits) else 0
        code[row][column] = bit ^ (not turns(row, column))
    _draw_format(code, mask)
    return code


def _penalty(code: Modules) -> int:
    """How hard a code is to read (§7.8.3); the mask that makes the least of it is taken."""
    lines = ["".join(map(str, row)) for row in code]
    columns = ["".join(column) for column in zip(*lines, strict=True)]
    found = 0
    for line in lines + columns:
        found += sum(len(run[0]) - 2 for run in _RUN.finditer(line))
        found += 40 * len(_LIKE_A_FINDER.findall(line))
    size = len(code)
    rows = [int(line, 2) for line in lines]
    for upper, lower in pairwise(rows):
        unlike = upper ^ lower
        broken = (unlike | unlike >> 1 | upper ^ upper >> 1) & (1 << size - 1) - 1
        found += 3 * (size - 1 - broken.bit_count())
    dark = sum(line.count("1") for line in lines)
    return found + 10 * (abs(20 * dark - 10 * size * size) // (size * size))
