"""XML as it stands on the wire: names, attributes, escapes, and what can never break a document."""

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.model.load import load_models
from opentrail.wire.answer import render_output
from opentrail.wire.bind import parse_input
from opentrail.wire.request import WireRequest, build_request
from opentrail.wire.scalars import Malformed
from opentrail.wire.xml_codec import escape
from opentrail.wire.xml_tree import parse_xml
from tests.wire.oracle import request_of

MODELS = load_models()
GRANTS = b"""<?xml version="1.0" encoding="UTF-8"?>
<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>o</ID></Owner><AccessControlList>
  <Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>u</URI></Grantee>
  <Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"""


def read(operation, body):
    return parse_input(
        MODELS.operation("s3", operation), "rest-xml", {}, request_of(WireRequest("PUT", "/", "", {}, b"")), body
    )


def test_the_tree_keeps_names_attributes_and_order():
    root = parse_xml(GRANTS)
    assert (root.name, root.attributes) == ("AccessControlPolicy", {"xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"})
    grantee = root.children[1].children[0].child("Grantee")
    assert list(grantee.attributes) == ["xmlns:xsi", "xsi:type"]
    assert grantee.child("URI").text == "u"
    assert [child.name for child in root.children] == ["Owner", "AccessControlList"]


def test_prefixes_and_foreign_elements_do_not_matter():
    body = b'<s3:Delete xmlns:s3="x"><s3:Object><s3:Key> a b </s3:Key><Stranger/></s3:Object><s3:Object/></s3:Delete>'
    assert read("DeleteObjects", body) == {"Delete": {"Objects": [{"Key": " a b "}, {}]}}


def test_attributes_are_members():
    grants = read("PutBucketAcl", GRANTS)["AccessControlPolicy"]["Grants"]
    assert grants == [{"Grantee": {"Type": "Group", "URI": "u"}, "Permission": "READ"}]
    other_prefix = GRANTS.replace(b"xsi", b"i")
    assert read("PutBucketAcl", other_prefix)["AccessControlPolicy"]["Grants"] == grants


def test_an_answer_of_s3_letter_by_letter():
    operation = MODELS.operation("s3", "ListObjectsV2")
    output = {
        "Name": "b",
        "IsTruncated": False,
        "Contents": [{"Key": "a&b\r", "LastModified": 1795228963, "ETag": '"e"', "Size": 0}],
        "Prefix": None,
        "NoMember": 1,
    }
    status, headers, body = render_output(operation, "rest-xml", output, request_id="R", host_id="H")
    assert status == 200
    assert headers == {"x-amz-id-2": "H", "x-amz-request-id": "R", "Content-Type": "application/xml"}
    assert body.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        "<Name>b</Name><IsTruncated>false</IsTruncated><Contents><Key>a&amp;b&#13;</Key>"
        "<LastModified>2026-11-21T02:42:43.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>0</Size></Contents>"
        "</ListBucketResult>"
    )


def test_grantees_are_written_with_their_type():
    owner = {"Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "i"}, "Permission": "FULL_CONTROL"}]}
    _, _, body = render_output(MODELS.operation("s3", "GetBucketAcl"), "rest-xml", owner, request_id="R", host_id="H")
    assert b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>i</ID>' in body


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_no_text_breaks_a_document(text):
    document = f'<a b="{escape(text)}">{escape(text)}</a>'.encode()
    root = parse_xml(document)
    assert ElementTree.fromstring(document).text == (root.text or None)
    if text.isprintable():
        assert root.text == text


def test_text_that_xml_cannot_hold_is_replaced():
    assert escape("a\x00\x1f\ud800\ufffe<") == "a\ufffd\ufffd\ufffd\ufffd&lt;"


@pytest.mark.parametrize("odd", ["", "\x00", "\r", "\x7f", "\n", "<", "é", "\ud800", "\xa0", "&"])
def test_long_texts_are_escaped_as_short_ones(odd):
    assert escape("~ " * 500 + odd) == "~ " * 500 + escape(odd)


def test_an_empty_document_and_an_empty_body():
    assert read("PutBucketVersioning", b"<VersioningConfiguration/>") == {"VersioningConfiguration": {}}
    assert read("CreateBucket", b"") == {}
    with pytest.raises(Malformed):
        parse_xml(b"")


def test_requests_are_wrapped_as_the_model_names_them():
    operation = MODELS.operation("s3control", "CreateAccessPoint")
    wire = build_request(operation, "rest-xml", {"AccountId": "1", "Name": "n", "Bucket": "b"})
    assert wire.path == "/v20180820/accesspoint/n"
    assert wire.body == (
        b'<CreateAccessPointRequest xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Bucket>b</Bucket>'
        b"</CreateAccessPointRequest>"
    )
