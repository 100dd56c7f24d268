"""The other direction of `bind`: an input to the HTTP request that a client would send.

For the calls OpenTrail makes itself, and the oracle of the parsers. S3 in path style. Signs nothing, knows no host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from opentrail.call import Shape
from opentrail.model.shapes import Member, Operation, Protocol
from opentrail.wire.bind_plan import Plan, path_of, plan_of
from opentrail.wire.cbor_codec import render_cbor
from opentrail.wire.form_codec import UNRESERVED, join_pairs, write_form
from opentrail.wire.headers import encode_metadata, write_header, write_text
from opentrail.wire.json_codec import render_json, render_json_member
from opentrail.wire.media import CBOR_PROTOCOL, CBOR_TYPE, FORM_TYPE, JSON_TYPE, json_type
from opentrail.wire.scalars import Value
from opentrail.wire.xml_writer import REQUEST, render_root, write_xml


class WireRequest(NamedTuple):
    """A request without host and signature. `path` and `query` are percent-encoded; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def build_request(operation: Operation, protocol: Protocol, input: Shape) -> WireRequest:
    """The request for `input` (by member names, typed as `parse_input` types it). Members that are None are left out.

    A label that is missing is an error of the caller: KeyError.
    """
    return _BUILDERS[protocol](operation, input)


def _build_json(operation: Operation, value: Shape) -> WireRequest:
    service = operation.service
    headers = {
        "x-amz-target": f"{service.target_prefix}.{operation.name}",
        "content-type": json_type(service.json_version),
    }
    return WireRequest("POST", "/", "", headers, render_json(operation.input, value))


def _build_cbor(operation: Operation, value: Shape) -> WireRequest:
    headers = {"smithy-protocol": CBOR_PROTOCOL, "accept": CBOR_TYPE}
    body = b""
    if operation.input is not None:
        headers["content-type"] = CBOR_TYPE
        body = render_cbor(operation.input, value)
    path = f"/service/{operation.service.target_prefix}/operation/{operation.name}"
    return WireRequest("POST", path, "", headers, body)


def _build_query(operation: Operation, value: Shape) -> WireRequest:
    return _build_form(operation, value, ec2=False)


def _build_ec2(operation: Operation, value: Shape) -> WireRequest:
    return _build_form(operation, value, ec2=True)


def _build_form(operation: Operation, value: Shape, *, ec2: bool) -> WireRequest:
    pairs = [("Action", operation.name), ("Version", operation.service.api_version)]
    if operation.input is not None:
        write_form(pairs, operation.input, value, ec2)
    return WireRequest("POST", "/", "", {"content-type": FORM_TYPE}, join_pairs(pairs).encode("ascii"))


def _build_rest_xml(operation: Operation, value: Shape) -> WireRequest:
    return _build_rest(operation, value, _xml_body)


def _build_rest_json(operation: Operation, value: Shape) -> WireRequest:
    return _build_rest(operation, value, _json_body)


def _build_rest(
    operation: Operation, value: Shape, body_of: Callable[[Operation, Plan, Shape, dict[str, str]], bytes]
) -> WireRequest:
    path = path_of(operation)
    if operation.input is None:
        return WireRequest(operation.method, path.pieces[0][0], path.query, {}, b"")
    plan = plan_of(operation.input)
    headers = _headers(plan, value)
    payload = plan.payload
    if payload is not None and plan.blob:
        content = value.get(payload.name)
        body = content.encode("utf-8") if isinstance(content, str) else content or b""
    else:
        body = body_of(operation, plan, value, headers)
    query = [path.query] if path.query else []
    query += _query(plan, value)
    return WireRequest(operation.method, _path(operation, plan, value), "&".join(query), headers, body)


def _path(operation: Operation, plan: Plan, value: Shape) -> str:
    parts = []
    for literal, label, greedy in path_of(operation).pieces:
        parts.append(literal)
        if label:
            member = plan.labels[label]
            text = write_text(member, value[member.name], "iso8601")
            parts.append(quote(text, safe="/" + UNRESERVED if greedy else UNRESERVED))
    return "".join(parts)


def _query(plan: Plan, value: Shape) -> list[str]:
    pairs: list[tuple[str, str]] = []
    for name, member in plan.query.items():
        each = value.get(member.name)
        if each is None:
            continue
        item = member.shape.item
        if item is None:
            pairs.append((name, write_text(member, each, "iso8601")))
        else:
            pairs.extend((name, write_text(item, one, "iso8601")) for one in each)
    if plan.query_map is not None:
        pairs.extend(_query_map(plan, value.get(plan.query_map.name) or {}))
    return [join_pairs(pairs)] if pairs else []


def _query_map(plan: Plan, held: Mapping[str, Value]) -> list[tuple[str, str]]:
    """Names that the model binds elsewhere win over the map's."""
    pairs: list[tuple[str, str]] = []
    for name, each in held.items():
        if name not in plan.query:
            pairs.extend((name, one) for one in (each if isinstance(each, list) else [each]))
    return pairs


def _headers(plan: Plan, value: Shape) -> dict[str, str]:
    headers = {}
    for prefix, member in plan.prefixes:
        for name, text in (value.get(member.name) or {}).items():
            headers[prefix + name.lower()] = encode_metadata(text)
    for name, member in plan.headers.items():
        each = value.get(member.name)
        if each is not None and not (member.shape.type == "list" and not each):
            headers[name] = write_header(member, each)
    return headers


def _xml_body(operation: Operation, plan: Plan, value: Shape, _headers: dict[str, str]) -> bytes:
    payload = plan.payload
    if payload is not None:
        each = value.get(payload.name)
        return b"" if each is None else _xml_payload(payload, each)
    body = {name: each for name, each in value.items() if name in plan.body and each is not None}
    shape = operation.input
    if shape is None or not body:
        return b""
    name = operation.input_wire_name or shape.wire_name or shape.name
    namespace = operation.input_xml_namespace or shape.xml_namespace
    return render_root(name, namespace[1] if namespace else "", shape, body, REQUEST).encode("utf-8")


def _xml_payload(payload: Member, value: Value) -> bytes:
    return write_xml(payload, value, REQUEST).encode("utf-8")


def _json_body(operation: Operation, plan: Plan, value: Shape, headers: dict[str, str]) -> bytes:
    payload = plan.payload
    if payload is not None:
        each = value.get(payload.name)
        headers.setdefault("content-type", JSON_TYPE)
        return b"{}" if each is None else render_json_member(payload, each)
    if not plan.body:
        return b""
    headers.setdefault("content-type", JSON_TYPE)
    return render_json(operation.input, {name: each for name, each in value.items() if name in plan.body})


_BUILDERS: Mapping[Protocol, Callable[[Operation, Shape], WireRequest]] = {
    "json": _build_json,
    "smithy-rpc-v2-cbor": _build_cbor,
    "query": _build_query,
    "ec2": _build_ec2,
    "rest-xml": _build_rest_xml,
    "rest-json": _build_rest_json,
}
