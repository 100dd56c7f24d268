"""The published chunk examples, then everything a client or somebody on the way can get wrong."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.wire import sigv4
from opentrail.wire.chunks import CHUNK_HEADER_MAX, SIGNED_CHUNK_MIN, TRAILER_MAX, ChunkDecoder
from tests.wire.signed_requests import SECRET

SCOPE = "20130524/us-east-1/s3/aws4_request"
SIGNING_KEY = sigv4.signing_key(SECRET, "20130524", "us-east-1", "s3")
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
SIGNATURES = (
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
TRAILER_SIGNATURES = (
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
TRAILER_SIGNATURE = b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
CRC32C = "x-amz-checksum-crc32c"
LENGTH = 65536 + 1024


def signer(seed: str = SEED) -> sigv4.ChunkSigner:
    return sigv4.ChunkSigner(SIGNING_KEY, "20130524T000000Z", SCOPE, seed)


def framed(signatures=SIGNATURES, end: bytes = b"\r\n") -> bytes:
    chunks = zip((b"a" * 65536, b"a" * 1024, b""), signatures, strict=True)
    parts = [b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), s.encode(), data) for data, s in chunks]
    return b"".join(parts)[:-2] + end


SIGNED = framed()
SIGNED_TRAILER = framed(
    TRAILER_SIGNATURES,
    b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:%s\r\n\r\n" % TRAILER_SIGNATURE,
)


def decode(body: bytes, decoder: ChunkDecoder, step: int = 1 << 20) -> tuple[bytes, dict[str, str]]:
    pieces: list[bytes] = []
    for start in range(0, len(body), step):
        pieces += decoder.feed(body[start : start + step])
    trailers = decoder.finish()
    return b"".join(pieces), trailers


def refusal(body: bytes, decoder: ChunkDecoder) -> str:
    with pytest.raises(AwsError) as caught:
        decode(body, decoder)
    return caught.value.code


@pytest.mark.parametrize("step", [1, 7, 89, 4096, 1 << 20])
def test_published_signed_example(step):
    assert decode(SIGNED, ChunkDecoder(LENGTH, (), signer()), step) == (b"a" * LENGTH, {})


@pytest.mark.parametrize("step", [1, 13, 1 << 20])
def test_published_signed_trailer_example(step):
    decoder = ChunkDecoder(LENGTH, [CRC32C], signer(TRAILER_SEED))
    assert decode(SIGNED_TRAILER, decoder, step) == (b"a" * LENGTH, {CRC32C: "sOO8/Q=="})


def test_blank_line_before_the_trailer_signature_is_tolerated():
    body = SIGNED_TRAILER.replace(b"sOO8/Q==\r\n", b"sOO8/Q==\n\r\n")
    assert decode(body, ChunkDecoder(LENGTH, [CRC32C], signer(TRAILER_SEED)))[1] == {CRC32C: "sOO8/Q=="}


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
def test_unsigned_with_trailer(step):
    body = b"5\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    decoder = ChunkDecoder(6, ["x-amz-checksum-crc32"])
    assert decode(body, decoder, step) == (b"hello!", {"x-amz-checksum-crc32": "AAAAAA=="})


def test_empty_body():
    assert decode(b"0\r\n\r\n", ChunkDecoder(0)) == (b"", {})


def test_a_whole_piece_is_handed_on_without_a_copy():
    decoder = ChunkDecoder(100)
    decoder.feed(b"64\r\n")
    data = b"x" * 100
    assert decoder.feed(data)[0] is data


FORGED = [
    SIGNED.replace(b"a" * 65536, b"a" * 65535 + b"b"),
    SIGNED.replace(SIGNATURES[0].encode(), b"0" * 64),
    SIGNED.replace(SIGNATURES[0].encode(), SIGNATURES[1].encode()),
    SIGNED.replace(SIGNATURES[1].encode(), SIGNATURES[2].encode()),
    SIGNED.replace(SIGNATURES[2].encode(), SIGNATURES[0].encode()),
]


@pytest.mark.parametrize("body", FORGED)
def test_a_forged_chunk_ends_the_stream(body):
    assert refusal(body, ChunkDecoder(LENGTH, (), signer())) == "SignatureDoesNotMatch"


def test_a_chunk_of_another_request_does_not_fit():
    assert refusal(SIGNED, ChunkDecoder(LENGTH, (), signer("0" * 64))) == "SignatureDoesNotMatch"


def test_chunks_cannot_be_dropped_or_swapped():
    first = SIGNED[: SIGNED.index(b"400;")]
    assert refusal(SIGNED[len(first) :], ChunkDecoder(1024, (), signer())) == "SignatureDoesNotMatch"
    last = SIGNED[SIGNED.index(b"\r\n0;") + 2 :]
    assert refusal(first + last, ChunkDecoder(65536, (), signer())) == "SignatureDoesNotMatch"


def trailer_forgeries() -> list[tuple[bytes, str]]:
    signature_line = b"x-amz-trailer-signature:%s\r\n" % TRAILER_SIGNATURE
    return [
        (SIGNED_TRAILER.replace(b"sOO8/Q==", b"AAAAAA=="), "SignatureDoesNotMatch"),
        (SIGNED_TRAILER.replace(TRAILER_SIGNATURE, b"0" * 64), "SignatureDoesNotMatch"),
        (SIGNED_TRAILER.replace(signature_line, b""), "IncompleteBody"),
        (SIGNED_TRAILER.replace(b"x-amz-checksum-crc32c:sOO8/Q==\r\n", b""), "MalformedTrailerError"),
        (SIGNED_TRAILER.replace(b"crc32c:", b"crc32:"), "MalformedTrailerError"),
        (SIGNED_TRAILER.replace(signature_line, signature_line + b"x-amz-meta-a:1\r\n"), "MalformedTrailerError"),
        (SIGNED_TRAILER.replace(signature_line, signature_line * 2), "MalformedTrailerError"),
    ]


@pytest.mark.parametrize(("body", "code"), trailer_forgeries())
def test_a_forged_trailer_is_refused(body, code):
    assert refusal(body, ChunkDecoder(LENGTH, [CRC32C], signer(TRAILER_SEED))) == code


@pytest.mark.parametrize("cut", [1, 2, 3, 50, 90, 1100, 1200, LENGTH])
def test_a_truncated_body_is_incomplete(cut):
    assert refusal(SIGNED[:-cut], ChunkDecoder(LENGTH, (), signer())) == "IncompleteBody"


@pytest.mark.parametrize("declared", [0, 4, 6, 1 << 40])
def test_the_decoded_length_must_be_the_declared_one(declared):
    assert refusal(b"5\r\nhello\r\n0\r\n\r\n", ChunkDecoder(declared)) == "IncompleteBody"


MALFORMED = [
    b"hello",
    b"\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5_0\r\nhello\r\n0\r\n\r\n",
    b"5;x=y\r\nhello\r\n0\r\n\r\n",
    b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    b"5\r\nhello\r\n0\r\n\r\n\r\n",
    b"0" * CHUNK_HEADER_MAX + b"5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n" + b"0" * 17 + b"\r\n\r\n",
]


@pytest.mark.parametrize("body", MALFORMED)
@pytest.mark.parametrize("step", [1, 1000])
def test_malformed_framing(body, step):
    with pytest.raises(AwsError) as caught:
        decode(body, ChunkDecoder(5), step)
    assert caught.value.code in ("InvalidRequest", "IncompleteBody")
    assert caught.value.status == 400


@pytest.mark.parametrize("size", [b"6", b"ffffffffffffffff", b"7fffffffffffffff"])
def test_a_huge_chunk_is_refused_at_its_header(size):
    with pytest.raises(AwsError, match="IncompleteBody"):
        ChunkDecoder(5).feed(size + b"\r\n")


def test_an_endless_line_is_refused_before_it_is_held():
    with pytest.raises(AwsError, match="too long"):
        decode(b"0" * (CHUNK_HEADER_MAX + 1), ChunkDecoder(5), 1)
    with pytest.raises(AwsError, match="too long"):
        decode(b"0\r\n" + b"a" * (TRAILER_MAX + 1), ChunkDecoder(0, ["a"]), 1)
    with pytest.raises(AwsError):
        decode(b"0\r\n" + b"a:1\r\n\r\n" * TRAILER_MAX, ChunkDecoder(0, ["a"], signer()), 1)


@pytest.mark.parametrize(
    "line", [b"a b:1", b":1", b"a", b"a:\x00", b"b:1", b"a:1\r\na:1", b"x-amz-trailer-signature:0"]
)
def test_bad_trailers(line):
    assert refusal(b"0\r\n" + line + b"\r\n\r\n", ChunkDecoder(0, ["a"])) == "MalformedTrailerError"


def test_unsigned_chunks_are_refused_where_signed_ones_are_due():
    assert refusal(b"5\r\nhello\r\n0\r\n\r\n", ChunkDecoder(5, (), signer())) == "InvalidRequest"


def signed_chunks(*chunks: bytes) -> bytes:
    chain = signer()
    parts = []
    for data in (*chunks, b""):
        signature = chain.chunk(sha256(data).hexdigest())
        parts.append(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), signature.encode(), data))
    return b"".join(parts)


def test_only_the_last_signed_chunk_may_be_small():
    assert decode(signed_chunks(b"small"), ChunkDecoder(5, (), signer()))[0] == b"small"
    large = b"x" * SIGNED_CHUNK_MIN
    assert decode(signed_chunks(large, b"y"), ChunkDecoder(len(large) + 1, (), signer()))[0] == large + b"y"
    assert refusal(signed_chunks(b"x", b"y"), ChunkDecoder(2, (), signer())) == "InvalidChunkSizeError"


@given(st.binary(max_size=200), st.integers(1, 50), st.booleans())
def test_hostile_bytes_meet_only_aws_errors(body, step, signed):
    for head in (b"", b"5\r\nhello\r\n", b"0\r\n", b"5\r\nhel"):
        with suppress(AwsError):
            decode(head + body, ChunkDecoder(5, ["a"], signer() if signed else None), step)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 60))
def test_any_chunking_gives_the_data_back(chunks, step):
    body = b"".join(b"%X\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    whole = b"".join(chunks)
    assert decode(body, ChunkDecoder(len(whole)), step) == (whole, {})
