"""Writes replicas to an S3 store of somebody else's, over HTTP, streamed, signed with a key of that store.

Where it may go, `post.Gatekeeper` says, as for topics' messages. No redirect is followed, no proxy used. Version ids, ACLs
and owners are that store's own. Knows neither tasks' fate nor this server's ledger.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from opentrail.call import ByteStream, Shape
from opentrail.errors import AwsError
from opentrail.followers.post import Gatekeeper, NotAllowed, address_of
from opentrail.followers.replication_write import change_input, object_input
from opentrail.model.load import Models
from opentrail.ports import Clock
from opentrail.rows.s3 import ObjectVersion
from opentrail.rows.s3_replication import Task, id_elsewhere
from opentrail.wire.outgoing import Key, signed_headers
from opentrail.wire.request import WireRequest, build_request

HEAD_BYTES_MAX: Final = 64 * 1024
"""Of an answer its head is read, and no more than this."""
ERROR_BYTES_MAX: Final = 64 * 1024
"""Of an answer that tells an error this much is read."""
CONNECT_SECONDS: Final = 15.0
PROGRESS_SECONDS: Final = 60.0
"""How long a piece of a body, or the answer, may take."""
INTERIM_MAX: Final = 8
OBJECT_BYTES_MAX: Final = 5 * 1024**3
"""Bytes of one PutObject."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r|\n)")
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_MD5 = re.compile(r"[0-9a-f]{32}")
PLAIN: Final = frozenset({"", "AES256"})


class RemoteFailure(Exception):
    """No usable answer came back; it may another time."""


