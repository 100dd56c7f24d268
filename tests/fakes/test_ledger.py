"""The fake ledger keeps the promises of the port that the services rely on."""

from __future__ import annotations

import pytest

from opentrail.errors import Conflict, LedgerUnavailable
from opentrail.ports import Line, Writes
from tests.fakes.ledger import FakeLedger


async def filled() -> FakeLedger:
    ledger = FakeLedger()
    await ledger.commit(Writes(puts={key: key for key in (b"a\0", b"a\0x", b"a\0y", b"b", b"\xff\xff")}), [])
    return ledger


async def test_scan_is_bounded_by_prefix_after_and_limit():
    ledger = await filled()
    assert [k for k, _ in ledger.scan(b"a\0", b"", 10)] == [b"a\0", b"a\0x", b"a\0y"]
    assert [k for k, _ in ledger.scan(b"a\0", b"a\0", 10)] == [b"a\0x", b"a\0y"]
    assert [k for k, _ in ledger.scan(b"a\0", b"a\0x", 10)] == [b"a\0y"]
    assert [k for k, _ in ledger.scan(b"a\0", b"", 1)] == [b"a\0"]
    assert ledger.scan(b"a\0", b"b", 10) == []
    assert [k for k, _ in ledger.scan(b"b", b"a", 10)] == [b"b"]


async def test_scan_back_descends():
    ledger = await filled()
    assert [k for k, _ in ledger.scan_back(b"a\0", b"", 10)] == [b"a\0y", b"a\0x", b"a\0"]
    assert [k for k, _ in ledger.scan_back(b"a\0", b"a\0y", 1)] == [b"a\0x"]
    assert [k for k, _ in ledger.scan_back(b"\xff", b"", 9)] == [b"\xff\xff"]
    assert [k for k, _ in ledger.scan_back(b"a\0", b"zz", 9)] == [b"a\0y", b"a\0x", b"a\0"]


async def test_commit_conflicts_and_changes_nothing():
    ledger = await filled()
    with pytest.raises(Conflict):
        await ledger.commit(Writes(puts={b"b": b"2"}, reads={b"b": 0}), [Line("record", b"{}")])
    assert ledger.get(b"b").value == b"b"
    assert ledger.head() == 1
    ledger.fail_next = True
    with pytest.raises(LedgerUnavailable):
        await ledger.commit(Writes(puts={b"b": b"2"}), [])
    assert ledger.get(b"b").value == b"b"


async def test_versions_and_lines():
    ledger = FakeLedger()
    one, two = Line("record", b"1"), Line("event", b"2")
    assert await ledger.commit(Writes(puts={b"k": b"v"}), [one, two]) == 2
    assert ledger.get(b"k").version == 2
    assert ledger.read(0, 10) == [(1, one), (2, two)]
    assert ledger.read(1, 10) == [(2, two)]
    assert await ledger.wait(1) == 2
    before = ledger.get(b"k").version
    await ledger.commit(Writes(puts={b"k": b"w"}, reads={b"k": before}), [])
    assert ledger.get(b"k").version != before
    await ledger.commit(Writes(deletes={b"k"}), [])
    assert ledger.get(b"k") is None
    assert ledger.scan(b"", b"", 9) == []
