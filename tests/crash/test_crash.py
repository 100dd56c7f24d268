"""Two rounds of the crash run; `make crash` does many."""

import pytest

from tests.crash.run import run


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_told_twice(tmp_path):
    told = []
    totals = run(tmp_path, rounds=2, seed=1, say=told.append)
    assert totals.calls > 100
    assert totals.log_files > 0
    assert len(told) == 3
