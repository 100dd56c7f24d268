"""A request to the operation's input: labels, query string, headers and body, typed by the model.

Pure: the body is bytes already (or a stream that stays outside). Whatever is malformed becomes the `AwsError` that the
service's protocol answers with; nothing else comes out. Whether values are allowed is `wire.validate`'s question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from opentrail.call import HttpRequest, Shape
from opentrail.errors import AwsError
from opentrail.model.shapes import Member, Operation, Protocol, ShapeModel
from opentrail.wire.bind_plan import S3_SERVICES, Plan, plan_of
from opentrail.wire.cbor_codec import parse_cbor
from opentrail.wire.form_codec import form_pairs, form_tree, read_form, split_pairs
from opentrail.wire.headers import decode_metadata, read_header
from opentrail.wire.json_codec import parse_json, parse_json_member
from opentrail.wire.presigned import read_presigned
from opentrail.wire.scalars import Malformed, Value, decode_utf8
from opentrail.wire.xml_codec import TEXT_READERS, element_name, read_xml, read_xml_structure
from opentrail.wire.xml_tree import Element, parse_xml

MALFORMED_XML = "The XML you provided was not well-formed or did not validate against our published schema"
IGNORED_WHEN_UNREADABLE = frozenset({"if-modified-since", "if-unmodified-since"})
"""Dates in these headers are left out when they cannot be read: RFC 9110 §13.1.3."""
PART_NUMBER = "Part number must be an integer between 1 and 10000, inclusive"

Parser = Callable[[Operation, Mapping[str, str], HttpRequest, bytes | None], Shape]


def parse_input(
    operation: Operation, protocol: Protocol, labels: Mapping[str, str], request: HttpRequest, body: bytes | None
) -> Shape:
    """The operation's input, by member names.

    `labels` are the decoded labels of the path by their names in the template. `body` None is a payload that stays a
    stream, and is left out. Times are aware datetimes in UTC, blobs bytes. Unknown members are ignored; null items of
    lists and maps are kept for the validator. Raises AwsError: `MalformedXML`, `InvalidArgument` (S3),
    `SerializationException` (JSON, CBOR), `MalformedInput` (query), `InvalidParameterValue` (ec2).
    """
    if operation.input is None:
        return {}
    try:
        return _PARSERS[protocol](operation, labels, request, body)
    except Malformed as malformed:
        raise refusal(protocol, malformed) from None


def refusal(protocol: Protocol, malformed: Malformed) -> AwsError:
    """What the service answers to bytes that do not fit its model."""
    if protocol == "rest-xml":
        return _refused_xml(malformed)
    if protocol == "query":
        return AwsError("MalformedInput", malformed.reason, 400)
    if protocol == "ec2":
        message = f"Invalid value '{malformed.text}' for {malformed.name}" if malformed.name else malformed.reason
        return AwsError("InvalidParameterValue", message, 400)
    return AwsError("SerializationException", malformed.reason, 400)


def _refused_xml(malformed: Malformed) -> AwsError:
    name = malformed.name
    if malformed.place in ("", "body"):
        return AwsError("MalformedXML", MALFORMED_XML, 400)
    if not name:
        return AwsError("InvalidURI", "Couldn't parse the specified URI.", 400)
    message = f"Invalid value for {name}"
    if name == "partNumber":
        message = PART_NUMBER
    elif name.startswith("max-") or name == "part-number-marker":
        message = f"Provided {name} not an integer or within integer range"
    return AwsError("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue=malformed.text)


# The protocols


def _parse_json(operation: Operation, _labels: Mapping[str, str], _request: HttpRequest, body: bytes | None) -> Shape:
    return parse_json(_input(operation), body or b"")


def _parse_cbor(operation: Operation, _labels: Mapping[str, str], _request: HttpRequest, body: bytes | None) -> Shape:
    return parse_cbor(_input(operation), body or b"")


def _parse_query(operation: Operation, _labels: Mapping[str, str], request: HttpRequest, body: bytes | None) -> Shape:
    return _parse_form(operation, request, body, ec2=False)


def _parse_ec2(operation: Operation, _labels: Mapping[str, str], request: HttpRequest, body: bytes | None) -> Shape:
    return _parse_form(operation, request, body, ec2=True)


def _parse_form(operation: Operation, request: HttpRequest, body: bytes | None, *, ec2: bool) -> Shape:
    """Parameters may come in the query string (presigned calls), in the body, or both; the body's count."""
    pairs = split_pairs(request.query)
    if body:
        pairs += form_pairs(body.decode("latin-1").strip("\r\n"))
    return read_form(_input(operation), form_tree(pairs), ec2)


def _parse_rest_xml(operation: Operation, labels: Mapping[str, str], request: HttpRequest, body: bytes | None) -> Shape:
    plan = plan_of(_input(operation))
    found = _parse_bindings(plan, labels, request, s3=operation.service.name in S3_SERVICES)
    if body is None or (plan.payload is None and not plan.body):
        return found
    if plan.blob:
        _bind_blob(plan, found, body)
    elif body.strip():
        _bind_xml(operation, plan, found, parse_xml(body))
    return found


def _bind_xml(operation: Operation, plan: Plan, found: Shape, root: Element) -> None:
    if plan.payload is not None:
        _check_root(root, element_name(plan.payload))
        found[plan.payload.name] = read_xml(plan.payload, root)
        return
    shape = _input(operation)
    _check_root(root, operation.input_wire_name or shape.wire_name or root.local)
    for name, value in read_xml_structure(shape, root).items():
        if name in plan.body:
            found[name] = value


