"""How an EventBridge event that is no API call lies in the ledger: its envelope and the bus it is for.

Whoever emits one wraps it here, and the follower of the rules unwraps it. Knows nothing of rules or of who emits.
"""

from __future__ import annotations

from typing import Any

import msgspec


class BusEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event and its bus: a name (`default`). Account and region of the bus stand in the envelope, unless the event
    came from elsewhere; then they are given here."""

    bus: str
    event: msgspec.Raw
    account: str = ""
    region: str = ""
    forwarded: bool = False
    """It came over another bus, so it goes on to no further one."""


class EventHead(msgspec.Struct, frozen=True):
    """What of an envelope says whom it may concern. Absent members are empty."""

    id: str = ""
    account: str = ""
    region: str = ""
    source: str = ""
    detail_type: str = msgspec.field(default="", name="detail-type")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BusEvent).decode
read_event_head = msgspec.json.Decoder(EventHead).decode
"""The head of an envelope's bytes; raises msgspec.DecodeError."""


def bus_event(envelope: dict[str, Any], bus: str = "default", account: str = "", region: str = "") -> bytes:
    """One line of compact JSON for `Unit.emit`. A value of the envelope may be `msgspec.Raw` (compact JSON)."""
    return _encode(BusEvent(bus, msgspec.Raw(_encode(envelope)), account, region))


def forwarded_event(event: bytes, bus: str, account: str, region: str) -> bytes:
    """The line that puts an envelope's bytes, as they are, on another bus."""
    return _encode(BusEvent(bus, msgspec.Raw(event), account, region, forwarded=True))


def read_bus_event(line: bytes) -> BusEvent:
    """What `bus_event` wrapped; raises msgspec.DecodeError if it is something else."""
    return _decode(line)
