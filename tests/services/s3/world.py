"""S3 as boto3 sees it, without a socket: a real client whose requests walk the real gate inside the test's process.

State lies in the fake ledger, objects in real files. The client is made once; `World` is what it talks to at the moment.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import msgspec
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import Config

from opentrail.call import HttpRequest, Response
from opentrail.model.load import Models
from opentrail.ports import Line
from opentrail.server.body import RequestBody
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.road import InternalRoad
from opentrail.server.signing import Signer
from opentrail.services import iam, kms
from opentrail.services.accounts import ensure_root
from opentrail.services.s3.service import service
from opentrail.settings import Settings
from opentrail.state import House, Sealer, Unit
from opentrail.stores.blobs_files import FileBlobs
from tests.fakes.ledger import FakeLedger

ACCESS_KEY, SECRET = "AKIAOPENTRAILTESTS00", "secret-of-the-tests-secret-of-the-tests-"
MIB = 1024**2
BUCKET = "bucket"


class World:
    """One house with its gate."""

    def __init__(self, directory: Path, models: Models, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.remote_ip = "192.0.2.1"
        self.ledger = FakeLedger()
        self.directory = directory / "blobs"
        clock, road = SystemClock(), InternalRoad()
        settings = Settings(data_dir=directory, root_access_key_id=ACCESS_KEY, root_secret_access_key=SECRET)
        blobs = FileBlobs(self.directory, clock)
        self.house = House(self.ledger, blobs, clock, road, settings, models, Sealer(bytes(32)))
        unit = self.unit()
        ensure_root(unit, settings)
        self.commit(unit)
        self.gate = road.gate = Gate(
            self.house, {"s3": service, "kms": kms.service, "iam": iam.service}, clock, Signer(self.house)
        )

    def unit(self) -> Unit:
        return Unit(self.house, self.house.clock.now())

    def commit(self, unit: Unit) -> None:
        self.loop.run_until_complete(self.ledger.commit(unit.writes, ()))

    def blob_sizes(self) -> list[int]:
        """Sizes of all blobs there are; none may lie in waiting once a call is answered."""
        assert not list((self.directory / "incoming").iterdir())
        return sorted(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())

    def records(self, name: str) -> list[dict[str, Any]]:
        lines: list[Line] = self.ledger.lines
        return [record for line in lines if (record := msgspec.json.decode(line.data))["eventName"] == name]

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        status, headers, body = self.loop.run_until_complete(self._answer(request))
        return AWSResponse(request.url, status, headers, _Raw(body))

    async def _answer(self, request: AWSPreparedRequest) -> tuple[int, dict[str, str], bytes]:
        response = await self.gate.handle(_http_request(request, self.remote_ip))
        return response.status, response.headers, await _body(response)


class _Raw(io.BytesIO):
    def stream(self, **_options: Any) -> Iterator[bytes]:
        yield self.read()


def _http_request(request: AWSPreparedRequest, remote_ip: str) -> HttpRequest:
    data = request.body if request.body is not None else b""
    data = data.read() if hasattr(data, "read") else data
    data = data.encode() if isinstance(data, str) else bytes(data)
    headers = {
        name.lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    url = urlsplit(request.url)
    headers.setdefault("host", url.netloc)
    framed = headers.get("transfer-encoding") == "chunked"
    body = RequestBody(None if framed else len(data), _nothing, _nothing, _nothing)
    if data:
        body.feed(data)
    body.finish()
    return HttpRequest(request.method, url.path, url.query, headers, body, remote_ip)


def _nothing() -> None:
    return None


async def _body(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    stream = response.body
    data = b"".join([chunk async for chunk in stream.chunks()])
    assert len(data) == stream.length
    if response.seal is not None:
        await response.seal(len(data), True)
    await stream.close()
    return data


class Wire:
    """Where the client's requests go."""

    world: World | None = None

    def __call__(self, request: AWSPreparedRequest, **_event: Any) -> AWSResponse:
        assert self.world is not None
        return self.world.send(request)


@contextmanager
def without_digest(client: Any) -> Iterator[None]:
    """Requests go out without the digest that botocore gives them."""

    def strip(request: AWSPreparedRequest, **_event: Any) -> None:
        for name in list(request.headers):
            if name.lower().startswith(("x-amz-checksum", "x-amz-sdk-checksum", "content-md5")):
                del request.headers[name]

    client.meta.events.register_first("before-sign.s3", strip)
    try:
        yield
    finally:
        client.meta.events.unregister("before-sign.s3", strip)


def new_client(
    wire: Wire, service: str = "s3", key: tuple[str, str] = (ACCESS_KEY, SECRET), *, signed: bool = True
) -> Any:
    """A client of a service, by the root's key or another."""
    config = Config(
        s3={"addressing_style": "path"},
        retries={"max_attempts": 1},
        signature_version=("s3v4" if service == "s3" else "v4") if signed else UNSIGNED,
    )
    client = boto3.session.Session().client(
        service,
        endpoint_url="http://localhost:4580",
        region_name="us-east-1",
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=config,
    )
    client.meta.events.register(f"before-send.{service}", wire)
    return client