def _check_root(root: Element, expected: str) -> None:
    if root.local != expected.rpartition(":")[2]:
        raise Malformed(f"the root element is {root.local}, not {expected}", "body")


def _parse_rest_json(
    operation: Operation, labels: Mapping[str, str], request: HttpRequest, body: bytes | None
) -> Shape:
    shape = _input(operation)
    plan = plan_of(shape)
    found = _parse_bindings(plan, labels, request, s3=False)
    if body is None or (plan.payload is None and not plan.body):
        return found
    if plan.blob:
        _bind_blob(plan, found, body)
    elif plan.payload is not None:
        if body.strip():
            found[plan.payload.name] = parse_json_member(plan.payload, body)
    else:
        found.update((name, value) for name, value in parse_json(shape, body).items() if name in plan.body)
    return found


def _bind_blob(plan: Plan, found: Shape, body: bytes) -> None:
    """The body as it is. An empty body is an empty payload if it streams, and none otherwise."""
    payload = plan.payload
    if payload is not None and (body or payload.streaming):
        found[payload.name] = body if payload.shape.type == "blob" else decode_utf8(body)


_PARSERS: Mapping[Protocol, Parser] = {
    "json": _parse_json,
    "smithy-rpc-v2-cbor": _parse_cbor,
    "query": _parse_query,
    "ec2": _parse_ec2,
    "rest-xml": _parse_rest_xml,
    "rest-json": _parse_rest_json,
}


# Labels, query string and headers


def _parse_bindings(plan: Plan, labels: Mapping[str, str], request: HttpRequest, *, s3: bool) -> Shape:
    found: Shape = {}
    for name, member in plan.labels.items():
        text = labels.get(name)
        if text is not None:
            found[member.name] = text if member.shape.type == "string" else _typed(member, text, "uri", name)
    headers = plan.headers
    for name, text in request.headers.items():
        header = headers.get(name)
        if header is not None:
            _bind_header(found, header, name, text)
    if plan.prefixes:
        _bind_prefixes(plan, found, request.headers)
    if request.query:
        _bind_query(plan, found, request.query, s3)
    return found


def _bind_header(found: Shape, member: Member, name: str, text: str) -> None:
    if member.shape.type == "string" and text.isascii() and not member.jsonvalue:
        found[member.name] = text
        return
    try:
        found[member.name] = read_header(member, text)
    except Malformed as malformed:
        if name not in IGNORED_WHEN_UNREADABLE:
            raise Malformed(malformed.reason, "header", name, text) from None


def _bind_prefixes(plan: Plan, found: Shape, headers: Mapping[str, str]) -> None:
    for prefix, member in plan.prefixes:
        for name, text in headers.items():
            if name.startswith(prefix) and name not in plan.headers:
                found.setdefault(member.name, {})[name[len(prefix) :]] = decode_metadata(text)


def _bind_query(plan: Plan, found: Shape, query: str, s3: bool) -> None:
    """S3 also takes `x-amz-` headers from the query string, where presigning clients put them.

    A map over the query string holds all of it, bound members included (Smithy 2.0, `httpQueryParams`).
    """
    if plan.query_map is None and read_presigned(query) is not None:
        return  # nothing but a signature
    pairs = _query_pairs(query)
    for name, text in pairs:
        member = plan.query.get(name)
        if member is not None:
            _bind_parameter(found, member, name, text)
        elif s3 and name[:6].lower() == "x-amz-":
            _bind_hoisted(plan, found, name.lower(), text)
    if plan.query_map is not None and pairs:
        found[plan.query_map.name] = _query_map(plan.query_map, pairs)


def _query_map(member: Member, pairs: list[tuple[str, str]]) -> dict[str, Value]:
    every: dict[str, list[str]] = {}
    for name, text in pairs:
        every.setdefault(name, []).append(text)
    many = member.shape.value is not None and member.shape.value.shape.type == "list"
    return dict(every) if many else {name: texts[0] for name, texts in every.items()}


def _query_pairs(query: str) -> list[tuple[str, str]]:
    try:
        return split_pairs(query)
    except Malformed as malformed:
        raise Malformed(malformed.reason, "query") from None


def _bind_parameter(found: Shape, member: Member, name: str, text: str) -> None:
    """Of a parameter given twice the first counts, unless it is a list. An empty number is as good as none."""
    item = member.shape.item
    if item is not None:
        found.setdefault(member.name, []).append(_typed(item, text, "query", name))
    elif member.name not in found and (text or member.shape.type == "string"):
        found[member.name] = _typed(member, text, "query", name)


def _bind_hoisted(plan: Plan, found: Shape, name: str, text: str) -> None:
    member = plan.headers.get(name)
    if member is not None:
        if member.name not in found:
            _bind_header(found, member, name, text)
        return
    for prefix, mapped in plan.prefixes:
        if name.startswith(prefix):
            found.setdefault(mapped.name, {}).setdefault(name[len(prefix) :], text)


def _typed(member: Member, text: str, place: str, name: str) -> Value:
    try:
        return TEXT_READERS[member.shape.type](member, text)
    except Malformed as malformed:
        raise Malformed(malformed.reason, place, name, text) from None


def _input(operation: Operation) -> ShapeModel:
    if operation.input is None:
        raise Malformed("the operation takes no input")
    return operation.input
