"""The raw dialect, on requests of our own; the kinds follow what real records are known of."""

from __future__ import annotations

import pytest

from opentrail.errors import AwsError
from opentrail.record.s3_parameters import parse_query
from tests.record.made import GET_OBJECT, PUT_OBJECT, call, operation, record, request

HOST = "reports.s3.us-east-1.amazonaws.com"
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def shown(op=GET_OBJECT, **parts):
    return record(call(op, **parts))["requestParameters"]


def bucket_call(name, query, body=b"", **facts):
    op = operation(name, **facts)
    return shown(op, input={"Bucket": "reports"}, request=request("PUT", query), raw_body=body)


@pytest.mark.parametrize(
    ("name", "marker"),
    [
        ("GetBucketAcl", "acl"),
        ("GetBucketLocation", "location"),
        ("GetBucketPolicyStatus", "policyStatus"),
        ("GetObjectLockConfiguration", "object-lock"),
        ("GetPublicAccessBlock", "publicAccessBlock"),
        ("DeleteBucketLifecycle", "lifecycle"),
        ("GetBucketAccelerateConfiguration", "accelerate="),
    ],
)
def test_subresources_are_empty_texts(name, marker):
    assert bucket_call(name, marker) == {"bucketName": "reports", "Host": HOST, marker.rstrip("="): ""}


def test_listing_keeps_every_parameter_as_text():
    op = operation("ListObjectsV2", read_only=True, category="Data", event_name="ListObjects")
    query = "list-type=2&prefix=2024%2F&delimiter=/&max-keys=300&encoding-type=url&fetch-owner=true"
    made = record(call(op, input={"Bucket": "reports", "Prefix": "2024/"}, request=request(query=query)))
    assert made["eventName"] == "ListObjects"
    assert made["requestParameters"] == {
        "bucketName": "reports",
        "Host": HOST,
        "list-type": "2",
        "prefix": "2024/",
        "delimiter": "/",
        "max-keys": "300",
        "encoding-type": "url",
        "fetch-owner": "true",
    }
    assert made["resources"][1] == {"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::reports/2024/"}


def test_presigned_requests_keep_what_is_no_secret():
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2Fus-east-1&X-Amz-Date=20240501T000000Z"
        "&X-Amz-Expires=300&X-Amz-SignedHeaders=host%3Bx-amz-acl&X-Amz-Security-Token=tok&X-Amz-Signature=ab"
    )
    assert shown(PUT_OBJECT, request=request("PUT", query, x_amz_acl="private")) == {
        "bucketName": "reports",
        "Host": HOST,
        "key": "2024/q1.csv",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Date": "20240501T000000Z",
        "X-Amz-Expires": "300",
        "X-Amz-SignedHeaders": "host;x-amz-acl",
        "x-amz-acl": "private",
    }


def test_presigned_the_old_way():
    assert parse_query("AWSAccessKeyId=AKIA&Expires=1700000000&Signature=vjby%3D") == {"Expires": "1700000000"}


def test_a_parameter_that_comes_again_makes_an_array():
    assert parse_query("a=1&b&a=2&a=3") == {"a": ["1", "2", "3"], "b": ""}


def test_text_is_decoded_as_s3_does():
    assert parse_query("prefix=a+b%20c%2B&=x&&%FF=1") == {"prefix": "a b c+", "�": "1"}


@pytest.mark.parametrize("name", ["bucketName", "key", "Host", "bucketPolicy"])
def test_no_parameter_takes_the_place_of_what_rules_match_on(name):
    made = shown(request=request(query=f"{name}=forged&k=v"))
    assert made == {"bucketName": "reports", "Host": HOST, "key": "2024/q1.csv", "k": "v"}


def test_nor_does_the_root_of_a_body():
    made = bucket_call("PutBucketTagging", "tagging", b"<key>secret-plan.zip</key>")
    assert made == {"bucketName": "reports", "Host": HOST, "tagging": ""}
    made = bucket_call("PutBucketTagging", "tagging", b"<tagging>x</tagging>")
    assert made["tagging"] == ""


