"""The other direction of `wire.answer`: an HTTP answer to the operation's output, or to the error that it tells.

For the command line's own calls. Pure; knows no socket, no key and no command.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.model.shapes import Operation
from opentrail.wire.bind_plan import Plan, plan_of
from opentrail.wire.headers import decode_metadata, read_header
from opentrail.wire.json_codec import decode_json, parse_json
from opentrail.wire.scalars import Malformed
from opentrail.wire.xml_codec import read_xml, read_xml_structure
from opentrail.wire.xml_tree import Element, parse_xml

FIRST_FAILURE = 300
"""HTTP statuses from here on tell an error (no redirection is followed: what was signed is for one host)."""


def read_answer(operation: Operation, status: int, headers: Mapping[str, str], body: bytes) -> Shape:
    """The output by member names. Raises the AwsError that the answer tells, and Malformed for no answer of AWS's kind.

    Header names are in lower case. Speaks JSON, query and rest-xml, each in its service's own way.
    """
    protocol = operation.service.protocol
    if status >= FIRST_FAILURE:
        raise _json_error(status, body) if protocol == "json" else _xml_error(status, body)
    shape = operation.output
    if shape is None:
        return {}
    if protocol == "json":
        if not body:
            raise Malformed("the body is empty")
        return parse_json(shape, body)
    if protocol == "query":
        return read_xml_structure(shape, _result(operation, body))
    plan = plan_of(shape, answer=True)
    return _body(operation, plan, body) | _headers(plan, headers)


def _result(operation: Operation, body: bytes) -> Element:
    name = operation.result_wrapper or f"{operation.name}Result"
    result = parse_xml(body).child(name)
    if result is None:
        raise Malformed(f"there is no {name} in the body")
    return result


def _headers(plan: Plan, headers: Mapping[str, str]) -> Shape:
    output: Shape = {}
    for name, member in plan.headers.items():
        if name in headers:
            output[member.name] = read_header(member, headers[name])
    for prefix, member in plan.prefixes:
        output[member.name] = {
            name[len(prefix) :]: decode_metadata(text) for name, text in headers.items() if name.startswith(prefix)
        }
    return output


def _body(operation: Operation, plan: Plan, body: bytes) -> Shape:
    payload, shape = plan.payload, operation.output
    if payload is not None and plan.blob:
        return {payload.name: body}
    if not body or shape is None:
        return {}
    root = parse_xml(body)
    return read_xml_structure(shape, root) if payload is None else {payload.name: read_xml(payload, root)}


def _json_error(status: int, body: bytes) -> AwsError:
    try:
        found = decode_json(body)
    except Malformed:
        found = None
    told = found if isinstance(found, dict) else {}
    code = str(told.get("__type", "")).rpartition("#")[2].partition(":")[0]
    return AwsError(code or f"HTTP {status}", str(told.get("message") or told.get("Message") or ""), status)


def _xml_error(status: int, body: bytes) -> AwsError:
    """Of the query protocol (an Error within) and of S3 (the root itself); an answer to HEAD has a status only."""
    try:
        root = parse_xml(body)
    except Malformed:
        return AwsError(f"HTTP {status}", "", status)
    told = root if root.local == "Error" else root.child("Error") or root
    return AwsError(_text(told, "Code") or f"HTTP {status}", _text(told, "Message"), status)


def _text(element: Element, name: str) -> str:
    child = element.child(name)
    return "" if child is None else child.text
