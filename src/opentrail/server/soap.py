"""The door of S3's SOAP interface: who signed an envelope, and its operation walked as the REST request it stands for.

From there on it is the same road: routing, permission, handler, record and commit are REST's. SOAP is spoken over TLS only.
Source: S3 API reference, "Authenticating SOAP requests": HMAC-SHA1 over `AmazonS3`, the operation and the timestamp as it
was sent; temporary credentials are not supported.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from opentrail.access.acl import canonical_id
from opentrail.call import ANONYMOUS, Call, HttpRequest, Response
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS
from opentrail.services.identity import find_credentials
from opentrail.state import House, Unit
from opentrail.wire import soap
from opentrail.wire.scalars import Malformed
from opentrail.wire.signature_faults import skewed
from opentrail.wire.soap import SoapCall
from opentrail.wire.timestamps import parse_iso8601
from opentrail.wire.xml_tree import parse_xml

if TYPE_CHECKING:
    from opentrail.wire.route import Route

SKEW_MAX = 900
"""Seconds that an envelope's time may differ from the server's."""
KEPT_HEADERS = ("host", "user-agent", "referer", "x-forwarded-for")
"""Headers of the HTTP request that say who sent it and where to; all others speak of the envelope."""


def is_soap(request: HttpRequest) -> bool:
    """Is it an envelope? A form posted to a bucket of that name is not."""
    if request.path.rstrip("/") != soap.PATH or request.method != "POST" or request.query:
        return False
    return request.headers.get("content-type", "").lower().startswith(soap.TYPES)


async def read_soap(request: HttpRequest) -> SoapCall:
    """The envelope; raises AwsError for one that cannot be read, or that came in the clear."""
    if request.tls is None:
        raise AwsError("InvalidRequest", "SOAP requests must be made over an HTTPS connection.", 400)
    return soap.read_envelope(await request.body.read_all(soap.BYTES_MAX))


class SoapBody:
    """The document of the REST request. What was received is the envelope."""

    def __init__(self, data: bytes, received: int) -> None:
        self.length: int | None = len(data)
        self.received = received
        self.trailers: Mapping[str, str] = {}
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data

    async def read_all(self, limit: int) -> bytes:
        return self._data


def as_rest(house: House, request: HttpRequest, asked: SoapCall, now: float) -> HttpRequest:
    """The REST request that an envelope stands for; raises AwsError InvalidSOAPRequest."""
    method, path, query = soap.rest_target(asked)
    bucket = BUCKETS.get(Unit(house, now), asked.bucket) if asked.bucket else None
    data = soap.rest_body(asked, canonical_id(bucket.owner) if bucket is not None else "")
    headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
    headers |= soap.rest_headers(asked)
    headers["content-length"] = str(len(data))
    body = SoapBody(data, request.body.received)
    return replace(request, method=method, path=path, query=query, headers=headers, body=body)


def sign_soap(house: House, call: Call, asked: SoapCall) -> None:
    """Fill in the principal; raises the AwsError of a signature that does not hold."""
    if not asked.key_id:
        call.principal, call.account_id = ANONYMOUS, ANONYMOUS.account_id
        return
    try:
        at = parse_iso8601(asked.timestamp).timestamp()
    except Malformed as error:
        raise AwsError("AccessDenied", "AWS authentication requires a valid Timestamp element", 403) from error
    credentials = find_credentials(Unit(house, call.started_at), asked.key_id, "", s3=True)
    text = f"AmazonS3{asked.operation}{asked.timestamp}"
    expected = base64.b64encode(hmac.digest(credentials.secret.encode(), text.encode(), "sha1"))
    if not hmac.compare_digest(expected, asked.signature.encode()):
        raise AwsError("SignatureDoesNotMatch", "", 403, AWSAccessKeyId=asked.key_id, StringToSign=text)
    if abs(call.started_at - at) > SKEW_MAX:
        raise skewed("s3", asked.timestamp, int(at), call.started_at)
    call.principal, call.account_id = credentials.principal, credentials.principal.account_id
    call.signature_version = "SigV2"


def dressed(call: Call, where: Route, response: Response) -> Response:
    """The REST answer in an envelope."""
    data = response.body if isinstance(response.body, bytes) else b""
    headers = {name: value for name, value in response.headers.items() if name.lower().startswith(("x-amz-", "server"))}
    headers["Content-Type"] = soap.ANSWER_TYPE
    if call.error is None and response.status < 400:
        return Response(200, headers, soap.answer(where.soap, where.bucket, data))
    return Response(soap.FAULT_STATUS, headers, _fault_of(data, response.status))


def _fault_of(document: bytes, status: int) -> bytes:
    """The fault that an error document of ours stands for."""
    members = {child.local: child.text for child in parse_xml(document).children} if document else {}
    code, message = members.pop("Code", "InternalError"), members.pop("Message", "")
    return soap.fault(code, message, status, members)


def fault_response(error: AwsError, status: int, message: str, request_id: str, host_id: str) -> Response:
    """What is answered before an operation is known."""
    details = {**error.fields, "RequestId": request_id, "HostId": host_id}
    headers = {"x-amz-request-id": request_id, "x-amz-id-2": host_id, "Content-Type": soap.ANSWER_TYPE}
    return Response(soap.FAULT_STATUS, headers, soap.fault(error.code, message, status, details))