class Endpoint(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """A bucket on another server, as the settings name it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"
    bucket: str = ""
    """Its name there, if that is another."""


class Newest(NamedTuple):
    """The newest version of a key at the other server; all empty if there is none."""

    version_id: str = ""
    etag: str = ""
    size: int = -1
    marker: bool = False


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    code: str


class Remote:
    """One bucket on another server. `name` is what rules call it."""

    def __init__(self, name: str, endpoint: Endpoint, gatekeeper: Gatekeeper, models: Models, clock: Clock) -> None:
        self.name = name
        self._endpoint = endpoint
        self._gatekeeper = gatekeeper
        self._models = models
        self._clock = clock
        self._bucket = endpoint.bucket or name
        parts = urlsplit(endpoint.endpoint)
        self._host = parts.netloc
        self._address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    async def newest(self, key: str) -> Newest:
        """Raises AwsError, RemoteFailure, OSError."""
        answer = await self._call("HeadObject", {"Key": key})
        if answer.status not in (200, 404):
            raise _error(answer)
        headers = answer.headers
        version_id, marker = headers.get("x-amz-version-id", ""), headers.get("x-amz-delete-marker") == "true"
        if answer.status == 404:
            return Newest(version_id, marker=True) if marker else Newest()
        return Newest(version_id, headers.get("etag", "").strip('"'), int(headers.get("content-length", "-1")))

    def has_it(self, now: Newest, version: ObjectVersion, task: Task) -> bool:
        """Has the newest version come by a try whose end was not seen?"""
        if now.version_id == task.before and now.version_id:
            return False
        if task.operation == "DeleteObject":
            return now.marker
        if task.operation != "PutObject" or now.size != version.size:
            return False
        return now.etag == version.etag or not (_MD5.fullmatch(version.etag) and version.sse in PLAIN)

    async def do(self, version: ObjectVersion, task: Task, body: bytes | ByteStream) -> str:
        """Make or change the replica; its version id there. Raises AwsError, RemoteFailure, OSError."""
        given: Shape = {"Key": version.key}
        if task.operation == "PutObject":
            if version.size > OBJECT_BYTES_MAX:
                raise AwsError("EntityTooLarge", "Larger objects are not replicated to another server.", 400)
            given |= object_input(version, task) | _digest(version) | _lock(version)
        elif task.operation == "PutObjectAcl":
            return ""  # whom its grants mean, only this server knows
        elif task.operation != "DeleteObject":
            id_ = id_elsewhere(version, self.name)
            given |= change_input(version, task.operation) | ({"VersionId": id_} if id_ else {})
        answer = await self._call(task.operation, given, body)
        if answer.status not in (200, 204):
            raise _error(answer)
        return answer.headers.get("x-amz-version-id", "")

    async def _call(self, operation: str, given: Shape, body: bytes | ByteStream = b"") -> Answer:
        model = self._models.operation("s3", operation)
        request = build_request(model, "rest-xml", {"Bucket": self._bucket, **given})
        stream = body
        if isinstance(body, bytes):
            stream = body or request.body
            request = request._replace(body=stream)
            if operation not in ("PutObject", "HeadObject") and stream:
                request.headers["content-md5"] = base64.b64encode(hashlib.md5(stream).digest()).decode()
        try:
            return await self._exchange(request, stream)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise RemoteFailure(f"{self._host}: {type(error).__name__}") from error
        except NotAllowed as error:
            raise AwsError("AccessDenied", str(error), 403) from error

    async def _exchange(self, request: WireRequest, body: bytes | ByteStream) -> Answer:
        streamed = not isinstance(body, bytes)
        key = Key(self._endpoint.access_key_id, self._endpoint.secret_access_key)
        headers = signed_headers(request, self._host, self._endpoint.region, key, self._clock.now(), streamed=streamed)
        length = len(body) if isinstance(body, bytes) else body.length
        async with asyncio.timeout(CONNECT_SECONDS):
            host, port = self._address
            address = await address_of(host, port, self._gatekeeper)
            reader, writer = await asyncio.open_connection(
                address, port, limit=HEAD_BYTES_MAX, ssl=self._tls, server_hostname=host if self._tls else None
            )
        try:
            writer.write(_head(request, headers, length))
            await self._write(writer, body)
            async with asyncio.timeout(PROGRESS_SECONDS):
                return await _answer(reader, request.method)
        finally:
            writer.transport.abort()

    async def _write(self, writer: asyncio.StreamWriter, body: bytes | ByteStream) -> None:
        if isinstance(body, bytes):
            writer.write(body)
            async with asyncio.timeout(PROGRESS_SECONDS):
                await writer.drain()
            return
        async for chunk in body.chunks():
            writer.write(chunk)
            async with asyncio.timeout(PROGRESS_SECONDS):
                await writer.drain()


Remotes = Mapping[str, Remote]


def _digest(version: ObjectVersion) -> Shape:
    """What the other server may check the bytes by."""
    if not _MD5.fullmatch(version.etag) or version.sse not in PLAIN:
        return {}
    return {"ContentMD5": base64.b64encode(bytes.fromhex(version.etag)).decode()}


def _lock(version: ObjectVersion) -> Shape:
    given: Shape = {}
    if version.lock_mode:
        until = datetime.fromtimestamp(version.lock_until, UTC)
        given = {"ObjectLockMode": version.lock_mode, "ObjectLockRetainUntilDate": until}
    if version.legal_hold:
        given["ObjectLockLegalHoldStatus"] = "ON"
    return given


def _head(request: WireRequest, headers: Mapping[str, str], length: int) -> bytes:
    target = request.path + (f"?{request.query}" if request.query else "")
    lines = [f"{request.method} {target} HTTP/1.1", f"content-length: {length}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _answer(reader: asyncio.StreamReader, method: str) -> Answer:
    for _ in range(INTERIM_MAX):
        head = await reader.readuntil(b"\r\n\r\n")
        found = _STATUS.match(head)
        if found is None:
            raise RemoteFailure("the answer is not HTTP")
        if found[1].startswith(b"1"):
            continue
        status, headers = int(found[1]), _headers(head)
        body = b"" if status < 300 or method == "HEAD" else await _some(reader)
        code = _ERROR_CODE.search(body)
        return Answer(status, headers, code[1].decode() if code else "")
    raise RemoteFailure("the answer has no final status")


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while len(data) < ERROR_BYTES_MAX and (more := await reader.read(ERROR_BYTES_MAX - len(data))):
        data += more
    return data


def _error(answer: Answer) -> AwsError:
    """What the other server says, as an error of its own; one without a code bears its status."""
    return AwsError(answer.code or f"Status{answer.status}", "the other server refuses", answer.status)
