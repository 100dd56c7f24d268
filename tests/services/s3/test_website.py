"""Websites: the document, and pages as browsers get them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.s3.browser import Page, browse
from tests.services.s3.world import BUCKET, World

HOST = f"{BUCKET}.s3-website.localhost:4580"
PLAIN = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}}


def get(world: World, path: str, method: str = "GET", host: str = HOST, **headers: str) -> Page:
    return browse(world, method, path, headers, host=host)


def configure(s3: Any, **document: Any) -> None:
    s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration=document)


def allow(s3: Any, *actions: str, key: str = "*") -> None:
    s3.delete_public_access_block(Bucket=BUCKET)
    resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/{key}"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": list(actions), "Resource": resources}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


@pytest.fixture
def site(s3: Any) -> Any:
    configure(s3, **PLAIN)
    allow(s3, "s3:GetObject", "s3:ListBucket")
    pages = {"index.html": b"home", "docs/index.html": b"docs", "a b.html": b"spaced", "error.html": b"sorry"}
    for key, body in pages.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body, ContentType="text/html")
    return s3


def test_document(s3: Any) -> None:
    with pytest.raises(ClientError) as error:
        s3.get_bucket_website(Bucket=BUCKET)
    assert error.value.response["Error"]["Code"] == "NoSuchWebsiteConfiguration"
    rules = [{"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}}]
    configure(s3, **PLAIN, RoutingRules=rules)
    found = s3.get_bucket_website(Bucket=BUCKET)
    assert {name: found[name] for name in (*PLAIN, "RoutingRules")} == {**PLAIN, "RoutingRules": rules}
    s3.delete_bucket_website(Bucket=BUCKET)
    with pytest.raises(ClientError):
        s3.get_bucket_website(Bucket=BUCKET)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"ErrorDocument": {"Key": "e"}}, "InvalidArgument"),
        ({"IndexDocument": {"Suffix": ""}}, "InvalidArgument"),
        ({"IndexDocument": {"Suffix": "a/b"}}, "InvalidArgument"),
        ({"RedirectAllRequestsTo": {"HostName": "h"}, "IndexDocument": {"Suffix": "i"}}, "InvalidRequest"),
        ({"RedirectAllRequestsTo": {"HostName": "h", "Protocol": "gopher"}}, "InvalidRequest"),
        (
            {"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Redirect": {"HttpRedirectCode": "200"}}]},
            "InvalidRequest",
        ),
        (
            {"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Redirect": {"HttpRedirectCode": "300"}}]},
            "InvalidRequest",
        ),
        (
            {
                "IndexDocument": {"Suffix": "i"},
                "RoutingRules": [
                    {"Condition": {"HttpErrorCodeReturnedEquals": "302"}, "Redirect": {"HostName": "h"}},
                ],
            },
            "InvalidRequest",
        ),
        (
            {
                "IndexDocument": {"Suffix": "i"},
                "RoutingRules": [{"Redirect": {"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}}],
            },
            "InvalidRequest",
        ),
        ({"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Condition": {}, "Redirect": {}}]}, "InvalidRequest"),
        ({"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Redirect": {"HostName": "h"}}] * 51}, "InvalidRequest"),
    ],
)
def test_refused_documents(s3: Any, document: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as error:
        configure(s3, **document)
    assert error.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    "host",
    [
        HOST,
        f"{BUCKET}.s3-website-eu-west-1.amazonaws.com",
        f"{BUCKET}.s3-website.eu-west-1.amazonaws.com",
        f"{BUCKET}.s3-website-eu-west-1.localhost",
    ],
)
def test_index_documents(site: Any, world: World, host: str) -> None:
    for path, body in (("/", b"home"), ("/docs/", b"docs"), ("/a%20b.html", b"spaced"), ("/?prefix=x&acl", b"home")):
        page = get(world, path, host=host)
        assert (page.status, page.body, page.headers["content-type"]) == (200, body, "text/html")
    page = get(world, "/", "HEAD", host=host)
    assert (page.status, page.headers["content-length"]) == (200, "4")


def test_a_folder_without_its_slash(site: Any, world: World) -> None:
    page = get(world, "/docs")
    assert (page.status, page.headers["location"]) == (302, "/docs/")
    assert get(world, "/nowhere").status == 404


def test_ranges_and_conditions(site: Any, world: World) -> None:
    page = get(world, "/", range="bytes=1-2")
    assert (page.status, page.body, page.headers["content-range"]) == (206, b"om", "bytes 1-2/4")
    etag = get(world, "/").headers["etag"]
    page = get(world, "/", **{"if-none-match": etag})
    assert (page.status, page.body) == (304, b"")


def test_the_error_document(site: Any, world: World) -> None:
    page = get(world, "/nowhere.html")
    assert (page.status, page.body, page.headers["content-type"]) == (404, b"sorry", "text/html")
    assert page.headers["x-amz-error-code"] == "NoSuchKey"
    assert page.headers["x-amz-error-detail-key"] == "nowhere.html"
    page = get(world, "/nowhere.html", "HEAD")
    assert (page.status, page.body) == (404, b"")


def test_without_an_error_document(site: Any, world: World) -> None:
    site.delete_object(Bucket=BUCKET, Key="error.html")
    page = get(world, "/no<b>where")
    assert page.status == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>404 Not Found</h1>" in page
    assert "<li>Code: NoSuchKey</li>" in page
    assert "Retrieve a Custom Error Document" in page
    assert "no&lt;b&gt;where" in page
    configure(site, IndexDocument={"Suffix": "index.html"})
    assert "Custom Error Document" not in get(world, "/nowhere")


def test_who_may_not_list_is_not_told_what_is_missing(site: Any, world: World) -> None:
    allow(site, "s3:GetObject")
    assert get(world, "/nowhere").status == 403
    assert get(world, "/docs").status == 302
    site.delete_bucket_policy(Bucket=BUCKET)
    page = get(world, "/")
    assert (page.status, "<li>Code: AccessDenied</li>" in page) == (403, True)


def test_no_website_no_bucket_no_such_method(s3: Any, world: World) -> None:
    page = get(world, "/")
    assert (page.status, "<li>Code: NoSuchWebsiteConfiguration</li>" in page) == (404, True)
    page = get(world, "/", host="no-such-bucket.s3-website.localhost")
    assert (page.status, "<li>Code: NoSuchBucket</li>" in page) == (404, True)
    for method in ("PUT", "POST", "DELETE"):
        page = get(world, "/x", method)
        assert (page.status, "<li>Code: MethodNotAllowed</li>" in page) == (405, True)


def test_redirect_all(s3: Any, world: World) -> None:
    configure(s3, RedirectAllRequestsTo={"HostName": "www.example.com", "Protocol": "https"})
    page = get(world, "/a/b%20c?x=1")
    assert (page.status, page.headers["location"]) == (301, "https://www.example.com/a/b%20c?x=1")


def test_routing_rules(site: Any, world: World) -> None:
    rules: list[Any] = [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}},
        {
            "Condition": {"KeyPrefixEquals": "gone/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"HostName": "archive.example", "Protocol": "https", "HttpRedirectCode": "302"},
        },
        {"Condition": {"KeyPrefixEquals": "one"}, "Redirect": {"ReplaceKeyWith": "index.html"}},
    ]
    configure(site, **PLAIN, RoutingRules=rules)
    page = get(world, "/old/x%0d%0aa")
    assert (page.status, page.headers["location"]) == (301, f"http://{HOST}/new/x%0D%0Aa")
    page = get(world, "/gone/y")
    assert (page.status, page.headers["location"]) == (302, "https://archive.example/gone/y")
    assert get(world, "/one").headers["location"] == f"http://{HOST}/index.html"
    site.put_object(Bucket=BUCKET, Key="gone/y", Body=b"back")
    assert get(world, "/gone/y").body == b"back"
    assert get(world, "/other").body == b"sorry"


def test_an_object_that_is_a_redirect(site: Any, world: World) -> None:
    site.put_object(Bucket=BUCKET, Key="moved", WebsiteRedirectLocation="/docs/")
    page = get(world, "/moved")
    assert (page.status, page.headers["location"], page.body) == (301, "/docs/", b"")


def test_records(site: Any, world: World) -> None:
    get(world, "/docs/")
    get(world, "/nowhere", "HEAD")
    read, missed = world.records("GetObject")[-1], world.records("HeadObject")[-1]
    assert read["requestParameters"]["key"] == "docs/index.html"
    assert (read["userIdentity"]["accountId"], read["eventCategory"], read["readOnly"]) == ("anonymous", "Data", True)
    assert read["requestParameters"]["Host"] == HOST
    assert (missed["errorCode"], missed["requestParameters"]["key"]) == ("NoSuchKey", "nowhere")


def test_a_signature_is_not_looked_at(site: Any, world: World) -> None:
    assert get(world, "/", authorization="AWS4-HMAC-SHA256 nonsense").status == 200


def test_large_pages(site: Any, world: World) -> None:
    site.put_object(Bucket=BUCKET, Key="large", Body=bytes(300_000))
    site.put_object(Bucket=BUCKET, Key="error.html", Body=b"e" * 300_000)
    assert get(world, "/large").body == bytes(300_000)
    page = get(world, "/nowhere")
    assert (page.status, page.body) == (404, b"e" * 300_000)


def test_other_origins(site: Any, world: World) -> None:
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]
    site.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": rules})
    for path in ("/", "/nowhere"):
        assert get(world, path, origin="https://a").headers["access-control-allow-origin"] == "*"
