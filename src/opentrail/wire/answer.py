"""An output to the HTTP answer: status, headers, body, as the service itself would send it.

Pure; ids are passed in. Nothing an output holds can break the answer: text that XML 1.0 or a header cannot hold is
replaced. Streams are not touched here: an output without its payload member has an empty body. Errors are told by
`answer_error`, and offered here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from opentrail.call import Shape
from opentrail.model.shapes import Member, Operation, Protocol
from opentrail.wire.answer_error import render_error
from opentrail.wire.bind_plan import PLANS_REMEMBERED_MAX, S3_SERVICES, Plan, plan_of
from opentrail.wire.cbor_codec import render_cbor
from opentrail.wire.headers import encode_metadata, write_header
from opentrail.wire.json_codec import render_json, render_json_member
from opentrail.wire.media import (
    CBOR_PROTOCOL,
    CBOR_TYPE,
    EC2_TYPE,
    EVENT_STREAM_TYPE,
    JSON_TYPE,
    OCTETS_TYPE,
    QUERY_TYPE,
    S3_XML_TYPE,
    Answer,
    json_type,
    request_id_headers,
)
from opentrail.wire.s3_roots import S3_NAMESPACES, S3_ROOTS, UNWRAPPED
from opentrail.wire.xml_codec import XML_DECLARATION, element_name, escape
from opentrail.wire.xml_writer import ANSWER, S3_ANSWER, Spelling, render_root, write_xml_members

__all__ = ["render_error", "render_output"]

STATUSES = range(200, 600)
"""What an output may say of its own status; anything else leaves it to the model."""


def render_output(
    operation: Operation,
    protocol: Protocol,
    output: Shape,
    *,
    status: int = 0,
    request_id: str,
    host_id: str = "",
) -> Answer:
    """(HTTP status, headers, body). `status` 0 is the model's. Members that are None or unknown are left out.

    Times are datetimes or epoch seconds, blobs bytes. S3 alone sends `host_id`.
    """
    code, headers, body = _RENDERERS[protocol](operation, output, request_id, host_id)
    return status or code or operation.status, headers, body


def _render_json(operation: Operation, output: Shape, request_id: str, _host_id: str) -> Answer:
    headers = {"x-amzn-RequestId": request_id, "Content-Type": json_type(operation.service.json_version)}
    return 0, headers, b"" if operation.output is None else render_json(operation.output, output)


def _render_cbor(operation: Operation, output: Shape, request_id: str, _host_id: str) -> Answer:
    headers = {"x-amzn-RequestId": request_id, "smithy-protocol": CBOR_PROTOCOL, "Content-Type": CBOR_TYPE}
    return 0, headers, render_cbor(operation.output, output)


def _render_query(operation: Operation, output: Shape, request_id: str, _host_id: str) -> Answer:
    parts = [f'<{operation.name}Response xmlns="{escape(operation.service.xml_namespace)}">']
    if operation.output is not None:
        wrapper = operation.result_wrapper or f"{operation.name}Result"
        parts.append(f"<{wrapper}>")
        parts.append(write_xml_members(operation.output, output, ANSWER))
        parts.append(f"</{wrapper}>")
    parts.append(f"<ResponseMetadata><RequestId>{escape(request_id)}</RequestId></ResponseMetadata>")
    parts.append(f"</{operation.name}Response>")
    return 0, {"x-amzn-RequestId": request_id, "Content-Type": QUERY_TYPE}, "".join(parts).encode("utf-8")


def _render_ec2(operation: Operation, output: Shape, request_id: str, _host_id: str) -> Answer:
    parts = [XML_DECLARATION, f'<{operation.name}Response xmlns="{escape(operation.service.xml_namespace)}/">']
    parts.append(f"<requestId>{escape(request_id)}</requestId>")
    if operation.output is not None:
        parts.append(write_xml_members(operation.output, output, ANSWER))
    parts.append(f"</{operation.name}Response>")
    return 0, {"x-amzn-RequestId": request_id, "Content-Type": EC2_TYPE}, "".join(parts).encode("utf-8")


# The rest protocols


class _Rest(NamedTuple):
    """What of an answer is known before the output is."""

    plan: Plan | None
    located: dict[str, tuple[str, Member, bool]]
    """Members that are headers: (header name as the model spells it, member, whether it is plain text) by member name."""
    s3: bool
    spelling: Spelling
    root: str
    namespace: str


@lru_cache(PLANS_REMEMBERED_MAX)
def _rest(operation: Operation) -> _Rest:
    shape = operation.output
    s3 = operation.service.name in S3_SERVICES
    plan = None if shape is None else plan_of(shape, answer=True)
    members = [] if shape is None else [m for m in shape.members.values() if m.location == "header"]
    root = S3_ROOTS.get(operation.name, "") if operation.service.name == "s3" else ""
    if plan is not None and plan.payload is not None:
        payload = plan.payload
        root = payload.wire_name if payload.wire_name != payload.name else element_name(payload)
    elif shape is not None and not root:
        root = shape.wire_name or shape.name
    return _Rest(
        plan,
        {member.name: (member.wire_name, member, _is_text(member)) for member in members},
        s3,
        S3_ANSWER if s3 else ANSWER,
        root,
        S3_NAMESPACES.get(operation.service.name, "") or _namespace(operation),
    )


def _is_text(member: Member) -> bool:
    return member.shape.type == "string" and not member.jsonvalue


def _namespace(operation: Operation) -> str:
    shape = operation.output
    declared = shape.xml_namespace if shape is not None else None
    return declared[1] if declared else operation.service.xml_namespace


def _render_rest_xml(operation: Operation, output: Shape, request_id: str, host_id: str) -> Answer:
    rest = _rest(operation)
    headers = request_id_headers(rest.s3, request_id, host_id)
    plan = rest.plan
    if plan is None:
        return 0, headers, b""
    status = _locate(rest, plan, output, headers)
    if plan.blob:
        return status, headers, _blob(plan, output, headers, "")
    if plan.payload is None and not plan.body:
        return status, headers, b""
    if plan.payload is not None and plan.payload.shape.eventstream:
        headers["Content-Type"] = EVENT_STREAM_TYPE
        return status, headers, b""
    headers.setdefault("Content-Type", S3_XML_TYPE if rest.s3 else QUERY_TYPE)
    if operation.method == "HEAD":
        return status, headers, b""
    return status, headers, (XML_DECLARATION + _xml_root(operation, rest, plan, output)).encode("utf-8")


def _xml_root(operation: Operation, rest: _Rest, plan: Plan, output: Shape) -> str:
    if operation.name in UNWRAPPED and rest.s3:
        text = output.get(UNWRAPPED[operation.name]) or ""
        name = UNWRAPPED[operation.name]
        return f'<{name} xmlns="{rest.namespace}">{escape(text)}</{name}>'
    if plan.payload is not None:
        value = output.get(plan.payload.name) or {}
        return render_root(rest.root, rest.namespace, plan.payload.shape, value, rest.spelling)
    if operation.output is None:
        return ""
    body = {name: value for name, value in output.items() if name in plan.body}
    return render_root(rest.root, rest.namespace, operation.output, body, rest.spelling)


def _render_rest_json(operation: Operation, output: Shape, request_id: str, _host_id: str) -> Answer:
    rest = _rest(operation)
    headers = {"x-amzn-RequestId": request_id}
    plan = rest.plan
    if plan is None:
        return 0, headers, b""
    status = _locate(rest, plan, output, headers)
    if plan.blob:
        return status, headers, _blob(plan, output, headers, OCTETS_TYPE)
    if plan.payload is None and not plan.body:
        return status, headers, b""
    headers.setdefault("Content-Type", JSON_TYPE)
    if plan.payload is not None:
        value = output.get(plan.payload.name)
        return status, headers, b"{}" if value is None else render_json_member(plan.payload, value)
    body = {name: value for name, value in output.items() if name in plan.body}
    return status, headers, render_json(operation.output, body)


def _locate(rest: _Rest, plan: Plan, output: Shape, headers: dict[str, str]) -> int:
    """Put the members that are headers where they belong; the status if a member carries it, else 0."""
    located = rest.located
    for name, value in output.items():
        place = located.get(name)
        if place is not None and value is not None:
            header, member, text = place
            if text and value.__class__ is str and value.isascii() and value.isprintable():
                headers[header] = value
            elif member.shape.type != "list" or value:
                headers[header] = write_header(member, value)
    for prefix, member in plan.prefixes:
        for name, value in (output.get(member.name) or {}).items():
            headers[prefix + name] = encode_metadata(value)
    if plan.status is None:
        return 0
    status = output.get(plan.status.name)
    return status if isinstance(status, int) and status in STATUSES else 0


def _blob(plan: Plan, output: Shape, headers: dict[str, str], content_type: str) -> bytes:
    payload = plan.payload
    value = None if payload is None else output.get(payload.name)
    if payload is not None and payload.shape.type == "string":
        headers.setdefault("Content-Type", JSON_TYPE)
    elif content_type:
        headers.setdefault("Content-Type", content_type)
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return value if isinstance(value, bytes) else b""


_RENDERERS: Mapping[Protocol, Callable[[Operation, Shape, str, str], Answer]] = {
    "json": _render_json,
    "smithy-rpc-v2-cbor": _render_cbor,
    "query": _render_query,
    "ec2": _render_ec2,
    "rest-xml": _render_rest_xml,
    "rest-json": _render_rest_json,
}
