"""A `ports.Road` over dicts: enough of S3 (and SNS Publish) for actions, with every call noted."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from opentrail.call import ByteStream, Principal, Shape
from opentrail.errors import AwsError
from opentrail.ports import InternalAnswer

CHUNK = 7


class FakeStream:
    """Bytes as a stream of small chunks; notes that it was closed."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self.closed = False
        self._data = data

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), max(CHUNK, len(self._data) // 8)):
            yield self._data[start : start + max(CHUNK, len(self._data) // 8)]

    def runs(self) -> None:
        return None

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeBucket:
    versioning: str = "Enabled"
    versions: list[tuple[str, str, bytes, Shape]] = field(default_factory=list)
    """(key, version, bytes, what PutObject was given), oldest first."""

    def find(self, key: str, version: str | None) -> tuple[str, str, bytes, Shape]:
        for each in reversed(self.versions):
            if each[0] == key and version in (None, each[1]):
                return each
        raise AwsError("NoSuchKey" if version is None else "NoSuchVersion", "not there", 404)

    def keys(self) -> list[str]:
        return sorted({each[0] for each in self.versions})

    def content(self, key: str) -> bytes:
        return self.find(key, None)[2]


@dataclass
class Noted:
    principal: Principal
    service: str
    operation: str
    input: Shape
    region: str
    source: str


class S3Road:
    """`refuse` maps (operation, bucket) to the error to answer with; `hook` is called before each call."""

    def __init__(self) -> None:
        self.buckets: dict[str, FakeBucket] = {}
        self.calls: list[Noted] = []
        self.streams: list[FakeStream] = []
        self.refuse: dict[tuple[str, str], AwsError] = {}
        self.hook: Callable[[Noted], Any] | None = None

    def add(self, bucket: str, key: str, data: bytes, **given: Any) -> str:
        place = self.buckets.setdefault(bucket, FakeBucket())
        version = f"v{len(place.versions) + 1}"
        place.versions.append((key, version, data, given))
        return version

    async def call(
        self,
        principal: Principal,
        service: str,
        operation: str,
        input: Shape,
        *,
        region: str,
        body: bytes | ByteStream = b"",
        source: str = "",
        also: object = None,
    ) -> InternalAnswer:
        noted = Noted(principal, service, operation, input, region, source)
        self.calls.append(noted)
        if self.hook is not None:
            waiting = self.hook(noted)
            if waiting is not None:
                await waiting
        if service == "sns":
            return InternalAnswer({"MessageId": "m"})
        return await self._s3(operation, input, body)

    async def _s3(self, operation: str, asked: Shape, body: bytes | ByteStream) -> InternalAnswer:
        if (operation, asked["Bucket"]) in self.refuse:
            raise self.refuse[operation, asked["Bucket"]]
        if asked["Bucket"] not in self.buckets:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        bucket = self.buckets[asked["Bucket"]]
        if operation == "GetBucketVersioning":
            return InternalAnswer({"Status": bucket.versioning} if bucket.versioning else {})
        if operation == "PutObject":
            data = body if isinstance(body, bytes) else b"".join([chunk async for chunk in body.chunks()])
            given = {name: value for name, value in asked.items() if name not in ("Bucket", "Key")}
            return InternalAnswer({"VersionId": self.add(asked["Bucket"], asked["Key"], data, **given)})
        return self._read(operation, bucket.find(asked["Key"], asked.get("VersionId")))

    def _read(self, operation: str, found: tuple[str, str, bytes, Shape]) -> InternalAnswer:
        _key, version, data, given = found
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        output = {
            "ETag": etag,
            "VersionId": version,
            "ContentLength": len(data),
            "Metadata": given.get("Metadata", {}),
            "LastModified": 1_780_000_000.0,
        }
        if operation == "HeadObject":
            return InternalAnswer(output)
        assert operation == "GetObject", operation
        stream = FakeStream(data)
        self.streams.append(stream)
        return InternalAnswer(output, stream)
