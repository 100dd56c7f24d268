"""PostObject: forms as browsers and hostile clients send them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.rows.s3 import INLINE_BYTES_MAX
from tests.services.s3.browser import BOUNDARY, browse, form_body, policy_fields, post_form
from tests.services.s3.world import BUCKET, MIB, World

BASIC: list[Any] = [
    {"bucket": BUCKET},
    ["starts-with", "$key", "foo"],
    {"acl": "private"},
    ["starts-with", "$Content-Type", "text/plain"],
    ["content-length-range", 0, 1024],
]


def form(*more: Any, conditions: list[Any] | None = None, key: str = "foo.txt", file: Any = b"bar") -> list[Any]:
    fields: list[Any] = [("key", key), ("acl", "private"), ("Content-Type", "text/plain")]
    return [*fields, *policy_fields(conditions or BASIC), *more, ("file", ("up.txt", file))]


def body_of(s3: Any, key: str = "foo.txt") -> bytes:
    data: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return data


@pytest.fixture
def acls(s3: Any) -> Any:
    """A bucket with ACLs in force."""
    s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    s3.delete_public_access_block(Bucket=BUCKET)
    return s3


@pytest.fixture
def public(acls: Any) -> Any:
    """A bucket that everybody may write to."""
    acls.put_bucket_acl(Bucket=BUCKET, ACL="public-read-write")
    return acls


def test_signed_with_version_2(acls: Any, world: World) -> None:
    page = post_form(world, form())
    assert (page.status, page.body) == (204, b"")
    assert page.headers["etag"] == f'"{hashlib.md5(b"bar").hexdigest()}"'
    assert page.headers["location"].endswith(f"/{BUCKET}/foo.txt")
    assert body_of(acls) == b"bar"
    assert acls.head_object(Bucket=BUCKET, Key="foo.txt")["ContentType"] == "text/plain"
    (record,) = world.records("PostObject")
    extra = record["additionalEventData"]
    assert (extra["SignatureVersion"], extra["AuthenticationMethod"]) == ("SigV2", "HtmlForm")
    assert (record["eventCategory"], record["readOnly"], record["userIdentity"]["type"]) == ("Data", False, "Root")
    assert record["requestParameters"]["bucketName"] == BUCKET
    assert record["requestParameters"]["key"] == "foo.txt"
    assert record["requestParameters"]["x-amz-acl"] == "private"
    assert not {"policy", "signature"} & record["requestParameters"].keys()
    assert [each["type"] for each in record["resources"]] == ["AWS::S3::Bucket", "AWS::S3::Object"]


def test_signed_with_version_4_by_boto3(s3: Any, world: World) -> None:
    made = s3.generate_presigned_post(
        BUCKET,
        "dir/${filename}",
        Fields={"x-amz-meta-color": "blue", "success_action_status": "201"},
        Conditions=[{"x-amz-meta-color": "blue"}, {"success_action_status": "201"}],
    )
    page = post_form(world, [*made["fields"].items(), ("file", ("C:\\temp\\a b.txt", b"data"))])
    assert page.status == 201
    assert "<Key>dir/a b.txt</Key>" in page
    assert f"<Bucket>{BUCKET}</Bucket>" in page
    assert "<ETag>&quot;" in page
    assert page.headers["location"].endswith("dir%2Fa%20b.txt")
    found = s3.head_object(Bucket=BUCKET, Key="dir/a b.txt")
    assert found["Metadata"] == {"color": "blue"}
    assert world.records("PostObject")[0]["additionalEventData"]["SignatureVersion"] == "SigV4"


def test_a_changed_policy_or_a_wrong_key(acls: Any, world: World) -> None:
    fields = [("key", "foo"), *policy_fields([{"bucket": BUCKET}], secret="another"), ("file", ("f", b""))]
    page = post_form(world, fields)
    assert (page.status, "SignatureDoesNotMatch" in page) == (403, True)
    fields = [("key", "foo"), *policy_fields([{"bucket": BUCKET}], key="AKIANOBODY"), ("file", ("f", b""))]
    page = post_form(world, fields)
    assert (page.status, "InvalidAccessKeyId" in page) == (403, True)
    assert not world.records("PostObject")


def test_anonymous(public: Any, world: World) -> None:
    fields = [("key", "foo.txt"), ("acl", "public-read"), ("Content-Type", "text/plain"), ("file", ("n", b"bar"))]
    assert post_form(world, fields).status == 204
    assert body_of(public) == b"bar"
    (record,) = world.records("PostObject")
    assert record["userIdentity"]["accountId"] == "anonymous"
    assert "AuthenticationMethod" not in record["additionalEventData"]


def test_anonymous_without_permission(s3: Any, world: World) -> None:
    page = post_form(world, [("key", "foo.txt"), ("file", ("n", b"bar"))])
    assert (page.status, "AccessDenied" in page) == (403, True)
    (record,) = world.records("PostObject")
    assert record["errorCode"] == "AccessDenied"


@pytest.mark.parametrize(
    ("field", "value", "status", "text"),
    [
        ("success_action_status", "200", 200, ""),
        ("success_action_status", "201", 201, "<PostResponse>"),
        ("success_action_status", "404", 204, ""),
        ("success_action_redirect", "not a url", 204, ""),
        ("redirect", "http://[broken", 204, ""),
    ],
)
def test_what_the_form_wishes(public: Any, world: World, field: str, value: str, status: int, text: str) -> None:
    page = post_form(world, [("key", "k"), (field, value), ("file", ("n", b"bar"))])
    assert page.status == status
    assert (text in page) if text else page.body == b""


def test_redirect(public: Any, world: World) -> None:
    fields = [("key", "a b&c"), ("success_action_redirect", "https://x.example/?a=1"), ("file", ("n", b"bar"))]
    page = post_form(world, fields)
    etag = hashlib.md5(b"bar").hexdigest()
    assert page.status == 303
    assert page.headers["location"] == f"https://x.example/?a=1&bucket={BUCKET}&key=a%20b%26c&etag=%22{etag}%22"


@pytest.mark.parametrize(
    ("conditions", "more", "status", "code"),
    [
        ([{"bucket": "other"}, *BASIC[1:]], [], 403, "Invalid according to Policy: Policy Condition failed"),
        (BASIC[1:], [("bucket", "other")], 403, "AccessDenied"),
        (BASIC, [("x-amz-meta-a", "b")], 403, "Extra input fields: x-amz-meta-a"),
        ([*BASIC, ["starts-with", "$x-amz-meta-a", "b"]], [], 403, "AccessDenied"),
        ([*BASIC, ["starts-with", "$x-amz-meta-a", "b"]], [("x-amz-meta-a", "blue")], 204, ""),
        (BASIC, [("x-ignore-me", "b")], 204, ""),
        ([*BASIC[:-1], ["content-length-range", 0, 2]], [], 400, "EntityTooLarge"),
        ([*BASIC[:-1], ["content-length-range", 512, 1000]], [], 400, "EntityTooSmall"),
        ([*BASIC[:-1], ["content-length-range", 0]], [], 400, "InvalidPolicyDocument"),
        ([*BASIC[:-1], ["content-length-range", -1, 0]], [], 400, "InvalidPolicyDocument"),
    ],
)
def test_policies(acls: Any, world: World, conditions: Any, more: Any, status: int, code: str) -> None:
    page = post_form(world, form(*more, conditions=conditions))
    assert page.status == status
    assert code in page
    (record,) = world.records("PostObject")
    assert ("errorCode" in record) == (status != 204)
    assert record["requestParameters"]["key"] == "foo.txt"


def test_an_expired_policy(acls: Any, world: World) -> None:
    page = post_form(world, [("key", "foo"), *policy_fields(BASIC, seconds=-60), ("file", ("n", b""))])
    assert (page.status, "Invalid according to Policy: Policy expired." in page) == (403, True)


def test_headers_of_the_request_do_not_stand_in_for_fields(acls: Any, world: World) -> None:
    """A policy has no say over them."""
    page = post_form(world, form(), **{"x-amz-acl": "public-read", "x-amz-meta-a": "b", "x-amz-tagging": "a=b"})
    assert page.status == 204
    assert acls.head_object(Bucket=BUCKET, Key="foo.txt")["Metadata"] == {}
    assert len(acls.get_object_acl(Bucket=BUCKET, Key="foo.txt")["Grants"]) == 1
    assert acls.get_object_tagging(Bucket=BUCKET, Key="foo.txt")["TagSet"] == []


def test_no_key_no_file_two_files(public: Any, world: World) -> None:
    page = post_form(world, [("file", ("n", b"bar"))])
    assert (page.status, "<ArgumentName>key</ArgumentName>" in page) == (400, True)
    page = post_form(world, [("key", ""), ("file", ("n", b"bar"))])
    assert (page.status, "User key must have a length greater than 0." in page) == (400, True)
    page = post_form(world, [("key", "k")])
    assert (page.status, "POST requires exactly one file upload per request." in page) == (400, True)
    page = post_form(world, [("key", "k"), ("file", ("n", b"1")), ("file", ("m", b"2"))])
    assert (page.status, "POST requires exactly one file upload per request." in page) == (400, True)
    assert "Contents" not in public.list_objects_v2(Bucket=BUCKET)


def test_what_follows_the_file_means_nothing(public: Any, world: World) -> None:
    page = post_form(world, [("key", "k"), ("file", ("n", b"1")), ("x-amz-meta-a", "b"), ("submit", "Upload")])
    assert page.status == 204
    assert public.head_object(Bucket=BUCKET, Key="k")["Metadata"] == {}


@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 3 * MIB])
def test_sizes(public: Any, world: World, size: int) -> None:
    data = (b"\r\n--" + BOUNDARY.encode()[:-1] + bytes(range(256))) * (size // 250 + 1)
    assert post_form(world, [("key", "k"), ("file", ("n", data[:size]))]).status == 204
    assert body_of(public, "k") == data[:size]
    assert public.head_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")["ChecksumCRC64NVME"]
    assert world.blob_sizes() == ([size] if size > INLINE_BYTES_MAX else [])


def test_nothing_stays_of_a_file_that_is_refused_at_its_end(public: Any, world: World) -> None:
    fields = [("key", "k"), *policy_fields([["starts-with", "$key", ""], ["content-length-range", 4 * MIB, 5 * MIB]])]
    page = post_form(world, [*fields, ("file", ("n", bytes(3 * MIB)))])
    assert (page.status, "EntityTooSmall" in page) == (400, True)
    assert world.blob_sizes() == []


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        ("correct", 204, ""),
        (base64.b64encode(bytes(32)).decode(), 400, "BadDigest"),
        ("sailorjerry", 400, "InvalidRequest"),
    ],
)
def test_checksums(acls: Any, world: World, value: str, status: int, code: str) -> None:
    right = base64.b64encode(hashlib.sha256(b"bar").digest()).decode()
    conditions = [*BASIC, ["starts-with", "$x-amz-checksum-sha256", ""]]
    field = ("x-amz-checksum-sha256", right if value == "correct" else value)
    page = post_form(world, form(field, conditions=conditions))
    assert page.status == status
    assert code in page
    if status == 204:
        found = acls.head_object(Bucket=BUCKET, Key="foo.txt", ChecksumMode="ENABLED")
        assert found["ChecksumSHA256"] == right


def test_tagging(public: Any, world: World) -> None:
    tags = "<Tagging><TagSet><Tag><Key>a &amp; b</Key><Value>1+1</Value></Tag></TagSet></Tagging>"
    page = post_form(world, [("key", "k"), ("tagging", tags.replace("&amp;", "-")), ("file", ("n", b""))])
    assert page.status == 204
    assert public.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == [{"Key": "a - b", "Value": "1+1"}]
    for wrong in ("<Tagging>", "<Tagging/>", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", "\x00"):
        page = post_form(world, [("key", "k"), ("tagging", wrong), ("file", ("n", b""))])
        assert (page.status, "MalformedXML" in page) == (400, True)


def test_a_policy_of_the_bucket_sees_the_form(s3: Any, world: World) -> None:
    """The condition keys are those of a PutObject, and the form says how it was signed."""
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration={"BlockPublicPolicy": False})
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
        "Condition": {"StringEquals": {"s3:authType": "POST", "s3:x-amz-storage-class": "STANDARD_IA"}},
    }
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    conditions = [["starts-with", "$key", ""], ["starts-with", "$x-amz-storage-class", ""]]
    for chosen, status in (("STANDARD_IA", 403), ("STANDARD", 204)):
        fields = [("key", "k"), ("x-amz-storage-class", chosen), *policy_fields(conditions), ("file", ("n", b""))]
        assert post_form(world, fields).status == status


def test_fields_that_are_too_long(public: Any, world: World) -> None:
    page = post_form(world, [("key", "k"), ("x-amz-meta-a", "a" * 30_000), ("file", ("n", b""))])
    assert (page.status, "MaxPostPreDataLengthExceeded" in page) == (400, True)
    page = post_form(world, [("key", "k"), *[(f"f{n}", "") for n in range(2_000)], ("file", ("n", b""))])
    assert page.status == 400
    page = post_form(world, [("key", "k" * 1_025), ("file", ("n", b""))])
    assert (page.status, "KeyTooLongError" in page) == (400, True)
    page = post_form(world, [("key", "k\x00"), ("file", ("n", b""))])
    assert page.status == 400


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"x", 412),
        ("", b"", 412),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=", b"x", 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"--x", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--", 400),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\na', 400),
        ("multipart/form-data; boundary=x", b"a" * 200_000, 400),
        (f"multipart/form-data; boundary={BOUNDARY}", form_body([("key", b"\xff"), ("file", ("n", b""))]), 400),
    ],
)
def test_what_is_no_form(public: Any, world: World, content_type: str, body: bytes, status: int) -> None:
    page = browse(world, "POST", f"/{BUCKET}", {"content-type": content_type}, body)
    assert page.status == status
    assert b"<Code>" in page.body


def test_a_form_cut_short_leaves_nothing(public: Any, world: World) -> None:
    body = form_body([("key", "k"), ("file", ("n", bytes(2 * MIB)))])
    for end in (len(body) - 4, len(body) - 100, len(body) // 2):
        head = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        page = browse(world, "POST", f"/{BUCKET}", head, body[:end])
        assert (page.status, "MalformedPOSTRequest" in page) == (400, True)
    assert "Contents" not in public.list_objects_v2(Bucket=BUCKET)
    assert world.blob_sizes() == []


def test_a_conflict_does_not_read_the_file_twice(public: Any, world: World) -> None:
    world.ledger.conflicts = 2
    assert post_form(world, [("key", "k"), ("file", ("n", b"once"))]).status == 204
    assert body_of(public, "k") == b"once"


def test_metadata_that_would_break_a_header(public: Any, world: World) -> None:
    page = post_form(world, [("key", "k"), ("x-amz-meta-a", "b\r\nSet-Cookie: c"), ("file", ("n", b""))])
    assert page.status == 204
    assert "\n" not in public.head_object(Bucket=BUCKET, Key="k")["Metadata"]["a"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(noise=st.binary(max_size=300), place=st.integers(0, 400), boundary=st.text("x-\r\n\"';= é", max_size=8))
def test_noise(public: Any, world: World, noise: bytes, place: int, boundary: str) -> None:
    body = form_body([("key", "k"), ("file", ("n", b"data"))])
    body = body[:place] + noise + body[place:]
    for kind in (BOUNDARY, boundary.replace("\r", "").replace("\n", "")):
        page = browse(world, "POST", f"/{BUCKET}", {"content-type": f"multipart/form-data; boundary={kind}"}, body)
        assert page.status in (204, 400, 403, 412)
