"""The checksums that current SDKs send and check: in headers, and as trailers of an aws-chunked body."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

import pytest
from botocore.exceptions import ClientError

ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


@pytest.fixture
def wire(s3: Any) -> Any:
    """The headers of the PUT requests that botocore sends, as they are sent."""
    sent: list[dict[str, str]] = []

    def note(request: Any, **_: Any) -> None:
        sent.append(
            {
                name.lower(): value if isinstance(value, str) else value.decode()
                for name, value in request.headers.items()
            }
        )

    s3.meta.events.register("before-send.s3", note, unique_id="checksums")
    yield sent
    s3.meta.events.unregister("before-send.s3", unique_id="checksums")


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_500_000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trailing_checksums_over_http(s3: Any, bucket: str, wire: Any, algorithm: str, size: int) -> None:
    body = b"\x00\xff" * (size // 2) + b"!" * (size % 2)
    member = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    assert got[member] == put[member]
    if algorithm.startswith("SHA"):
        assert put[member] == base64.b64encode(hashlib.new(algorithm.lower(), body).digest()).decode()
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[member] == put[member]


def test_signed_chunks(s3: Any, bucket: str, wire: Any) -> None:
    """With a trailer and plain http, botocore sends STREAMING-…-TRAILER; each of its pieces is taken apart."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="CRC32C")
    seen = wire[-1]
    assert "x-amz-checksum-crc32c" in seen or seen.get("x-amz-trailer") == "x-amz-checksum-crc32c"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_that_does_not_hold(s3: Any, bucket: str, algorithm: str) -> None:
    length = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}[algorithm]
    wrong = base64.b64encode(b"\x01" * length).decode()
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"abc", **{f"Checksum{algorithm}": wrong})
    assert error.value.response["Error"]["Code"] == "BadDigest"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_content_md5(s3: Any, bucket: str) -> None:
    right = base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ContentMD5=right)
    for wrong, code in ((base64.b64encode(b"0" * 16).decode(), "BadDigest"), ("not base64", "InvalidDigest")):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket=bucket, Key="k", Body=b"other", ContentMD5=wrong)
        assert error.value.response["Error"]["Code"] == code
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("CRC32", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("SHA256", "COMPOSITE")]
)
def test_multipart_checksums(s3: Any, bucket: str, algorithm: str, kind: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind)
    parts, member = [], f"Checksum{algorithm}"
    for number, body in ((1, b"a" * (5 << 20)), (2, b"b")):
        answer = s3.upload_part(
            Bucket=bucket,
            Key="k",
            UploadId=upload["UploadId"],
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm=algorithm,
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"], member: answer[member]})
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload["UploadId"], MultipartUpload={"Parts": parts}, ChecksumType=kind
    )
    assert done["ChecksumType"] == kind
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[member] == done[member]
    assert done[member].endswith("-2") == (kind == "COMPOSITE")
    if algorithm == "CRC32":
        whole = s3.put_object(Bucket=bucket, Key="whole", Body=b"a" * (5 << 20) + b"b", ChecksumAlgorithm="CRC32")
        assert whole[member] == done[member]


def test_attributes(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="SHA256")
    found = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize"])
    assert found["ObjectSize"] == 3
    assert found["Checksum"]["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
