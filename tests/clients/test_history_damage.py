"""A real server whose event history is damaged on the disk: it says so, never shows less than there is, and mends itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from opentrail.stores.history_damage import ASIDE_FILE, EVENTS_FILE
from tests.clients.server_process import ServerProcess
from tests.clients.waiting import PATIENCE_SECONDS

PAGE = 16 * 1024
USERS = 60
NAMES = [f"user-{number}" for number in range(USERS)]


def flip(data: bytearray) -> None:
    """Bits, in every page but the first two, whose damage shows at the start."""
    for place in range(2 * PAGE, len(data), 97):
        data[place] ^= 0x10


def zero(data: bytearray) -> None:
    data[3 * PAGE :] = bytes(len(data) - 3 * PAGE)


def cut(data: bytearray) -> None:
    del data[len(data) // 2 :]


def spoil(data: bytearray) -> None:
    data[:PAGE] = b"\xa5" * PAGE


def created(cloudtrail: Any) -> list[str] | None:
    """The users that look-ups tell of, over all pages; None if they are refused."""
    by_name = [{"AttributeKey": "EventName", "AttributeValue": "CreateUser"}]
    try:
        pages = cloudtrail.get_paginator("lookup_events").paginate(LookupAttributes=by_name)
        events = [event for page in pages for event in page["Events"]]
    except ClientError as refusal:
        answer = refusal.response
        if (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) != ("ServiceUnavailable", 503):
            raise
        return None
    names = [each["ResourceName"] for event in events for each in event["Resources"]]
    return sorted({name for name in names if name in NAMES}, key=NAMES.index)


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "running"), [(flip, False), (zero, True), (cut, True), (spoil, False)])
def test_a_damaged_history_is_never_shown_as_less_and_becomes_whole(
    tmp_path: Path, damage: Callable[[bytearray], None], running: bool
) -> None:
    server = ServerProcess(tmp_path).start()
    path = tmp_path / "data" / EVENTS_FILE
    try:
        iam = server.client("iam")
        for name in NAMES:
            iam.create_user(UserName=name)
        assert server.stop() == 0  # what is written now lies in the file itself
        if running:
            server.start()
            assert created(server.client("cloudtrail")) == NAMES
        data = bytearray(path.read_bytes())
        damage(data)
        with path.open("r+b") as file:
            file.write(data)
            file.truncate(len(data))
        if not running:
            server.start()
        cloudtrail = server.client("cloudtrail")
        deadline = time.monotonic() + PATIENCE_SECONDS
        whole = 0
        while whole < 3:
            found = created(cloudtrail)
            assert found in (None, NAMES), f"shown as less\n{server.log()}"
            whole = whole + 1 if found else 0
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.1)
        assert server.stop() == 0
        assert server.tracebacks() == server.log().count("HistoryFailed: "), server.log()
        if (tmp_path / "data" / ASIDE_FILE).exists():
            assert "history.db is damaged" in server.log()
    finally:
        server.kill()
        print(server.log())  # shown with a failure
