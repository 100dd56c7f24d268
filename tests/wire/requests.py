"""Requests as clients build them, for the tests of routing: plain ones, and those of botocore's own serializers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.serialize import create_serializer

from opentrail.call import HttpRequest

SCALARS: Mapping[str, Any] = {
    "string": "value",
    "blob": b"bytes",
    "integer": 7,
    "long": 7,
    "float": 1.5,
    "double": 1.5,
    "boolean": True,
    "timestamp": 1_700_000_000,
}


class NoBody:
    """The body of a request whose body nobody reads."""

    length = 0
    received = 0


def request(method: str, path: str, query: str = "", **headers: str) -> HttpRequest:
    """Header names are given with low lines for hyphens."""
    named = {"host": "127.0.0.1:4580"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest(method, path, query, named, NoBody(), "127.0.0.1")  # type: ignore[arg-type]


def scope(service: str, region: str = "eu-west-3") -> str:
    credential = f"Credential=AKIAIOSFODNN7EXAMPLE/20260101/{region}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host;x-amz-date, Signature=0123"


@cache
def client_model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def minimal(shape: Shape, depth: int = 0) -> Any:
    """The least that fills a shape: required members, one item per list."""
    if shape.type_name == "structure":
        names = shape.required_members or (list(shape.members)[:1] if getattr(shape, "is_tagged_union", False) else [])
        return {name: minimal(shape.members[name], depth + 1) for name in names} if depth < 8 else {}
    if shape.type_name == "list":
        return [minimal(shape.member, depth + 1)] if depth < 8 else []
    if shape.type_name == "map":
        return {"key": minimal(shape.value, depth + 1)} if depth < 8 else {}
    return (shape.enum or [SCALARS["string"]])[0] if shape.type_name == "string" else SCALARS[shape.type_name]


def as_client(operation: OperationModel, protocol: str) -> tuple[HttpRequest, bytes]:
    """The request that botocore serializes for an operation, and its body."""
    given = minimal(operation.input_shape) if operation.input_shape is not None else {}
    built = create_serializer(protocol, include_validation=False).serialize_to_request(given, operation)
    path, _, query = built["url_path"].partition("?")
    more = built["query_string"] if isinstance(built["query_string"], str) else urlencode(built["query_string"], True)
    body = built["body"]
    if isinstance(body, dict):
        body = urlencode(body)
    headers = {name.lower(): str(value) for name, value in built["headers"].items()}
    signing_name = operation.service_model.signing_name
    headers |= {"host": "localhost:4580", "authorization": scope(signing_name)}
    found = HttpRequest(
        built["method"],
        path,
        "&".join(part for part in (query, more) if part),
        headers,
        NoBody(),  # type: ignore[arg-type]
        "127.0.0.1",
    )
    return found, body.encode() if isinstance(body, str) else bytes(body or b"")
