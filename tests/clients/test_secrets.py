"""No secret that a client used is in anything that was written: not in the data directory, not in records, not in logs.

A server of its own is given every kind of secret there is; then every byte it wrote is searched, and what is compressed
is searched as its readers see it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, ROOT_SECRET, ServerProcess, user_key
from tests.clients.trail_log import TrailLog, new_trail


class Hunt:
    """The secrets, by what they are."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {"root's secret key": ROOT_SECRET.encode()}

    def add(self, what: str, secret: str | bytes) -> Any:
        self.secrets[what] = secret if isinstance(secret, bytes) else secret.encode()
        return secret

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Each secret as it is, and as it might have been written."""
        for what, secret in self.secrets.items():
            yield what, secret
            yield f"{what}, in Base64", base64.b64encode(secret)
            yield f"{what}, in hexadecimal", secret.hex().encode()
            with contextlib.suppress(UnicodeDecodeError):
                yield f"{what}, in a URL", quote(secret.decode(), safe="").encode()
                yield f"{what}, in JSON", json.dumps(secret.decode())[1:-1].encode()

    def search(self, where: str, data: bytes) -> None:
        for what, form in self.forms():
            assert form not in data, f"{what} is in {where}"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path).start()
    try:
        yield server
    finally:
        server.kill()


def test_every_byte_that_was_written_is_searched_for_secrets(own: ServerProcess) -> None:
    hunt = Hunt()
    s3, cloudtrail = own.client("s3"), own.client("cloudtrail")
    trail = new_trail(s3, cloudtrail, "main")
    _keys(own, hunt)
    _customer_keys(s3, hunt)
    _kms(own.client("kms"), hunt)
    _pipeline(own, hunt)
    _presigned(own, hunt)
    _bad_signature(own, hunt)
    trail.of(s3.create_bucket(Bucket="last"))
    _search_as_readers(own, trail, hunt)
    assert own.stop() == 0
    for path in sorted(own.directory.rglob("*")):
        if path.is_file():
            hunt.search(str(path.relative_to(own.directory)), path.read_bytes())


def _keys(server: ServerProcess, hunt: Hunt) -> None:
    """A user's key, and sessions made of it."""
    iam = server.client("iam")
    iam.create_user(UserName="alice")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_user_policy(UserName="alice", PolicyName="all", PolicyDocument=document)
    key = user_key(iam.create_access_key(UserName="alice"))
    hunt.add("a user's secret key", key[1])
    sts = server.client("sts", key)
    who = {"AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "codepipeline.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}
    trust_document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="worker", AssumeRolePolicyDocument=trust_document)["Role"]["Arn"]
    iam.put_role_policy(RoleName="worker", PolicyName="all", PolicyDocument=document)
    answers = {
        "session": sts.get_session_token(),
        "federated session": sts.get_federation_token(Name="fred", Policy=document),
        "role session": sts.assume_role(RoleArn=role, RoleSessionName="session"),
    }
    for what, answer in answers.items():
        made = answer["Credentials"]
        hunt.add(f"a {what}'s secret key", made["SecretAccessKey"])
        hunt.add(f"a {what}'s token", made["SessionToken"])
        session = (made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        server.client("s3", session).list_buckets()


def _customer_keys(s3: Any, hunt: Hunt) -> None:
    s3.create_bucket(Bucket="secret")
    key = hunt.add("a customer's key (SSE-C)", secrets.token_bytes(32))
    body = hunt.add("an object under a customer's key", secrets.token_hex(40))
    hunt.add("the digest of a customer's key", hashlib.md5(key).digest())
    with_key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    s3.put_object(Bucket="secret", Key="k", Body=body, **with_key)
    assert s3.get_object(Bucket="secret", Key="k", **with_key)["Body"].read().decode() == body
    copied = {f"CopySource{name}": value for name, value in with_key.items()}
    s3.copy_object(Bucket="secret", Key="copy", CopySource="secret/k", **with_key, **copied)
    upload = s3.create_multipart_upload(Bucket="secret", Key="parts", **with_key)["UploadId"]
    s3.upload_part(Bucket="secret", Key="parts", UploadId=upload, PartNumber=1, Body=body, **with_key)
    other = hunt.add("a wrong customer's key", secrets.token_bytes(32))
    with pytest.raises(ClientError):
        s3.get_object(Bucket="secret", Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey=other)


def _kms(kms: Any, hunt: Hunt) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    plain = hunt.add("a text that KMS encrypts", secrets.token_bytes(24))
    sealed = kms.encrypt(KeyId=key, Plaintext=plain)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == plain
    hunt.add("a data key", kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"])
    hunt.add("random bytes", kms.generate_random(NumberOfBytes=32)["Plaintext"])


def _pipeline(server: ServerProcess, hunt: Hunt) -> None:
    """A pipeline's OAuth token is kept, sealed or not, where only the pipeline finds it: it never shows in a record."""
    codepipeline = server.client("codepipeline")
    token = secrets.token_hex(20)
    action = {
        "name": "Source",
        "actionTypeId": {"category": "Source", "owner": "ThirdParty", "provider": "GitHub", "version": "1"},
        "configuration": {"Owner": "o", "Repo": "r", "Branch": "main", "OAuthToken": token},
        "outputArtifacts": [{"name": "App"}],
    }
    approval = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
    pipeline = {
        "name": "p",
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/worker",
        "artifactStore": {"type": "S3", "location": "secret"},
        "stages": [
            {"name": "Source", "actions": [action]},
            {"name": "Wait", "actions": [{"name": "Ask", "actionTypeId": approval}]},
        ],
    }
    answer = codepipeline.create_pipeline(pipeline=pipeline)
    hunt.add("an OAuth token", token)
    assert token not in json.dumps(answer, default=str)


def _presigned(server: ServerProcess, hunt: Hunt) -> None:
    url = server.client("s3", signature_version="s3v4").generate_presigned_url(
        "put_object", Params={"Bucket": "secret", "Key": "by-url"}
    )
    signature = dict(part.split("=", 1) for part in urlsplit(url).query.split("&"))
    hunt.add("a presigned URL's signature", signature["X-Amz-Signature"])
    urllib.request.urlopen(urllib.request.Request(url, data=b"x", method="PUT"), timeout=10).close()


def _bad_signature(server: ServerProcess, hunt: Hunt) -> None:
    """Somebody sends a secret where none belongs."""
    pasted = hunt.add("a secret in an Authorization header", secrets.token_hex(24))
    request = urllib.request.Request(f"{server.url}/secret/k", headers={"Authorization": f"Bearer {pasted}"})
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10).close()


def _search_as_readers(server: ServerProcess, trail: TrailLog, hunt: Hunt) -> None:
    """Log files, digests, the event history and the metrics, as they are read."""
    for kind in ("CloudTrail", "CloudTrail-Digest"):
        for key in trail.files(kind):
            packed = trail.s3.get_object(Bucket=trail.bucket, Key=key)["Body"].read()
            hunt.search(key, gzip.decompress(packed))
    seen = 0
    for page in server.client("cloudtrail").get_paginator("lookup_events").paginate():
        for event in page["Events"]:
            hunt.search(f"the event history, {event['EventName']}", event["CloudTrailEvent"].encode())
            seen += 1
    assert seen > 20
    hunt.search("the page of metrics", server.metrics().encode())
    assert trail.records
