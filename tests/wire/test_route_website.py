"""Hosts that name a website."""

from __future__ import annotations

import pytest

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.wire.route import Route, route
from opentrail.wire.route_s3 import website_of_host
from tests.wire.test_multipart_form import Pieces


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("b.s3-website-us-east-1.amazonaws.com", "b"),
        ("www.example.com.s3-website.eu-central-1.amazonaws.com", "www.example.com"),
        ("b.s3-website.cn-north-1.amazonaws.com.cn", "b"),
        ("B.S3-Website.localhost:4580", "b"),
        ("b.s3-website.objects.example", "b"),
        ("b.s3-website-eu-west-1.objects.example.", "b"),
        ("s3-website.localhost", ""),
        ("b.s3-website.example.org", ""),
        ("b.s3.amazonaws.com", ""),
        ("s3-website.b.s3.amazonaws.com", ""),
        ("a/b.s3-website.localhost", ""),
        ("b.s3-website.localhost" + "t" * 300, ""),
    ],
)
def test_hosts(host: str, bucket: str) -> None:
    assert website_of_host(host, "objects.example") == bucket


def ask(method: str, path: str, **headers: str) -> Route:
    given = {"host": "b.s3-website.localhost", **headers}
    return route(load_models(), HttpRequest(method, path, "acl", given, Pieces(b"", 1), "192.0.2.1"), "")


def test_what_a_website_has() -> None:
    found = ask("GET", "/a%20b", authorization="nonsense")
    assert (found.operation.name, found.bucket, found.key) == ("GetWebsiteObject", "b", "a b")
    assert ask("HEAD", "/").operation.name == "HeadWebsiteObject"
    with pytest.raises(AwsError) as error:
        ask("PUT", "/a")
    assert (error.value.code, error.value.status, error.value.page) == ("MethodNotAllowed", 405, b"")


def test_a_bucket_whose_name_speaks_of_websites() -> None:
    request = HttpRequest("GET", "/key", "", {"host": "s3-website-files.localhost"}, Pieces(b"", 1), "192.0.2.1")
    found = route(load_models(), request, "")
    assert (found.operation.name, found.bucket) == ("GetObject", "s3-website-files")
