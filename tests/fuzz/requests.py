"""Requests that nobody would send, one for each number, which follows from the seed and the number alone.

Most are right up to one place: a good call with a bad value, a signed body that is no document, a head that was
changed after it was signed. A request is the bytes that go over the wire; what comes back is judged by `run`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from opentrail.model.shapes import Operation, Protocol
from opentrail.server.wiring import SERVICES
from tests.fuzz.values import input_of
from tests.wire.oracle import SPOKEN, client_request, model_of

Sign = Callable[..., bytes]
"""(service, method, target, body, headers) to the signed bytes of a request, as `hostile.raw.signed_bytes`."""
BODIES = (
    b"", b"{}", b"[]", b"null", b'{"a":', b"<a/>", b"<a>", b"\xff\xfe", b"\0", b"Action=ListUsers&Version=2010-05-08",
    b"&" * 500, b"[" * 20_000, b"<a>" * 5_000, b'{"a":' * 5_000, b"\xa0", b"\xbf" * 300, b"\x9b" + b"\x7f" * 8,
    b"\x1f\x8b\x08", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff",
    b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n",
)  # fmt: skip
TYPES = (
    "application/x-amz-json-1.0", "application/x-amz-json-1.1", "application/json", "application/xml",
    "application/cbor", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b",
    "application/vnd.amazon.eventstream", "", "a" * 500,
)  # fmt: skip
HEADERS = (
    ("Range", "bytes=0-"), ("Range", "bytes=-0"), ("If-Match", "*"), ("If-None-Match", '"x"'),
    ("x-amz-acl", "public-read"), ("x-amz-copy-source", "fuzz-a/k"), ("x-amz-copy-source", "%"),
    ("x-amz-tagging", "a=b&a=c"), ("x-amz-checksum-crc32", "AAAA"), ("Content-MD5", "x"),
    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("Expect", "100-continue"), ("Origin", "http://a"),
    ("x-amz-decoded-content-length", "-1"), ("Content-Encoding", "aws-chunked"),
    ("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-server-side-encryption", "aws:kms"),
    ("x-amz-server-side-encryption-customer-algorithm", "AES256"), ("Host", "fuzz-a.s3"),
    ("X-Amz-Target", "AWSEvents.ListRules"), ("x-amz-security-token", "x"), ("smithy-protocol", "rpc-v2-cbor"),
    ("Date", "x"), ("x-amz-object-lock-mode", "COMPLIANCE"), ("x-amz-website-redirect-location", "/\t"),
    ("Accept-Encoding", "gzip"),
)  # fmt: skip
QUERIES = (
    "acl", "policy", "uploads", "uploadId=x", "partNumber=0", "versionId=null", "list-type=2", "max-keys=-1",
    "delete", "tagging", "select&select-type=2", "encoding-type=url", "continuation-token=%00", "X-Amz-Signature=x",
    "response-content-type=a%0d%0ab", "location", "versions", "torrent", "attributes", "cors", "a=%zz", "&&&",
    "x-id=GetObject", "lifecycle", "notification",
)  # fmt: skip
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "BREW")


@dataclass(frozen=True)
class Request:
    """One request. `whole`: it is a full HTTP request, so an answer must come; else the server may just hang up."""

    kind: str
    data: bytes
    method: str = "GET"
    whole: bool = True
    recorded: bool = False
    """A call that is recorded when it succeeds."""
    operation: str = field(default="", compare=False)


@dataclass(frozen=True)
class _Called:
    """An operation's request before it is signed."""

    operation: Operation
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def signed(self, sign: Sign) -> bytes:
        return sign(self.operation.service.signing_name, self.method, self.target, self.body, self.headers)


def _operations() -> tuple[list[tuple[Operation, Protocol]], list[tuple[Operation, Protocol]]]:
    """(built, all) operations of the services in scope, in each protocol that their clients speak."""
    every = [
        (operation, protocol) for name, protocol in SPOKEN for operation in model_of(name, protocol).operations.values()
    ]
    built = [each for each in every if each[0].name in getattr(SERVICES.get(each[0].service.name), "handlers", ())]
    return built, every


