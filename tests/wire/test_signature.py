"""botocore signs, we verify; then somebody tampers. Published examples: S3 API Reference and IAM User Guide."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import (
    HmacV1Auth,
    HmacV1QueryAuth,
    S3SigV4Auth,
    S3SigV4QueryAuth,
    SigV4Auth,
    SigV4QueryAuth,
)
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.wire import signature_faults
from opentrail.wire.signature import hoisted_headers, read_signature, verify
from tests.wire.signed_requests import CREDENTIALS, KEY, SECRET, http, received, sign

NOW = time.time()
S3_DAY = 1369353600  # 20130524T000000Z
EMPTY = sha256(b"").hexdigest()


def prove(request: HttpRequest, *, s3: bool = True, now: float | None = None, secret: str = SECRET, **more):
    signed = read_signature(request, s3=s3)
    assert signed is not None
    return verify(request, signed, secret, now=time.time() if now is None else now, **more)


def refusal(request: HttpRequest, **more) -> AwsError:
    with pytest.raises(AwsError) as caught:
        prove(request, **more)
    assert SECRET not in repr(caught.value.fields) + caught.value.message
    return caught.value


def s3_header(method: str, url: str, data: bytes = b"", **headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sign(S3SigV4Auth(CREDENTIALS, "s3", "us-east-1"), method, url, data=data, headers=named)


def s3_url(url: str = "http://b.localhost/k", method: str = "GET", expires: int = 60, **headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sign(S3SigV4QueryAuth(CREDENTIALS, "s3", "eu-west-1", expires), method, url, headers=named)


def published(names: str, signature: str) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    )


HOST = {"host": "examplebucket.s3.amazonaws.com"}
EXAMPLES = [
    (
        "GET",
        "/test.txt",
        {"range": "bytes=0-9", "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "PUT",
        "/test$file.text",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    (
        "GET",
        "/?lifecycle",
        {"x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        "GET",
        "/?max-keys=2&prefix=J",
        {"x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]


@pytest.mark.parametrize(("method", "target", "headers", "names", "signature"), EXAMPLES)
def test_published_s3_examples(method, target, headers, names, signature):
    request = http(method, target, HOST | headers | {"authorization": published(names, signature)})
    assert prove(request, now=S3_DAY).seed_signature == signature


PUBLISHED_URL = (
    "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3"
    "%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def test_published_presigned_url_to_its_last_second():
    request = http("GET", PUBLISHED_URL, HOST)
    signed = read_signature(request, s3=True)
    assert signed is not None
    assert (signed.method, signed.expires, signed.region) == ("QueryString", 86400, "us-east-1")
    assert prove(request, now=S3_DAY + 86400).payload_hash == "UNSIGNED-PAYLOAD"
    late = refusal(request, now=S3_DAY + 86401)
    assert (late.code, late.status, late.message) == ("AccessDenied", 403, "Request has expired")
    assert late.fields["Expires"] == "2013-05-25T00:00:00Z"
    assert late.fields["ServerTime"] == "2013-05-25T00:00:01Z"
    early = refusal(request, now=S3_DAY - 901)
    assert (early.code, early.message) == ("AccessDenied", "Request is not valid yet")


def test_published_iam_example():
    headers = {
        "host": "iam.amazonaws.com",
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }
    request = http("GET", "/?Action=ListUsers&Version=2010-05-08", headers)
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    assert prove(request, s3=False, now=1440938160, secret=secret, service="iam").scope.endswith("/iam/aws4_request")


S3_URLS = [
    "http://localhost:4580/",
    "http://localhost:4580/bucket",
    "http://localhost:4580/bucket/a%20b/%C3%A9%2B~x",
    "http://bucket.localhost:4580/a//b/../c",
    "http://localhost/bucket?list-type=2&prefix=a%2Fb&list=1",
    "http://localhost/bucket?delete",
    "https://localhost/bucket/k?partNumber=1&uploadId=abc%3D%3D",
]


@pytest.mark.parametrize("url", S3_URLS)
def test_what_botocore_signs_for_s3_holds(url):
    body = b"hello"
    header = s3_header("PUT", url, body, content_type="text/plain", x_amz_meta_a="  two   blanks ")
    assert prove(header).payload_hash in (sha256(body).hexdigest(), "UNSIGNED-PAYLOAD")
    assert prove(s3_url(url)).payload_hash == "UNSIGNED-PAYLOAD"


@pytest.mark.parametrize("url", S3_URLS)
def test_what_botocore_signs_in_version_2_holds(url):
    assert prove(sign(HmacV1Auth(CREDENTIALS), "GET", url, headers={"x-amz-meta-b": "1"})).payload_hash == ""
    assert prove(sign(HmacV1QueryAuth(CREDENTIALS), "GET", url))


def test_version_2_signs_the_bucket_of_a_virtual_host():
    request = AWSRequest("GET", "http://bucket.localhost/key?acl", auth_path="/bucket/key")
    HmacV1Auth(CREDENTIALS).add_auth(request)
    prove(received(request), bucket_in_host="bucket")
    assert refusal(received(request), bucket_in_host="other").code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "url",
    ["https://sns.localhost/", "https://localhost/2015-03-31/functions/arn%3Aaws%3Alambda/x//y?a=b%20c"],
)
def test_what_botocore_signs_for_other_services_holds(url):
    body = b"Action=ListTopics"
    request = sign(SigV4Auth(CREDENTIALS, "sns", "us-east-1"), "POST", url, data=body)
    digest = sha256(body).hexdigest()
    prove(request, s3=False, body_sha256=digest, service="sns")
    assert refusal(request, s3=False, body_sha256=sha256(b"other").hexdigest()).code == "InvalidSignatureException"


def test_presigned_get_caller_identity_holds():
    url = "https://sts.localhost/?Action=GetCallerIdentity&Version=2011-06-15"
    request = sign(SigV4QueryAuth(CREDENTIALS, "sts", "us-east-1", 60), "GET", url)
    prove(request, s3=False, service="sts")
    late = refusal(request, s3=False, now=NOW + 7200)
    assert (late.code, late.status) == ("SignatureDoesNotMatch", 403)
    assert late.message.startswith("Signature expired: ")


def test_session_tokens_are_read_wherever_they_stand():
    session = Credentials(KEY, SECRET, "to+ken/=")
    url = "http://localhost/b/k"
    for signer in (
        S3SigV4Auth(session, "s3", "r"),
        S3SigV4QueryAuth(session, "s3", "r"),
        HmacV1Auth(session),
        HmacV1QueryAuth(session),
    ):
        request = AWSRequest("GET", url)
        if isinstance(signer, HmacV1Auth):
            request.headers["x-amz-security-token"] = ""
        signer.add_auth(request)
        got = received(request)
        signed = read_signature(got, s3=True)
        assert signed is not None
        assert signed.session_token == "to+ken/="
        prove(got)


def test_anonymous():
    assert read_signature(http("GET", "/b/k?prefix=X-Amz-Signature", {"host": "h"}), s3=True) is None
    assert read_signature(http("GET", "/?Signature=x", {"host": "h"}), s3=False) is None
    assert signature_faults.missing_token(http("GET", "/", {})).code == "MissingAuthenticationToken"


def changed(request: HttpRequest, **change) -> HttpRequest:
    old = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body", "remote_ip")}
    return HttpRequest(**(old | change))


TAMPERINGS: list[Callable[[HttpRequest], HttpRequest]] = [
    lambda r: changed(r, method="DELETE"),
    lambda r: changed(r, path=r.path + "x"),
    lambda r: changed(r, path="/other" + r.path),
    lambda r: changed(r, query=r.query + "&versionId=1" if r.query else "versionId=1"),
    lambda r: changed(r, headers=dict(r.headers) | {"host": "elsewhere"}),
]


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_tampering_breaks_every_kind_of_signature(tamper):
    for request in (s3_header("PUT", "http://b.localhost/k", b"x", x_amz_acl="private"), s3_url()):
        error = refusal(tamper(request))
        assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
        assert error.fields["AWSAccessKeyId"] == KEY
        assert error.fields["CanonicalRequest"].count("\n") >= 6
        assert error.fields["StringToSign"].startswith("AWS4-HMAC-SHA256\n")


@pytest.mark.parametrize("tamper", TAMPERINGS[:3])
def test_tampering_breaks_version_2(tamper):
    for signer in (HmacV1Auth(CREDENTIALS), HmacV1QueryAuth(CREDENTIALS)):
        assert refusal(tamper(sign(signer, "GET", "http://localhost/b/k"))).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("mark", ["acl", "policy", "encryption", "publicAccessBlock", "retention", "uploads", "%61cl"])
def test_version_2_cannot_be_turned_to_a_subresource(mark):
    request = sign(HmacV1Auth(CREDENTIALS), "PUT", "http://localhost/b")
    assert refusal(changed(request, query=mark)).code == "SignatureDoesNotMatch"


def test_signed_headers_cannot_be_changed_and_amz_headers_not_added():
    request = s3_header("PUT", "http://b.localhost/k", b"x", x_amz_acl="private")
    opened = changed(request, headers=dict(request.headers) | {"x-amz-acl": "public-read"})
    assert refusal(opened).code == "SignatureDoesNotMatch"
    for signed in (request, s3_url()):
        added = changed(signed, headers=dict(signed.headers) | {"x-amz-grant-read": "everybody", "accept": "any"})
        error = refusal(added)
        assert (error.code, error.fields["HeadersNotSigned"]) == ("AccessDenied", "x-amz-grant-read")
    token = changed(request, headers=dict(request.headers) | {"x-amz-security-token": "other"})
    assert refusal(token).fields["HeadersNotSigned"] == "x-amz-security-token"
    v2 = sign(HmacV1Auth(CREDENTIALS), "PUT", "http://localhost/b/k")
    added = changed(v2, headers=dict(v2.headers) | {"x-amz-acl": "public-read"})
    assert refusal(added).code == "SignatureDoesNotMatch"


def test_host_must_be_signed():
    request = s3_url()
    without = changed(request, query=request.query.replace("SignedHeaders=host", "SignedHeaders=accept"))
    assert refusal(without).fields["HeadersNotSigned"] == "host"
    service = sign(SigV4Auth(CREDENTIALS, "sns", "us-east-1"), "POST", "https://localhost/")
    header = service.headers["authorization"].replace("host;", "")
    error = refusal(changed(service, headers=dict(service.headers) | {"authorization": header}), s3=False)
    assert error.message == "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."


def test_another_secret_does_not_hold():
    assert refusal(s3_url(), secret="other").code == "SignatureDoesNotMatch"
    assert refusal(s3_header("GET", "http://b.localhost/"), secret="").code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("away", [-902, 902])
def test_skew_is_refused_in_both_directions(away):
    error = refusal(s3_header("GET", "http://b.localhost/"), now=time.time() + away)
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert error.fields["MaxAllowedSkewMilliseconds"] == "900000"
    v2 = refusal(sign(HmacV1Auth(CREDENTIALS), "GET", "http://localhost/b"), now=time.time() + away)
    assert v2.code == "RequestTimeTooSkewed"
    service = sign(SigV4Auth(CREDENTIALS, "sns", "r"), "POST", "https://localhost/", headers={"x-amz-target": "T.O"})
    error = refusal(service, s3=False, now=time.time() + away)
    words = "Signature not yet current" if away < 0 else "Signature expired"
    assert (error.code, error.status, error.message.startswith(words)) == ("InvalidSignatureException", 400, True)


def test_version_2_url_expires():
    request = sign(HmacV1QueryAuth(CREDENTIALS, 60), "GET", "http://localhost/b/k")
    error = refusal(request, now=time.time() + 62)
    assert (error.code, error.message) == ("AccessDenied", "Request has expired")
    longer = changed(request, query=request.query + "&Expires=9999999999")
    assert refusal(longer).code == "SignatureDoesNotMatch"


def with_header(header: str, **headers: str) -> HttpRequest:
    base = HOST | {"x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z", "authorization": header}
    return http("GET", "/test.txt", base | {name.replace("_", "-"): value for name, value in headers.items()})


GOOD = published("host;x-amz-content-sha256;x-amz-date", "0" * 64)
MALFORMED = [
    ("Basic abc", "InvalidArgument", "Unsupported Authorization Type"),
    ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed", "component"),
    ("AWS4-HMAC-SHA256 x", "AuthorizationHeaderMalformed", 'component "x"'),
    (GOOD + "," + GOOD[17:], "AuthorizationHeaderMalformed", "component"),
    (GOOD + ", " + GOOD, "AuthorizationHeaderMalformed", "component"),
    (GOOD + ",Extra=1", "AuthorizationHeaderMalformed", "three components"),
    (GOOD + ",Signature=" + "1" * 64, "AuthorizationHeaderMalformed", "component"),
    (GOOD.replace("Signature=" + "0" * 64, "Signature="), "AuthorizationHeaderMalformed", "missing Signature."),
    (GOOD.replace("20130524/", "2013/"), "AuthorizationHeaderMalformed", 'incorrect date format "2013"'),
    (GOOD.replace("20130524/", "20130523/"), "AuthorizationHeaderMalformed", 'Invalid credential date "20130523"'),
    (GOOD.replace("/s3/", "/sts/"), "AuthorizationHeaderMalformed", 'incorrect service "sts"'),
    (GOOD.replace("aws4_request", "x"), "AuthorizationHeaderMalformed", 'incorrect terminal "x"'),
    (GOOD.replace("/us-east-1", ""), "AuthorizationHeaderMalformed", "the Credential is mal-formed"),
    (GOOD.replace(KEY, ""), "AuthorizationHeaderMalformed", "a non-empty Access Key"),
    ("AWS nocolon", "InvalidArgument", "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature"),
    ("AWS4-ECDSA-P256-SHA256 x", "NotImplemented", "not implemented"),
]


@pytest.mark.parametrize(("header", "code", "words"), MALFORMED)
def test_malformed_authorization_headers(header, code, words):
    error = refusal(with_header(header), now=S3_DAY)
    assert (error.code, words in error.message) == (code, True)


def test_components_come_in_any_order_and_spacing():
    names, signature = EXAMPLES[2][3:]
    parts = published(names, signature)[17:].split(",")
    header = "AWS4-HMAC-SHA256   " + " ,  ".join(reversed(parts))
    prove(changed(with_header(header), path="/", query="lifecycle"), now=S3_DAY)


def test_payload_hash_is_demanded_and_checked():
    request = with_header(GOOD)
    missing = {name: value for name, value in request.headers.items() if name != "x-amz-content-sha256"}
    error = refusal(changed(request, headers=missing))
    assert error.message == "Missing required header for this request: x-amz-content-sha256"
    error = refusal(with_header(GOOD, x_amz_content_sha256="abc"))
    assert (error.code, error.fields["ArgumentName"]) == ("InvalidArgument", "x-amz-content-sha256")


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 May 2013 00:00:00 GMT", "Fri, 24 Foo 2013 00:00:00 GMT"])
def test_a_date_is_demanded(date):
    request = with_header(GOOD, x_amz_date=date)
    assert refusal(request).message == "AWS authentication requires a valid Date or x-amz-date header"
    v2 = http("GET", "/", {"host": "h", "authorization": "AWS A:b", "date": date})
    assert refusal(v2).code == "AccessDenied"


def test_one_mechanism_only():
    both = changed(with_header(GOOD), query=urlsplit(PUBLISHED_URL).query)
    assert refusal(both).message.startswith("Only one auth mechanism allowed")
    assert refusal(http("GET", PUBLISHED_URL + "&Signature=x", HOST)).code == "InvalidArgument"


Q = "AuthorizationQueryParametersError"
BAD_URLS = [
    ("X-Amz-Expires=86400", "X-Amz-Expires=604801", Q, "must be less than a week"),
    ("X-Amz-Expires=86400", "X-Amz-Expires=-1", Q, "must be non-negative"),
    ("X-Amz-Expires=86400", "X-Amz-Expires=x", Q, "should be a number"),
    ("X-Amz-Expires=86400", "X-Amz-Expires=%D9%A1", Q, "should be a number"),
    ("X-Amz-Expires=86400", "X-Amz-Expires=" + "9" * 5000, Q, "should be a number"),
    ("X-Amz-Expires=86400&", "", Q, "requires the X-Amz-Algorithm"),
    ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", Q, "requires the X-Amz-Algorithm"),
    ("AWS4-HMAC-SHA256", "AWS4-HMAC-MD5", Q, "only supports"),
    ("X-Amz-Date=20130524T000000Z", "X-Amz-Date=20130524", Q, "ISO8601 Long Format"),
    ("X-Amz-Date=20130524T", "X-Amz-Date=20130525T", Q, 'Invalid credential date "20130524"'),
    ("%2Fs3%2F", "%2Fec2%2F", Q, 'incorrect service "ec2"'),
    ("%2Fus-east-1", "", Q, "the Credential is mal-formed"),
    ("X-Amz-Expires=86400", "X-Amz-Expires=86400&X-Amz-Expires=604800", Q, "requires the"),
    ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host&X-Amz-SignedHeaders=host", Q, "requires the"),
    ("/test.txt?", "/test.txt?a=1&", "SignatureDoesNotMatch", "does not match"),
]


@pytest.mark.parametrize(("old", "new", "code", "words"), BAD_URLS)
def test_bad_presigned_urls(old, new, code, words):
    assert old in PUBLISHED_URL
    error = refusal(http("GET", PUBLISHED_URL.replace(old, new), HOST), now=S3_DAY)
    assert (error.code, words in error.message) == (code, True)


@pytest.mark.parametrize(
    "query", ["AWSAccessKeyId=A&Signature=s", "Signature=s", "AWSAccessKeyId=A&Signature=s&Expires=x"]
)
def test_bad_version_2_urls(query):
    assert refusal(http("GET", "/b/k?" + query, HOST)).code == "AccessDenied"


SERVICE_REFUSALS = [
    ("Bearer x", "IncompleteSignature", "requires 'Credential'"),
    ("AWS AKID:sig", "IncompleteSignature", "requires 'Credential'"),
    ("AWS4-HMAC-SHA512 x", "IncompleteSignature", "Unsupported AWS 'algorithm'"),
    ("AWS4-HMAC-SHA256 Credential=A/b", "IncompleteSignature", "requires 'Signature'"),
    (GOOD.replace("/s3/", "/"), "IncompleteSignature", "exactly 5 slash-delimited"),
    (GOOD.replace("aws4_request", "x"), "InvalidSignatureException", "valid terminator"),
    (GOOD, "InvalidSignatureException", "correct service: 'sns'"),
    (GOOD.replace("20130524", "20130523"), "InvalidSignatureException", "Date in Credential scope"),
]


@pytest.mark.parametrize(("header", "code", "words"), SERVICE_REFUSALS)
def test_refusals_of_other_services(header, code, words):
    error = refusal(with_header(header), s3=False, service="sns", now=S3_DAY)
    assert (error.code, words in error.message) == (code, True)


def test_headers_that_a_url_carries():
    request = s3_url("http://b.localhost/k?x-amz-acl=private&X-Amz-Meta-A=b%20c")
    assert hoisted_headers(request) == {"x-amz-acl": "private", "x-amz-meta-a": "b c"}
    prove(request)
    for query in ("x-amz-meta-a=1%0d%0aSet-Cookie:x", "x-amz-meta-%0a=1", "x-amz-acl=%00"):
        with pytest.raises(AwsError, match="InvalidArgument"):
            hoisted_headers(http("GET", "/k?" + query, HOST))
        assert refusal(http("GET", f"/k?AWSAccessKeyId=A&Signature=s&Expires=9999999999&{query}", HOST)).status == 400


NOISE = st.text(max_size=60)


@given(NOISE, NOISE, NOISE, NOISE, st.booleans())
def test_hostile_text_meets_only_aws_errors(authorization, query, path, date, s3):
    headers = HOST | {"authorization": authorization, "x-amz-date": date, "x-amz-content-sha256": EMPTY}
    for head in ("", "AWS ", "AWS4-HMAC-SHA256 ", GOOD[:40], GOOD + ","):
        request = http("GET", "/", headers | {"authorization": head + authorization})
        request.path, request.query = path, query
        with suppress(AwsError):
            prove_if_signed(request, s3)


@given(
    st.lists(st.tuples(st.sampled_from(PUBLISHED_URL.partition("?")[2].split("&")), NOISE), max_size=8), st.booleans()
)
def test_hostile_urls_meet_only_aws_errors(pairs, s3):
    query = "&".join(part + quote(noise) if noise[:1] != "=" else part.split("=")[0] + noise for part, noise in pairs)
    with suppress(AwsError):
        prove_if_signed(http("GET", "/test.txt?" + query, HOST), s3)


def prove_if_signed(request: HttpRequest, s3: bool) -> None:
    signed = read_signature(request, s3=s3)
    if signed is not None:
        verify(request, signed, SECRET, now=S3_DAY)
