"""Examples with values: S3 Developer Guide, "Signing and Authenticating REST Requests"."""

from __future__ import annotations

import pytest

from opentrail.wire import sigv2
from tests.wire.signed_requests import SECRET


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "bucket", "expires", "signature"),
    [
        (
            "GET",
            "/photos/puppy.jpg",
            "",
            {"date": "Tue, 27 Mar 2007 19:36:42 +0000"},
            "johnsmith",
            "",
            "bWq2s1WEIj+Ydj0vQ697zp+IXMU=",
        ),
        (
            "PUT",
            "/photos/puppy.jpg",
            "",
            {"content-type": "image/jpeg", "content-length": "94328", "date": "Tue, 27 Mar 2007 21:15:45 +0000"},
            "johnsmith",
            "",
            "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
        ),
        (
            "GET",
            "/",
            "prefix=photos&max-keys=50&marker=puppy",
            {"user-agent": "Mozilla/5.0", "date": "Tue, 27 Mar 2007 19:42:41 +0000"},
            "johnsmith",
            "",
            "htDYFYduRNen8P9ZfE/s9SuKy0U=",
        ),
        (
            "GET",
            "/",
            "acl",
            {"date": "Tue, 27 Mar 2007 19:44:46 +0000"},
            "johnsmith",
            "",
            "c2WLPFtWHVgbEmeEG93a4cG37dM=",
        ),
        ("GET", "/photos/puppy.jpg", "", {}, "johnsmith", "1175139620", "NpgCjnDzrM+WFzoENXmpNDUsSn8="),
        ("GET", "/", "", {"date": "Wed, 28 Mar 2007 01:29:59 +0000"}, "", "", "qGdzdERIC03wnaRNKh6OqZehG9s="),
    ],
)
def test_published_examples(method, path, query, headers, bucket, expires, signature):
    text = sigv2.string_to_sign(method, path, query, headers, bucket, expires)
    assert sigv2.sign(SECRET, text) == signature


@pytest.mark.parametrize(
    ("query", "resource"),
    [
        ("prefix=x", "/b/k"),
        ("versionId=3&acl", "/b/k?acl&versionId=3"),
        ("uploadId=a%2Fb&partNumber=1", "/b/k?partNumber=1&uploadId=a/b"),
        ("response-content-type=text%2Fplain&x=1", "/b/k?response-content-type=text/plain"),
        ("ac%6C", "/b/k?acl"),
    ],
)
def test_only_subresources_are_part_of_the_resource(query, resource):
    assert sigv2.canonical_resource("/b/k", query, "") == resource


def test_amz_headers_are_sorted_and_take_the_date_away():
    headers = {"x-amz-date": "now", "x-amz-acl": "private", "date": "then"}
    assert sigv2.string_to_sign("PUT", "/b", "", headers, "") == "PUT\n\n\n\nx-amz-acl:private\nx-amz-date:now\n/b"


@pytest.mark.parametrize(
    ("path", "spellings"),
    [("/", ("/",)), ("/b", ("/b", "/b/")), ("/b/", ("/b/",)), ("/b/k", ("/b/k",)), ("", ("",))],
)
def test_a_buckets_path_may_be_signed_with_a_slash(path, spellings):
    assert sigv2.signed_paths(path) == spellings
