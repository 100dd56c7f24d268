"""One server to a data directory, and a start that waits for the end of the one before."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import pytest

from opentrail.server import wiring
from opentrail.server.wiring import DataDirectoryInUse, _lock, _server_key


async def test_a_second_server_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "LOCK_SECONDS_MAX", 0.05)
    lock = await _lock(tmp_path)
    with pytest.raises(DataDirectoryInUse, match=str(tmp_path)):
        await _lock(tmp_path)
    os.close(lock)
    os.close(await _lock(tmp_path))


async def test_the_end_of_the_server_before_is_waited_for(tmp_path):
    lock = await _lock(tmp_path)
    second = asyncio.ensure_future(_lock(tmp_path))
    await asyncio.sleep(0.001)
    assert not second.done()
    os.close(lock)
    os.close(await asyncio.wait_for(second, 60))


async def test_a_lock_held_by_a_child_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "LOCK_SECONDS_MAX", 0.0)
    lock = await _lock(tmp_path)
    inherited = os.dup(lock)
    os.close(lock)
    with pytest.raises(DataDirectoryInUse):
        await _lock(tmp_path)
    os.close(inherited)


async def test_directory_and_lock_are_the_owners_only(tmp_path):
    directory = tmp_path / "a" / "b"
    os.close(await _lock(directory))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "lock").stat().st_mode & 0o777 == 0o600


def test_the_key_is_made_once_and_for_the_owner_only(tmp_path: Path):
    (tmp_path / "server.new").write_bytes(b"left by a crash, longer than any key there is" * 9)
    (tmp_path / "server.new").chmod(0o600)
    key = _server_key(tmp_path)
    assert len(key) == 32
    assert _server_key(tmp_path) == key
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "server.new").exists()


async def test_a_lock_is_a_lock_of_the_kernel(tmp_path):
    lock = await _lock(tmp_path)
    other = os.open(tmp_path / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    os.close(lock)
