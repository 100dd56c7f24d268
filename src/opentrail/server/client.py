"""A small client of a running server, for the commands that ask one: AWS's protocols, signed, over one connection.

Builds and signs with the server's own `wire` room, so it needs no SDK. Talks to one endpoint only, S3 in path style, and
follows no redirection. Knows no command: what an error means for a user is told by `cli_client`.
"""

from __future__ import annotations

import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from opentrail.call import Shape
from opentrail.model.load import load_models
from opentrail.server.client_answer import read_answer
from opentrail.wire.outgoing import Key, signed_headers
from opentrail.wire.request import WireRequest, build_request
from opentrail.wire.scalars import Malformed

TIMEOUT_SECONDS = 60.0
"""How long to wait for a connection, and for each piece of an answer."""
ANSWER_MAX = 1 << 30
"""Bytes of an answer at the most: it is held in memory, as a log file may be."""
SCHEMES = {"http": 80, "https": 443}


class Unanswered(Exception):
    """No answer of AWS's kind came; the text says why."""


class BadEndpoint(Exception):
    """The endpoint is no URL of a server."""


class Client:
    """Calls operations of AWS's by name. Not for several threads at once."""

    def __init__(self, endpoint: str, key: Key, region: str, *, ca_bundle: str = "") -> None:
        """`endpoint` is `http(s)://host[:port]`; raises BadEndpoint. `ca_bundle`: a file of trusted certificates."""
        self.endpoint, self.region = endpoint, region
        self._key, self._ca_bundle = key, ca_bundle
        self._connection, self._host = _connection(endpoint, ca_bundle)

    def acting_as(self, key: Key) -> Client:
        """A client of the same server with another key."""
        return Client(self.endpoint, key, self.region, ca_bundle=self._ca_bundle)

    def another(self) -> Client:
        """Another client just like this one, for another thread."""
        return self.acting_as(self._key)

    def call(self, service: str, name: str, given: Shape | None = None, *, region: str = "") -> Shape:
        """The output of one operation, by member names; blobs (an object, too) are bytes.

        Raises AwsError as the server tells it, and Unanswered.
        """
        operation = load_models().operation(service, name)
        request = build_request(operation, operation.service.protocol, given or {})
        signs = operation.service.signing_name
        headers = signed_headers(request, self._host, region or self.region, self._key, time.time(), service=signs)
        status, answered, body = self._send(request, headers)
        try:
            return read_answer(operation, status, answered, body)
        except Malformed as error:
            raise Unanswered(f"{self.endpoint} answered {name} with something else than AWS does: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def _send(self, request: WireRequest, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """One exchange. A connection that the server closed meanwhile is opened again, once, where that is harmless."""
        reused = self._connection.sock is not None
        try:
            return self._exchange(request, headers)
        except (HTTPException, OSError) as error:
            self._connection.close()
            if not reused or request.method not in ("GET", "HEAD") or isinstance(error, TimeoutError):
                raise self._unanswered(error) from error
        try:
            return self._exchange(request, headers)
        except (HTTPException, OSError) as error:
            self._connection.close()
            raise self._unanswered(error) from error

    def _exchange(self, request: WireRequest, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        target = f"{request.path}?{request.query}" if request.query else request.path
        self._connection.request(request.method, target, request.body or None, headers)
        answer = self._connection.getresponse()
        body = answer.read(ANSWER_MAX + 1)
        if len(body) > ANSWER_MAX:
            raise HTTPException(f"the answer is longer than {ANSWER_MAX} bytes")
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def _unanswered(self, error: HTTPException | OSError) -> Unanswered:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return Unanswered(f"no answer from {self.endpoint}: {reason}")


def _connection(endpoint: str, ca_bundle: str) -> tuple[HTTPConnection, str]:
    """A connection that is not open yet, and its Host header."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError as error:
        raise BadEndpoint(f"{endpoint} is no URL: {error}") from error
    if parts.scheme not in SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BadEndpoint(f"{endpoint} is no endpoint; write http://HOST:PORT")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = name if port in (None, SCHEMES[parts.scheme]) else f"{name}:{port}"
    if parts.scheme == "http":
        return HTTPConnection(parts.hostname, port, timeout=TIMEOUT_SECONDS), host
    try:
        context = ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        raise BadEndpoint(f"cannot read the certificates in {ca_bundle}: {error.strerror or error}") from error
    return HTTPSConnection(parts.hostname, port, timeout=TIMEOUT_SECONDS, context=context), host
