"""One HTTP POST to somebody else's server, guarded: where it may go, how long it may take, how much is read.

The name is looked up once and the connection goes to the address that was judged, so that no second look-up can answer
otherwise. No redirect is followed, no proxy used. Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

TIMEOUT_SECONDS: Final = 15.0
"""From the look-up of the name to the answer's first line. Source: SNS developer guide, HTTP/S endpoints."""
LINE_BYTES_MAX: Final = 8_192
"""Of an answer its status line is read, and no more than this."""
INTERIM_MAX: Final = 8
"""Lines looked through for the final status (`100 Continue` and its blank line)."""
FORBIDDEN: Final = tuple(
    map(ipaddress.ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32"))
)
"""Where clouds tell machines their secrets."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r|\n)")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotAllowed(Exception):
    """The address is one that nothing may be posted to."""


class NoAnswer(Exception):
    """Nothing that is an HTTP answer came back in time."""


class Gatekeeper:
    """Where posts may go: to the networks named, or where none is, anywhere but `FORBIDDEN` and its like."""

    def __init__(self, networks: str) -> None:
        """`networks` separated by commas; raises ValueError for one that is none."""
        self._networks: tuple[Network, ...] = tuple(
            ipaddress.ip_network(each.strip()) for each in networks.split(",") if each.strip()
        )

    def admits(self, text: str) -> bool:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_unspecified or address.is_multicast or address.is_link_local:
            return False
        if any(address in network for network in FORBIDDEN):
            return False
        return not self._networks or any(address in network for network in self._networks)


async def post(url: str, headers: Mapping[str, str], body: bytes, gatekeeper: Gatekeeper) -> int:
    """The status of the answer. Raises NotAllowed, NoAnswer, OSError (names, connections, TLS)."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _post(urlsplit(url), headers, body, gatekeeper)
    except TimeoutError as error:
        raise NoAnswer(f"no answer within {TIMEOUT_SECONDS:.0f} seconds") from error
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, UnicodeError) as error:
        raise NoAnswer("the answer is not HTTP") from error


async def _post(parts: SplitResult, headers: Mapping[str, str], body: bytes, gatekeeper: Gatekeeper) -> int:
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    address = await address_of(host, port, gatekeeper)
    reader, writer = await asyncio.open_connection(
        address,
        port,
        limit=LINE_BYTES_MAX,
        ssl=ssl.create_default_context() if secure else None,
        server_hostname=host if secure else None,
    )
    try:
        writer.write(_head(parts, headers, len(body)) + body)
        await writer.drain()
        return await _status(reader)
    finally:
        writer.transport.abort()


async def address_of(host: str, port: int, gatekeeper: Gatekeeper) -> str:
    """An address of the host that may be gone to; raises NotAllowed, OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, where in found:
        if gatekeeper.admits(str(where[0])):
            return str(where[0])
    raise NotAllowed(f"{host} is at no address that may be posted to")


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    userinfo, _, host = parts.netloc.rpartition("@")
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}", "Connection: close"]
    if userinfo:
        lines.append("Authorization: Basic " + base64.b64encode(unquote(userinfo).encode()).decode())
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _status(reader: asyncio.StreamReader) -> int:
    for _ in range(INTERIM_MAX):
        found = _STATUS.match(await reader.readuntil(b"\n"))
        if found is not None and not found[1].startswith(b"1"):
            return int(found[1])
    raise NoAnswer("the answer has no final status")
