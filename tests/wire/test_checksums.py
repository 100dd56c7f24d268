from __future__ import annotations

import base64
import hashlib
import zlib

import botocore.session
import pytest
from botocore.httpchecksum import CrtCrc32cChecksum, CrtCrc64NvmeChecksum
from hypothesis import given
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.wire import checksums


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_every_algorithm_of_the_model_is_known():
    model = botocore.session.get_session().get_service_model("s3")
    assert set(checksums.ALGORITHMS) == set(model.shape_for("ChecksumAlgorithm").enum)
    members = model.shape_for("PutObjectRequest").members.values()
    headers = {m.serialization.get("name", "").lower() for m in members}
    assert set(checksums.BY_HEADER) <= headers


@given(st.binary(max_size=300))
def test_values_are_those_of_other_implementations(data):
    assert checksums.checksum("CRC32", data) == b64(zlib.crc32(data).to_bytes(4, "big"))
    for name in ("SHA1", "SHA256", "SHA512", "MD5"):
        assert checksums.checksum(name, data) == b64(hashlib.new(name.lower(), data).digest())
    for name, other in (("CRC32C", CrtCrc32cChecksum), ("CRC64NVME", CrtCrc64NvmeChecksum)):
        theirs = other()
        theirs.update(data)
        assert checksums.checksum(name, data) == theirs.b64digest()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        # Check values published with the algorithms.
        ("CRC32C", b"123456789", "e3069283"),
        ("CRC64NVME", b"123456789", "ae8b14860a799888"),
        ("XXHASH64", b"", "ef46db3751d8e999"),
        ("XXHASH3", b"", "2d06800538d394c2"),
        ("XXHASH128", b"", "99aa06d3014798d86001c324468d497f"),
    ],
)
def test_published_values(name, text, value):
    assert checksums.checksum(name, text) == b64(bytes.fromhex(value))


@pytest.mark.parametrize("name", checksums.ALGORITHMS)
def test_pieces_make_the_same_as_the_whole(name):
    running = checksums.Checksum(name)
    for piece in (b"hello", b"", b" world"):
        running.update(piece)
    assert running.digest() == running.digest() == checksums.checksum(name, b"hello world")


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_combined_crcs_are_those_of_the_whole(parts):
    for name in ("CRC32", "CRC32C", "CRC64NVME"):
        combined = checksums.combine(name, [(checksums.checksum(name, part), len(part)) for part in parts])
        assert combined == checksums.checksum(name, b"".join(parts))


@pytest.mark.parametrize("name", ["SHA256", "MD5", "XXHASH3"])
def test_only_crcs_combine(name):
    with pytest.raises(AwsError, match="FULL_OBJECT"):
        checksums.combine(name, [])


def test_composite_is_the_checksum_of_the_checksums():
    parts = [b"one", b"two"]
    expected = b64(hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest())
    assert checksums.composite("SHA256", [checksums.checksum("SHA256", part) for part in parts]) == expected + "-2"


@pytest.mark.parametrize(
    "text", ["", "AAAA", "AAAAAA", "AAAAAAA=", "AAAAAAAA", "AAAAA\n==", "AAAAAB==", "é", "AAAAAA=="[::-1]]
)
def test_bad_values_are_refused(text):
    with pytest.raises(AwsError) as caught:
        checksums.expected_checksums({"x-amz-checksum-crc32": text})
    assert caught.value.message == "Value for x-amz-checksum-crc32 header is invalid."
    for call in (lambda: checksums.combine("CRC32", [(text, 1)]), lambda: checksums.composite("CRC32", [text])):
        with pytest.raises(AwsError, match="is invalid"):
            call()


CRC = {"x-amz-checksum-crc32": "AAAAAA=="}


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (CRC | {"x-amz-checksum-md5": "x"}, "Expecting a single"),
        (CRC | {"x-amz-trailer": "x-amz-checksum-crc32c"}, "Expecting a single"),
        ({"x-amz-trailer": "x-amz-checksum-crc32c, x-amz-checksum-crc32"}, "Expecting a single"),
        ({"x-amz-trailer": "x-amz-checksum-foo"}, "x-amz-trailer header is not supported"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "no corresponding"),
        (CRC | {"x-amz-sdk-checksum-algorithm": "SHA1"}, "x-amz-sdk-checksum-algorithm header is invalid"),
        (CRC | {"x-amz-sdk-checksum-algorithm": "nope"}, "x-amz-sdk-checksum-algorithm header is invalid"),
    ],
)
def test_contradictory_headers_are_refused(headers, words):
    with pytest.raises(AwsError, match=words) as caught:
        checksums.expected_checksums(headers)
    assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)


def test_expectations():
    assert checksums.expected_checksums({"x-amz-checksum-type": "COMPOSITE", "x-amz-checksum-mode": "ENABLED"}) is None
    header = checksums.expected_checksums(CRC | {"x-amz-sdk-checksum-algorithm": "crc32"})
    assert header == checksums.Expected(checksums.ALGORITHMS["CRC32"], "AAAAAA==")
    trailer = {"x-amz-trailer": "X-Amz-Checksum-SHA1"}
    assert checksums.expected_checksums(trailer) == checksums.Expected(checksums.ALGORITHMS["SHA1"], "")
    value = checksums.checksum("SHA1", b"")
    got = checksums.expected_checksums(trailer, {"x-amz-checksum-sha1": value})
    assert got is not None
    assert got.value == value


def test_mismatch_and_unknown_algorithm():
    with pytest.raises(AwsError) as caught:
        checksums.check(checksums.ALGORITHMS["CRC32"], "AAAAAA==", "AAAAAQ==")
    assert (caught.value.code, caught.value.status) == ("BadDigest", 400)
    assert caught.value.message == "The CRC32 you specified did not match the calculated checksum."
    with pytest.raises(AwsError):
        checksums.find("CRC16")
