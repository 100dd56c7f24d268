from __future__ import annotations

import base64
import hashlib
import time
from contextlib import suppress
from hashlib import sha256

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.wire import checksums, sigv4
from opentrail.wire.payload import DecodedBody, decoded_body
from opentrail.wire.signature import Verified, read_signature, verify
from tests.wire.signed_requests import KEY as KEY_ID
from tests.wire.signed_requests import SECRET, Bytes, received

DATA = b"Hello, trail!"
SESSION = botocore.session.get_session()
CRC32 = checksums.checksum("CRC32", DATA)
KEY = sigv4.signing_key("secret", "20130524", "us-east-1", "s3")
SCOPE = "20130524/us-east-1/s3/aws4_request"


def verified(payload_hash: str) -> Verified:
    return Verified("0" * 64, KEY, payload_hash, "20130524T000000Z", SCOPE)


def put(*pieces: bytes, length: int | None = -1, **headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("PUT", "/b/k", "", named, Bytes(*pieces, length=length), "192.0.2.1")


async def read(body: DecodedBody) -> bytes:
    return b"".join([piece async for piece in body])


async def refusal(body: DecodedBody) -> AwsError:
    """The error that stands in the place of the stream's end."""
    with pytest.raises(AwsError) as caught:
        await read(body)
    return caught.value


FRAMED = b"d\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % (DATA, CRC32.encode())
FRAMED_HEADERS = {
    "content_encoding": "aws-chunked",
    "x_amz_decoded_content_length": "13",
    "x_amz_trailer": "x-amz-checksum-crc32",
}


async def test_signed_payload_is_proven_by_its_end():
    good = decoded_body(put(DATA[:5], DATA[5:]), verified(sha256(DATA).hexdigest()))
    assert good.length == 13
    assert await read(good) == DATA
    assert good.received == good.size == 13
    bad = await refusal(decoded_body(put(b"Another body!"), verified(sha256(DATA).hexdigest())))
    assert (bad.code, bad.status) == ("XAmzContentSHA256Mismatch", 400)
    assert bad.fields["ClientComputedContentSHA256"] == sha256(DATA).hexdigest()
    assert bad.fields["S3ComputedContentSHA256"] == sha256(b"Another body!").hexdigest()


async def test_a_body_put_under_the_signature_of_an_empty_one_is_refused():
    error = await refusal(decoded_body(put(DATA), verified(sigv4.EMPTY_SHA256)))
    assert error.code == "XAmzContentSHA256Mismatch"


async def test_a_short_body_is_incomplete():
    error = await refusal(decoded_body(put(DATA, length=14), verified("UNSIGNED-PAYLOAD")))
    assert (error.code, error.status) == ("IncompleteBody", 400)


async def test_http_chunked_body_has_no_length():
    assert await read(decoded_body(put(DATA, length=None), verified("UNSIGNED-PAYLOAD"))) == DATA


@pytest.mark.parametrize("who", [verified(sigv4.STREAMING_UNSIGNED_TRAILER), verified("UNSIGNED-PAYLOAD"), None])
async def test_unsigned_trailer(who):
    body = decoded_body(put(FRAMED[:20], FRAMED[20:], **FRAMED_HEADERS), who)
    assert body.length == 13
    assert await read(body) == DATA
    assert body.checksums == {"CRC32": CRC32}
    assert body.received == len(FRAMED)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (FRAMED.replace(b"Hello", b"Jello"), "BadDigest"),
        (FRAMED.replace(CRC32.encode(), b"AAAA"), "InvalidRequest"),
        (FRAMED[: FRAMED.index(b"x-amz")] + b"\r\n", "MalformedTrailerError"),
        (FRAMED[:-1], "IncompleteBody"),
        (FRAMED + b"!", "InvalidRequest"),
    ],
)
async def test_unsigned_trailer_gone_wrong(body, code):
    request = put(body, **FRAMED_HEADERS)
    assert (await refusal(decoded_body(request, verified(sigv4.STREAMING_UNSIGNED_TRAILER)))).code == code


async def test_signed_chunks_follow_the_seed():
    chain = sigv4.ChunkSigner(KEY, "20130524T000000Z", SCOPE, "0" * 64)
    parts = [(data, chain.chunk(sha256(data).hexdigest())) for data in (DATA, b"")]
    body = b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), sig.encode(), data) for data, sig in parts)
    headers = {"x_amz_decoded_content_length": "13"}
    who = verified(sigv4.STREAMING_SIGNED)
    assert await read(decoded_body(put(body, **headers), who)) == DATA
    error = await refusal(decoded_body(put(body.replace(b"Hello", b"Jello"), **headers), who))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)


