"""From the JSON of a service model to the classes of `model.shapes`.

The JSON is taken as it stands on the wire: nothing that an SDK renames for its users is known here. Knows no files, no
botocore and no protocol's rules; what it does not recognise it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentrail.model.facts import facts_of
from opentrail.model.shapes import Member, Operation, Protocol, ServiceModel, ShapeModel

Raw = Mapping[str, Any]

ANSWER_ORDER: tuple[Protocol, ...] = ("json", "rest-json", "rest-xml", "query", "ec2", "smithy-rpc-v2-cbor")
"""Of several protocols, the one an unknown client most likely reads."""
SERVER_FAULT = 500
LIST_ITEM = "member"
"""Wire name of a list's item where the model names none; a flattened list then goes by its own name."""


def build_service(name: str, raw: Raw) -> ServiceModel:
    """The service `name` (botocore's name) from its `service-2` document, corrections already merged in."""
    meta = raw["metadata"]
    protocols: tuple[Protocol, ...] = tuple(meta.get("protocols") or (meta["protocol"],))
    service = ServiceModel(
        name=name,
        service_id=meta.get("serviceId", ""),
        api_version=meta["apiVersion"],
        protocol=next((one for one in ANSWER_ORDER if one in protocols), protocols[0]),
        protocols=protocols,
        json_version=meta.get("jsonVersion", ""),
        target_prefix=meta.get("targetPrefix", ""),
        signing_name=meta.get("signingName") or meta["endpointPrefix"],
        endpoint_prefix=meta["endpointPrefix"],
        xml_namespace=meta.get("xmlNamespace", ""),
    )
    shapes = _Shapes(raw["shapes"], "awsQueryCompatible" in meta)
    for operation_name, operation in raw["operations"].items():
        service.operations[operation_name] = _operation(service, operation_name, operation, shapes)
    for shape_name, shape in raw["shapes"].items():
        if shape.get("exception") or "error" in shape:
            _add_error(service, shapes.get(shape_name))
    return service


def _add_error(service: ServiceModel, error: ShapeModel) -> None:
    for code in (error.error_code, error.query_compatible_code):
        if code:
            service.error_codes.setdefault(code, error)
    service.error_codes[error.name] = error


def _operation(service: ServiceModel, name: str, raw: Raw, shapes: _Shapes) -> Operation:
    http = raw.get("http", {})
    uri = http.get("requestUri", "/")
    given = raw.get("input") or {}
    output = raw.get("output") or {}
    given_shape = shapes.get(given["shape"]) if given else None
    output_shape = shapes.get(output["shape"]) if output else None
    return Operation(
        service=service,
        name=name,
        method=http.get("method", "POST"),
        uri=uri,
        status=http.get("responseCode", 200),
        input=given_shape,
        output=output_shape,
        errors=tuple(shapes.get(error["shape"]) for error in raw.get("errors", ())),
        facts=facts_of(service, name, uri, given_shape, output_shape),
        result_wrapper=output.get("resultWrapper", ""),
        input_wire_name=given.get("locationName", ""),
        input_xml_namespace=_namespace(given),
        deprecated=bool(raw.get("deprecated")),
    )


class _Shapes:
    """Shapes by name, each built once; a recursive shape finds itself here while it is being filled in."""

    def __init__(self, raw: Raw, query_compatible: bool) -> None:
        self._raw = raw
        self._built: dict[str, ShapeModel] = {}
        self._query_compatible = query_compatible

    def get(self, name: str) -> ShapeModel:
        built = self._built.get(name)
        if built is None:
            raw = self._raw[name]
            built = self._built[name] = _plain(name, raw)
            self._fill(built, raw)
        return built

    def _fill(self, shape: ShapeModel, raw: Raw) -> None:
        if shape.type == "structure":
            required = frozenset(raw.get("required", ()))
            for name, ref in raw.get("members", {}).items():
                shape.members[name] = self._member(name, ref, name, name in required)
            if raw.get("exception") or "error" in raw:
                self._fill_error(shape, raw)
        elif shape.type == "list":
            shape.item = self._member(LIST_ITEM, raw["member"], LIST_ITEM)
        elif shape.type == "map":
            shape.key = self._member("key", raw["key"], "key")
            shape.value = self._member("value", raw["value"], "value")

    def _fill_error(self, shape: ShapeModel, raw: Raw) -> None:
        error = raw.get("error", {})
        shape.error_code = error.get("code") or shape.name
        if self._query_compatible:
            shape.error_code, shape.query_compatible_code = shape.name, error.get("code", "")
        shape.error_status = error.get("httpStatusCode", 0) or (SERVER_FAULT if raw.get("fault") else 0)
        shape.error_sender = bool(error.get("senderFault"))

    def _member(self, name: str, ref: Raw, default_wire_name: str, required: bool = False) -> Member:
        target = self.get(ref["shape"])
        member = Member(name, target, ref.get("locationName", default_wire_name), ref.get("location", ""), required)
        member.flattened = bool(ref.get("flattened")) or target.flattened
        member.streaming = bool(ref.get("streaming")) or target.streaming
        member.timestamp_format = ref.get("timestampFormat", "") or target.timestamp_format
        member.query_name = ref.get("queryName", "")
        if len(ref) > 1:
            member.xml_attribute = bool(ref.get("xmlAttribute"))
            member.xml_namespace = _namespace(ref)
            member.jsonvalue = bool(ref.get("jsonvalue"))
            member.host_label = bool(ref.get("hostLabel"))
            member.idempotency_token = bool(ref.get("idempotencyToken"))
        return member


def _plain(name: str, raw: Raw) -> ShapeModel:
    """A shape with all that does not name other shapes."""
    shape = ShapeModel(name, raw["type"])
    if len(raw) == 1:
        return shape
    shape.payload = raw.get("payload", "")
    shape.enum = frozenset(raw.get("enum", ()))
    shape.min = raw.get("min")
    shape.max = raw.get("max")
    shape.pattern = raw.get("pattern", "")
    shape.flattened = bool(raw.get("flattened"))
    shape.timestamp_format = raw.get("timestampFormat", "")
    shape.wire_name = raw.get("locationName", "")
    shape.xml_namespace = _namespace(raw)
    shape.union = bool(raw.get("union"))
    shape.document = bool(raw.get("document"))
    shape.streaming = bool(raw.get("streaming"))
    shape.eventstream = bool(raw.get("eventstream"))
    shape.sensitive = bool(raw.get("sensitive"))
    return shape


def _namespace(raw: Raw) -> tuple[str, str] | None:
    """(prefix, uri); the prefix is empty for a default namespace."""
    namespace = raw.get("xmlNamespace")
    if not namespace:
        return None
    if isinstance(namespace, str):
        return "", namespace
    return namespace.get("prefix", ""), namespace["uri"]
