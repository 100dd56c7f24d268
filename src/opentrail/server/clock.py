"""The process's clock and randomness; the only place that asks the system for either."""

from __future__ import annotations

import os
from binascii import b2a_base64
from time import time

POOL_BYTES = 8 * 1024
"""Random bytes fetched from the kernel at once."""
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit of a UUID that holds two bits of its variant (RFC 9562 §4.1)."""


class SystemClock:
    """`ports.Clock` of the running server. All randomness is the kernel's; identifiers are unguessable."""

    def __init__(self) -> None:
        self._pool = b""
        self._used = POOL_BYTES

    def now(self) -> float:
        return time()

    def token(self, length: int, alphabet: str) -> str:
        size = len(alphabet)
        limit = 256 - 256 % size  # bytes from here on would favour the first letters
        letters: list[str] = []
        while len(letters) < length:
            letters += [alphabet[byte % size] for byte in self._bytes(length) if byte < limit]
        return "".join(letters[:length])

    def uuid(self) -> str:
        data = self._bytes(16).hex()
        return f"{data[:8]}-{data[8:12]}-4{data[13:16]}-{_VARIANTS[data[16]]}{data[17:20]}-{data[20:]}"

    def s3_request_id(self) -> str:
        """Sixteen capitals and digits, as S3's."""
        return self._bytes(8).hex().upper()

    def s3_host_id(self) -> str:
        """The opaque second id of S3's answers."""
        return b2a_base64(self._bytes(48), newline=False).decode()

    def _bytes(self, count: int) -> bytes:
        start = self._used
        if start + count > len(self._pool):
            self._pool = os.urandom(POOL_BYTES)
            start = 0
        self._used = start + count
        return self._pool[start : start + count]
