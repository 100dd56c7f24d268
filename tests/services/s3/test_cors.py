"""CORS: the document, the preflight, and the headers of answers to other origins."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.s3.browser import browse
from tests.services.s3.world import BUCKET, World

RULES = [
    {"AllowedMethods": ["GET"], "AllowedOrigins": ["*suffix"], "ExposeHeaders": ["ETag", "x-amz-meta-a"]},
    {"AllowedMethods": ["GET"], "AllowedOrigins": ["start*end"], "MaxAgeSeconds": 300},
    {"AllowedMethods": ["PUT", "POST"], "AllowedOrigins": ["https://app"], "AllowedHeaders": ["x-amz-*", "Range"]},
    {"AllowedMethods": ["HEAD"], "AllowedOrigins": ["*"]},
]


@pytest.fixture
def site(s3: Any) -> Any:
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": RULES})
    return s3


def refused(call: Any, **given: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call(**given)
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_document(s3: Any) -> None:
    assert refused(s3.get_bucket_cors, Bucket=BUCKET) == ("NoSuchCORSConfiguration", 404)
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == RULES
    s3.delete_bucket_cors(Bucket=BUCKET)
    s3.delete_bucket_cors(Bucket=BUCKET)
    assert refused(s3.get_bucket_cors, Bucket=BUCKET) == ("NoSuchCORSConfiguration", 404)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"AllowedMethods": ["PATCH"]}, "InvalidRequest"),
        ({"AllowedOrigins": ["http://*.*"]}, "InvalidRequest"),
        ({"AllowedHeaders": ["*-*"]}, "InvalidRequest"),
        ({"ExposeHeaders": ["*"]}, "InvalidRequest"),
        ({"AllowedMethods": []}, "MalformedXML"),
        ({"MaxAgeSeconds": -1}, "MalformedXML"),
        ({"ID": "i" * 256}, "MalformedXML"),
    ],
)
def test_refused_documents(s3: Any, change: dict[str, Any], code: str) -> None:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], **change}
    assert refused(s3.put_bucket_cors, Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]}) == (code, 400)


def test_too_many_rules(s3: Any) -> None:
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}] * 101
    assert refused(s3.put_bucket_cors, Bucket=BUCKET, CORSConfiguration={"CORSRules": rules})[0] == "InvalidRequest"


@pytest.mark.parametrize(
    ("method", "headers", "status", "origin", "methods"),
    [
        ("GET", {}, 403, None, None),
        ("GET", {"Origin": "foo.suffix"}, 403, "foo.suffix", "GET"),
        ("GET", {"Origin": "foo.suffix.get"}, 403, None, None),
        ("GET", {"Origin": "startend"}, 403, "startend", "GET"),
        ("GET", {"Origin": "start12end"}, 403, "start12end", "GET"),
        ("GET", {"Origin": "0start12end"}, 403, None, None),
        ("PUT", {"Origin": "foo.suffix"}, 403, None, None),
        ("PUT", {"Origin": "https://app"}, 403, "https://app", "PUT, POST"),
        ("HEAD", {"Origin": "anybody"}, 403, "*", "HEAD"),
    ],
)
def test_actual_requests(
    site: Any, world: World, method: str, headers: dict[str, str], status: int, origin: str | None, methods: str | None
) -> None:
    page = browse(world, method, f"/{BUCKET}/key", headers)
    assert page.status == status
    assert page.headers.get("access-control-allow-origin") == origin
    assert page.headers.get("access-control-allow-methods") == methods
    assert ("vary" in page.headers) == bool(headers)
    if origin is not None:
        assert page.headers.get("access-control-allow-credentials") == (None if origin == "*" else "true")


def test_what_the_rules_expose(site: Any, world: World) -> None:
    page = browse(world, "GET", f"/{BUCKET}/key", {"Origin": "a.suffix"})
    assert page.headers["access-control-expose-headers"] == "ETag, x-amz-meta-a"
    page = browse(world, "GET", f"/{BUCKET}/key", {"Origin": "start-end"})
    assert page.headers["access-control-max-age"] == "300"


@pytest.mark.parametrize(
    ("headers", "status", "allowed"),
    [
        ({}, 400, None),
        ({"Origin": "foo.suffix"}, 400, None),
        ({"Origin": "foo.suffix", "Access-Control-Request-Method": "BREW"}, 400, None),
        ({"Origin": "foo.suffix", "Access-Control-Request-Method": "GET"}, 200, "foo.suffix"),
        ({"Origin": "foo.bar", "Access-Control-Request-Method": "GET"}, 403, None),
        ({"Origin": "https://app", "Access-Control-Request-Method": "PUT"}, 200, "https://app"),
        (
            {
                "Origin": "https://app",
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": "X-Amz-Acl,range",
            },
            200,
            "https://app",
        ),
        (
            {
                "Origin": "https://app",
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": "x-other",
            },
            403,
            None,
        ),
        (
            {
                "Origin": "https://app",
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": ",".join(["x-amz-a"] * 101),
            },
            403,
            None,
        ),
    ],
)
@pytest.mark.parametrize("path", [f"/{BUCKET}", f"/{BUCKET}/key"])
def test_preflight(
    site: Any, world: World, headers: dict[str, str], status: int, allowed: str | None, path: str
) -> None:
    page = browse(world, "OPTIONS", path, headers)
    assert page.status == status
    assert page.headers.get("access-control-allow-origin") == allowed
    if status == 403:
        assert "CORSResponse: This CORS request is not allowed" in page
        kind = "OBJECT" if path.endswith("key") else "BUCKET"
        assert f"<ResourceType>{kind}</ResourceType>" in page
    asked = headers.get("Access-Control-Request-Headers")
    if status == 200 and asked:
        assert page.headers["access-control-allow-headers"] == "x-amz-acl, range"


def test_preflight_of_a_presigned_request(site: Any, world: World) -> None:
    """Its signature is the coming request's; the record shows the query and not the origin."""
    url = site.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "k"}, ExpiresIn=60)
    path = url.split("localhost:4580")[1]
    headers = {"Origin": "https://app", "Access-Control-Request-Method": "PUT"}
    assert browse(world, "OPTIONS", path, headers).status == 200
    (record,) = world.records("PreflightRequest")
    assert (record["eventCategory"], record["readOnly"], record["userIdentity"]["accountId"]) == (
        "Data",
        True,
        "anonymous",
    )
    assert record["sharedEventID"]
    assert "X-Amz-Expires" in record["requestParameters"]
    assert "origin" not in {name.lower() for name in record["requestParameters"]}
    assert [each["type"] for each in record["resources"]] == ["AWS::S3::Bucket", "AWS::S3::Object"]


