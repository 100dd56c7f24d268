"""What browsers do with a real server: preflights, uploads by form, websites; and notifications that arrive."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.server_process import ACCOUNT, ServerProcess
from tests.clients.waiting import until

BOUNDARY = "opentrail-boundary"
LARGE = 3 * 1024 * 1024


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def send(server: ServerProcess, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """One request as a browser sends it; names of headers with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, body or None, {name.replace("_", "-"): v for name, v in headers.items()})
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
    finally:
        connection.close()


def form(fields: dict[str, str], data: bytes) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="up load.bin"\r\n\r\n'
    return ("".join(parts) + head).encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("size", [11, LARGE])
def test_a_form_signed_by_boto3(server: ServerProcess, s3: Any, bucket: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    made = s3.generate_presigned_post(
        bucket,
        "in/${filename}",
        Fields={"success_action_status": "201"},
        Conditions=[{"success_action_status": "201"}, ["content-length-range", 0, LARGE]],
    )
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    answer = send(server, "POST", f"/{bucket}", form(made["fields"], data[:size]), content_type=kind)
    assert answer.status == 201, answer.body
    assert b"<PostResponse><Location>" in answer.body
    assert s3.get_object(Bucket=bucket, Key="in/up load.bin")["Body"].read() == data[:size]
    answer = send(server, "POST", f"/{bucket}", form(made["fields"], bytes(LARGE + 1)), content_type=kind)
    assert (answer.status, b"EntityTooLarge" in answer.body) == (400, True)


def test_a_page_of_another_origin(server: ServerProcess, s3: Any, bucket: str) -> None:
    rules = [{"AllowedMethods": ["PUT", "GET"], "AllowedOrigins": ["https://app.example"], "AllowedHeaders": ["*"]}]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    asks = {"access_control_request_method": "PUT", "access_control_request_headers": "content-type"}
    answer = send(server, "OPTIONS", f"/{bucket}/k", origin="https://app.example", **asks)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
    assert answer.headers["access-control-allow-headers"] == "content-type"
    assert send(server, "OPTIONS", f"/{bucket}/k", origin="https://evil.example", **asks).status == 403
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    answer = send(server, "PUT", url.partition(server.host)[2], b"x", origin="https://app.example", host=server.host)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")


def test_a_website(server: ServerProcess, s3: Any, bucket: str) -> None:
    s3.put_bucket_website(
        Bucket=bucket,
        WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}},
    )
    s3.delete_public_access_block(Bucket=bucket)
    arns = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    allow = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": arns}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    s3.put_object(Bucket=bucket, Key="docs/index.html", Body=b"<p>docs", ContentType="text/html")
    s3.put_object(Bucket=bucket, Key="error.html", Body=b"<p>sorry", ContentType="text/html")
    host = f"{bucket}.s3-website.localhost"
    answer = send(server, "GET", "/docs/", host=host)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"<p>docs", "text/html")
    answer = send(server, "GET", "/docs", host=host)
    assert (answer.status, answer.headers["location"]) == (302, "/docs/")
    answer = send(server, "GET", "/missing", host=host)
    assert (answer.status, answer.body, answer.headers["x-amz-error-code"]) == (404, b"<p>sorry", "NoSuchKey")
    assert send(server, "DELETE", "/docs/", host=host).status == 405


def received(sqs: Any, url: str, most: int = 1) -> list[Any]:
    """The next messages, as soon as there are any."""
    given = {"QueueUrl": url, "MaxNumberOfMessages": most, "WaitTimeSeconds": 20}
    return list(until(lambda: sqs.receive_message(**given).get("Messages")))


def test_a_queue_is_told(server: ServerProcess, s3: Any, bucket: str) -> None:
    sqs = server.client("sqs")
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{bucket}"
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    url = sqs.create_queue(QueueName=bucket, Attributes={"Policy": policy})["QueueUrl"]
    wanted = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [wanted], "EventBridgeConfiguration": {}}
    )
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="a b")
    bodies: list[dict[str, Any]] = []
    while len(bodies) < 3:
        for message in received(sqs, url, 10):
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert [body["Event"] for body in bodies if "Event" in body] == ["s3:TestEvent"]
    found = {
        record["eventName"]: record["s3"]["object"]["key"] for body in bodies for record in body.get("Records", ())
    }
    assert found == {"ObjectCreated:Put": "a+b", "ObjectRemoved:Delete": "a+b"}


def test_a_rule_sees_the_event(server: ServerProcess, s3: Any, bucket: str) -> None:
    sqs, events = server.client("sqs"), server.client("events")
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{bucket}"
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    url = sqs.create_queue(QueueName=bucket, Attributes={"Policy": policy})["QueueUrl"]
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "in/"}]}},
    }
    events.put_rule(Name=bucket, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=bucket, Targets=[{"Id": "queue", "Arn": arn}])
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    for key in ("out/a", "in/b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12")
    (message,) = received(sqs, url)
    event = json.loads(message["Body"])
    assert (event["detail"]["object"]["key"], event["detail"]["object"]["size"]) == ("in/b", 2)
    assert (event["account"], event["region"], event["resources"]) == (ACCOUNT, "us-east-1", [f"arn:aws:s3:::{bucket}"])
