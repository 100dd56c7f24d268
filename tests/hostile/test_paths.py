"""Keys, buckets, escapes, ranges and part numbers that should not be."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.clients.server_process import ServerProcess
from tests.hostile.conftest import VICTIM
from tests.hostile.raw import Attacker, Line, signed_bytes

KEYS_TOO_LONG = ["x" * 1025, quote("ü") * 513, quote("🦊") * 257, "%2e" * 1025]
ODD_TARGETS = [
    f"/{VICTIM}/%",
    f"/{VICTIM}/%zz",
    f"/{VICTIM}/%f",
    f"/{VICTIM}/%ff%fe",
    f"/{VICTIM}/%ed%a0%80",
    f"/{VICTIM}/%c0%ae%c0%ae/etc/passwd",
    f"/{VICTIM}/a%00b",
    f"/{VICTIM}/%00",
    f"/{VICTIM}/../../../../etc/passwd",
    f"/{VICTIM}/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    f"/{VICTIM}/..",
    f"/{VICTIM}/.",
    f"/{VICTIM}//",
    f"/{VICTIM}/;a=b",
    f"/{VICTIM}/%0d%0aX-Injected:%20yes",
    f"/{VICTIM}/%3Cscript%3Ealert(1)%3C/script%3E",
    f"/{VICTIM}/k?versionId=%00",
    f"/{VICTIM}/k?versionId=" + "v" * 3_000,
    f"/{VICTIM}/k?versionId=..%2F..",
    f"/{VICTIM}/k?uploadId=..%2F..&partNumber=1",
    f"/{VICTIM}/k?partNumber=0",
    f"/{VICTIM}/k?partNumber=-1",
    f"/{VICTIM}/k?partNumber=1e9",
    f"/{VICTIM}/k?partNumber=10001",
    f"/{VICTIM}/k?partNumber=" + "9" * 5_000,
    f"/{VICTIM}/k?partNumber=%D9%A5",
    f"/{VICTIM}/k?partNumber=",
    f"/{VICTIM}?max-keys=-1",
    f"/{VICTIM}?max-keys=x",
    f"/{VICTIM}?max-keys=" + "9" * 4_301,
    f"/{VICTIM}?list-type=2&max-keys=2147483648",
    f"/{VICTIM}?list-type=2&continuation-token=%00%ff",
    f"/{VICTIM}?list-type=2&continuation-token=bm90IG91cnM=",
    f"/{VICTIM}?list-type=2&continuation-token=" + "A" * 10_000,
    f"/{VICTIM}?encoding-type=rot13",
    f"/{VICTIM}?list-type=2&start-after=%ff",
    f"/{VICTIM}?prefix=%ff%00&delimiter=%00",
    f"/{VICTIM}?versions&version-id-marker=x",
    f"/{VICTIM}?versions&key-marker=%00&version-id-marker=%00",
    f"/{VICTIM}?uploads&upload-id-marker=%00",
    f"/{VICTIM}?acl&policy&tagging",
    f"/{VICTIM}?acl=&acl=&acl=1",
    "/?max-buckets=0",
    "/?max-buckets=x",
    "/?continuation-token=%00",
    "/..",
    "/%2e%2e/victim/k",
    "/%00",
    "/%ff",
    "/UPPER_case",
    "/a",
    "/" + "b" * 64,
    "/127.0.0.1",
    "/xn--bucket",
    "//victim/k",
    "/_opentrail",
    "/%5Fopentrail/health",
]


@pytest.mark.usefixtures("unchanged")
def test_reading_odd_targets(attacker: Attacker) -> None:
    for target in ODD_TARGETS:
        for method in ("GET", "HEAD"):
            answer = attacker.ask("s3", method, target)
            assert 200 <= answer.status < 500 or answer.status == 501, (method, target, answer)
            assert "x-injected" not in answer.headers
            assert b"root:" not in answer.body
            if answer.status != 200 and method == "GET":
                assert b"<Error>" in answer.body, (target, answer)


@pytest.mark.usefixtures("unchanged")
def test_writing_and_taking_away_what_cannot_be(attacker: Attacker) -> None:
    for key in KEYS_TOO_LONG:
        answer = attacker.ask("s3", "PUT", f"/{VICTIM}/{key}", b"x")
        assert (answer.status, b"<Code>KeyTooLongError</Code>" in answer.body) == (400, True), (key[:20], answer)
    for key in ("%ff%fe", "%ed%a0%80", "%c0%ae"):
        answer = attacker.ask("s3", "PUT", f"/{VICTIM}/{key}", b"x")
        assert answer.status == 400, (key, answer)
    for target in ("/UPPER_case", "/a", "/" + "b" * 64, "/127.0.0.1", "/%00", "/..", "/xn--bucket", "/_opentrail"):
        assert 400 <= attacker.ask("s3", "PUT", target).status < 500, target


def test_keys_with_dots_and_slashes_stay_inside(server: ServerProcess, attacker: Attacker) -> None:
    """Keys are names, not paths: each is an object of its own, and none leaves the bucket."""
    keys = ["../k", "..", ".", "a/../../k", "/", "//", "a%0Ab", "%5C..%5C", "a%09b"]
    for number, key in enumerate(keys):
        assert attacker.ask("s3", "PUT", f"/{VICTIM}/{key}", b"%d" % number).status == 200, key
    for number, key in enumerate(keys):
        assert attacker.ask("s3", "GET", f"/{VICTIM}/{key}").body == b"%d" % number, key
        assert attacker.ask("s3", "DELETE", f"/{VICTIM}/{key}").status == 204
    assert attacker.ask("s3", "GET", f"/{VICTIM}/k").body == b"safe"
    assert not [each for each in server.directory.rglob("*") if each.name in ("k", "passwd")]


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-2",
        "bytes=-0",
        "bytes=" + "9" * 5_000 + "-",
        "bytes=0-" + "9" * 5_000,
        "bytes=-" + "9" * 5_000,
        "bytes=0-0," * 2_000,
        "bytes=٥-",
        "bytes=--1",
        "bytes=a-b",
        "chunks=0-1",
        "bytes",
        "=",
        "",
    ],
)
def test_absurd_ranges(server: ServerProcess, asked: str) -> None:
    with Line(server) as line:
        line.send(
            signed_bytes(server, "s3", "GET", f"/{VICTIM}/k").replace(
                b"\r\n\r\n", b"\r\nRange: " + asked.encode() + b"\r\n\r\n", 1
            )
        )
        answer = line.answer()
        assert answer.status in (200, 206, 416, 400), answer
        line.send(signed_bytes(server, "s3", "GET", f"/{VICTIM}/k"))
        again = line.answer()
        assert again.body == b"safe" or answer.headers.get("connection") == "close"


HEADERS = {
    "x-amz-acl": "no-such-acl",
    "x-amz-storage-class": "PAPER",
    "x-amz-tagging": "a=b&a=c",
    "x-amz-copy-source": "%00",
    "x-amz-checksum-crc32": "AAAA",
    "x-amz-checksum-sha256": "not base64 at all",
    "x-amz-checksum-algorithm": "ROT13",
    "x-amz-sdk-checksum-algorithm": "ROT13",
    "x-amz-trailer": "x-amz-checksum-rot13",
    "content-md5": "*",
    "if-none-match": '"something"',
    "x-amz-server-side-encryption": "ROT13",
    "x-amz-object-lock-mode": "FOREVER",
    "x-amz-object-lock-retain-until-date": "yesterday",
    "x-amz-meta-big": "m" * 3_000,
    "x-amz-decoded-content-length": "-5",
    "x-amz-content-sha256": "nonsense",
    "x-amz-grant-read": "id=nobody-at-all",
    "x-amz-expected-bucket-owner": "no-account",
    "x-amz-write-offset-bytes": "-1",
    "x-amz-website-redirect-location": "nowhere",
    "x-amz-request-payer": "somebody-else",
}


@pytest.mark.usefixtures("unchanged")
def test_headers_that_say_what_cannot_be(attacker: Attacker) -> None:
    for name, value in HEADERS.items():
        answer = attacker.ask("s3", "PUT", f"/{VICTIM}/k2", b"x", {name: value})
        if answer.status == 200:  # taken or ignored: it must at least not have hurt
            assert attacker.ask("s3", "DELETE", f"/{VICTIM}/k2").status == 204
        else:
            assert 400 <= answer.status < 500 or answer.status == 501, (name, answer)
            assert b"<Error>" in answer.body, (name, answer)


AWS_CHUNKED = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-trailer": "x-amz-checksum-crc32"}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello",
        b"5\r\nhello\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"f" * 30 + b"\r\nhello\r\n0\r\n\r\n",
        b"-1\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + b"A" * 100_000 + b"\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno-colon\r\n\r\n",
        b"5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n",
        b"6\r\nhello!\r\n0\r\n\r\n",
        b"0\r\n\r\n" * 3,
    ],
)
def test_bad_aws_chunks(attacker: Attacker, body: bytes) -> None:
    headers = {"x-amz-decoded-content-length": "5", "content-encoding": "aws-chunked", **AWS_CHUNKED}
    answer = attacker.ask("s3", "PUT", f"/{VICTIM}/chunked", body, headers)
    assert 400 <= answer.status < 500, answer
    assert b"<Error>" in answer.body