BUILT, EVERY = _operations()
S3 = [each for each in BUILT if each[0].service.name == "s3"]
DANGEROUS = frozenset(
    {"DeleteAccessKey", "UpdateAccessKey", "DeleteAccountPublicAccessBlock", "CloseAccount", "LeaveOrganization"}
)
"""Operations that could take away the very key that the requests are signed with."""


def make(seed: int, number: int, sign: Sign) -> Request:
    """The request of this number."""
    random = Random(f"{seed}:{number}")
    while True:
        try:
            return random.choices(list(KINDS), list(KINDS.values()))[0](random, sign)
        except UnicodeError:  # botocore cannot sign every text that it can serialise
            continue


def _called(random: Random, chosen: list[tuple[Operation, Protocol]]) -> _Called:
    for _ in range(50):
        operation, protocol = random.choice(chosen)
        if operation.name in DANGEROUS:
            continue
        try:
            wire = client_request(operation, protocol, input_of(random, operation))
        except Exception:  # noqa: BLE001, S112  (botocore refuses to serialise some of the values)
            continue
        if not isinstance(wire.body, bytes):
            continue
        headers = {name: text for name, text in wire.headers.items() if name.lower() not in ("host", "content-length")}
        if any("\n" in text or "\r" in text or "\0" in text for text in headers.values()):
            continue
        path = wire.path or "/"
        return _Called(operation, wire.method, path + (f"?{wire.query}" if wire.query else ""), headers, wire.body)
    raise LookupError("botocore serialises none of these")


def call(random: Random, sign: Sign) -> Request:
    """A call as botocore writes it, with values of all kinds."""
    chosen = random.choices((BUILT, S3, EVERY), (5, 4, 2))[0]
    made = _called(random, chosen)
    return _request("call", made, made.signed(sign), recorded=True)


def call_with_other_body(random: Random, sign: Sign) -> Request:
    """A good call whose body is another document, or its own with a few bytes changed; signed as it is sent."""
    made = _called(random, random.choice((BUILT, S3)))
    body = random.choice(BODIES) if random.random() < 0.4 or not made.body else _bent(random, made.body)
    changed = _Called(made.operation, made.method, made.target, made.headers, body)
    return _request("other body", changed, changed.signed(sign))


def call_with_other_head(random: Random, sign: Sign) -> Request:
    """A good call with further or other headers and parameters; signed as it is sent."""
    made = _called(random, random.choice((BUILT, S3, S3)))
    headers = made.headers | dict(random.sample(HEADERS, random.choice((1, 1, 2, 4))))
    if random.random() < 0.3:
        headers["Content-Type"] = random.choice(TYPES)
    headers.pop("Host", None)
    target = made.target
    if random.random() < 0.5:
        target += ("&" if "?" in target else "?") + random.choice(QUERIES)
    method = random.choice(METHODS) if random.random() < 0.2 else made.method
    changed = _Called(made.operation, method, target, headers, made.body)
    return _request("other head", changed, changed.signed(sign))


def bent_after_signing(random: Random, sign: Sign) -> Request:
    """A few bytes of a signed request are changed on the way."""
    made = _called(random, random.choice((BUILT, S3)))
    return _request("bent", made, _bent(random, made.signed(sign)), whole=False)


def cut_short(random: Random, sign: Sign) -> Request:
    """A request that ends before its end, or goes on after it."""
    made = _called(random, random.choice((BUILT, S3)))
    data = made.signed(sign)
    if random.random() < 0.2:
        data += random.choice((b"\r\n", b"x", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", random.randbytes(50)))
    else:
        data = data[: random.randrange(len(data))]
    return _request("cut short", made, data, whole=False)


def chunked(random: Random, sign: Sign) -> Request:
    """A body in chunks of HTTP, or in those of AWS, that do not add up."""
    made = _called(random, S3)
    head, _, body = made.signed(sign).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    size = random.choice(
        (b"%x" % len(body), b"%X;a=b" % len(body), b"0", b"-1", b"zz", b"f" * 20, b"", b"%x" % (len(body) + 5))
    )
    end = random.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"0\r\n", b"0;x\r\n\r\n"))
    data = b"\r\n".join(lines) + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + body + b"\r\n" + end
    return _request("chunked", made, data, whole=False)


