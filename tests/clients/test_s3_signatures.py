"""Every way a client may sign, and what becomes of a signature that does not hold."""

from __future__ import annotations

import http.client
import socket
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.server_process import REGION, ROOT_KEY, ROOT_SECRET, ServerProcess
from tests.clients.trail_log import TrailLog


def fetch(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """One request with no header but what is given, as a browser or curl would use a presigned URL."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", where.port, timeout=20)
    try:
        connection.request(method, url[url.index("/", 8) :], body, {"Host": where.netloc, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture
def localhost_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME.localhost is this machine, as browsers and systemd have it; not every resolver knows."""
    ask = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        return ask("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture(scope="module")
def new(server: ServerProcess) -> Any:
    """A client that presigns with version 4, which boto3 does not by itself in us-east-1."""
    return server.client("s3", signature_version="s3v4")


@pytest.fixture(scope="module")
def old(server: ServerProcess) -> Any:
    """A client that signs as of 2006."""
    return server.client("s3", signature_version="s3")


def test_presigned_get_and_put(new: Any, bucket: str) -> None:
    put = new.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    assert fetch(put, "PUT", b"by url")[0] == 200
    get = new.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    assert fetch(get) == (200, b"by url")
    assert fetch(get, Range="bytes=3-5") == (206, b"url")
    answer = get.replace("a%20b", "another")
    status, body = fetch(answer)
    assert (status, b"<Code>SignatureDoesNotMatch</Code>" in body) == (403, True)
    status, body = fetch(get, "PUT", b"x")
    assert (status, b"<Code>SignatureDoesNotMatch</Code>" in body) == (403, True)


def test_presigned_urls_expire(new: Any, old: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    week = new.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=604801)
    status, body = fetch(week)
    assert (status, b"AuthorizationQueryParametersError" in body) == (400, True)
    expired = old.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=-5)
    status, body = fetch(expired)
    assert (status, b"<Code>AccessDenied</Code>" in body, b"expired" in body) == (403, True, True)


def test_signature_version_2(old: Any, bucket: str, trail: TrailLog) -> None:
    old.put_object(Bucket=bucket, Key="old ways", Body=b"2006", Metadata={"a": "b"})
    got = old.get_object(Bucket=bucket, Key="old ways", ResponseContentType="text/css")
    assert (got["Body"].read(), got["ContentType"]) == (b"2006", "text/css")
    old.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert old.list_object_versions(Bucket=bucket)["Versions"][0]["Key"] == "old ways"
    more = trail.of(got)["additionalEventData"]
    assert (more["SignatureVersion"], more["AuthenticationMethod"]) == ("SigV2", "AuthHeader")


def test_signature_version_2_in_the_query(old: Any, bucket: str) -> None:
    params = {"Bucket": bucket, "Key": "k"}
    assert fetch(old.generate_presigned_url("put_object", Params=params), "PUT", b"x")[0] == 200
    url = old.generate_presigned_url("get_object", Params=params)
    assert "Signature=" in url
    assert "X-Amz" not in url
    assert fetch(url) == (200, b"x")
    assert fetch(url.replace("Signature=", "Signature=A"))[0] == 403


def test_anonymous_callers(server: ServerProcess, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="open/k", Body=b"public")
    s3.put_object(Bucket=bucket, Key="closed", Body=b"private")
    anyone = boto3.client("s3", endpoint_url=server.url, region_name=REGION, config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError) as error:
        anyone.get_object(Bucket=bucket, Key="open/k")
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    s3.delete_public_access_block(Bucket=bucket)
    policy = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
        f'"Resource":"arn:aws:s3:::{bucket}/open/*"}}}}'
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert anyone.get_object(Bucket=bucket, Key="open/k")["Body"].read() == b"public"
    assert fetch(f"{server.url}/{bucket}/open/k") == (200, b"public")
    for refused in (
        lambda: anyone.get_object(Bucket=bucket, Key="closed"),
        lambda: anyone.put_object(Bucket=bucket, Key="open/k", Body=b"x"),
        lambda: anyone.list_objects_v2(Bucket=bucket),
    ):
        with pytest.raises(ClientError) as error:
            refused()
        assert error.value.response["Error"]["Code"] == "AccessDenied"


@pytest.mark.parametrize(
    ("key", "service", "code"),
    [
        (("AKIANOBODYNOBODYNOBO", ROOT_SECRET), "s3", "InvalidAccessKeyId"),
        ((ROOT_KEY, "wrong"), "s3", "SignatureDoesNotMatch"),
        ((ROOT_KEY, ROOT_SECRET, "no token"), "s3", "InvalidToken"),
        (("AKIANOBODYNOBODYNOBO", ROOT_SECRET), "iam", "InvalidClientTokenId"),
        ((ROOT_KEY, "wrong"), "iam", "SignatureDoesNotMatch"),
        (("AKIANOBODYNOBODYNOBO", ROOT_SECRET), "cloudtrail", "UnrecognizedClientException"),
        ((ROOT_KEY, "wrong"), "cloudtrail", "InvalidSignatureException"),
        ((ROOT_KEY, "wrong"), "events", "InvalidSignatureException"),
    ],
)
def test_keys_that_do_not_hold(server: ServerProcess, key: tuple[str, ...], service: str, code: str) -> None:
    client = server.client(service, key)
    operation = {"s3": "list_buckets", "iam": "list_users", "cloudtrail": "list_trails", "events": "list_rules"}
    with pytest.raises(ClientError) as error:
        getattr(client, operation[service])()
    assert error.value.response["Error"]["Code"] == code
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)


