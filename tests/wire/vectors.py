"""Protocol vectors in botocore's format: a directory named by OPENTRAIL_PROTOCOL_VECTORS, none of it kept here."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import botocore.model

from opentrail.model.build import build_service
from opentrail.model.shapes import Member, Operation, Protocol, ShapeModel
from opentrail.wire.scalars import SPECIAL_FLOATS

DIRECTORY = os.environ.get("OPENTRAIL_PROTOCOL_VECTORS", "")


class Case(NamedTuple):
    id: str
    file: str
    operation: Operation
    protocol: Protocol
    client: botocore.model.OperationModel
    raw: dict[str, Any]


def cases(kind: str) -> Iterator[Case]:
    """Every case of the `input` or `output` vectors, with the model it brings along."""
    for path in sorted(Path(DIRECTORY).glob(f"**/{kind}/*.json")) if DIRECTORY else ():
        for number, suite in enumerate(json.loads(path.read_text("utf-8"))):
            for index, raw in enumerate(suite["cases"]):
                if "legacy" in path.parts or not ignored(path.stem, kind, suite["description"], raw["id"]):
                    yield case_of(path, suite, raw, f"{number}:{index}")


@cache
def ignore_list() -> dict[str, Any]:
    """What botocore itself does not run, with its vectors."""
    path = Path(DIRECTORY) / "protocol-tests-ignore-list.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def ignored(stem: str, kind: str, suite: str, case: str) -> bool:
    lists = [ignore_list().get("general", {}), ignore_list().get("protocols", {}).get(stem, {})]
    return any(
        suite in one.get(kind, {}).get("suites", ()) or case in one.get(kind, {}).get("cases", ()) for one in lists
    )


def case_of(path: Path, suite: dict[str, Any], raw: dict[str, Any], where: str) -> Case:
    metadata = {
        "endpointPrefix": "vectors",
        "apiVersion": "",
        "signatureVersion": "v4",
        "targetPrefix": "",
        **suite["metadata"],
    }
    name = raw["given"].get("name", "OperationName")
    shapes = suite.get("shapes", {})
    modernise(shapes, raw["given"])
    document = {"metadata": metadata, "shapes": shapes, "operations": {name: raw["given"]}}
    service = build_service("vectors", document)
    client = botocore.model.ServiceModel(document, "vectors").operation_model(name)
    legacy = "legacy/" if "legacy" in path.parts else ""
    label = f"{legacy}{path.stem}-{raw.get('id', where)}"
    return Case(label, path.stem, service.operations[name], metadata["protocol"], client, raw)


def modernise(shapes: dict[str, Any], given: dict[str, Any]) -> None:
    """Legacy vectors put traits on shapes that today's models have on members only, and know a type `character`."""
    for shape in shapes.values():
        if shape["type"] == "character":
            shape["type"] = "string"
        for ref in shape.get("members", {}).values():
            target = shapes[ref["shape"]]
            for trait in ("location", "locationName"):
                if trait in target:
                    ref.setdefault(trait, target[trait])
    for ref in (given.get("input"), given.get("output")):
        if ref and "payload" in ref:
            shapes[ref["shape"]].setdefault("payload", ref["payload"])


def visible(value: Any) -> Any:
    """Without what headers, query strings and forms cannot show: empty lists, maps and structures."""
    if isinstance(value, dict):
        return {name: visible(each) for name, each in value.items() if each not in ({}, [])}
    return [visible(each) for each in value] if isinstance(value, list) else value


def params_of(case: Case) -> dict[str, Any]:
    """The input of a case; the idempotency token, which a client makes up, is the one all vectors have."""
    params = dict(case.raw.get("params", {}))
    shape = case.operation.input
    for name, member in shape.members.items() if shape is not None else ():
        if member.idempotency_token:
            params.setdefault(name, "00000000-0000-4000-8000-000000000000")
    return typed(shape, params)


def typed(shape: ShapeModel | None, value: Any) -> dict[str, Any]:
    """The JSON of a vector with the types that our codecs use."""
    if shape is None:
        return {}
    return {name: _typed(shape.members[name], each) for name, each in value.items() if each is not None}


def _typed(member: Member, value: Any) -> Any:
    shape = member.shape
    if value is None or shape.document or member.jsonvalue:
        return value
    if shape.type == "structure":
        return typed(shape, value)
    if shape.type == "list":
        return [_typed(shape.item, each) for each in value]
    if shape.type == "map":
        return {key: _typed(shape.value, each) for key, each in value.items()}
    if shape.type == "timestamp":
        return datetime.fromtimestamp(value, UTC)
    if shape.type == "blob":
        return value.encode("utf-8")
    if shape.type in ("float", "double") and isinstance(value, str):
        return SPECIAL_FLOATS[value]
    return value


def comparable(value: Any) -> Any:
    """Values that compare equal when they mean the same."""
    if isinstance(value, dict):
        return {key: comparable(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value in SPECIAL_FLOATS if isinstance(value, str) else False:
        return str(SPECIAL_FLOATS[value])
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def sent_body(case: Case, text: str | None) -> bytes:
    if text is None:
        return b""
    return base64.b64decode(text) if "cbor" in case.protocol else text.encode("utf-8")
