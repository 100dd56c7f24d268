"""Hostile bytes, as an attacker would send them: only AwsError may come out, quickly."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.wire.bind import parse_input
from opentrail.wire.cbor_codec import decode_cbor
from opentrail.wire.json_codec import decode_json
from opentrail.wire.request import WireRequest
from opentrail.wire.scalars import NESTING_MAX, Malformed
from opentrail.wire.timestamps import parse_timestamp
from opentrail.wire.xml_tree import XML_ATTRIBUTES_MAX, XML_ELEMENTS_MAX, XML_SIZE_MAX, parse_xml
from tests.wire.oracle import request_of

MODELS = load_models()
ANY_BODY = {
    "json": MODELS.operation("cloudtrail", "CreateTrail"),
    "query": MODELS.operation("iam", "CreateRole"),
    "rest-xml": MODELS.operation("s3", "DeleteObjects"),
    "smithy-rpc-v2-cbor": MODELS.operation("cloudwatch", "PutMetricData"),
}


def parse(operation, protocol, body=b"", query="", headers=None, labels=None):
    wire = WireRequest("POST", "/", query, headers or {}, body)
    return parse_input(operation, protocol, labels or {}, request_of(wire), body)


def refused(code, *args, **kwargs):
    with pytest.raises(AwsError) as caught:
        parse(*args, **kwargs)
    assert caught.value.code == code
    assert caught.value.status == 400
    return caught.value


BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>
<Delete><Object><Key>&lol2;</Key></Object></Delete>"""
EXTERNAL = b"""<!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete/>"""


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        EXTERNAL,
        b"<!DOCTYPE Delete><Delete/>",
        b"<Delete>&xxe;</Delete>",
        b"<Delete>",
        b"</Delete>",
        b"<Delete/><Delete/>",
        b"<Delete a='1' a='2'/>",
        b"<Delete>\x00</Delete>",
        b"<Delete>\xff\xfe</Delete>",
        "<?xml version='1.0' encoding='utf-16'?><Delete/>".encode("utf-16"),
        b"<Other/>",
        b"not xml",
        b"<Delete>" * (NESTING_MAX + 1) + b"</Delete>" * (NESTING_MAX + 1),
        b"<Delete " + b" ".join(b"a%d=''" % n for n in range(XML_ATTRIBUTES_MAX + 1)) + b"/>",
        b"<Delete><Quiet>perhaps</Quiet></Delete>",
        b"<Delete><Quiet>true</Quiet><Quiet>false</Quiet></Delete>",
        b"<Delete><Quiet><b/></Quiet></Delete>",
        b"<Delete><Object><Size>99999999999999999999</Size></Object></Delete>",
        b"<Delete><Object><Size>1e3</Size></Object></Delete>",
        b"<Delete><Object><LastModifiedTime>yesterday</LastModifiedTime></Object></Delete>",
    ],
)
def test_xml_that_is_refused(document):
    refused("MalformedXML", ANY_BODY["rest-xml"], "rest-xml", document)


def test_xml_of_declared_but_unknown_encoding_is_read_as_utf8():
    document = "<?xml version='1.0' encoding='x-unheard-of'?><Delete><Object><Key>ä</Key></Object></Delete>"
    assert parse(ANY_BODY["rest-xml"], "rest-xml", document.encode())["Delete"]["Objects"] == [{"Key": "ä"}]


def test_xml_limits_on_size_and_elements():
    with pytest.raises(Malformed, match="large"):
        parse_xml(b"<a>" + b" " * XML_SIZE_MAX + b"</a>")
    with pytest.raises(Malformed, match="too many"):
        parse_xml(b"<a>" + b"<b/>" * XML_ELEMENTS_MAX + b"</a>")


def test_mixed_content_takes_linear_time():
    root = parse_xml(b"<a>" + b"text<b/>" * 50_000 + b"</a>")
    assert len(root.children) == 50_000
    assert root.text == ""


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"Name":' * (NESTING_MAX + 1) + b"1" + b"}" * (NESTING_MAX + 1),
        b'{"Name": "\xff"}',
        b'{"Name": "\\ud800"}',
        b'{"Name": NaN}',
        b'{"Name": 1e999}',
        b'{"Name": 5}',
        b'{"Name": ["x"]}',
        b'{"Name": {"x": 1}}',
        b'{"IncludeGlobalServiceEvents": "yes"}',
        b'{"TagsList": {}}',
        b'{"TagsList": ["x"]}',
        b"[]",
        b"null",
        b"7",
        b"{",
        b"\xef\xbb\xbf{}",
        b"9" * 10_000,
    ],
)
def test_json_that_is_refused(body):
    refused("SerializationException", ANY_BODY["json"], "json", body)


def test_json_takes_the_last_of_duplicate_keys_and_ignores_strangers_and_nulls():
    body = b'{"Name":"a","Name":"b","Stranger":{"x":[]},"S3BucketName":null}'
    assert parse(ANY_BODY["json"], "json", body) == {"Name": "b"}


def test_json_integers_have_a_range():
    lookup = MODELS.operation("cloudtrail", "LookupEvents")
    assert parse(lookup, "json", b'{"MaxResults":50.0}') == {"MaxResults": 50}
    for number in (b"2147483648", b"1.5", b"123456789012345678901234567890", b"true", b'"5"'):
        refused("SerializationException", lookup, "json", b'{"MaxResults":' + number + b"}")
    for number in (b"1e300", b"99999999999999999999", b'"2026-11-21"', b"true"):
        refused("SerializationException", lookup, "json", b'{"StartTime":' + number + b"}")


