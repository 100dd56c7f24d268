"""Signatures that are wrong in every way: refused in AWS's words, never recorded, nothing read or written."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

import pytest

from tests.clients.server_process import ROOT_KEY, ServerProcess
from tests.clients.trail_log import TrailLog
from tests.hostile.conftest import VICTIM
from tests.hostile.raw import Answer, Attacker, say, signed_bytes

TARGET = f"/{VICTIM}/k"


def head_of(data: bytes) -> dict[str, str]:
    lines = data.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")[1:]
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def resent(server: ServerProcess, target: str, changes: dict[str, str | None], service: str = "s3") -> Answer:
    """A well-signed GET, with headers changed (or taken away) after the signing."""
    headers = {**head_of(signed_bytes(server, service, "GET", target)), **changes}
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return say(server, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")


def authorization(server: ServerProcess) -> str:
    return head_of(signed_bytes(server, "s3", "GET", TARGET))["Authorization"]


def refused(answer: Answer) -> None:
    assert 400 <= answer.status < 500 or answer.status == 501, answer
    assert b"<Code>" in answer.body or b"message" in answer.body  # JSON, where the scope names another service
    assert b"safe" not in answer.body


def test_authorization_headers_that_are_none(server: ServerProcess) -> None:
    good = authorization(server)
    signature = good[-64:]
    for bad in (
        "",
        "x",
        "Basic YTpi",
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA512" + good[16:],
        "AWS4-ECDSA-P256-SHA256" + good[16:],
        good[:-1],
        good + "0",
        good[:-64] + signature.upper(),
        good[:-64] + "g" * 64,
        good[:-64] + "0" * 64,
        good[:-64],
        good.replace("Signature=", "Signatur="),
        good.replace("SignedHeaders=", "SignedHeaders=;"),
        good.replace("SignedHeaders=host;", "SignedHeaders="),
        good.replace("/s3/", "/iam/"),
        good.replace("/us-east-1/", "//"),
        good.replace("/aws4_request", "/aws5_request"),
        good.replace("/aws4_request", ""),
        good.replace(ROOT_KEY, ""),
        good.replace(ROOT_KEY, "A" * 10_000),
        good.replace(ROOT_KEY, "AKIA\xff\xfe"),
        good.replace(ROOT_KEY, "../../../etc/passwd"),
        good + ", " + good,
        good + ",Signature=" + signature,
        "AWS " + ROOT_KEY,
        "AWS " + ROOT_KEY + ":",
        "AWS " + ROOT_KEY + ":!!!!",
        "AWS :" + "A" * 28,
        "AWS " + ":" * 10_000,
        "AWS4-HMAC-SHA256 " + "," * 10_000,
        "AWS4-HMAC-SHA256 " + "a=b," * 10_000,
    ):
        refused(resent(server, TARGET, {"Authorization": bad}))


@pytest.mark.parametrize(
    "changes",
    [
        {"X-Amz-Date": None},
        {"X-Amz-Date": "yesterday"},
        {"X-Amz-Date": "99999999T999999Z"},
        {"X-Amz-Content-SHA256": "0" * 64},
        {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"},
        {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
        {"X-Amz-Content-SHA256": None},
        {"Host": "another.example"},
        {"x-amz-security-token": "added"},
        {"x-amz-meta-added": "later"},
        {"x-amz-acl": "public-read"},
    ],
)
def test_a_request_that_was_changed_on_its_way(server: ServerProcess, changes: dict[str, str | None]) -> None:
    refused(resent(server, TARGET, changes))


@pytest.mark.parametrize("seconds", [-1000, 1000, -1, 1])
def test_a_request_with_another_time_than_the_signed_one(server: ServerProcess, seconds: int) -> None:
    data = signed_bytes(server, "s3", "GET", TARGET)
    signed = head_of(data)["X-Amz-Date"]
    moment = datetime.strptime(signed, "%Y%m%dT%H%M%SZ") + timedelta(seconds=seconds)
    refused(say(server, data.replace(signed.encode(), moment.strftime("%Y%m%dT%H%M%SZ").encode())))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_another_method_or_target(server: ServerProcess, method: str) -> None:
    good = signed_bytes(server, "s3", "GET", TARGET)
    refused(say(server, good.replace(b"GET", method.encode(), 1), method))
    for target in (f"/{VICTIM}/k?acl", f"/{VICTIM}/other", f"/{VICTIM}", f"/{VICTIM}/k?versionId=null"):
        refused(say(server, good.replace(TARGET.encode(), target.encode(), 1)))


@pytest.mark.usefixtures("unchanged")
def test_another_body(server: ServerProcess, attacker: Attacker) -> None:
    put = signed_bytes(server, "s3", "PUT", TARGET, b"mine")
    refused(say(server, put[:-4] + b"evil", "PUT"))
    form = b"Action=CreateUser&Version=2010-05-08&UserName=mine"
    head = {"Content-Type": "application/x-www-form-urlencoded"}
    sent = signed_bytes(server, "iam", "POST", "/", form, head)
    assert say(server, sent.replace(b"UserName=mine", b"UserName=evil"), "POST").status == 403
    bodies = signed_bytes(
        server,
        "events",
        "POST",
        "/",
        b'{"Name":"mine"}',
        {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSEvents.DisableRule"},
    )
    assert say(server, bodies.replace(b"mine", b"evil"), "POST").status in (400, 403)
    assert say(server, bodies.replace(b"DisableRule", b"DeleteRule", 1), "POST").status in (400, 403)


def test_a_signature_for_another_service_or_day(server: ServerProcess, attacker: Attacker) -> None:
    for service in ("iam", "events", "nonsense", "s3-object-lambda"):
        data = signed_bytes(server, service, "GET", TARGET)
        assert 400 <= say(server, data).status < 500, service
    forged, changed = re.subn(r"/\d{8}/", "/20130524/", authorization(server))
    assert changed == 1
    refused(resent(server, TARGET, {"Authorization": forged}))


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Signature=" + "0" * 64,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%00&X-Amz-Date=x&X-Amz-Expires=-1&X-Amz-SignedHeaders=&X-Amz-Signature=",
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ROOT_KEY}/20130524/us-east-1/s3/aws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=99999999999999999999&X-Amz-SignedHeaders=host"
        f"&X-Amz-Signature={'0' * 64}",
        f"AWSAccessKeyId={ROOT_KEY}",
        f"AWSAccessKeyId={ROOT_KEY}&Expires=9999999999&Signature=",
        f"AWSAccessKeyId={ROOT_KEY}&Expires=-1&Signature=AAAA",
        f"AWSAccessKeyId={ROOT_KEY}&Expires={'9' * 5_000}&Signature=AAAA",
        f"AWSAccessKeyId={ROOT_KEY}&Expires=%D9%A5&Signature=AAAA",
        "AWSAccessKeyId=&Expires=&Signature=",
        "AWSAccessKeyId=%ff&Expires=1e9&Signature=%00",
        "Signature=a&" * 200,
    ],
)
def test_urls_that_are_not_presigned(server: ServerProcess, query: str) -> None:
    refused(say(server, f"GET {TARGET}?{query} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode()))


def test_header_and_url_together(server: ServerProcess) -> None:
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={'0' * 64}"
    refused(say(server, signed_bytes(server, "s3", "GET", f"{TARGET}?{query}")))


@pytest.mark.parametrize("token", ["x", "A" * 20_000, "\xff", "=" * 100, "eyJhbGciOiJub25lIn0.e30.", "A" * 4_096])
def test_tokens_of_nobody(attacker: Attacker, token: str) -> None:
    answer = attacker.ask("s3", "GET", TARGET, headers={"X-Amz-Security-Token": token})
    refused(answer)
    form = b"Action=ListUsers&Version=2010-05-08"
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Amz-Security-Token": token}
    assert 400 <= attacker.ask("iam", "POST", "/", form, headers).status < 500


def test_who_does_not_sign_well_leaves_no_record(server: ServerProcess, attacker: Attacker, trail: TrailLog) -> None:
    """As AWS does: authentication failures are answered and not logged; the next good call is."""
    bad = [resent(server, TARGET, {"Authorization": "AWS4-HMAC-SHA256 nonsense"}) for _ in range(3)]
    bad.append(attacker.ask("s3", "GET", TARGET, key=("AKIANOBODYNOBODYNOBO", "x")))
    time.sleep(0.01)
    good = attacker.ask("s3", "GET", TARGET)
    trail.find(requestID=good.headers["x-amz-request-id"])
    seen = {each["requestID"] for each in trail.records}
    assert not seen & {each.headers["x-amz-request-id"] for each in bad}
