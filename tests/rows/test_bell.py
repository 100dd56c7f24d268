import pytest

from opentrail.rows.bell import Bell


def test_those_who_listen_hear_it():
    bell, heard = Bell(), []

    def ear():
        heard.append("a")

    bell.listen("a", ear)
    bell.ring("a")
    bell.ring("b")
    bell.ring_all()
    assert heard == ["a", "a"]
    bell.leave("a", ear)
    bell.ring("a")
    assert heard == ["a", "a"]
    with pytest.raises(ValueError):
        bell.leave("a", ear)


def test_an_ear_may_leave_while_it_rings():
    bell, heard = Bell(), []

    def once():
        heard.append(1)
        bell.leave("a", once)

    bell.listen("a", once)
    bell.listen("a", lambda: heard.append(2))
    bell.ring("a")
    assert heard == [1, 2]