def test_preflight_without_rules_or_bucket(s3: Any, world: World) -> None:
    headers = {"Origin": "https://app", "Access-Control-Request-Method": "PUT"}
    page = browse(world, "OPTIONS", f"/{BUCKET}/k", headers)
    assert (page.status, "CORS is not enabled for this bucket" in page) == (403, True)
    page = browse(world, "OPTIONS", "/no-such-bucket/k", headers)
    assert (page.status, "Bucket not found" in page) == (403, True)
    assert len(world.records("PreflightRequest")) == 1


def test_a_bad_signature_is_told_to_the_page_too(site: Any, world: World) -> None:
    page = browse(world, "GET", f"/{BUCKET}/key?AWSAccessKeyId=nobody&Expires=1&Signature=x", {"Origin": "a.suffix"})
    assert page.status == 403
    assert page.headers["access-control-allow-origin"] == "a.suffix"


def test_who_may_list_is_told_that_a_key_is_missing(site: Any, world: World) -> None:
    """On a bucket with ACLs, as ceph/s3-tests expects of AWS."""
    site.put_bucket_ownership_controls(
        Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    site.delete_public_access_block(Bucket=BUCKET)
    assert browse(world, "GET", f"/{BUCKET}/missing").status == 403
    site.put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    assert browse(world, "GET", f"/{BUCKET}/missing", {"Origin": "a.suffix"}).status == 404
    site.put_object(Bucket=BUCKET, Key="private")
    assert browse(world, "GET", f"/{BUCKET}/private").status == 403