def test_the_headers_of_a_copy():
    made = shown(
        operation("CopyObject", "object", category="Data"),
        request=request(
            "PUT",
            "x-id=CopyObject",
            x_amz_copy_source="drafts/q1.csv?versionId=7",
            x_amz_copy_source_if_match='"e"',
            x_amz_server_side_encryption_customer_algorithm="AES256",
            x_amz_metadata_directive="COPY",
            if_none_match="*",
        ),
    )
    assert made == {
        "bucketName": "reports",
        "Host": HOST,
        "key": "2024/q1.csv",
        "x-id": "CopyObject",
        "x-amz-copy-source": "drafts/q1.csv?versionId=7",
        "x-amz-copy-source-if-match": '"e"',
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "If-None-Match": "*",
    }


def test_grants_of_a_new_bucket_are_nested():
    op = operation("CreateBucket")
    made = record(
        call(op, input={"Bucket": "reports"}, request=request("PUT", x_amz_acl="private", x_amz_grant_read="id=1"))
    )
    assert made["requestParameters"]["accessControlList"] == {"x-amz-grant-read": "id=1"}
    assert made["requestParameters"]["x-amz-acl"] == "private"
    assert "resources" not in made


def test_lifecycle_rules_in_the_spelling_of_the_body():
    body = (
        f'<LifecycleConfiguration xmlns="{NAMESPACE}"><Rule><ID>old</ID><Filter><Prefix>logs/</Prefix></Filter>'
        "<Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>"
    )
    made = bucket_call("PutBucketLifecycleConfiguration", "lifecycle", body.encode())
    assert made["LifecycleConfiguration"] == {
        "xmlns": NAMESPACE,
        "Rule": {"ID": "old", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 30}},
    }


def test_tags_one_and_many():
    one = b"<Tagging><TagSet><Tag><Key>a</Key><Value>true</Value></Tag></TagSet></Tagging>"
    two = (
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>007</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tagging>"
    )
    assert bucket_call("PutBucketTagging", "tagging", one)["Tagging"] == {
        "TagSet": {"Tag": {"Key": "a", "Value": True}}
    }
    assert bucket_call("PutBucketTagging", "tagging", two)["Tagging"] == {
        "TagSet": {"Tag": [{"Key": "a", "Value": "007"}, {"Key": "b", "Value": ""}]}
    }


def test_attributes_and_prefixes_stay():
    body = (
        '<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:type="CanonicalUser"><ID>12</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList>'
        "</AccessControlPolicy>"
    )
    grant = bucket_call("PutBucketAcl", "acl", body.encode())["AccessControlPolicy"]["AccessControlList"]["Grant"]
    assert grant["Grantee"] == {
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:type": "CanonicalUser",
        "ID": 12,
    }


def test_text_beside_attributes():
    body = f'<LocationConstraint xmlns="{NAMESPACE}">eu-west-1</LocationConstraint>'.encode()
    assert bucket_call("PutBucketX", "x", body)["LocationConstraint"] == {"xmlns": NAMESPACE, "content": "eu-west-1"}


def test_a_bucket_policy_is_an_object():
    made = bucket_call("PutBucketPolicy", "policy", b'{"Version":"2012-10-17","Statement":[{"Effect":"Deny"}]}')
    assert made["bucketPolicy"] == {"Version": "2012-10-17", "Statement": [{"Effect": "Deny"}]}
    assert made["policy"] == ""


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 200_000, b'"\\ud800"'])
def test_a_policy_that_is_none_is_left_out(body):
    assert "bucketPolicy" not in bucket_call("PutBucketPolicy", "policy", body)


