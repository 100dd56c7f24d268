"""Digests: format, chain, signature; the AWS CLI's own validator is the judge."""

from __future__ import annotations

import base64
import datetime
import json

import pytest
from awscli.customizations.cloudtrail.validation import (
    DigestSignatureError,
    Sha256RSADigestValidator,
    extract_digest_key_date,
    is_backfill_digest_key,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from opentrail.record import digest
from opentrail.record.digest import DeliveredFile, DigestPlace, PreviousDigest, SealedDigest, seal_digest

KEY = rsa.generate_private_key(65_537, digest.KEY_BITS)
DER = digest.public_key_der(KEY.public_key())
PLACE = DigestPlace("111122223333", "eu-west-1", "main", "us-east-1", "audit-logs", "audit")
ONE = datetime.datetime(2024, 5, 1, 13, 1, 31, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
FILES = [
    DeliveredFile("audit-logs", "a.json.gz", "ab" * 32, "2024-05-01T12:30:00Z", "2024-05-01T12:10:00Z"),
    DeliveredFile("audit-logs", "b.json.gz", "cd" * 32, "2024-05-01T12:50:00Z", "2024-05-01T12:00:09Z"),
]


def starting() -> SealedDigest:
    return seal_digest(KEY, PLACE, ONE - HOUR, ONE, FILES, None)


def following() -> SealedDigest:
    first = starting()
    previous = PreviousDigest(first.s3_bucket, first.s3_object, digest.sha256_hex(first.document), first.signature)
    return seal_digest(KEY, PLACE, ONE, ONE + HOUR, [], previous)


def awscli_accepts(sealed: SealedDigest, document: bytes | None = None) -> None:
    document = document or sealed.document
    data = json.loads(document) | {"_signature": sealed.signature}
    Sha256RSADigestValidator().validate(sealed.s3_bucket, sealed.s3_object, base64.b64encode(DER), data, document)


def test_a_starting_digest_in_full():
    assert list(json.loads(starting().document).items()) == [
        ("awsAccountId", "111122223333"),
        ("digestStartTime", "2024-05-01T12:01:31Z"),
        ("digestEndTime", "2024-05-01T13:01:31Z"),
        ("digestS3Bucket", "audit-logs"),
        (
            "digestS3Object",
            "audit/AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2024/05/01/"
            "111122223333_CloudTrail-Digest_eu-west-1_main_us-east-1_20240501T130131Z.json.gz",
        ),
        ("digestPublicKeyFingerprint", digest.fingerprint(DER)),
        ("digestSignatureAlgorithm", "SHA256withRSA"),
        ("newestEventTime", "2024-05-01T12:50:00Z"),
        ("oldestEventTime", "2024-05-01T12:00:09Z"),
        ("previousDigestS3Bucket", None),
        ("previousDigestS3Object", None),
        ("previousDigestHashValue", None),
        ("previousDigestHashAlgorithm", None),
        ("previousDigestSignature", None),
        (
            "logFiles",
            [
                {
                    "s3Bucket": "audit-logs",
                    "s3Object": file.s3_object,
                    "hashValue": file.hash_value,
                    "hashAlgorithm": "SHA-256",
                    "newestEventTime": file.newest_event_time,
                    "oldestEventTime": file.oldest_event_time,
                }
                for file in FILES
            ],
        ),
    ]


def test_the_next_one_names_it():
    document = json.loads(following().document)
    first = starting()
    assert document["previousDigestS3Object"] == first.s3_object
    assert document["previousDigestSignature"] == first.signature
    assert document["previousDigestHashAlgorithm"] == "SHA-256"
    assert (document["logFiles"], document["newestEventTime"], document["oldestEventTime"]) == ([], None, None)


def test_the_aws_cli_accepts_both():
    awscli_accepts(starting())
    awscli_accepts(following())


def test_the_aws_cli_refuses_an_altered_one():
    with pytest.raises(DigestSignatureError):
        awscli_accepts(starting(), starting().document + b" ")


def test_the_aws_cli_reads_the_time_out_of_the_key():
    key = digest.digest_key(PLACE, ONE)
    late = digest.digest_key(PLACE, ONE, backfill=True)
    assert extract_digest_key_date(key) == extract_digest_key_date(late) == "20240501T130131Z"
    assert is_backfill_digest_key(late)
    assert not is_backfill_digest_key(key)


def test_a_backfill_digest_is_signed_under_its_own_key():
    late = seal_digest(KEY, PLACE, ONE, ONE + HOUR, FILES, None, backfill=True)
    assert late.s3_object.endswith("_backfill.json.gz")
    awscli_accepts(late)
    assert digest.digest_metadata(late.signature, ONE)["backfill-generation-timestamp"] == "2024-05-01T13:01:31Z"


def test_sealing_again_gives_the_same_bytes():
    assert starting() == starting()


def test_the_string_to_sign_has_four_lines_and_no_last_newline():
    text = digest.string_to_sign("2024-05-01T13:00:00Z", "b", "k", b"{}", None)
    assert text.split("\n") == ["2024-05-01T13:00:00Z", "b/k", digest.sha256_hex(b"{}"), "null"]
    assert digest.string_to_sign("t", "b", "k", b"", "") != digest.string_to_sign("t", "b", "k", b"", None)


def test_metadata_and_fingerprint():
    assert digest.digest_metadata("ab") == {"signature": "ab", "signature-algorithm": "SHA256withRSA"}
    assert len(digest.fingerprint(DER)) == 32
    assert isinstance(load_der_public_key(DER), rsa.RSAPublicKey)


@pytest.mark.parametrize("name", ["digestStartTime", "logFiles", "previousDigestSignature", "newestEventTime"])
def test_every_field_is_under_the_signature(name):
    sealed = following()
    document = json.loads(sealed.document)
    document[name] = "2020-01-01T00:00:00Z"
    with pytest.raises(DigestSignatureError):
        awscli_accepts(sealed, json.dumps(document).encode())
