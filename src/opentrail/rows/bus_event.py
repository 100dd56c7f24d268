"""How an EventBridge event that is no API call lies in the ledger: its envelope and the bus it is for.

Whoever emits one wraps it here, and the follower of the rules unwraps it. Knows nothing of rules or of who emits.
"""

from __future__ import annotations

from typing import Any

import msgspec


class BusEvent(msgspec.Struct, frozen=True):
    """An event and its bus: a name (`default`); account and region stand in the envelope."""

    bus: str
    event: dict[str, Any]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BusEvent).decode


def bus_event(envelope: dict[str, Any], bus: str = "default") -> bytes:
    """One line of compact JSON for `Unit.emit`."""
    return _encode(BusEvent(bus, envelope))


def read_bus_event(line: bytes) -> BusEvent:
    """What `bus_event` wrapped; raises msgspec.DecodeError if it is something else."""
    return _decode(line)
