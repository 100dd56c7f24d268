"""Requests as an attacker writes them: bytes on a socket, and well-signed requests with contents that should not be."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from opentrail.model.shapes import Operation
from tests.clients.server_process import REGION, ROOT_KEY, ROOT_SECRET, ServerProcess
from tests.wire.oracle import client_request

ANSWER_SECONDS_MAX = 60.0
FORM_HEAD = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@dataclass(frozen=True)
class Answer:
    """`status` 0: the server hung up without a word."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


HUNG_UP = Answer(0, {}, b"")


class Held(http.client.HTTPResponse):
    """A response that leaves its connection open, so that the next one can be read from it."""

    def _close_conn(self) -> None:
        pass


class Line:
    """One raw connection. Every wait is bounded: a server that says nothing fails the test."""

    def __init__(self, server: ServerProcess) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=ANSWER_SECONDS_MAX)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Bytes that the server has stopped reading are lost, as they are for a real attacker."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def makefile(self, *_: Any) -> Any:
        return _Kept(self._file)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer; HUNG_UP when there is none."""
        response = Held(self, method=method)  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, http.client.BadStatusLine):
            return HUNG_UP
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def closed(self) -> bool:
        """Whether the server has hung up (waits for it)."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True


class _Kept:
    """A file that does not close with the response that read from it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def say(server: ServerProcess, data: bytes, method: str = "GET") -> Answer:
    """One connection, some bytes, the first answer."""
    with Line(server) as line:
        line.send(data)
        return line.answer(method)


def signed_bytes(
    server: ServerProcess,
    service: str,
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    key: tuple[str, str] = (ROOT_KEY, ROOT_SECRET),
    region: str = REGION,
) -> bytes:
    """A request as it goes over the wire, signed by botocore over exactly this target and body."""
    request = AWSRequest(method, server.url + target, data=body, headers=dict(headers or {}))
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials(*key), service, region).add_auth(request)
    lines = [f"{method} {target} HTTP/1.1", f"Host: {urlsplit(server.url).netloc}", f"Content-Length: {len(body)}"]
    for name, value in request.headers.items():
        if name.lower() not in ("host", "content-length"):
            lines.append(f"{name}: {value if isinstance(value, str) else value.decode('latin-1')}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Attacker:
    """A keep-alive connection that sends signed requests, one after the other; opened again when the server hangs up."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self._line: Line | None = None

    def ask(
        self,
        service: str,
        method: str,
        target: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        **signing: Any,
    ) -> Answer:
        data = signed_bytes(self.server, service, method, target, body, headers, **signing)
        for _ in range(2):
            if self._line is None:
                self._line = Line(self.server)
            self._line.send(data)
            answer = self._line.answer(method)
            if answer is HUNG_UP or answer.headers.get("connection") == "close":
                self.close()
            if answer is not HUNG_UP:
                break
        return answer

    def call(
        self, operation: Operation, protocol: str, value: dict[str, Any], body: bytes | None = None, **signing: Any
    ) -> Answer:
        """An operation as botocore serialises it, with another body if one is given."""
        wire = client_request(operation, protocol, value)  # type: ignore[arg-type]
        target = wire.path + (f"?{wire.query}" if wire.query else "")
        headers = {name: text for name, text in wire.headers.items() if name.lower() != "host"}
        return self.ask(
            operation.service.signing_name,
            wire.method,
            target,
            wire.body if body is None else body,
            headers,
            **signing,
        )

    def close(self) -> None:
        if self._line is not None:
            self._line.__exit__()
            self._line = None
