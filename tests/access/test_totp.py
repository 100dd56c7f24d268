"""One-time passwords: RFC 6238's own vectors, and which codes are good when."""

from __future__ import annotations

import pytest

from opentrail.access.totp import AHEAD_MAX, PAIR_AHEAD_MAX, code_at, find_pair, find_step, step_at

SEED = b"12345678901234567890"
STEP = 60_000_000


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ],
)
def test_the_vectors_of_rfc_6238(now: int, code: str):
    assert code_at(SEED, step_at(now), 8) == code
    assert code_at(SEED, step_at(now)) == code[2:]


def test_a_step_lasts_thirty_seconds():
    assert [step_at(now) for now in (0.0, 29.999, 30.0, 59.5, 60.0)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("off", range(-3, 4))
def test_a_clock_may_be_off_by_a_step(off: int):
    found = find_step(SEED, code_at(SEED, STEP + off), STEP, -1)
    assert found == (STEP + off if abs(off) <= AHEAD_MAX else None)


def test_a_code_is_good_once():
    assert find_step(SEED, code_at(SEED, STEP), STEP, STEP) is None
    assert find_step(SEED, code_at(SEED, STEP - 1), STEP, STEP) is None
    assert find_step(SEED, code_at(SEED, STEP + 1), STEP, STEP) == STEP + 1


@pytest.mark.parametrize("code", ["", "000000", "12345", "1234567", "12345é", "１２３４５６", "      ", "\x00" * 6])
def test_what_is_no_code(code: str):
    assert find_step(SEED, code, STEP, -1) is None
    assert find_pair(SEED, code, code, STEP, -1) is None


@pytest.mark.parametrize("off", [-PAIR_AHEAD_MAX - 1, -PAIR_AHEAD_MAX, -3, 0, 1, PAIR_AHEAD_MAX, PAIR_AHEAD_MAX + 1])
def test_two_codes_in_a_row_tell_how_far_a_clock_is_off(off: int):
    first, second = code_at(SEED, STEP + off - 1), code_at(SEED, STEP + off)
    assert find_pair(SEED, first, second, STEP, -1) == (STEP + off if abs(off) <= PAIR_AHEAD_MAX else None)
    assert find_pair(SEED, second, first, STEP, -1) is None
    assert find_pair(SEED, first, first, STEP, -1) is None


def test_two_codes_of_which_one_was_used():
    first, second = code_at(SEED, STEP - 1), code_at(SEED, STEP)
    assert find_pair(SEED, first, second, STEP, STEP - 2) == STEP
    assert find_pair(SEED, first, second, STEP, STEP - 1) is None


def test_the_beginning_of_time():
    assert find_step(SEED, code_at(SEED, 0), 0, -1) == 0
    assert find_pair(SEED, code_at(SEED, 0), code_at(SEED, 1), 0, -1) == 1
