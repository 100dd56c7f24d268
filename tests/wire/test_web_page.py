"""The page that a browser gets for an error."""

from __future__ import annotations

from opentrail.errors import AwsError
from opentrail.wire.answer_error import render_error
from opentrail.wire.web_page import error_page


def test_everything_is_escaped() -> None:
    page = error_page(404, {"Code": "NoSuchKey", "Key": "<script>&"}, "id", "host", {"Code": "<b>"}).decode()
    assert "<h1>404 Not Found</h1>" in page
    assert "<li>Key: &lt;script&gt;&amp;</li>" in page
    assert "Custom Error Document" in page
    assert "<b>" not in page


def test_an_error_with_a_page_of_its_own() -> None:
    error = AwsError("NoSuchKey", "gone", 404, headers={"Content-Type": "text/plain"}, Key="ü\r\n")
    error.page = b"mine"
    status, headers, body = render_error(None, "s3", "rest-xml", error, request_id="R", host_id="H")
    assert (status, body, headers["Content-Type"]) == (404, b"mine", "text/plain")
    assert headers["x-amz-error-code"] == "NoSuchKey"
    assert "\n" not in headers["x-amz-error-detail-Key"]
    assert headers["x-amz-request-id"] == "R"