def test_json_may_be_as_deep_as_the_limit_and_no_deeper():
    assert decode_json(b"[" * NESTING_MAX + b"]" * NESTING_MAX)
    with pytest.raises(Malformed, match="deep"):
        decode_json(b"[" * (NESTING_MAX + 1) + b"]" * (NESTING_MAX + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"\xa1",  # cut off
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",  # an array of 2**64-1 items
        b"\xbb\x00\x00\x00\xff\xff\xff\xff\xff",  # a map as long
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",  # bytes as long
        b"\x81" * 100_000,
        b"\x9f" * 100_000,
        b"\xd8\x1c\xa0",  # shareable
        b"\xc2\x41\x01",  # big number
        b"\xd8\x23\x61\x28",  # regular expression
        b"\xa1\x01\x02",  # a key that is no text
        b"\xa1\x61\xff\x02",  # a key that is no UTF-8
        b"\x7f\x41\x61\xff",  # mixed chunks
        b"\xc1\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00",  # a time that is not a number
        b"\xc1\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xf8\x20",
        b"\xff",
        b"\xa0\xa0",
        b"\x1c",
        b"\x80",
    ],
)
def test_cbor_that_is_refused(body):
    refused("SerializationException", ANY_BODY["smithy-rpc-v2-cbor"], "smithy-rpc-v2-cbor", body)


@pytest.mark.parametrize(
    "body",
    [
        b"Tags.member.x.Key=a",
        b"Tags.member.1=%ff",
        b"RoleName=%zz",
        b"MaxSessionDuration=abc",
        b"MaxSessionDuration=99999999999",
        b"MaxSessionDuration=" + b"9" * 100_000,
        b"Tags.member." + b"9" * 5_000 + b".Key=a",
        b"a." * 100 + b"=1",
        b"&".join([b"a=1"] * 20_001),
        b"RoleName.deeper=1",
        b"RoleName=\xff",
    ],
)
def test_forms_that_are_refused(body):
    refused("MalformedInput", ANY_BODY["query"], "query", body)


def test_forms_and_queries_may_hold_plain_utf8():
    assert parse(ANY_BODY["query"], "query", "Description=grün+€".encode()) == {"Description": "grün €"}
    listing = MODELS.operation("s3", "ListObjectsV2")
    assert parse(listing, "rest-xml", query="prefix=grün".encode().decode("latin-1")) == {"Prefix": "grün"}


def test_s3_query_integers_are_refused_in_s3s_words():
    listing = MODELS.operation("s3", "ListObjectsV2")
    error = refused("InvalidArgument", listing, "rest-xml", query="list-type=2&max-keys=abc", labels={"Bucket": "b"})
    assert error.message == "Provided max-keys not an integer or within integer range"
    assert error.fields == {"ArgumentName": "max-keys", "ArgumentValue": "abc"}
    refused("InvalidArgument", listing, "rest-xml", query="max-keys=2147483648")
    refused("InvalidURI", listing, "rest-xml", query="prefix=%ff")
    refused("InvalidURI", listing, "rest-xml", query="prefix=%4")
    part = MODELS.operation("s3", "UploadPart")
    error = refused("InvalidArgument", part, "rest-xml", query="partNumber=one&uploadId=u")
    assert error.message == "Part number must be an integer between 1 and 10000, inclusive"


def test_s3_headers_that_do_not_fit():
    put = MODELS.operation("s3", "PutObject")
    refused("InvalidArgument", put, "rest-xml", headers={"x-amz-object-lock-retain-until-date": "soon"})
    refused("InvalidArgument", put, "rest-xml", headers={"content-length": "many"})
    head = MODELS.operation("s3", "HeadObject")
    assert parse(head, "rest-xml", headers={"if-modified-since": "whenever"}) == {}


@pytest.mark.parametrize(
    "text", ["", "0000-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:60Z", "9" * 400, "1e99", "x" * 100]
)
def test_timestamps_that_are_refused(text):
    with pytest.raises(Malformed):
        parse_timestamp(text)


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
PIECES = (
    rb'<Delete> </Delete> <Object> <Key> </Key> <![CDATA[ ]]> &amp; &#0; <!-- --> <? ?> { } "Name" : [ ] , 1e5 \u0000'
    rb" & = % Tags.member.1.Key . MaxSessionDuration"
).split()
CBOR_PIECES = [b"\xa1", b"\x6aMetricData", b"\x81", b"\x9f", b"\xff", b"\xc1", b"\xfb", b"\xbf"]
FRAGMENTS = st.lists(st.binary(max_size=6) | st.sampled_from([*PIECES, *CBOR_PIECES]), max_size=12).map(b"".join)


@pytest.mark.parametrize("protocol", ANY_BODY)
@FUZZ
@given(body=FRAGMENTS)
def test_only_aws_errors_come_out(protocol, body):
    with contextlib.suppress(AwsError):
        assert isinstance(parse(ANY_BODY[protocol], protocol, body), dict)


HEADER_TEXT = st.text(alphabet=st.characters(max_codepoint=255), max_size=40)


@FUZZ
@given(
    query=st.text(max_size=40),
    value=HEADER_TEXT,
    name=st.sampled_from(["x-amz-meta-a", "if-modified-since", "x-amz-acl", "content-length"]),
)
def test_only_aws_errors_come_out_of_headers_and_queries(query, value, name):
    for operation in ("PutObject", "GetObjectAttributes", "ListParts"):
        headers = {name: value, "x-amz-object-attributes": value, "x-amz-checksum-mode": value}
        with contextlib.suppress(AwsError):
            parse(MODELS.operation("s3", operation), "rest-xml", query=query + "&max-parts=" + value, headers=headers)


@FUZZ
@given(data=st.binary(max_size=64))
def test_cbor_decoder_never_fails_in_another_way(data):
    with contextlib.suppress(Malformed):
        decode_cbor(data)
