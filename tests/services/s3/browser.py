"""Requests as a browser sends them, through the same gate as the client's: plain HTTP, forms, other hosts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSPreparedRequest

from tests.services.s3.world import ACCESS_KEY, BUCKET, SECRET, World

BOUNDARY = "----opentrail-form"
ENDPOINT = "http://localhost:4580"


@dataclass
class Page:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def __contains__(self, text: str) -> bool:
        return text in self.body.decode()


def browse(
    world: World, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"", host: str = ""
) -> Page:
    """Send one unsigned request. `host` names another endpoint."""
    url = f"http://{host}{path}" if host else ENDPOINT + path
    request = AWSPreparedRequest(method, url, dict(headers or {}), body, False)
    answer = world.send(request)
    return Page(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)


def form_body(fields: list[tuple[str, Any]], boundary: str = BOUNDARY) -> bytes:
    """multipart/form-data. A value that is a tuple is a file: (name, bytes)."""
    parts = []
    for name, value in fields:
        head = f'Content-Disposition: form-data; name="{name}"'
        if isinstance(value, tuple):
            head += f'; filename="{value[0]}"\r\nContent-Type: application/octet-stream'
            value = value[1]
        data = value if isinstance(value, bytes) else str(value).encode()
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def post_form(world: World, fields: list[tuple[str, Any]], bucket: str = BUCKET, **headers: str) -> Page:
    given = {"content-type": f"multipart/form-data; boundary={BOUNDARY}", **headers}
    return browse(world, "POST", f"/{bucket}", given, form_body(fields))


def policy_fields(
    conditions: list[Any], *, seconds: int = 600, key: str = ACCESS_KEY, secret: str = SECRET, **document: Any
) -> list[tuple[str, str]]:
    """The fields of a form signed with version 2."""
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    text = json.dumps({"expiration": expires, "conditions": conditions, **document})
    policy = base64.b64encode(text.encode())
    signature = base64.b64encode(hmac.new(secret.encode(), policy, hashlib.sha1).digest()).decode()
    return [("AWSAccessKeyId", key), ("signature", signature), ("policy", policy.decode())]
