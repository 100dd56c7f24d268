"""A small slice of `make fuzz`, always the same one."""

import pytest

from tests.fuzz.requests import KINDS, make
from tests.fuzz.run import run


@pytest.mark.slow
def test_a_slice(tmp_path):
    told = []
    totals = run(tmp_path, requests=400, seed=1, say=told.append)
    assert totals.requests == 400
    assert len(totals.kinds) == len(KINDS)
    assert totals.recorded
    assert told


def test_a_request_follows_from_seed_and_number():
    def sign(*arguments):
        return repr(arguments).encode()

    for number in range(100):
        assert make(7, number, sign) == make(7, number, sign)
    assert make(7, 1, sign) != make(8, 1, sign)
