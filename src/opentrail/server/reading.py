"""Step 3: request → input. Small bodies are read whole and parsed; an object's bytes stay a stream, proven as it is read.

Knows which operations stream from the model, never by name.
"""

from __future__ import annotations

from functools import lru_cache

from opentrail.call import Call
from opentrail.model.shapes import Operation
from opentrail.server.forms import FORM, read_posted
from opentrail.server.signing import BODY_BYTES_MAX
from opentrail.wire.bind import parse_input
from opentrail.wire.payload import DecodedBody, decoded_body
from opentrail.wire.route import Route
from opentrail.wire.signature import Verified
from opentrail.wire.validate import validate

DEFAULT_CHECKSUMS = ("CRC64NVME",)
"""What S3 computes for an upload that brings no checksum of its own."""
CHECKSUM_OF_SOMETHING_ELSE = frozenset({"CompleteMultipartUpload", "CreateMultipartUpload", "CopyObject"})
"""Operations whose x-amz-checksum headers speak of the object to be, not of the request's body."""


class Reader:
    """Fills in `call.input`, and `call.body` or `call.raw_body`."""

    async def read(self, call: Call, where: Route) -> None:
        """Raises the AwsError of a request that cannot be understood."""
        operation = call.operation
        if where.protocol == "rest-xml":
            await self._read_xml(call, where)
            return
        if not call.raw_body and call.request.body.length != 0:
            call.raw_body = await call.request.body.read_all(BODY_BYTES_MAX)
        if not call.input:
            call.input = parse_input(operation, where.protocol, where.labels, call.request, call.raw_body)
        validate(operation, where.protocol, call.input)

    async def _read_xml(self, call: Call, where: Route) -> None:
        operation, request = call.operation, call.request
        if streams(operation):
            form = call.stash.get(FORM)
            if form is not None:
                read_posted(call, form, where.bucket)
                return
            if not call.input:
                call.input = parse_input(operation, where.protocol, where.labels, request, None)
            call.body = _payload(call, streaming=True)
            return
        if request.body.length != 0:
            call.raw_body = await _payload(call, streaming=False).read_all(BODY_BYTES_MAX)
        if not call.input:
            call.input = parse_input(operation, where.protocol, where.labels, request, call.raw_body)


@lru_cache(maxsize=1_024)
def streams(operation: Operation) -> bool:
    """Is the body of its requests an object's bytes?"""
    shape = operation.input
    member = shape.members.get(shape.payload) if shape is not None and shape.payload else None
    return member is not None and (member.streaming or member.shape.streaming)


def _payload(call: Call, *, streaming: bool) -> DecodedBody:
    verified = call.stash.get("verified")
    return decoded_body(
        call.request,
        verified if isinstance(verified, Verified) else None,
        check=call.operation.name not in CHECKSUM_OF_SOMETHING_ELSE,
        md5=streaming,
        compute=DEFAULT_CHECKSUMS if streaming and not _brings_checksum(call) else (),
    )


def _brings_checksum(call: Call) -> bool:
    headers = call.request.headers
    return "x-amz-trailer" in headers or any(name.startswith("x-amz-checksum-") for name in headers)
