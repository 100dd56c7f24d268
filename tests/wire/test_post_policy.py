"""botocore writes and signs the forms; then fields, policy and signature are tampered with."""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress

import pytest
from botocore.auth import HmacV1PostAuth, S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.wire.post_policy import LENGTH_MAX, LengthRange, check_policy, read_form, verify_form
from tests.wire.signed_requests import CREDENTIALS, KEY, SECRET

NOW = time.time()
LATER = "2099-01-01T00:00:00.000Z"
CONDITIONS = [
    {"bucket": "b"},
    ["starts-with", "$key", "user/"],
    ["eq", "$Content-Type", "image/png"],
    ["content-length-range", 5, "10"],
]
FIELDS = {"key": "user/a.png", "content-type": "image/png"}


def form(signer, conditions=CONDITIONS, expiration=LATER, **fields: str) -> dict[str, str]:
    request = AWSRequest("POST", "http://b.localhost/")
    policy = {"expiration": expiration, "conditions": list(conditions)}
    request.context = {"s3-presign-post-policy": policy, "s3-presign-post-fields": FIELDS | fields}
    signer.add_auth(request)
    return {name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()}


def prove(fields: dict[str, str], secret: str = SECRET, now: float = NOW) -> LengthRange:
    signed = read_form(fields)
    assert signed is not None
    assert (signed.method, signed.access_key_id) == ("HtmlForm", KEY)
    verify_form(fields, signed, secret, now=now)
    return check_policy(fields, "b", now=now)


def refusal(fields: dict[str, str], **more) -> AwsError:
    with pytest.raises(AwsError) as caught:
        prove(fields, **more)
    return caught.value


def signers():
    return [S3SigV4PostAuth(CREDENTIALS, "s3", "us-east-1"), HmacV1PostAuth(CREDENTIALS)]


@pytest.mark.parametrize("signer", signers())
def test_a_form_signed_by_botocore_holds(signer):
    assert prove(form(signer)) == LengthRange(5, 10)
    assert prove(form(signer) | {"x-ignore-me": "1"}) == LengthRange(5, 10)


def test_session_token_is_read():
    session = Credentials(KEY, SECRET, "token")
    for signer in (S3SigV4PostAuth(session, "s3", "r"), HmacV1PostAuth(session)):
        fields = form(signer)
        signed = read_form(fields)
        assert signed is not None
        assert signed.session_token == "token"
        prove(fields)


def test_anonymous_form():
    assert read_form(FIELDS) is None


@pytest.mark.parametrize("signer", signers())
def test_tampering(signer):
    fields = form(signer)
    looser = base64.b64encode(json.dumps({"expiration": LATER, "conditions": []}).encode()).decode()
    assert refusal(fields | {"policy": looser}).code == "SignatureDoesNotMatch"
    assert refusal(fields, secret="other").code == "SignatureDoesNotMatch"
    for change, words in (
        ({"key": "other/a"}, "Policy Condition failed"),
        ({"content-type": "text/html"}, "Policy Condition failed"),
        ({"bucket": "c"}, "Policy Condition failed"),
        ({"acl": "public-read"}, "Extra input fields: acl"),
        ({"x-amz-meta-a": "1"}, "Extra input fields: x-amz-meta-a"),
    ):
        error = refusal(fields | change)
        assert (error.code, error.status, words in error.message) == ("AccessDenied", 403, True)
    missing = {name: value for name, value in fields.items() if name != "key"}
    assert refusal(missing).code == "AccessDenied"


def test_bucket_of_the_request_counts():
    fields = form(S3SigV4PostAuth(CREDENTIALS, "s3", "us-east-1"))
    with pytest.raises(AwsError, match="Policy Condition failed"):
        check_policy(fields, "other", now=NOW)


def test_expired_and_future_forms():
    signer = S3SigV4PostAuth(CREDENTIALS, "s3", "us-east-1")
    error = refusal(form(signer, expiration="2020-01-01T00:00:00Z"))
    assert error.message == "Invalid according to Policy: Policy expired."
    assert refusal(form(signer), now=NOW - 5000).message == "Request is not valid yet"


@pytest.mark.parametrize("name", ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"])
def test_missing_fields_are_named(name):
    fields = form(S3SigV4PostAuth(CREDENTIALS, "s3", "us-east-1"))
    del fields[name]
    error = refusal(fields)
    assert error.code == "InvalidArgument"
    assert error.message.startswith(f"Bucket POST must contain a field named '{name}'.")


@pytest.mark.parametrize(
    "change",
    [
        {"x-amz-algorithm": "x"},
        {"x-amz-credential": "x"},
        {"x-amz-credential": f"{KEY}/20130524/r/s3/aws4_request"},
        {"x-amz-credential": f"{KEY}/20130524/r/sts/aws4_request"},
        {"x-amz-credential": f"{KEY}/20130524/r/s3/x"},
        {"x-amz-date": "x"},
        {"signature": "x"},
    ],
)
def test_unreadable_claims(change):
    with pytest.raises(AwsError, match="InvalidArgument"):
        read_form(form(S3SigV4PostAuth(CREDENTIALS, "s3", "us-east-1")) | change)


def encoded(document: object) -> dict[str, str]:
    text = document if isinstance(document, str) else json.dumps(document)
    return {"policy": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    "policy",
    [
        {"policy": "%%%"},
        {"policy": "é"},
        {"policy": ""},
        {"policy": "A" * 70_000},
        encoded("[" * 40_000),
        encoded("[]"),
        encoded({"conditions": []}),
        encoded({"expiration": "soon", "conditions": []}),
        encoded({"expiration": "2099-13-01T00:00:00Z", "conditions": []}),
        encoded({"expiration": 5, "conditions": []}),
        encoded({"expiration": LATER}),
        encoded({"expiration": LATER, "conditions": {}}),
        encoded({"expiration": LATER, "conditions": [{}] * 1_001}),
        *(
            encoded({"expiration": LATER, "conditions": [condition]})
            for condition in (
                "x",
                [],
                [1],
                ["ne", "$key", "a"],
                ["eq", "$key"],
                ["eq", "key", "a"],
                ["eq", "$key", 1],
                {"a": "b", "c": "d"},
                {"a": 1},
                ["content-length-range", -1, 5],
                ["content-length-range", True, 5],
                ["content-length-range", "x", 5],
            )
        ),
    ],
)
def test_unreadable_documents(policy):
    with pytest.raises(AwsError) as caught:
        check_policy(policy, "b", now=NOW)
    assert (caught.value.code, caught.value.status) == ("InvalidPolicyDocument", 400)


def test_length_ranges():
    LengthRange().check(LENGTH_MAX)
    LengthRange(5, 10).check(5)
    for size, code in ((4, "EntityTooSmall"), (11, "EntityTooLarge")):
        with pytest.raises(AwsError, match=code):
            LengthRange(5, 10).check(size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=4)
)


@given(st.lists(JSON | st.dictionaries(st.text(max_size=5), JSON, max_size=2), max_size=4), st.text(max_size=20))
def test_hostile_documents_meet_only_aws_errors(conditions, text):
    with suppress(AwsError):
        check_policy(encoded({"expiration": LATER, "conditions": conditions}), "b", now=NOW)
    with suppress(AwsError):
        read_form({"policy": text, "x-amz-credential": text, "x-amz-date": text, "awsaccesskeyid": text})
