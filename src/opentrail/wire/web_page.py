"""The page that S3's website endpoints show for an error. Pure; everything in it is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

HTML_TYPE = "text/html; charset=utf-8"
_PHRASES = {
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 412: "Precondition Failed",
    416: "Requested Range Not Satisfiable", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
SECOND_FAULT = "An Error Occurred While Attempting to Retrieve a Custom Error Document"


def error_page(
    status: int, details: Mapping[str, str], request_id: str, host_id: str, second: Mapping[str, str] | None = None
) -> bytes:
    """`details` are Code, Message and what else the error tells; `second` the same of why the website's own error
    document could not be shown."""
    title = f"{status} {_PHRASES.get(status, 'Error')}"
    ids = {"RequestId": request_id, "HostId": host_id}
    parts = [f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n", _items({**details, **ids})]
    if second is not None:
        parts += [f"<h3>{SECOND_FAULT}</h3>\n", _items(second)]
    parts.append("<hr/>\n</body>\n</html>\n")
    return "".join(parts).encode("utf-8", "replace")


def _items(details: Mapping[str, str]) -> str:
    lines = [f"<li>{escape(name)}: {escape(str(value))}</li>\n" for name, value in details.items()]
    return f"<ul>\n{''.join(lines)}</ul>\n"