@pytest.mark.parametrize(
    "body",
    [
        b"<a>",
        b"no xml",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<a>" * 5_000 + b"</a>" * 5_000,
        b"<a>\xff</a>",
        b'<?xml version="1.0" encoding="utf-99"?><a',
    ],
)
def test_a_body_that_cannot_be_read_is_left_out(body):
    made = bucket_call("PutBucketTagging", "tagging", body)
    assert made == {"bucketName": "reports", "Host": HOST, "tagging": ""}


def test_an_upload_is_completed_with_its_parts():
    op = operation("CompleteMultipartUpload", "object", category="Data")
    body = b'<CompleteMultipartUpload><Part><ETag>"e"</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>'
    made = shown(op, request=request("POST", "uploadId=u1"), raw_body=body)
    assert made["CompleteMultipartUpload"] == {"Part": {"ETag": '"e"', "PartNumber": 1}}
    assert made["uploadId"] == "u1"


def test_a_huge_body_is_only_marked():
    op = operation("CompleteMultipartUpload", "object", category="Data")
    made = shown(op, request=request("POST", "uploadId=u1"), raw_body=b"<a>" + b" " * 300_000 + b"</a>")
    assert made == {"bucketName": "reports", "Host": HOST, "key": "2024/q1.csv", "uploadId": "u1", "omitted": True}


@pytest.mark.parametrize(
    ("name", "level", "marker"),
    [
        ("DeleteObjects", "bucket", "delete"),
        ("PutObjectRetention", "object", "retention"),
        ("PutObjectLegalHold", "object", "legal-hold"),
        ("PutObjectTagging", "object", "tagging"),
        ("SelectObjectContent", "object", "select"),
        ("PutBucketAnalyticsConfiguration", "bucket", "analytics"),
    ],
)
def test_bodies_that_are_not_for_the_record(name, level, marker):
    op = operation(name, level, category="Data")
    made = shown(op, request=request("PUT", marker), raw_body=b"<Delete><Object><Key>plan</Key></Object></Delete>")
    assert set(made) == {"bucketName", "Host", "key", marker}


def test_a_multiple_delete_touches_all_of_a_bucket():
    op = operation("DeleteObjects", category="Data")
    made = record(call(op, input={"Bucket": "reports"}))
    assert made["resources"][1] == {"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::reports/"}


def test_account_calls_show_what_was_sent_and_no_bucket():
    op = operation("ListAccessPoints", "service", service="s3control", event_source="s3.amazonaws.com")
    made = record(call(op, input={"Bucket": "reports"}, request=request(query="bucket=reports&maxResults=1")))
    assert made["requestParameters"] == {"Host": HOST, "bucket": "reports", "maxResults": "1"}
    assert "resources" not in made


def test_a_bucket_that_is_not_there_is_no_resource():
    assert "resources" not in record(call(error=AwsError("NoSuchBucket")))


def test_response_headers_of_writes_only():
    headers = {"x-amz-version-id": "v", "etag": '"e"', "x-amz-server-side-encryption": "AES256"}
    for name, expected in (
        ("PutObject", {"x-amz-version-id": "v", "x-amz-server-side-encryption": "AES256"}),
        ("GetObject", None),
        ("DeleteObject", None),
    ):
        made = call(operation(name, "object", category="Data"))
        made.evidence.response_headers = headers
        assert record(made)["responseElements"] == expected


def test_a_browsers_upload_shows_fields_as_headers():
    fields = {"acl": "public-read", "X-Amz-Storage-Class": "STANDARD_IA", "policy": "eyJ", "x-amz-signature": "ab"}
    made = record(
        call(operation("PostObject", category="Data"), input={"Bucket": "reports", "Key": "up.png", "Fields": fields})
    )
    assert made["requestParameters"] == {
        "bucketName": "reports",
        "Host": HOST,
        "key": "up.png",
        "x-amz-acl": "public-read",
        "x-amz-storage-class": "STANDARD_IA",
    }
    assert made["resources"][1]["ARN"] == "arn:aws:s3:::reports/up.png"