def raw(random: Random, _sign: Sign) -> Request:
    """Bytes that look more or less like a request."""
    parts = [
        random.choice((b"GET", b"PUT", b"POST", b"", b"\0", b"OPTIONS", b"PRI", b"a" * 300)),
        random.choice((b" ", b"  ", b"", b"\t")),
        random.choice(
            (b"/", b"/fuzz-a/k", b"*", b"http://x/y", b"/%ff%00", b"/" + b"a" * 20_000, b"", b"/?" + b"a&" * 3_000)
        ),
        random.choice((b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"\r\n", b" HTTP/1.1\n", b"")),
    ]
    for _ in range(random.choice((0, 1, 3, 300))):
        parts.append(
            random.choice(
                (b"Host: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
                 b"X: " + b"y" * 2_000 + b"\r\n", b": \r\n", b"a\r\n", b"Expect: 100-continue\r\n",
                 b"Connection: close\r\n", b"X:\0\r\n", b"Upgrade: h2c\r\n")
            )
        )  # fmt: skip
    parts.append(random.choice((b"\r\n", b"\r\n\r\n", b"", b"\r\nhello", random.randbytes(200))))
    return Request("raw", b"".join(parts), whole=False)


def misaddressed(random: Random, sign: Sign) -> Request:
    """Some document of some type for some service, on some path."""
    service = random.choice([*sorted({operation.service.signing_name for operation, _ in EVERY}), "nonsense"])
    method, path = (
        random.choice(METHODS),
        random.choice(("/", "/fuzz-a", "/fuzz-a/k", "//", "/2013-04-01/x", "/service/x/operation/y")),
    )
    target = path + random.choice(("", "?" + random.choice(QUERIES)))
    headers = dict(random.sample(HEADERS, 2)) | {"Content-Type": random.choice(TYPES)}
    headers.pop("Host", None)
    if random.random() < 0.5:
        operation = random.choice(EVERY)[0]
        headers["X-Amz-Target"] = f"{operation.service.target_prefix}.{operation.name}"
    body = random.choice(BODIES)
    return Request("misaddressed", sign(service, method, target, body, headers), method)


KINDS: dict[Callable[[Random, Sign], Request], int] = {
    call: 45,
    call_with_other_body: 15,
    call_with_other_head: 14,
    bent_after_signing: 8,
    cut_short: 3,
    chunked: 5,
    raw: 4,
    misaddressed: 6,
}
"""How often each kind comes, of a hundred."""


def _request(kind: str, made: _Called, data: bytes, **more: Any) -> Request:
    operation = made.operation
    recorded = bool(more.pop("recorded", False)) and operation.facts.recorded
    return Request(
        kind, data, made.method, recorded=recorded, operation=f"{operation.service.name}.{operation.name}", **more
    )


def _bent(random: Random, data: bytes) -> bytes:
    """A few bytes changed, dropped, doubled or put in."""
    bent = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        place = random.randrange(len(bent)) if bent else 0
        dice = random.randrange(4)
        if dice == 0 and bent:
            bent[place] = random.randrange(256)
        elif dice == 1:
            del bent[place : place + random.choice((1, 3, 20))]
        elif dice == 2:
            bent[place:place] = bent[place : place + random.choice((1, 10, 200))]
        else:
            bent[place:place] = random.choice((b"\0", b"\r\n", b'"', b"<", b"\xff", b"&", b"%", b"9" * 30, b"{", b"/"))
    return bytes(bent)
