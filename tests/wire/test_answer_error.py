"""Errors in the words of each protocol, and read back by botocore."""

import json

import pytest

from opentrail.errors import AwsError
from opentrail.wire.answer import render_error
from tests.wire.oracle import SPOKEN, client_model, model_of, parser

IDS = {"request_id": "R", "host_id": "H"}


def tell(service, operation, protocol, error, **more):
    return render_error(model_of(service, protocol).operations[operation], service, protocol, error, **IDS, **more)


def test_s3_in_full():
    error = AwsError("NoSuchKey", "", Key="a<b", headers={"x-amz-delete-marker": "true"})
    message = "The specified key does not exist."
    status, headers, body = tell("s3", "GetObject", "rest-xml", error, status=404, message=message, resource="/b/k")
    assert status == 404
    assert headers == {
        "x-amz-id-2": "H",
        "x-amz-request-id": "R",
        "Content-Type": "application/xml",
        "x-amz-delete-marker": "true",
    }
    assert body.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
        "<Message>The specified key does not exist.</Message><Key>a&lt;b</Key>"
        "<RequestId>R</RequestId><HostId>H</HostId></Error>"
    )


def test_s3_names_the_resource_where_there_is_nothing_else_to_say():
    told = {"message": "m", "resource": "/b"}
    assert (
        b"<Resource>/b</Resource>"
        in tell("s3", "PutObject", "rest-xml", AwsError("InternalError"), status=500, **told)[2]
    )
    assert b"Resource" not in tell("s3", "PutObject", "rest-xml", AwsError("AccessDenied"), status=403, **told)[2]


@pytest.mark.parametrize("more", [{"method": "HEAD", "status": 404}, {"method": "GET", "status": 304}])
def test_no_body_where_http_forbids_one(more):
    status, headers, body = tell(
        "s3", "GetObject", "rest-xml", AwsError("NotModified", headers={"ETag": '"e"'}), **more
    )
    assert (status, body, headers["ETag"]) == (more["status"], b"", '"e"')
    assert "Content-Type" not in headers


def test_json_spells_the_message_as_the_model_does():
    error = AwsError("TrailNotFoundException", "Unknown trail: t")
    status, headers, body = tell("cloudtrail", "GetTrail", "json", error)
    assert status == 400
    assert headers == {"x-amzn-RequestId": "R", "Content-Type": "application/x-amz-json-1.1"}
    assert json.loads(body) == {"__type": "TrailNotFoundException", "Message": "Unknown trail: t"}
    body = tell("events", "PutRule", "json", AwsError("ResourceNotFoundException", "m"))[2]
    assert json.loads(body) == {"__type": "ResourceNotFoundException", "message": "m"}


def test_unmodelled_codes_follow_the_service():
    body = tell("cloudtrail", "GetTrail", "json", AwsError("AccessDeniedException", "no"))[2]
    assert json.loads(body) == {"__type": "AccessDeniedException", "Message": "no"}


def test_old_query_codes_travel_in_a_header():
    error = AwsError("AWS.SimpleQueueService.NonExistentQueue", "gone")
    _, headers, body = tell("sqs", "SendMessage", "json", error)
    assert headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert json.loads(body) == {"__type": "QueueDoesNotExist", "message": "gone"}
    assert b"<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in tell("sqs", "SendMessage", "query", error)[2]


def test_query_in_full():
    status, headers, body = tell("iam", "GetUser", "query", AwsError("NoSuchEntity", "no <user>"))
    assert (status, headers) == (404, {"x-amzn-RequestId": "R", "Content-Type": "text/xml"})
    assert body == (
        b'<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
        b"<Code>NoSuchEntity</Code><Message>no &lt;user&gt;</Message></Error><RequestId>R</RequestId></ErrorResponse>"
    )


def test_a_request_for_no_operation():
    _, headers, body = render_error(None, "", "json", AwsError("UnknownOperationException", "m", 404), **IDS)
    assert json.loads(body) == {"__type": "UnknownOperationException", "message": "m"}
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert b"<Code>InvalidURI</Code>" in render_error(None, "s3", "rest-xml", AwsError("InvalidURI"), **IDS)[2]


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_the_client_reads_every_modelled_error(service, protocol):
    model = model_of(service, protocol)
    client = client_model(service, protocol == "query")
    operation = next(iter(model.operations.values()))
    for code in model.error_codes:
        error = AwsError(code, "the\x00 message é\r\nX: y")
        status, headers, body = render_error(operation, service, protocol, error, **IDS)
        answer = {"status_code": status, "headers": {k.lower(): v for k, v in headers.items()}, "body": body}
        found = parser(protocol).parse(answer, client.operation_model(operation.name).output_shape)["Error"]
        shape = model.error_codes[code]
        assert found["Code"] in (code, shape.error_code, shape.query_compatible_code)
        assert found["Message"].endswith("message é\r\nX: y")


def test_headers_of_an_error_cannot_be_broken_out_of():
    _, headers, _ = tell("s3", "GetObject", "rest-xml", AwsError("X", headers={"Location": "a\r\nb: c"}), status=400)
    assert headers["Location"] == "a  b: c"
