"""QR codes and their pictures: what the standard's tables say, and every version read back."""

from __future__ import annotations

import random

import pytest

from opentrail.wire.png import png
from opentrail.wire.qr_code import BYTES_MAX, correction_words, format_bits, qr_code, version_bits
from tests.fakes.qr_reader import read_picture, read_png

LENGTHS = [17, 32, 53, 78, 106, 134, 154, 192, 230, 271, 321, 367, 425, 458, 520]
"""The most that versions 1 to 15 hold (ISO/IEC 18004, table 7, level L)."""


@pytest.mark.parametrize(("version", "most"), list(enumerate(LENGTHS, 1)))
def test_the_fullest_code_of_each_version_is_read_back(version: int, most: int):
    text = random.Random(version).randbytes(most)
    code = qr_code(text)
    assert len(code) == 17 + 4 * version
    assert read_picture(png(code, 5, 4)) == text
    if most < BYTES_MAX:
        assert len(qr_code(text + b"x")) == 21 + 4 * version


def test_the_smallest_and_the_too_large():
    for text in (b"", b"x"):
        assert read_picture(png(qr_code(text), 5, 4)) == text
    with pytest.raises(ValueError, match="at most 520 bytes"):
        qr_code(bytes(BYTES_MAX + 1))


def test_what_the_tables_say():
    assert f"{format_bits(0):015b}" == "111011111000100"
    assert f"{format_bits(7):015b}" == "110100101110110"
    assert f"{version_bits(7):018b}" == "000111110010010100"


def test_correction_words():
    data = bytes((32, 91, 11, 120, 209, 114, 220, 77, 67, 64, 236, 17, 236, 17, 236, 17))
    assert list(correction_words(data, 10)) == [196, 35, 39, 119, 235, 215, 231, 226, 93, 23]


def test_squares_and_their_margin():
    assert read_png(png([[1, 0], [1, 1]], 2, 1)) == [
        *["11111111"] * 2,
        *["11001111"] * 2,
        *["11000011"] * 2,
        *["11111111"] * 2,
    ]
