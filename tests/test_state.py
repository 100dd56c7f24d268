"""A unit sees its own writes, also in scans."""

from __future__ import annotations

from tests.fakes.house import build_house, commit, new_unit


async def test_a_scan_fills_its_page_past_the_units_own_deletions():
    house = build_house()
    unit = new_unit(house)
    for number in range(9):
        unit.put(b"t\0%d" % number, b"x")
    await commit(unit)
    unit = new_unit(house)
    for number in (0, 1, 2, 4):
        unit.delete(b"t\0%d" % number)
    unit.put(b"t\0" + b"35", b"new")
    assert [key for key, _ in unit.scan(b"t\0", limit=1)] == [b"t\x003"]
    assert [key[2:] for key, _ in unit.scan(b"t\0", limit=3)] == [b"3", b"35", b"5"]
    assert [key[2:] for key, _ in unit.scan(b"t\0", after=b"t\x003", limit=2)] == [b"35", b"5"]
    assert len(unit.scan(b"t\0")) == 6
    unit.put(b"t\x00zz", b"last")
    assert [key[2:] for key, _ in unit.scan(b"t\0", after=b"t\x007")] == [b"8", b"zz"]


async def test_a_scan_of_no_rows_finds_none_whatever_the_unit_wrote():
    unit = new_unit(build_house())
    unit.put(b"t\x001", b"x")
    assert unit.scan(b"t\0", limit=0) == []
