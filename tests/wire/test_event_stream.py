"""What we write as an event stream, botocore reads."""

from __future__ import annotations

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.wire.event_stream import HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX, event, failure, message


def read(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Headers and payload of each message; botocore checks both CRCs."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(each.headers, each.payload) for each in buffer]


def test_events() -> None:
    data = event("Records", b"a,b\n", "application/octet-stream") + event("Cont") + event("End")
    assert read(data) == [
        ({":message-type": "event", ":event-type": "Records", ":content-type": "application/octet-stream"}, b"a,b\n"),
        ({":message-type": "event", ":event-type": "Cont"}, b""),
        ({":message-type": "event", ":event-type": "End"}, b""),
    ]


def test_a_failure() -> None:
    [(headers, payload)] = read(failure("CastFailed", "no such ü"))
    assert headers == {":error-code": "CastFailed", ":error-message": "no such ü", ":message-type": "error"}
    assert payload == b""


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text("abc:-", min_size=1, max_size=20), st.text(max_size=50)), st.binary(max_size=300))
def test_any_message(headers: dict[str, str], payload: bytes) -> None:
    assert read(message(headers, payload)) == [
        ({name: value.encode("utf-8", "replace").decode() for name, value in headers.items()}, payload)
    ]


def test_bounds() -> None:
    [(headers, payload)] = read(message({":error-message": "x" * 100_000}, b"y" * PAYLOAD_BYTES_MAX))
    assert (len(headers[":error-message"]), len(payload)) == (HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX)
    with pytest.raises(ValueError):
        message({}, b"y" * (PAYLOAD_BYTES_MAX + 1))
