"""Lines of server access logs: 26 fields whatever a client sends, and S3's names for its operations."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.call import ANONYMOUS, Principal
from opentrail.errors import AwsError
from opentrail.record.access_log import (
    Entry,
    batch_entry,
    entry_of,
    lifecycle_operation,
    object_key,
    operation_name,
    render,
    requester,
)
from tests.record import made

FIELD = re.compile(r'\[[^]]*\]|"[^"]*"|[^ "\[]+')
IDS = ("f" * 64, "e" * 64)


def fields(line: str) -> list[str]:
    """The fields as a reader of logs takes them apart; nothing may be left between them."""
    found = FIELD.findall(line)
    assert " ".join(found) == line
    assert len(found) == 26
    return found


def request_of(method: str, name: str, path: str = "/b/k", query: str = "", headers: Any = None) -> Any:
    request = made.request(method, query)
    request.path, request.tls = path, None
    request.headers = headers or {}
    call = made.call(made.operation(name, "object"), request=request)
    call.signature_version = call.authentication_method = ""
    return call


def entry(call: Any, key: str | None = "k", status: int = 200, now: float = made.STARTED + 0.0421) -> Entry:
    return entry_of(call, IDS, "b", key, status, now)


def test_a_line_of_a_read():
    call = request_of("GET", "GetObject", path="/b/k", headers={"host": "b.example", "referer": "http://r/"})
    call.principal, call.host_id, call.bytes_out = made.ALICE, "host id/+=", 7
    call.signature_version, call.authentication_method = "SigV4", "AuthHeader"
    call.evidence.object_size = 9
    call.stash["answered_at"] = made.STARTED + 0.011
    found = fields(render(entry(call)))
    assert found[:2] == [IDS[0], "b"]
    assert found[2] == "[14/Nov/2023:22:13:20 +0000]"
    assert found[4] == f"arn:aws:iam::{made.ACCOUNT}:user/staff/alice"
    assert found[6:16] == [
        *("REST.GET.OBJECT", "k", '"GET /b/k HTTP/1.1"', "200", "-"),
        *("7", "9", "42", "11", '"http://r/"'),
    ]
    assert found[18:23] == ["host%20id/+=", "SigV4", "-", "AuthHeader", "b.example"]
    assert found[24:] == ["-", "-"]


def test_what_a_service_and_an_error_look_like():
    call = request_of("PUT", "PutObject", path="/b/k")
    call.principal = Principal("AWSService", "1", invoked_by="logging.s3.amazonaws.com")
    call.error = AwsError("AccessDenied", "no", 403)
    call.request.remote_ip = "logging.s3.amazonaws.com"
    call.evidence.additional["aclRequired"] = "Yes"
    found = fields(render(entry(call, status=403)))
    assert (found[3], found[4], found[9], found[10], found[16], found[25]) == (
        *("-", "svc:s3.amazonaws.com", "403", "AccessDenied", '"-"', "Yes"),
    )


def test_a_304_is_no_error():
    call = request_of("GET", "GetObject")
    call.error = AwsError("NotModified", "", 304)
    assert fields(render(entry(call, status=304)))[9:11] == ["304", "-"]


def test_keys_are_encoded_twice_but_those_of_a_batch_once():
    call = request_of("POST", "DeleteObjects")
    whole = entry(call, 'a b/é"')
    assert fields(render(whole))[7] == "a%2520b/%25C3%25A9%2522"
    one = batch_entry(whole, "a b", "v", 204, "", 3)
    found = fields(render(one))
    assert found[6:18] == ["BATCH.DELETE.OBJECT", "a%20b", "-", "204", "-", "-", "3", "-", "-", "-", "-", "v"]


def test_what_would_let_somebody_in_is_masked():
    call = request_of(
        "GET", "GetObject", path="/b/k", query="X-Amz-Signature=abc&x=1&X-Amz-Security-Token=t&Signature="
    )
    uri = fields(render(entry(call)))[8]
    assert uri == '"GET /b/k?X-Amz-Signature=***&x=1&X-Amz-Security-Token=***&Signature= HTTP/1.1"'


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_client_can_break_out_of_a_field(agent: str, key: str, host: str):
    call = request_of("GET", "GetObject", path=f"/{agent}", headers={"user-agent": agent, "referer": key, "host": host})
    call.input = {"VersionId": host}
    call.request.remote_ip = host
    line = render(entry(call, key))
    assert line.isascii()
    assert line.isprintable()
    assert len([*re.finditer('"', line)]) == 6
    outside = re.sub(r'"[^"]*"|\[.*?\+0000\]', "x", line)
    assert len(outside.split(" ")) == 26


@pytest.mark.parametrize(
    ("operation", "method", "name"),
    [
        ("PutObject", "PUT", "REST.PUT.OBJECT"),
        ("ListObjectsV2", "GET", "REST.GET.BUCKET"),
        ("ListObjectVersions", "GET", "REST.GET.BUCKETVERSIONS"),
        ("HeadBucket", "HEAD", "REST.HEAD.BUCKET"),
        ("GetBucketVersioning", "GET", "REST.GET.VERSIONING"),
        ("GetBucketPolicy", "GET", "REST.GET.BUCKETPOLICY"),
        ("GetBucketPolicyStatus", "GET", "REST.GET.POLICY_STATUS"),
        ("GetBucketLogging", "GET", "REST.GET.LOGGING_STATUS"),
        ("PutBucketLifecycleConfiguration", "PUT", "REST.PUT.LIFECYCLE"),
        ("PutObjectTagging", "PUT", "REST.PUT.OBJECT_TAGGING"),
        ("GetBucketTagging", "GET", "REST.GET.TAGGING"),
        ("PutObjectAcl", "PUT", "REST.PUT.ACL"),
        ("GetPublicAccessBlock", "GET", "REST.GET.PUBLIC_ACCESS_BLOCK"),
        ("GetObjectLockConfiguration", "GET", "REST.GET.OBJECT_LOCK_CONFIGURATION"),
        ("ListBucketIntelligentTieringConfigurations", "GET", "REST.GET.INTELLIGENT_TIERING"),
        ("GetBucketInventoryConfiguration", "GET", "REST.GET.INVENTORY"),
        ("GetBucketRequestPayment", "GET", "REST.GET.REQUEST_PAYMENT"),
        ("UploadPart", "PUT", "REST.PUT.PART"),
        ("ListMultipartUploads", "GET", "REST.GET.UPLOADS"),
        ("CompleteMultipartUpload", "POST", "REST.POST.UPLOAD"),
        ("DeleteObjects", "POST", "REST.POST.MULTI_OBJECT_DELETE"),
        ("GetWebsiteObject", "GET", "WEBSITE.GET.OBJECT"),
    ],
)
def test_operations_have_s3s_names(operation: str, method: str, name: str):
    assert operation_name(operation, method) == name


def test_requesters():
    assert requester(ANONYMOUS, "c") == ""
    assert requester(Principal("Root", made.ACCOUNT), "canonical") == "canonical"
    assert requester(made.DEPLOYER, "c") == made.DEPLOYER.arn
    assert requester(made.CLOUDTRAIL, "c") == "svc:cloudtrail.amazonaws.com"


def test_what_lifecycle_rules_do():
    assert lifecycle_operation("LifecycleTransition", "STANDARD_IA") == "S3.TRANSITION_SIA.OBJECT"
    assert lifecycle_operation("LifecycleTransition", "GLACIER") == "S3.TRANSITION.OBJECT"
    assert lifecycle_operation("LifecycleExpiration:Delete", "GLACIER") == "S3.EXPIRE.OBJECT"
    assert lifecycle_operation("LifecycleExpiration:DeleteMarkerCreated", "") == "S3.CREATE.DELETEMARKER"


def test_names_of_log_objects():
    source, event, now = ("111122223333", "us-east-1", "b"), 1_700_000_000.0, 1_700_090_061.0
    assert object_key("p", "", source, event, now, "U") == "p2023-11-15-23-14-21-U"
    folders = "p/111122223333/us-east-1/b/"
    assert object_key("p/", "DeliveryTime", source, event, now, "U") == folders + "2023/11/15/2023-11-15-23-14-21-U"
    assert object_key("p/", "EventTime", source, event, now, "U") == folders + "2023/11/14/2023-11-14-00-00-00-U"
