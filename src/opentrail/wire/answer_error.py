"""An `AwsError` to the HTTP answer, in the words of the service's protocol.

Pure. Standard messages and statuses are the caller's business (`model.load`); here a modelled error shape fills in what
is missing, says how its members are spelled, and how the code is named to clients of the older query protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from opentrail.errors import AwsError
from opentrail.model.shapes import Member, Operation, Protocol, ServiceModel, ShapeModel
from opentrail.wire.bind_plan import S3_SERVICES
from opentrail.wire.cbor_codec import encode_cbor
from opentrail.wire.headers import encode_text
from opentrail.wire.json_codec import encode_json
from opentrail.wire.media import (
    CBOR_PROTOCOL,
    CBOR_TYPE,
    EC2_TYPE,
    JSON_TYPE,
    QUERY_TYPE,
    S3_XML_TYPE,
    Answer,
    json_type,
    request_id_headers,
)
from opentrail.wire.scalars import Malformed, Value
from opentrail.wire.web_page import HTML_TYPE, error_page
from opentrail.wire.xml_codec import TEXT_READERS, XML_DECLARATION, escape

DEFAULT_STATUS = 400
SERVER_FAULT = 500
NOT_MODIFIED = 304
FORBIDDEN = 403
SERVICES_REMEMBERED_MAX = 512
MESSAGE_NAMES: Mapping[str, str] = {"cloudtrail": "Message"}
"""How services spell the message of an error whose shape does not say; as their answers show."""


class _Told(NamedTuple):
    """One error, everything resolved."""

    operation: Operation | None
    service_name: str
    error: AwsError
    shape: ShapeModel | None
    status: int
    message: str
    request_id: str
    host_id: str
    resource: str

    @property
    def fault(self) -> str:
        return "Sender" if self.status < SERVER_FAULT else "Receiver"


def render_error(
    operation: Operation | None,
    service_name: str,
    protocol: Protocol,
    error: AwsError,
    *,
    status: int = 0,
    message: str = "",
    request_id: str,
    host_id: str = "",
    resource: str = "",
    method: str = "",
) -> Answer:
    """(HTTP status, headers, body). Given status and message win, then the error's own, then the model's; else 400.

    `operation` None is a request that was not routed; `resource` its path. `error.fields` become members of the body,
    in JSON and CBOR only those that the error's shape has. No body for HEAD and 304.
    """
    shape = None if operation is None else operation.service.error_codes.get(error.code)
    modelled = shape.error_status if shape is not None else 0
    told = _Told(
        operation,
        service_name,
        error,
        shape,
        status or error.status or modelled or DEFAULT_STATUS,
        message or error.message,
        request_id,
        host_id,
        resource,
    )
    headers, body = _RENDERERS[protocol](told) if error.page is None else _tell_page(told, error.page)
    for name, value in error.headers.items():
        headers[name] = encode_text(value)
    if method == "HEAD" or told.status == NOT_MODIFIED:
        headers.pop("Content-Type", None)
        body = b""
    return told.status, headers, body


# Pages


def _tell_page(told: _Told, page: bytes) -> tuple[dict[str, str], bytes]:
    """S3's website endpoints: headers tell the error too, so that the page may be anything."""
    headers = request_id_headers(True, told.request_id, told.host_id)
    headers["x-amz-error-code"] = encode_text(told.error.code)
    headers["x-amz-error-message"] = encode_text(told.message)
    for name, value in told.error.fields.items():
        headers[f"x-amz-error-detail-{name}"] = encode_text(value)
    headers["Content-Type"] = HTML_TYPE
    details = {"Code": told.error.code, "Message": told.message, **told.error.fields}
    return headers, page or error_page(told.status, details, told.request_id, told.host_id)


# XML


def _fields(told: _Told) -> str:
    """The extra elements, by their names on the wire."""
    members = told.shape.members if told.shape is not None else {}
    parts = []
    for name, value in told.error.fields.items():
        element = members[name].wire_name if name in members else name
        parts.append(f"<{element}>{escape(str(value))}</{element}>")
    return "".join(parts)


def _code_and_message(told: _Told, code: str) -> str:
    return f"<Code>{escape(code)}</Code><Message>{escape(told.message)}</Message>{_fields(told)}"


def _tell_rest_xml(told: _Told) -> tuple[dict[str, str], bytes]:
    s3 = told.service_name in S3_SERVICES
    headers = request_id_headers(s3, told.request_id, told.host_id)
    if told.service_name == "s3":
        headers["Content-Type"] = S3_XML_TYPE
        return headers, _s3_error(told).encode("utf-8")
    headers["Content-Type"] = S3_XML_TYPE if s3 else QUERY_TYPE
    ids = f"<RequestId>{escape(told.request_id)}</RequestId>"
    ids += f"<HostId>{escape(told.host_id)}</HostId>" if s3 else ""
    inner = f"<Error><Type>{told.fault}</Type>{_code_and_message(told, _code(told))}</Error>"
    return headers, f"{XML_DECLARATION}<ErrorResponse>{inner}{ids}</ErrorResponse>".encode()


