"""Identifiers: their forms, and that no letter is likelier than another."""

from __future__ import annotations

import re
import time
import uuid
from collections import Counter

import pytest

from opentrail.server.clock import POOL_BYTES, SystemClock

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_now_is_now():
    before = time.time()
    assert before <= SystemClock().now() <= time.time()


def test_uuids_are_random_ones_of_version_4():
    clock = SystemClock()
    made = [clock.uuid() for _ in range(2_000)]
    for text in made:
        found = uuid.UUID(text)
        assert (str(found), found.version, found.variant) == (text, 4, uuid.RFC_4122)
    assert len(set(made)) == 2_000
    assert {text[19] for text in made} == set("89ab")
    for place in (0, 7, 9, 12, 15, 17, 20, 21, 22, 35):
        assert len({text[place] for text in made}) == 16


def test_ids_of_s3():
    clock = SystemClock()
    assert re.fullmatch("[0-9A-F]{16}", clock.s3_request_id())
    assert re.fullmatch("[A-Za-z0-9+/]{64}", clock.s3_host_id())
    assert len({clock.s3_request_id() for _ in range(3_000)}) == 3_000


@pytest.mark.parametrize(
    "alphabet", ["01", "abc", LETTERS, LETTERS + "234567", LETTERS + LETTERS.lower() + "0123456789"]
)
def test_tokens_favour_no_letter(alphabet):
    text = SystemClock().token(60_000, alphabet)
    counts = Counter(text)
    assert len(text) == 60_000
    assert set(counts) == set(alphabet)
    expected = len(text) / len(alphabet)
    chi_squared = sum((counts[letter] - expected) ** 2 / expected for letter in alphabet)
    freedom = len(alphabet) - 1
    assert chi_squared < freedom + 7 * (2 * freedom) ** 0.5 + 10  # seven standard deviations


@pytest.mark.parametrize("length", [0, 1, 20, POOL_BYTES - 1, POOL_BYTES + 1, 3 * POOL_BYTES])
def test_tokens_of_any_length(length):
    assert len(SystemClock().token(length, LETTERS)) == length


def test_no_byte_of_the_pool_is_used_twice():
    clock = SystemClock()
    tokens = [clock.token(16, LETTERS + "234567") for _ in range(4 * POOL_BYTES // 16)]
    assert len(set(tokens)) == len(tokens)
