"""Every operation in scope: what botocore sends, we read; what we send, botocore sends."""

from datetime import UTC, datetime

import pytest

from opentrail.model.load import load_models
from opentrail.wire.bind import parse_input
from opentrail.wire.request import WireRequest, build_request
from tests.wire.oracle import SPOKEN, client_request, labels_of, model_of, request_of
from tests.wire.samples import Nothing, Sampler

FORMS = ("query", "ec2")


def samples(service, protocol, rounds=2):
    for operation in model_of(service, protocol).operations.values():
        if operation.input is None:
            yield operation, {}
            continue
        for number in range(rounds):
            sampler = Sampler(
                (service, operation.name, number), empties=protocol not in FORMS, single_precision="cbor" in protocol
            )
            try:
                value = sampler.structure(operation.input)
            except Nothing:
                value = {}
            yield operation, value


def parse(operation, protocol, wire):
    labels = labels_of(operation, wire.path) if protocol.startswith("rest") else {}
    return parse_input(operation, protocol, labels, request_of(wire), wire.body)


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_parses_what_the_client_sends(service, protocol):
    for operation, value in samples(service, protocol):
        wire = client_request(operation, protocol, value)
        assert parse(operation, protocol, wire) == value, operation.name


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_builds_what_it_parses(service, protocol):
    for operation, value in samples(service, protocol, rounds=1):
        wire = build_request(operation, protocol, value)
        assert parse(operation, protocol, wire) == value, operation.name


def s3(name, query="", headers=None, body=b"", **labels):
    operation = load_models().operation("s3", name)
    return parse_input(
        operation, "rest-xml", labels, request_of(WireRequest("GET", "/", query, headers or {}, b"")), body
    )


def test_s3_headers_are_typed_and_metadata_decoded():
    headers = {
        "host": "h",
        "content-length": "3",
        "x-amz-meta-Plain": "v",
        "x-amz-meta-words": "=?UTF-8?B?Z3LDvG4=?=",
        "x-amz-meta-bytes": "grün".encode().decode("latin-1"),
        "x-amz-server-side-encryption-bucket-key-enabled": "TRUE",
        "x-amz-object-lock-retain-until-date": "2026-11-21T02:42:43Z",
        "x-amz-expected-bucket-owner": "000000000000",
        "content-disposition": 'attachment; filename="grün"'.encode().decode("latin-1"),
    }
    moment = datetime(2026, 11, 21, 2, 42, 43, tzinfo=UTC)
    assert s3("PutObject", headers=headers, body=None, Bucket="b", Key="a/b") == {
        "Bucket": "b",
        "Key": "a/b",
        "ContentLength": 3,
        "Metadata": {"Plain": "v", "words": "grün", "bytes": "grün"},
        "BucketKeyEnabled": True,
        "ObjectLockRetainUntilDate": moment,
        "ExpectedBucketOwner": "000000000000",
        "ContentDisposition": 'attachment; filename="grün"',
    }


def test_a_payload_that_streams_is_left_out_and_one_that_was_read_is_not():
    assert "Body" not in s3("PutObject", body=None)
    assert s3("PutObject", body=b"") == {"Body": b""}
    assert s3("PutBucketPolicy", body=b'{"a":1}') == {"Policy": '{"a":1}'}
    assert s3("PutBucketPolicy", body=b"") == {}


def test_presigning_clients_put_headers_into_the_query():
    query = "X-Amz-Acl=public-read&x-amz-meta-a=b%20c&X-Amz-Signature=0&x-id=PutObject"
    assert s3("PutObject", query=query, body=None) == {"ACL": "public-read", "Metadata": {"a": "b c"}}
    assert s3("PutObject", query=query, headers={"x-amz-acl": "private"}, body=None)["ACL"] == "private"


def test_query_parameters_of_s3():
    assert s3("ListObjectsV2", query="list-type=2&prefix=a+b%2Fc&max-keys=7&fetch-owner=true&start-after=") == {
        "Prefix": "a b/c",
        "MaxKeys": 7,
        "FetchOwner": True,
        "StartAfter": "",
    }
    assert s3("ListObjectsV2", query="max-keys=&&prefix=first&prefix=second") == {"Prefix": "first"}


def test_header_lists():
    headers = {"x-amz-object-attributes": "ETag, Checksum,ObjectSize"}
    assert s3("GetObjectAttributes", headers=headers) == {"ObjectAttributes": ["ETag", "Checksum", "ObjectSize"]}


def test_forms_come_in_the_body_the_query_or_both():
    operation = load_models().operation("sts", "GetSessionToken")
    request = request_of(WireRequest("POST", "/", "Action=GetSessionToken&DurationSeconds=900&SerialNumber=s", {}, b""))
    assert parse_input(operation, "query", {}, request, b"DurationSeconds=1800\r\n") == {
        "DurationSeconds": 1800,
        "SerialNumber": "s",
    }


def test_lists_in_forms_follow_their_numbers():
    operation = load_models().operation("iam", "TagRole")
    body = b"Tags.member.10.Key=z&Tags.member.2.Key=b&Tags.member.2.Value=&TagsX.member.1=ignored&RoleName=r"
    request = request_of(WireRequest("POST", "/", "", {}, b""))
    assert parse_input(operation, "query", {}, request, body) == {
        "Tags": [{"Key": "b", "Value": ""}, {"Key": "z"}],
        "RoleName": "r",
    }
