"""What the command line's client makes of answers: those of the server's own renderer, and those of anybody else."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.server.client_answer import read_answer
from opentrail.wire.answer import render_error, render_output
from opentrail.wire.scalars import Malformed

OUTPUTS = [
    ("iam", "CreateUser", {"User": {"UserName": "a<b&c", "Path": "/", "CreateDate": datetime(2026, 1, 2, tzinfo=UTC)}}),
    ("sts", "GetCallerIdentity", {"UserId": "u", "Account": "1" * 12, "Arn": "arn:é"}),
    ("cloudtrail", "ListPublicKeys", {"PublicKeyList": [{"Value": b"\0\xff", "Fingerprint": "f"}]}),
    ("s3", "ListObjectsV2", {"Contents": [{"Key": "a"}, {"Key": "b"}], "NextContinuationToken": "t"}),
    ("s3", "GetObject", {"Body": b"\0bytes", "Metadata": {"signature": "00ff"}, "ETag": '"x"'}),
    ("iam", "DeleteUser", {}),
]


def read(service: str, name: str, answer):
    status, headers, body = answer
    lower = {key.lower(): value for key, value in headers.items()}
    return read_answer(load_models().operation(service, name), status, lower, body)


@pytest.mark.parametrize(("service", "name", "output"), OUTPUTS)
def test_outputs_come_back_as_they_were_told(service, name, output):
    operation = load_models().operation(service, name)
    status, headers, body = render_output(operation, operation.service.protocol, output, request_id="r", host_id="h")
    found = read(service, name, (status or operation.status, headers, body or output.get("Body", b"")))
    assert {member: found[member] for member in output} == output


@pytest.mark.parametrize("service_and_name", [("iam", "GetUser"), ("cloudtrail", "GetTrail"), ("s3", "GetObject")])
def test_errors_come_back_as_they_were_told(service_and_name):
    service, name = service_and_name
    operation = load_models().operation(service, name)
    told = AwsError("AccessDenied", 'no <way> & "none"', 403)
    answer = render_error(operation, service, operation.service.protocol, told, request_id="r", host_id="h")
    with pytest.raises(AwsError) as caught:
        read(service, name, answer)
    assert (caught.value.code, caught.value.message, caught.value.status) == ("AccessDenied", told.message, 403)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff", b"null", b"[]", b"{}", b'{"__type":7}', b"<a/>", b"<a><Error/></a>", b"[" * 99_999],
)
@pytest.mark.parametrize(("service", "name"), [("iam", "GetUser"), ("cloudtrail", "GetTrail"), ("s3", "ListObjectsV2")])
def test_answers_of_somebody_else_are_no_surprise(service, name, body):
    with pytest.raises(AwsError) as caught:
        read(service, name, (502, {}, body))
    assert caught.value.code in ("HTTP 502", "7")
    with suppress(Malformed):
        assert read(service, name, (200, {}, body)) == {}
    with pytest.raises(AwsError, match="HTTP 302"):
        read(service, name, (302, {"location": "http://elsewhere"}, b""))
