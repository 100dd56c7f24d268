"""The same over TLS, with a certificate of our own: what was negotiated is in the record, and clients check the name."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import SSLError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opentrail.server.wiring import DRAIN_SECONDS_MAX
from tests.clients.server_process import ServerProcess
from tests.clients.trail_log import TrailLog, new_trail
from tests.services.s3.soap_client import answer as told
from tests.services.s3.soap_client import envelope, fault, security


def certificate(directory: Path) -> tuple[str, str]:
    """Paths of a self-signed certificate for this machine, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.DNSName("*.localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(chain), str(secret)


class Secure:
    def __init__(self, process: ServerProcess, chain: str) -> None:
        self.process, self.chain = process, chain

    def client(self, service: str, **more: Any) -> Any:
        return self.process.client(service, verify=self.chain, **more)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    directory = tmp_path_factory.mktemp("tls")
    chain, key = certificate(directory)
    process = ServerProcess(directory, tls_certificate=chain, tls_key=key)
    try:
        yield Secure(process.start(), chain)
        started = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - started < DRAIN_SECONDS_MAX - 5, "idle connections held the server up"
        assert not process.tracebacks()
    finally:
        process.kill()


@pytest.fixture(scope="module")
def secure_trail(secure: Secure) -> TrailLog:
    return new_trail(secure.client("s3"), secure.client("cloudtrail"), "over-tls")


def test_the_record_tells_what_was_negotiated(secure: Secure, secure_trail: TrailLog) -> None:
    s3 = secure.client("s3")
    s3.create_bucket(Bucket="over-tls-objects")
    body = b"x" * 300_000
    put = s3.put_object(Bucket="over-tls-objects", Key="k", Body=body, ChecksumAlgorithm="SHA256")
    got = s3.get_object(Bucket="over-tls-objects", Key="k")
    assert got["Body"].read() == body
    for answer in (put, got):
        record = secure_trail.of(answer)
        tls = record["tlsDetails"]
        assert tls["tlsVersion"] in ("TLSv1.2", "TLSv1.3")
        assert tls["clientProvidedHostHeader"] == secure.process.host
        assert record["additionalEventData"]["CipherSuite"] == tls["cipherSuite"] != ""
    secure_call = secure_trail.of(secure.client("sts").get_caller_identity())
    assert secure_call["tlsDetails"]["tlsVersion"] == tls["tlsVersion"]


def test_a_certificate_nobody_vouches_for_is_refused(secure: Secure) -> None:
    with pytest.raises(SSLError):
        secure.process.client("s3").list_buckets()


def test_policies_may_demand_tls(secure: Secure, server: ServerProcess, s3: Any, bucket: str) -> None:
    policy = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject",'
        '"Resource":"arn:aws:s3:::%s/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}}'
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy % bucket)
    with pytest.raises(s3.exceptions.ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k")
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    there = secure.client("s3")
    there.create_bucket(Bucket="tls-only")
    there.put_bucket_policy(Bucket="tls-only", Policy=policy % "tls-only")
    there.put_object(Bucket="tls-only", Key="k", Body=b"x")
    assert there.get_object(Bucket="tls-only", Key="k")["Body"].read() == b"x"


def test_the_aws_cli_over_https(secure: Secure, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"by the CLI" * 1_000)
    trusted = {"AWS_CA_BUNDLE": secure.chain}
    secure.process.aws("s3", "mb", "s3://cli-over-tls", **trusted)
    secure.process.aws("s3", "cp", str(file), "s3://cli-over-tls/k", **trusted)
    assert "k" in secure.process.aws("s3", "ls", "s3://cli-over-tls", **trusted)
    secure.process.aws("s3", "cp", "s3://cli-over-tls/k", str(tmp_path / "back"), **trusted)
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_plain_http_at_a_tls_port(secure: Secure) -> None:
    plain = secure.process.client("s3", url=secure.process.url.replace("https", "http"))
    with pytest.raises(Exception, match=r"Connection|closed|reset"):
        plain.list_buckets()
    assert secure.client("s3").list_buckets()["Buckets"] is not None


def test_soap_over_tls(secure: Secure, name: str):
    """An envelope on a real socket, and its record as its bucket's owner finds it."""
    key = secure.process.client("s3", verify=secure.chain)._request_signer._credentials
    content = f"<Bucket>{name}</Bucket>" + security("CreateBucket", key.access_key, key.secret_key)
    context = ssl.create_default_context(cafile=secure.chain)
    request = Request(secure.process.url + "/soap", envelope("CreateBucket", content), {"Content-Type": "text/xml"})
    with urlopen(request, context=context) as response:
        assert told(response.read(), "CreateBucket") is not None
    assert name in [bucket["Name"] for bucket in secure.client("s3").list_buckets()["Buckets"]]
    bad = envelope("DeleteBucket", f"<Bucket>{name}</Bucket>" + security("DeleteBucket", key.access_key, "guessed"))
    spoiled = Request(request.full_url, bad, {"Content-Type": "text/xml"})
    with pytest.raises(HTTPError) as refused:
        urlopen(spoiled, context=context)
    assert fault(refused.value.read())[0] == "soapenv:Client.SignatureDoesNotMatch"
