"""The command line's client on a socket: odd servers, closed connections, names that need signing with care."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator

import pytest

from opentrail.errors import AwsError
from opentrail.server.client import BadEndpoint, Client, Unanswered
from opentrail.wire.outgoing import Key
from tests.clients.server_process import REGION, ROOT_KEY, ROOT_SECRET, ServerProcess

ROOT = Key(ROOT_KEY, ROOT_SECRET)
WHO = b"<R><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></R>"
EMPTY_LIST = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"


class Answers:
    """A server that sends one prepared answer on each connection, then closes it."""

    def __init__(self, *answers: bytes) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, args=(answers,), daemon=True)
        self._thread.start()

    def _serve(self, answers: tuple[bytes, ...]) -> None:
        for answer in answers:
            connection, _ = self.listener.accept()
            with connection:
                self.requests.append(connection.recv(65_536))
                connection.sendall(answer)

    def close(self) -> None:
        self._thread.join(10)
        self.listener.close()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture
def answers() -> Iterator[list[Answers]]:
    made: list[Answers] = []
    yield made
    for each in made:
        each.close()


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx", ok(b"<html/>"), ok(b"\xff\xfe")],
)
def test_what_is_no_answer_is_told_so(answers, answer):
    answers.append(Answers(answer))
    with pytest.raises(Unanswered, match="answer"):
        Client(answers[0].endpoint, ROOT, REGION).call("sts", "GetCallerIdentity")


def test_reading_again_after_a_closed_connection_is_tried_once(answers):
    answers.append(Answers(ok(EMPTY_LIST), ok(EMPTY_LIST)))
    client = Client(answers[0].endpoint, ROOT, REGION)
    for _ in range(2):
        assert client.call("s3", "ListObjectsV2", {"Bucket": "b"}) == {"KeyCount": 0}
    assert len(answers[0].requests) == 2


def test_what_changes_something_is_never_sent_twice(answers):
    answers.append(Answers(ok(WHO)))
    client = Client(answers[0].endpoint, ROOT, REGION)
    assert client.call("sts", "GetCallerIdentity") == {"Account": "1"}
    with pytest.raises(Unanswered):
        client.call("sts", "GetCallerIdentity")
    assert len(answers[0].requests) == 1


def test_a_secret_never_goes_over_the_wire(answers):
    answers.append(Answers(ok(WHO)))
    Client(answers[0].endpoint, ROOT, REGION).call("sts", "GetCallerIdentity")
    assert ROOT_KEY.encode() in answers[0].requests[0]
    assert ROOT_SECRET.encode() not in answers[0].requests[0]


@pytest.mark.parametrize("endpoint", ["", "x", "file:///x", "http://", "http://h:99999", "http://h/p", "http://h?q"])
def test_an_endpoint_must_be_a_server(endpoint):
    with pytest.raises(BadEndpoint):
        Client(endpoint, ROOT, REGION)


def test_certificates_must_be_readable(tmp_path):
    with pytest.raises(BadEndpoint, match="certificates"):
        Client("https://h", ROOT, REGION, ca_bundle=str(tmp_path / "none"))
    assert Client("https://h", ROOT, REGION).endpoint == "https://h"


@pytest.mark.slow
def test_odd_keys_are_signed_as_the_server_reads_them(server: ServerProcess):
    client = Client(server.url, ROOT, REGION)
    bucket = f"b-{uuid.uuid4().hex}"
    client.call("s3", "CreateBucket", {"Bucket": bucket})
    for key in ("a b+c", "é/日本", "x//y/../z", "%41=&?#", "~*'()!"):
        client.call("s3", "PutObject", {"Bucket": bucket, "Key": key, "Body": key.encode(), "Metadata": {"m": "v"}})
        answer = client.call("s3", "GetObject", {"Bucket": bucket, "Key": key})
        assert (answer["Body"], answer["Metadata"]) == (key.encode(), {"m": "v"})
        head = client.call("s3", "HeadObject", {"Bucket": bucket, "Key": key})
        assert head["ContentLength"] == len(key.encode())
    listed = client.call("s3", "ListObjectsV2", {"Bucket": bucket, "Prefix": "é/"})
    assert [entry["Key"] for entry in listed["Contents"]] == ["é/日本"]
    with pytest.raises(AwsError, match="NoSuchKey"):
        client.call("s3", "GetObject", {"Bucket": bucket, "Key": "none"})
    with pytest.raises(AwsError, match="HTTP 404"):
        client.call("s3", "HeadObject", {"Bucket": bucket, "Key": "none"})
    client.close()
