"""Requests for the signature tests: botocore signs them, a plain body carries them."""

from __future__ import annotations

from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from opentrail.call import HttpRequest
from opentrail.errors import AwsError

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials(KEY, SECRET)


class Bytes:
    """A request body that arrives in the given pieces."""

    def __init__(self, *pieces: bytes, length: int | None = -1) -> None:
        self.pieces = pieces
        self.length = sum(map(len, pieces)) if length == -1 else length
        self.received = 0

    async def __aiter__(self):
        for piece in self.pieces:
            self.received += len(piece)
            yield piece

    async def read_all(self, limit: int) -> bytes:
        data = b"".join(self.pieces)
        if len(data) > limit:
            raise AwsError("EntityTooLarge")
        self.received = len(data)
        return data


def http(method: str, target: str, headers: dict[str, str], *pieces: bytes) -> HttpRequest:
    path, _, query = target.partition("?")
    return HttpRequest(method, path, query, headers, Bytes(*pieces), "192.0.2.1")


def sign(signer, method: str, url: str, *, data: bytes = b"", headers: dict[str, str] | None = None) -> HttpRequest:
    """What the server gets when botocore's `signer` has signed this."""
    request = AWSRequest(method, url, data=data, headers=headers or {})
    signer.add_auth(request)
    return received(request, data)


def received(request: AWSRequest, data: bytes = b"") -> HttpRequest:
    parts = urlsplit(request.url)
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        text = (value if isinstance(value, str) else value.decode("latin-1")).strip()
        held = headers.get(name.lower())
        headers[name.lower()] = text if held is None else f"{held},{text}"  # as the edge joins repeated headers
    headers["host"] = parts.netloc
    return HttpRequest(request.method, parts.path or "/", parts.query, headers, Bytes(data), "192.0.2.1")