def _s3_error(told: _Told) -> str:
    """S3 names the resource where it has nothing more to say, and never in a refusal."""
    resource = ""
    if told.resource and not told.error.fields and told.status != FORBIDDEN:
        resource = f"<Resource>{escape(told.resource)}</Resource>"
    ids = f"<RequestId>{escape(told.request_id)}</RequestId><HostId>{escape(told.host_id)}</HostId>"
    return f"{XML_DECLARATION}<Error>{_code_and_message(told, told.error.code)}{resource}{ids}</Error>"


def _tell_query(told: _Told) -> tuple[dict[str, str], bytes]:
    headers = {"x-amzn-RequestId": told.request_id, "Content-Type": QUERY_TYPE}
    namespace = told.operation.service.xml_namespace if told.operation is not None else ""
    declared = f' xmlns="{escape(namespace)}"' if namespace else ""
    inner = f"<Error><Type>{told.fault}</Type>{_code_and_message(told, _query_code(told))}</Error>"
    ids = f"<RequestId>{escape(told.request_id)}</RequestId>"
    return headers, f"<ErrorResponse{declared}>{inner}{ids}</ErrorResponse>".encode()


def _tell_ec2(told: _Told) -> tuple[dict[str, str], bytes]:
    headers = {"x-amzn-RequestId": told.request_id, "Content-Type": EC2_TYPE}
    inner = f"<Errors><Error>{_code_and_message(told, _code(told))}</Error></Errors>"
    ids = f"<RequestID>{escape(told.request_id)}</RequestID>"
    return headers, f"{XML_DECLARATION}<Response>{inner}{ids}</Response>".encode()


# Names


def _code(told: _Told) -> str:
    return told.shape.error_code if told.shape is not None and told.shape.error_code else told.error.code


def _query_code(told: _Told) -> str:
    shape = told.shape
    return shape.query_compatible_code if shape is not None and shape.query_compatible_code else _code(told)


@lru_cache(SERVICES_REMEMBERED_MAX)
def speaks_query_names(service: ServiceModel) -> bool:
    """Whether clients of a former query API are told the old code in a header (`awsQueryCompatible`)."""
    others = "query" in service.protocols and len(service.protocols) > 1
    return others or any(shape.query_compatible_code for shape in service.error_codes.values())


def message_member(shape: ShapeModel) -> Member | None:
    """The member of an error that is its message, however spelled."""
    return next((member for name, member in shape.members.items() if name.lower() == "message"), None)


@lru_cache(SERVICES_REMEMBERED_MAX)
def message_name(service: ServiceModel) -> str:
    """How a service, or else most of its errors, spell the message: for codes and shapes that do not say."""
    if service.name in MESSAGE_NAMES:
        return MESSAGE_NAMES[service.name]
    found = Counter(m.wire_name for shape in service.error_codes.values() if (m := message_member(shape)) is not None)
    return found.most_common(1)[0][0] if found else "message"


# JSON and CBOR


def _document(told: _Told) -> dict[str, Value]:
    """`__type`, the message under the name the model gives it, and the modelled fields with their types."""
    member = None if told.shape is None else message_member(told.shape)
    name = "message"
    if member is not None:
        name = member.wire_name
    elif told.operation is not None:
        name = message_name(told.operation.service)
    document: dict[str, Value] = {"__type": _code(told), name: told.message}
    members = told.shape.members if told.shape is not None else {}
    for field, value in told.error.fields.items():
        if field in members and field.lower() != "message":
            document[members[field].wire_name] = _typed(members[field], value)
    return document


def _typed(member: Member, value: str) -> str | int | float | bool:
    kind = member.shape.type
    if kind not in ("integer", "long", "float", "double", "boolean"):
        return value
    try:
        typed: int | float | bool = TEXT_READERS[kind](member, value)
        return typed
    except Malformed:
        return value


def _query_error(told: _Told, headers: dict[str, str]) -> None:
    if told.operation is not None and speaks_query_names(told.operation.service):
        headers["x-amzn-query-error"] = encode_text(f"{_query_code(told)};{told.fault}")


def _tell_json(told: _Told) -> tuple[dict[str, str], bytes]:
    version = told.operation.service.json_version if told.operation is not None else ""
    headers = {"x-amzn-RequestId": told.request_id, "Content-Type": json_type(version)}
    _query_error(told, headers)
    return headers, encode_json(_document(told))


def _tell_rest_json(told: _Told) -> tuple[dict[str, str], bytes]:
    document = _document(told)
    headers = {"x-amzn-RequestId": told.request_id, "Content-Type": JSON_TYPE}
    headers["x-amzn-ErrorType"] = encode_text(document.pop("__type"))
    return headers, encode_json(document)


def _tell_cbor(told: _Told) -> tuple[dict[str, str], bytes]:
    headers = {
        "x-amzn-RequestId": told.request_id,
        "smithy-protocol": CBOR_PROTOCOL,
        "Content-Type": CBOR_TYPE,
    }
    _query_error(told, headers)
    return headers, encode_cbor(_document(told))


_RENDERERS: Mapping[Protocol, Callable[[_Told], tuple[dict[str, str], bytes]]] = {
    "json": _tell_json,
    "smithy-rpc-v2-cbor": _tell_cbor,
    "query": _tell_query,
    "ec2": _tell_ec2,
    "rest-xml": _tell_rest_xml,
    "rest-json": _tell_rest_json,
}
