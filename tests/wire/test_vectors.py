"""Published protocol vectors, run when OPENTRAIL_PROTOCOL_VECTORS names the directory that holds them.

What the vectors ask of a client is checked both ways: what a client must send, we read and write; what a client must
understand, we can answer so that botocore reads the vector's result.
"""

import json
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import botocore.parsers
import pytest
from botocore.awsrequest import HeadersDict

from opentrail.errors import AwsError
from opentrail.wire.answer import render_error, render_output
from opentrail.wire.bind import parse_input
from opentrail.wire.cbor_codec import decode_cbor
from opentrail.wire.request import WireRequest, build_request
from tests.wire.oracle import labels_of, request_of
from tests.wire.vectors import DIRECTORY, cases, comparable, params_of, sent_body, typed, visible

pytestmark = pytest.mark.skipif(not DIRECTORY, reason="OPENTRAIL_PROTOCOL_VECTORS is not set")
INPUTS = {case.id: case for case in cases("input")}
OUTPUTS = {case.id: case for case in cases("output")}
IDS = {"request_id": "id", "host_id": "host"}
EXPLAINED = {
    "a map over the query string holds the bound parameters too, which a client has no need to tell": (
        "reads-rest-json-RestJsonQueryParamsStringListMap",
        "reads-rest-xml-RestXmlQueryParamsStringListMap",
        "reads-rest-xml-AllQueryStringTypes",
        "reads-rest-xml-RestXmlQueryStringEscaping",
        "reads-rest-xml-RestXmlSupportsNaNFloatQueryValues",
        "reads-rest-xml-RestXmlSupportsInfinityFloatQueryValues",
        "reads-rest-xml-RestXmlSupportsNegativeInfinityFloatQueryValues",
        "reads-rest-xml-RestXmlZeroAndFalseQueryValues",
    ),
    "the header is there, so the input has it; the client set it by default": ("reads-legacy/rest-json-25:7",),
    "what a client says of itself, not of the call": (
        "sends-json_1_0-query-compatible-QueryCompatibleAwsJson10CborSendsQueryModeHeader",
        "sends-smithy-rpc-v2-cbor-query-compatible-QueryCompatibleRpcV2CborSendsQueryModeHeader",
    ),
    "event streams are not rendered": (
        "answers-legacy/json-6:0",
        "answers-legacy/rest-xml-14:0",
        "answers-legacy/rest-xml-14:1",
        "answers-legacy/rest-xml-14:2",
    ),
    "a prefix that catches our own x-amzn-RequestId": ("answers-legacy/rest-json-9:0",),
    "how a client shows members it does not know": ("answers-legacy/rest-json-17:2", "answers-legacy/rest-xml-16:2"),
}
REASONS = {name: reason for reason, names in EXPLAINED.items() for name in names}


def runs(way, names):
    """The cases of one way; the explained ones must keep failing, or lose their explanation."""
    reasons = {name: REASONS.get(f"{way}-{name}") for name in names}
    return [
        pytest.param(name, marks=pytest.mark.xfail(reason=reason, strict=True) if reason else ())
        for name, reason in reasons.items()
    ]


def expected_wire(case):
    sent = case.raw["serialized"]
    path, _, query = sent.get("uri", "/").partition("?")
    headers = {name.lower(): value for name, value in sent.get("headers", {}).items()}
    return WireRequest(sent.get("method", "POST"), path, query, headers, sent_body(case, sent.get("body")))


@pytest.mark.parametrize("name", runs("reads", INPUTS))
def test_reads_what_a_client_sends(name):
    case = INPUTS[name]
    wire = expected_wire(case)
    labels = labels_of(case.operation, wire.path) if case.protocol.startswith("rest") else {}
    found = parse_input(case.operation, case.protocol, labels, request_of(wire), wire.body)
    assert visible(comparable(found)) == visible(comparable(params_of(case)))


@pytest.mark.parametrize("name", runs("sends", INPUTS))
def test_sends_what_a_client_sends(name):
    case = INPUTS[name]
    expected = expected_wire(case)
    built = build_request(case.operation, case.protocol, params_of(case))
    assert built.path == expected.path
    assert sorted(parse_qsl(built.query, True)) == sorted(parse_qsl(expected.query, True))
    for header, value in expected.headers.items():
        if header != "content-type":
            assert built.headers[header].replace(", ", ",") == value.replace(", ", ",")
    if "body" in case.raw["serialized"]:
        assert body_value(case, built.body) == body_value(case, expected.body)


def body_value(case, body):
    if not body.strip() or body.strip() == b"{}":
        return None
    if case.protocol in ("query", "ec2"):
        return sorted(parse_qsl(body.decode(), True))
    if "cbor" in case.protocol:
        return comparable(decode_cbor(body))
    try:
        if "json" in case.protocol:
            return json.loads(body)
        return ElementTree.canonicalize(body.decode(), strip_text=True)
    except (ValueError, ElementTree.ParseError):
        return body


def client_reads(case, answer, shape):
    status, headers, body = answer
    parser = botocore.parsers.create_parser(case.protocol)
    response = {"status_code": status, "headers": HeadersDict(headers), "body": body, "context": {}}
    return parser.parse(response, shape)


@pytest.mark.parametrize("name", runs("answers", (name for name, case in OUTPUTS.items() if "error" not in case.raw)))
def test_answers_what_a_client_understands(name):
    case = OUTPUTS[name]
    if case.operation.output is None:
        result, shape = {}, None
    else:
        result, shape = typed(case.operation.output, case.raw["result"]), case.client.output_shape
        if case.protocol == "query":
            shape.serialization["resultWrapper"] = case.operation.result_wrapper or f"{case.operation.name}Result"
    answer = render_output(case.operation, case.protocol, result, **IDS)
    found = client_reads(case, answer, shape) or {}
    found.pop("ResponseMetadata", None)
    assert comparable(own_headers_removed(textual(case, found))) == comparable(result)


def own_headers_removed(found):
    """A map over all headers shows ours too."""
    ours = ("x-amzn-requestid", "content-type")
    return {
        name: {k: v for k, v in each.items() if k.lower() not in ours} if isinstance(each, dict) else each
        for name, each in found.items()
    }


def textual(case, found):
    """botocore hands out a blob payload as text when it is given bytes."""
    payload = case.operation.output.payload if case.operation.output is not None else ""
    if payload and isinstance(found.get(payload), str) and case.operation.output.members[payload].shape.type == "blob":
        return {**found, payload: found[payload].encode()}
    return found


@pytest.mark.parametrize("name", [name for name, case in OUTPUTS.items() if "error" in case.raw])
def test_errors_are_understood(name):
    case = OUTPUTS[name]
    told = case.raw["error"]
    code, message = case.raw.get("errorCode", ""), case.raw.get("errorMessage", "")
    fields = {key: value for key, value in told.items() if isinstance(value, str) and key.lower() != "message"}
    error = AwsError(code, message, case.raw["response"]["status_code"], **fields)
    answer = render_error(case.operation, "vectors", case.protocol, error, **IDS)
    found = client_reads(case, answer, case.client.output_shape)
    assert (found["Error"]["Code"], found["Error"]["Message"] or "") == (code, message)
    assert answer[0] == case.raw["response"]["status_code"]
