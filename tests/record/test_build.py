"""One record per recipient, in the form of real log files."""

from __future__ import annotations

import dataclasses
import json

from opentrail.call import ANONYMOUS, Evidence, Resource
from opentrail.errors import AwsError
from opentrail.record.build import build
from tests.record.made import (
    ACCOUNT,
    CLOUDTRAIL,
    DEPLOYER,
    OTHER,
    PUT_OBJECT,
    call,
    counter,
    operation,
    record,
    records,
    request,
)

KEY_ORDER = [
    "eventVersion",
    "userIdentity",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "eventID",
    "readOnly",
    "resources",
    "eventType",
    "apiVersion",
    "managementEvent",
    "recipientAccountId",
    "sharedEventID",
    "eventCategory",
    "tlsDetails",
]


def test_a_read_of_an_object_in_full():
    [line] = build(call(bytes_out=120), counter())
    assert json.loads(line) == {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAALICEALICEALICE00",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/staff/alice",
            "accountId": ACCOUNT,
            "accessKeyId": "AKIAALICEALICEALICE0",
            "userName": "alice",
        },
        "eventTime": "2023-11-14T22:13:20Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.7",
        "userAgent": "[Boto3/1.40 md/Botocore#1.40]",
        "requestParameters": {
            "bucketName": "reports",
            "Host": "reports.s3.us-east-1.amazonaws.com",
            "key": "2024/q1.csv",
        },
        "responseElements": None,
        "additionalEventData": {
            "SignatureVersion": "SigV4",
            "CipherSuite": "TLS_AES_128_GCM_SHA256",
            "bytesTransferredIn": 0,
            "AuthenticationMethod": "AuthHeader",
            "x-amz-id-2": "hostIdHostIdHostId=",
            "bytesTransferredOut": 120,
        },
        "requestID": "4YZ9K7T8QW3E5R6T",
        "eventID": "00000000-0000-4000-8000-000000000001",
        "readOnly": True,
        "resources": [
            {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::reports"},
            {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::reports/2024/q1.csv"},
        ],
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Data",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": "reports.s3.us-east-1.amazonaws.com",
        },
    }


def test_keys_stand_in_the_order_of_real_log_files():
    failed = call(error=AwsError("NoSuchKey", "The specified key does not exist."))
    failed.evidence.owner_account_id = OTHER
    for shown in records(failed):
        assert list(shown) == [name for name in KEY_ORDER if name in shown]
        assert {"errorCode", "errorMessage", "sharedEventID"} <= set(shown)


def test_lines_are_compact_utf8_without_a_newline():
    [line] = build(call(input={"Bucket": "reports", "Key": "größe\n.csv"}), counter())
    assert b"\n" not in line
    assert b'": ' not in line
    assert "größe\\n.csv".encode() in line


def test_event_time_is_the_second_of_completion():
    assert record(call(finished_at=1_700_000_009.999))["eventTime"] == "2023-11-14T22:13:29Z"
    assert record(call(finished_at=0.0))["eventTime"] == "2023-11-14T22:13:20Z"


def test_a_failed_read_names_code_and_message():
    shown = record(call(error=AwsError("NoSuchKey", "The specified key does not exist.")))
    assert (shown["errorCode"], shown["errorMessage"]) == ("NoSuchKey", "The specified key does not exist.")
    assert shown["responseElements"] is None


def test_over_plain_http_there_is_no_tls():
    shown = record(call(request=request(tls=None)))
    assert "tlsDetails" not in shown
    assert "CipherSuite" not in shown["additionalEventData"]


def test_without_a_user_agent_s3_shows_empty_brackets():
    made = call()
    made.request.headers = {"host": "reports.s3.us-east-1.amazonaws.com"}
    assert record(made)["userAgent"] == "[]"


def test_operations_that_aws_does_not_record_leave_no_line():
    assert build(call(operation("ExpireObject", recorded=False)), counter()) == []


def test_documented_names_replace_the_observed_ones():
    block = operation("GetPublicAccessBlock", event_name="GetBucketPublicAccessBlock")
    assert record(call(block))["eventName"] == "GetBucketPublicAccessBlock"
    assert record(call(block), documented_names=True)["eventName"] == "GetPublicAccessBlock"


def test_a_service_delivering_into_a_bucket():
    made = call(
        PUT_OBJECT,
        principal=CLOUDTRAIL,
        request=request(user_agent="cloudtrail.amazonaws.com", tls=None, x_amz_acl="bucket-owner-full-control"),
    )
    made.request.remote_ip = "cloudtrail.amazonaws.com"
    shown = record(made)
    assert shown["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    assert shown["sourceIPAddress"] == shown["userAgent"] == "cloudtrail.amazonaws.com"
    assert shown["recipientAccountId"] == ACCOUNT
    assert shown["sharedEventID"] != shown["eventID"]
    assert "tlsDetails" not in shown
    assert shown["requestParameters"]["x-amz-acl"] == "bucket-owner-full-control"


def test_a_role_session_acted_by_a_service_keeps_its_identity():
    pipeline = dataclasses.replace(DEPLOYER, invoked_by="codepipeline.amazonaws.com")
    made = call(principal=pipeline, request=request(user_agent="codepipeline.amazonaws.com"))
    made.request.remote_ip = "codepipeline.amazonaws.com"
    shown = record(made)
    assert shown["userIdentity"]["type"] == "AssumedRole"
    assert shown["userIdentity"]["invokedBy"] == shown["userAgent"] == "codepipeline.amazonaws.com"
    assert "sharedEventID" not in shown


def test_what_the_handler_adds_follows_what_is_known():
    made = call(PUT_OBJECT)
    made.evidence = Evidence(
        additional={"SSEApplied": "Default_SSE_S3"},
        resources=[Resource("AWS::S3::Object", "arn:aws:s3:::source/a")],
        owner_account_id=ACCOUNT,
        response_headers={"etag": '"x"', "x-amz-server-side-encryption": "AES256", "x-amz-version-id": "v1"},
        object_size=47,
    )
    shown = record(made)
    assert shown["additionalEventData"]["SSEApplied"] == "Default_SSE_S3"
    assert shown["additionalEventData"]["objectSize"] == 47
    assert shown["responseElements"] == {"x-amz-server-side-encryption": "AES256", "x-amz-version-id": "v1"}
    assert shown["resources"][2] == {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::source/a"}


def test_anonymous_calls_go_to_the_owner_alone():
    made = call(principal=ANONYMOUS, signature_version="", authentication_method="", account_id=OTHER)
    made.evidence.owner_account_id = OTHER
    shown = record(made)
    assert shown["userIdentity"] == {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    assert shown["recipientAccountId"] == OTHER
    assert shown["sharedEventID"]
    assert not {"SignatureVersion", "AuthenticationMethod"} & set(shown["additionalEventData"])


def test_building_twice_gives_the_same_bytes():
    made = call()
    assert build(made, counter()) == build(made, counter())
