"""Hostile and huge calls: always JSON, never more than 256 KB, never an exception."""

from __future__ import annotations

import json

import msgspec
import pytest

from opentrail.call import Resource
from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.record import limits
from opentrail.record.build import build
from tests.record.made import PUT_OBJECT, call, counter, operation, request


def one(made):
    [line] = build(made, counter())
    assert len(line) <= limits.EVENT_MAX
    return json.loads(line)


def size(value):
    return len(limits.encode(value))


def modelled(service, name, given, **parts):
    return one(call(load_models().operation(service, name), input=given, **parts))


def test_text_is_cut_between_characters():
    assert limits.clip("a" * 5, 4) == "aaaa"
    assert limits.clip("ä" * 3, 5) == "ää"
    assert limits.clip("😀😀", 7) == "😀"
    assert limits.clip("short") == "short"


@pytest.mark.parametrize("letter", ["a", "é", "\x00", "\ud800"])
def test_a_huge_user_agent_is_cut_to_a_kilobyte(letter):
    shown = one(call(request=request(user_agent=letter * 100_000)))
    assert shown["userAgent"].startswith("[")
    assert shown["userAgent"].endswith("]")
    assert len(shown["userAgent"].encode()) <= 1_024


def test_so_are_errors():
    shown = one(call(error=AwsError("C" * 9_000, "m" * 9_000)))
    assert len(shown["errorCode"]) == len(shown["errorMessage"]) == 1_024


def test_a_megabyte_of_query_is_marked_and_the_key_survives():
    shown = one(call(request=request(query="prefix=" + "p" * 1_000_000)))["requestParameters"]
    assert shown["key"] == "2024/q1.csv"
    assert len(shown["prefix"]) == 1_024
    assert size(shown) <= limits.PARAMETERS_MAX


def test_so_is_a_hundred_thousand_of_parameters():
    query = "&".join(f"parameter-number-{n}={'v' * 200}" for n in range(100_000))
    shown = one(call(request=request(query=query)))["requestParameters"]
    assert size(shown) <= limits.PARAMETERS_MAX
    assert shown["bucketName"] == "reports"
    assert "parameter-number-1" in shown


def test_a_repeated_parameter_of_a_megabyte():
    shown = one(call(request=request(query="&".join(["a=" + "x" * 2_000] * 900))))["requestParameters"]
    assert shown["a"] == {"omitted": True}


def test_a_megabyte_of_policy_and_of_xml():
    policy = json.dumps({"Statement": ["x" * 1_000] * 200}).encode()
    for body in (policy, policy * 9):
        made = call(operation("PutBucketPolicy"), input={"Bucket": "reports"}, raw_body=body)
        assert size(one(made)["requestParameters"]) <= limits.PARAMETERS_MAX
    body = b"<Tagging>" + b"<Tag><Key>k</Key><Value>v</Value></Tag>" * 5_000 + b"</Tagging>"
    made = call(operation("PutBucketTagging"), input={"Bucket": "reports"}, raw_body=body)
    assert one(made)["requestParameters"]["Tagging"] == {"omitted": True}


def test_modelled_parameters_too():
    given = {"Name": "main", "S3BucketName": "b" * 1_000_000, "TagsList": [{"Key": "k" * 100, "Value": "v"}] * 3_000}
    shown = modelled("cloudtrail", "CreateTrail", given, output={"Name": "n" * 400_000})
    assert shown["requestParameters"]["name"] == "main"
    assert shown["requestParameters"]["tagsList"] == {"omitted": True}
    assert size(shown["responseElements"]) <= limits.PARAMETERS_MAX


def test_all_fields_full_at_once():
    made = call(PUT_OBJECT, request=request(host="h" * 100_000, query="a=" + "%00" * 90_000))
    made.evidence.additional = {f"n{n}": "\x00" * 300 for n in range(400)}
    made.evidence.response_headers = {"x-amz-version-id": "\x00" * 300_000}
    made.evidence.resources = [Resource("AWS::S3::Object", "arn:" + "\x01" * 1_000) for _ in range(500)]
    shown = one(made)
    assert shown["requestParameters"]["bucketName"] == "reports"
    assert shown["eventName"] == "PutObject"


