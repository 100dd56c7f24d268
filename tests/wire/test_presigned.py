"""Signed URLs read at a glance: whatever is read this way says the same as read by the general rules."""

from __future__ import annotations

from itertools import permutations

import pytest

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.record import s3_parameters
from opentrail.server.body import RequestBody
from opentrail.wire import presigned, signature_claims, sigv4
from opentrail.wire.presigned import read_presigned
from opentrail.wire.signature_claims import read_signature
from opentrail.wire.signed import Signed

PARTS = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261121%2Fus-east-1%2Fs3%2Faws4_request",
    "X-Amz-Date=20261121T040339Z",
    "X-Amz-SignedHeaders=host%3Bx-amz-acl",
    "X-Amz-Expires=3600",
    "X-Amz-Signature=" + "1f" * 32,
)
URL = "&".join(PARTS)
OTHERS = [
    "",
    "&".join(PARTS[:5]),
    "&".join((*PARTS[:5], PARTS[0])),
    "&".join((*PARTS, PARTS[0])),
    "&".join((*PARTS[:4], PARTS[5], PARTS[5])),
    URL + "&",
    URL + "&&",
    "&" + URL,
    URL + "\n",
    URL + "&x-id=GetObject",
    URL + "&versionId=3",
    URL + "&acl",
    URL.replace("%2F", "/"),
    URL.replace("%2F", "%2f"),
    URL.replace("X-Amz-Date", "x-amz-date"),
    URL.replace("%2Fs3%2F", "%2Fsqs%2F"),
    URL.replace("20261121T", "20261122T"),
    URL.replace("20261121", "20261399"),
    URL.replace("20261121", "２０２６1121"),
    URL.replace("3600", "604801"),
    URL.replace("3600", "999999"),
    URL.replace("3600", "-1"),
    URL.replace("3600", "000001"),
    URL.replace("1f1f", "1F1F"),
    URL + "&X-Amz-Security-Token=abc",
    URL.replace("us-east-1", ""),
    URL.replace("host%3B", "%3B"),
]


def _request(query: str, headers: dict[str, str] | None = None) -> HttpRequest:
    body = RequestBody(0, _nothing, _nothing, _nothing)
    return HttpRequest("GET", "/b/k", query, {"host": "h", **(headers or {})}, body, "127.0.0.1")


def _nothing() -> None:
    return None


def _claim(query: str, headers: dict[str, str] | None = None) -> Signed | tuple[str, str] | None:
    try:
        return read_signature(_request(query, headers), s3=True)
    except AwsError as error:
        return error.code, error.message


def _both(monkeypatch: pytest.MonkeyPatch, query: str, headers: dict[str, str] | None = None) -> None:
    claim, shown = _claim(query, headers), dict(s3_parameters.parse_query(query))
    with monkeypatch.context() as patch:
        patch.setattr(signature_claims, "read_presigned", lambda _query: None)
        patch.setattr(s3_parameters, "read_presigned", lambda _query: None)
        assert claim == _claim(query, headers)
        assert shown == dict(s3_parameters.parse_query(query))


def test_every_order_is_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    for order in permutations(PARTS):
        query = "&".join(order)
        found = read_presigned(query)
        assert found is not None
        assert found.canonical == sigv4.join_pairs(sigv4.canonical_pairs(query), without="X-Amz-Signature")
    _both(monkeypatch, URL)
    _both(monkeypatch, "&".join(sorted(PARTS)))


@pytest.mark.parametrize("query", OTHERS)
def test_what_is_not_of_the_form_goes_the_general_way(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    _both(monkeypatch, query)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        {"x-amz-content-sha256": "nonsense"},
        {"x-amz-security-token": "token"},
        {"authorization": "AWS a:b"},
    ],
)
def test_headers_have_their_say(monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]) -> None:
    _both(monkeypatch, URL, headers)


def test_nothing_long_is_kept() -> None:
    long = URL.replace("us-east-1", "a" * presigned.URL_CHARS_MAX)
    assert read_presigned(long) is None
