"""The real gate on in-memory stores, with two tiny services of the test's own and requests that botocore signs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from opentrail.call import Body, Call, HttpRequest, Response, Shape
from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.server.body import RequestBody
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.road import InternalRoad
from opentrail.server.signing import Signer
from opentrail.service import Service
from opentrail.services.accounts import ensure_root
from opentrail.settings import Settings
from opentrail.state import House, Sealer, Unit
from tests.fakes.blobs import FakeBlobs
from tests.fakes.ledger import FakeLedger
from tests.server.edge_house import Stream

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCOUNT = "000000000000"


class World:
    """`walked` counts the handlers' runs; `trouble` is called in the middle of each, with call and unit."""

    def __init__(self) -> None:
        self.ledger, self.blobs = FakeLedger(), FakeBlobs()
        self.clock, road = SystemClock(), InternalRoad()
        self.road = road
        settings = Settings(root_access_key_id=KEY, root_secret_access_key=SECRET)
        self.house = House(self.ledger, self.blobs, self.clock, road, settings, load_models(), Sealer(bytes(32)))
        self.walked = 0
        self.trouble: Any = None
        self.streams: list[Stream] = []
        sqs, s3 = Service("sqs"), Service("s3")
        sqs.operation("CreateQueue")(self.create_queue)
        s3.operation("PutObject")(self.put_object)
        s3.operation("GetObject")(self.get_object)
        s3.operation("PutBucketTagging")(self.put_tagging)
        self.gate = road.gate = Gate(self.house, {"sqs": sqs, "s3": s3}, self.clock, Signer(self.house))

    async def open(self) -> World:
        unit = Unit(self.house, self.clock.now())
        ensure_root(unit, self.house.settings)
        await self.ledger.commit(unit.writes, ())
        return self

    # --- the services

    def _walk(self, call: Call, unit: Unit) -> None:
        self.walked += 1
        if self.trouble is not None:
            self.trouble(call, unit)

    async def create_queue(self, call: Call, unit: Unit) -> Shape:
        """Put a row; answer its URL."""
        unit.put(b"queue\0" + call.input["QueueName"].encode(), b"%d" % self.walked)
        self._walk(call, unit)
        return {"QueueUrl": "http://localhost/" + call.input["QueueName"]}

    async def put_object(self, call: Call, unit: Unit) -> Shape:
        """Store a blob, once however often the call is walked; name it in the commit."""
        if "ref" not in call.stash:
            assert call.body is not None
            ref, _ = await self.house.blobs.put(call.body.__aiter__())
            call.stash["ref"] = ref
            call.stash.setdefault("blobs", []).append(ref)
        unit.put(b"object\0" + call.input["Key"].encode(), call.stash["ref"].encode())
        unit.writes.blobs.append(call.stash["ref"])
        self._walk(call, unit)
        return {}

    async def get_object(self, call: Call, unit: Unit) -> Shape:
        """Stream two chunks."""
        unit.put(b"read\0" + call.input["Key"].encode(), b"")
        self.streams.append(Stream(b"first", b"last"))
        call.stream = self.streams[-1]
        self._walk(call, unit)
        return {"ContentLength": 9}

    async def put_tagging(self, call: Call, unit: Unit) -> Shape:
        """Its body is read before it runs."""
        self._walk(call, unit)
        return {}

    # --- what became of it

    def row(self, key: bytes) -> bytes | None:
        found = self.ledger.get(key)
        return None if found is None else found.value

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line.data) for line in self.ledger.lines]

    # --- requests

    async def sqs(self, operation: str, given: Any, **more: Any) -> Response:
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        headers = {"X-Amz-Target": f"AmazonSQS.{operation}", "Content-Type": "application/x-amz-json-1.0"}
        return await self.send("POST", "http://sqs.us-east-1.amazonaws.com/", body, headers, service="sqs", **more)

    async def s3(self, method: str, path: str, body: bytes = b"", **more: Any) -> Response:
        return await self.send(method, "http://localhost:4580" + path, body, {}, service="s3", **more)

    async def send(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: dict[str, str],
        *,
        service: str,
        key: tuple[str, str] | None = (KEY, SECRET),
        sent: Body | None = None,
    ) -> Response:
        """`key` None signs nothing; `sent` is a body in place of the one that was signed."""
        request = AWSRequest(method, url, headers=headers, data=body)
        if key is not None:
            signer = S3SigV4Auth if service == "s3" else SigV4Auth
            signer(Credentials(*key), service, "us-east-1").add_auth(request)
        prepared = request.prepare()
        parts = urlsplit(prepared.url)
        named = {name.lower(): _text(value) for name, value in prepared.headers.items()} | {"host": parts.netloc}
        named["content-length"] = str(len(body))
        whole = sent or whole_body(body)
        return await self.gate.handle(HttpRequest(method, parts.path, parts.query, named, whole, "192.0.2.7"))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def whole_body(data: bytes) -> RequestBody:
    """A body that has come whole."""
    body = RequestBody(len(data), *[lambda: None] * 3)
    if data:
        body.feed(data)
    body.finish()
    return body


class FailingBody:
    """A body whose reading raises."""

    def __init__(self, length: int, error: Exception) -> None:
        self.length: int | None = length
        self.received = 0
        self.trailers: dict[str, str] = {}
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise self._error
        yield b""

    async def read_all(self, limit: int) -> bytes:
        raise self._error


def raising(error: BaseException, times: int = 1 << 30) -> Any:
    """A trouble that raises, so many times."""
    left = [times]

    def trouble(_call: Call, _unit: Unit) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return trouble


def refused(code: str = "QueueDeletedRecently") -> AwsError:
    return AwsError(code, "no", 400)