@pytest.mark.parametrize("key", ["\ud800", "a\udcffb", "\x00\x01\x7f", "😀" * 256, "..", "‮gnp.exe"])
def test_keys_that_are_no_text(key):
    shown = one(call(input={"Bucket": "reports", "Key": key}))
    assert shown["requestParameters"]["key"] == key.encode("utf-8", "replace").decode()


def test_latin_bytes_in_headers():
    shown = one(call(request=request(host="b\xe4r.example", x_amz_acl="\xff\xfe")))
    assert shown["requestParameters"]["Host"] == "bär.example"


@pytest.mark.parametrize("query", ["%", "%zz", "%ed%a0%80=%ff", "=&=&", "a=%00", "&" * 10_000, "+" * 500])
def test_queries_that_are_no_queries(query):
    assert one(call(request=request(query=query)))["requestParameters"]["bucketName"] == "reports"


def nested(depth, leaf="x"):
    value = leaf
    for _ in range(depth):
        value = {"k": [value]}
    return value


@pytest.mark.parametrize("depth", [10, 200, 5_000])
def test_deep_structures_end_in_a_mark(depth):
    shown = modelled("cloudtrail", "CreateTrail", {"Name": "main", "TagsList": nested(depth)})
    assert shown["requestParameters"]["name"] == "main"
    assert ("omitted" in json.dumps(shown)) is (depth > 10)


def test_deep_policies():
    body = b'{"a":' * 900 + b"1" + b"}" * 900
    shown = one(call(operation("PutBucketPolicy"), input={"Bucket": "reports"}, raw_body=body))
    assert shown["requestParameters"]["bucketName"] == "reports"


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**80, -(2**80), 2**9_000, b"\xff", object(), {1: 2}, {(1, 2): 3}, ("a",), {"a"}],
    ids=lambda value: type(value).__name__,
)
def test_values_of_odd_types(value):
    shown = modelled("cloudtrail", "CreateTrail", {"Name": "main", "S3KeyPrefix": value, "Odd": {"x": [value]}})
    assert shown["requestParameters"]["name"] == "main"
    made = call()
    made.evidence.additional = {"odd": value}
    assert one(made)["eventName"] == "GetObject"


def test_names_that_are_no_names():
    shown = modelled("cloudtrail", "CreateTrail", {"": 1, "\ud800": 2, 7: 3})
    assert set(shown["requestParameters"]) == {"", "?", "7"}


def test_what_should_be_short_is_made_so():
    shown = one(call(region="r" * 300_000, request_id="i" * 2_000, host_id="h" * 300_000))
    assert len(shown["awsRegion"]) == len(shown["requestID"]) == 1_024


def test_fitting_keeps_what_fits():
    value = {"bucketName": "b", "large": ["x" * 100] * 20, "text": "t" * 3_000, "small": 1}
    fitted = limits.fit_field(value, 1_200)
    assert fitted == {"bucketName": "b", "large": {"omitted": True}, "text": "t" * 1_024, "small": 1}
    many = limits.fit_field({f"n{n}": n for n in range(1_000)}, 200)
    assert many["omitted"] is True
    assert size(many) <= 200
    assert limits.fit_field([1] * 1_000, 100) == [1] * 31
    assert limits.fit_field(value, 100_000) is value


class Small(msgspec.Struct):
    eventVersion: str
    requestParameters: dict[str, str]


def test_the_largest_record_goes_through_the_fast_path_unchanged():
    assert limits.render(Small("1.11", {"a": "b"})) == b'{"eventVersion":"1.11","requestParameters":{"a":"b"}}'


def test_a_record_that_cannot_be_encoded_is_made_so():
    text = limits.render(Small("1.11", {"a": "\ud800", "b": "c" * 200_000}))
    assert text == b'{"eventVersion":"1.11","requestParameters":{"a":"?","b":"' + b"c" * 1_024 + b'"}}'
