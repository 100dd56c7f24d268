"""Pages of the server's own, which no signature is asked for: health, certificates, and what others add.

They lie where no bucket can. Knows no operation and no socket.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from opentrail import __version__
from opentrail.call import HttpRequest, Response
from opentrail.rows.sns import CERTIFICATE_PATH, SIGNING_KEYS
from opentrail.state import House, Unit

HOUSE_PATH = "/_opentrail/"
"""Where the server speaks for itself; no bucket name begins with an underscore."""


class Pages:
    """Answers requests below HOUSE_PATH."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.added: dict[str, tuple[str, Callable[[], bytes]]] = {}
        """Name below HOUSE_PATH → (content type, what makes the page)."""

    def answer(self, request: HttpRequest) -> Response:
        """The page, or 404."""
        if request.path.startswith(CERTIFICATE_PATH):
            return self._certificate(request.path[len(CERTIFICATE_PATH) :].removesuffix(".pem"))
        if (page := self.added.get(request.path[len(HOUSE_PATH) :])) is not None:
            return Response(200, {"Content-Type": page[0]}, page[1]())
        if request.path != HOUSE_PATH + "health":
            return Response(404, {"Content-Type": "text/plain"}, b"no such page\n")
        report = {"status": "ok", "version": __version__, "ledger": self._house.ledger.head()}
        return Response(200, {"Content-Type": "application/json"}, msgspec.json.encode(report) + b"\n")

    def _certificate(self, name: str) -> Response:
        """What the signatures of topics' messages are checked with."""
        found = SIGNING_KEYS.get(Unit(self._house, self._house.clock.now()), name)
        if found is None:
            return Response(404, {"Content-Type": "text/plain"}, b"no such certificate\n")
        return Response(200, {"Content-Type": "application/x-pem-file"}, found.certificate.encode())
