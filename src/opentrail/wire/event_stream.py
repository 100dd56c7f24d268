"""Messages of AWS's event streams, as SelectObjectContent answers with them.

A message is: length of it all, length of its headers, CRC32 of these two; headers; payload; CRC32 of all before. Numbers
are big-endian. Source: S3 API reference, "Response message structure" of SelectObjectContent. Pure.
"""

from __future__ import annotations

import struct
from zlib import crc32

PAYLOAD_BYTES_MAX = 1024 * 1024
"""Bytes of one message's payload."""
HEADER_BYTES_MAX = 4 * 1024
"""Bytes of a header's value; S3's own are far shorter, and a longer one (an error's message) is cut."""
_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_STRING = 7
"""The type of a header whose value is text."""


def event(name: str, payload: bytes = b"", content_type: str = "") -> bytes:
    """One event; the payload must not be longer than PAYLOAD_BYTES_MAX."""
    headers = {":message-type": "event", ":event-type": name}
    if content_type:
        headers[":content-type"] = content_type
    return message(headers, payload)


def failure(code: str, text: str) -> bytes:
    """The message that ends a stream in which something went wrong."""
    return message({":error-code": code, ":error-message": text, ":message-type": "error"})


def message(headers: dict[str, str], payload: bytes = b"") -> bytes:
    """One message with these headers."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload of {len(payload)} bytes")
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = _PRELUDE.pack(_PRELUDE.size + 2 * _CRC.size + len(head) + len(payload), len(head))
    data = b"".join((prelude, _CRC.pack(crc32(prelude)), head, payload))
    return data + _CRC.pack(crc32(data))


def _header(name: str, value: str) -> bytes:
    text, key = value.encode("utf-8", "replace")[:HEADER_BYTES_MAX], name.encode()
    return bytes((len(key),)) + key + bytes((_STRING,)) + struct.pack(">H", len(text)) + text
