"""The real client as the oracle: botocore's own serialisers and parsers, over the same model documents as ours."""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from urllib.parse import unquote

import botocore.model
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence

from opentrail.call import HttpRequest
from opentrail.model.load import IN_SCOPE, load_models, merge, read_raw
from opentrail.model.overlay import table
from opentrail.model.shapes import Operation, Protocol, ServiceModel
from opentrail.wire.bind_plan import path_of
from opentrail.wire.request import WireRequest

SPOKEN = [(name, protocol) for name in IN_SCOPE for protocol in load_models().service(name).protocols]
"""Every service in scope with every protocol it speaks."""


class NoBody:
    """Bodies are handed to the parser as bytes; nothing reads a stream here."""

    length = 0
    received = 0


def request_of(wire: WireRequest) -> HttpRequest:
    return HttpRequest(wire.method, wire.path, wire.query, wire.headers, NoBody(), "127.0.0.1")  # type: ignore[arg-type]


def model_of(name: str, protocol: Protocol) -> ServiceModel:
    """The model a protocol's requests are routed to."""
    models = load_models()
    return models.query_service(name) if protocol == "query" else models.service(name)


@cache
def client_model(name: str, query: bool) -> botocore.model.ServiceModel:
    models = load_models()
    raw = read_raw(name, models.summary(name)["api_version"])
    for key in (name, f"{name}/query") if query else (name,):
        for correction in table("corrections").get(key, ()):
            merge(raw, correction["merge"])
    for operation in raw["operations"].values():
        if query and "output" in operation:
            operation["output"].setdefault("resultWrapper", f"{operation['name']}Result")
    return botocore.model.ServiceModel(raw, name)


@cache
def serializer(protocol: Protocol) -> Any:
    return create_serializer(protocol, include_validation=False)


@cache
def parser(protocol: Protocol) -> Any:
    return create_parser(protocol)


def client_request(operation: Operation, protocol: Protocol, value: dict[str, Any]) -> WireRequest:
    """What botocore would send."""
    model = client_model(operation.service.name, protocol == "query").operation_model(operation.name)
    return wire_request(serializer(protocol).serialize_to_request(value, model))


def wire_request(sent: dict[str, Any]) -> WireRequest:
    """botocore's request dict as HTTP has it."""
    path, _, query = sent["url_path"].partition("?")
    more = sent["query_string"]
    more = percent_encode_sequence(more) if more else ""
    body = sent["body"]
    if isinstance(body, dict):
        body = percent_encode_sequence(body)
    return WireRequest(
        sent["method"],
        path,
        "&".join(filter(None, (query, more))),
        {name.lower(): header_text(value) for name, value in sent["headers"].items()},
        body.encode() if isinstance(body, str) else body,
    )


def header_text(value: str) -> str:
    """As the wire carries it: UTF-8 seen as latin-1."""
    return str(value).encode().decode("latin-1")


def labels_of(operation: Operation, path: str) -> dict[str, str]:
    """The labels of a path, decoded: what the router hands over."""
    pattern = ""
    for literal, label, greedy in path_of(operation).pieces:
        pattern += re.escape(literal)
        if label:
            pattern += f"(?P<{label.replace('-', '_')}>.+)" if greedy else f"(?P<{label.replace('-', '_')}>[^/]+)"
    found = re.fullmatch(pattern, path)
    assert found is not None, (pattern, path)
    names = {label.replace("-", "_"): label for _, label, _ in path_of(operation).pieces}
    return {names[name]: unquote(text) for name, text in found.groupdict().items()}


def client_output(
    operation: Operation, protocol: Protocol, answer: tuple[int, dict[str, str], bytes]
) -> dict[str, Any]:
    """What botocore makes of our answer, without its metadata."""
    status, headers, body = answer
    payload = operation.output.payload if operation.output is not None else ""
    streams = bool(payload) and operation.output.members[payload].shape.type == "blob"
    model = client_model(operation.service.name, protocol == "query").operation_model(operation.name)
    parsed = parser(protocol).parse(
        {"status_code": status, "headers": HeadersDict(headers), "body": b"" if streams else body, "context": {}},
        model.output_shape,
    )
    parsed.pop("ResponseMetadata", None)
    if streams:
        parsed[payload] = body  # botocore hands out a stream of these bytes
    return parsed
