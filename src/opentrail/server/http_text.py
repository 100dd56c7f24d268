"""The text of HTTP/1.1: heads of answers, refusals, request targets.

Pure: knows no connection and no clock. Nothing that comes in, in a header's name or value, can end a line that goes out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from opentrail.call import UNKNOWN_LENGTH, ByteStream, Response

NO_BODY_STATUS = frozenset({204, 304})
_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
    302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict", 411: "Length Required",
    412: "Precondition Failed", 413: "Payload Too Large", 416: "Requested Range Not Satisfiable",
    429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


def head_of(response: Response, keep_alive: bool, date_line: bytes, chunked: bool = True) -> bytes:
    """Status line and headers of an answer, up to the empty line. `date_line` is the whole Date header. A body of unknown
    length is sent in chunks, or, to a peer that does not know them (HTTP/1.0), ends with the connection."""
    status = response.status
    headers = response.headers
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    if not _is_clean("".join(lines), len(lines)):
        lines = [f"{_clean(name)}: {_clean(value)}\r\n" for name, value in headers.items()]
    lines.insert(0, f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n")
    if "Content-Length" not in headers and status not in NO_BODY_STATUS:
        size = len(response.body) if isinstance(response.body, bytes) else response.body.length
        measured = f"Content-Length: {size}\r\n"
        lines.append(measured if size != UNKNOWN_LENGTH else "Transfer-Encoding: chunked\r\n" if chunked else "")
    if not keep_alive:
        lines.append("Connection: close\r\n")
    return "".join(lines).encode("latin-1", "replace") + date_line + b"Server: OpenTrail\r\n\r\n"


def refusal(status: int, message: str) -> bytes:
    """The whole answer to a request that cannot be understood; the connection ends with it."""
    error = f"<Error><Code>BadRequest</Code><Message>{_xml(message)}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'.encode("utf-8", "replace")
    head = f"HTTP/1.1 {status} Bad Request\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


class NoBytes:
    """The body of an answer to HEAD: what GET would stream is not looked at."""

    length = 0

    def __init__(self, unread: ByteStream) -> None:
        self.close = unread.close

    async def chunks(self) -> AsyncIterator[bytes]:
        return
        yield b""

    def runs(self) -> AsyncIterator[tuple[int, int, int]] | None:
        return None


def path_of(path: bytes) -> str:
    """The path of the request target; an absolute-form target loses scheme and authority."""
    if not path.startswith(b"/") and b"://" in path:
        path = b"/" + path.split(b"://", 1)[1].partition(b"/")[2]
    return path.decode("latin-1")


def _is_clean(lines: str, count: int) -> bool:
    """No header holds what could end its line: there are no more ends than lines. One look at all of them at once."""
    return lines.count("\n") == count and lines.count("\r") == count and "\0" not in lines


def _clean(value: str) -> str:
    """A header's name or value that cannot end its line."""
    if "\r" in value or "\n" in value or "\0" in value:
        return value.replace("\r", " ").replace("\n", " ").replace("\0", " ")
    return value


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