def test_a_wrong_secret_of_version_2(server: ServerProcess) -> None:
    with pytest.raises(ClientError) as error:
        server.client("s3", (ROOT_KEY, "wrong"), signature_version="s3").list_buckets()
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.usefixtures("localhost_names")
def test_addressing(server: ServerProcess, bucket: str, style: str) -> None:
    client = server.client("s3", url=f"http://localhost:{server.port}", s3={"addressing_style": style})
    asked: list[str] = []
    client.meta.events.register("before-send.s3", lambda request, **_: asked.append(request.url))
    client.put_object(Bucket=bucket, Key="folder/k", Body=b"addressed")
    assert client.get_object(Bucket=bucket, Key="folder/k")["Body"].read() == b"addressed"
    assert [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["folder/k"]
    assert all((f"//{bucket}.localhost:" in url) == (style == "virtual") for url in asked)
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "folder/k"})
    assert fetch(url) == (200, b"addressed")
    old = server.client(
        "s3", url=f"http://localhost:{server.port}", signature_version="s3", s3={"addressing_style": style}
    )
    assert old.get_object(Bucket=bucket, Key="folder/k")["Body"].read() == b"addressed"


def test_a_client_that_waits_for_continue(server: ServerProcess, s3: Any, bucket: str) -> None:
    """botocore itself waits for `100 Continue` on a PUT with a body; a refusal must come without it."""
    sent: list[Any] = []
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request.headers.get("Expect")))
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 2_000_000)
    assert sent[-1] in (b"100-continue", "100-continue")
    with pytest.raises(ClientError) as error:
        server.client("s3", (ROOT_KEY, "wrong")).put_object(Bucket=bucket, Key="k", Body=b"x" * 2_000_000)
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_a_scope_that_names_no_region_is_told_which_one_to_use(new: Any, bucket: str) -> None:
    """s3cmd signs for `US` until it is told better; and a region ends up in the keys of log files."""
    url = new.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket}, ExpiresIn=60)
    for region in ("US", "..%2F..%2Fetc", "a" * 33):
        status, body = fetch(url.replace(f"%2F{REGION}%2F", f"%2F{region}%2F"))
        assert status in (400, 403), region
        assert b"AuthorizationQueryParametersError" in body, body
    answer = fetch(url.replace(f"%2F{REGION}%2F", "%2FUS%2F"))[1]
    assert f"<Region>{REGION}</Region>".encode() in answer