@pytest.mark.parametrize("length", ["", "-1", "x", "1e3", "٣", "9" * 17])
def test_decoded_length_must_be_a_number(length):
    with pytest.raises(AwsError) as caught:
        decoded_body(put(x_amz_decoded_content_length=length), verified(sigv4.STREAMING_UNSIGNED_TRAILER))
    assert caught.value.status == (400 if length else 411)


def test_signed_chunks_need_a_signed_request():
    request = put(x_amz_content_sha256=sigv4.STREAMING_SIGNED, x_amz_decoded_content_length="5")
    for who in (None, Verified("x", b"", "", "", "")):
        with pytest.raises(AwsError, match="InvalidRequest"):
            decoded_body(request, who)


async def test_content_md5():
    digest = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    body = decoded_body(put(DATA, content_md5=digest), None)
    assert await read(body) == DATA
    assert body.md5 == hashlib.md5(DATA).hexdigest()
    error = await refusal(decoded_body(put(b"other", content_md5=digest), None))
    assert (error.code, error.status) == ("BadDigest", 400)
    for bad in ("", "abc", "é", base64.b64encode(b"short").decode()):
        with pytest.raises(AwsError) as caught:
            decoded_body(put(DATA, content_md5=bad), None)
        assert (caught.value.code, caught.value.status) == ("InvalidDigest", 400)


async def test_checksum_header():
    headers = {"x_amz_checksum_crc32": CRC32}
    body = decoded_body(put(DATA, **headers), None, md5=True, compute=("CRC64NVME",))
    await read(body)
    assert body.checksums == {"CRC32": CRC32, "CRC64NVME": checksums.checksum("CRC64NVME", DATA)}
    assert body.md5 == hashlib.md5(DATA).hexdigest()
    error = await refusal(decoded_body(put(b"other", **headers), None))
    assert error.message == "The CRC32 you specified did not match the calculated checksum."
    assert await read(decoded_body(put(b"other", **headers), None, check=False)) == b"other"


async def test_a_trailer_announced_but_not_framed_is_refused():
    assert (await refusal(decoded_body(put(DATA, x_amz_trailer="x-amz-checksum-crc32"), None))).code == "InvalidRequest"


async def test_read_all_is_bounded():
    assert await decoded_body(put(DATA), None).read_all(13) == DATA
    for length in (13, None):
        with pytest.raises(AwsError) as caught:
            await decoded_body(put(DATA, length=length), None).read_all(12)
        assert (caught.value.code, caught.value.fields["MaxSizeAllowed"]) == ("EntityTooLarge", "12")


TEXT = st.text(max_size=20)
NAMES = ["content-md5", "content-encoding", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-content-sha256"]
WORDS = ["aws-chunked", "5", "x-amz-checksum-crc32", *CRC32, sigv4.STREAMING_UNSIGNED_TRAILER, sigv4.STREAMING_SIGNED]
VALUES = TEXT | st.sampled_from(WORDS)


@given(st.dictionaries(st.sampled_from([*NAMES, *checksums.BY_HEADER]), VALUES), st.binary(max_size=60))
async def test_hostile_requests_meet_only_aws_errors(headers, data):
    for who in (None, verified("UNSIGNED-PAYLOAD"), verified(headers.get("x-amz-content-sha256", ""))):
        with suppress(AwsError):
            await read(decoded_body(HttpRequest("PUT", "/", "", headers, Bytes(data), "192.0.2.1"), who))


def sent_by_boto3(scheme: str, operation: str, signature_version: str = "s3v4", **parameters) -> HttpRequest:
    """What a real client puts on the wire, caught before it is sent."""
    config = Config(signature_version=signature_version, s3={"addressing_style": "path"})
    client = SESSION.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"{scheme}://localhost:4580",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=config,
    )
    caught = []

    def answer(request, **_):
        caught.append(request)
        return AWSResponse(request.url, 200, {}, None)

    client.meta.events.register("before-send.s3", answer)
    with suppress(AttributeError):  # the answer has no body; only the request matters
        getattr(client, operation)(Bucket="b", Key="k é", **parameters)
    data = caught[0].body or b""
    return received(caught[0], data if isinstance(data, bytes) else data.read())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA256"])
async def test_what_boto3_puts_is_proven(scheme, algorithm):
    for version in ("s3v4", "s3"):
        request = sent_by_boto3(
            scheme, "put_object", version, Body=DATA, ChecksumAlgorithm=algorithm, Metadata={"a": "b  c"}
        )
        signed = read_signature(request, s3=True)
        assert signed is not None
        proof = verify(request, signed, SECRET, now=time.time())
        body = decoded_body(request, proof)
        assert await read(body) == DATA
        assert body.checksums == {algorithm: checksums.checksum(algorithm, DATA)}
        framed = scheme == "https" and version == "s3v4"
        assert framed == ("aws-chunked" in request.headers.get("content-encoding", ""))
