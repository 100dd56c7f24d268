"""Annotations by boto3 on a socket: they stream, are many, and leave nothing on the disk."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clients.server_process import ServerProcess, stored
from tests.clients.waiting import until

MIB = 1024 * 1024


def blobs(server: ServerProcess) -> list[Path]:
    """Files of a size that only this test writes."""
    return [path for path, size in stored(server).items() if size == MIB - 7]


def test_annotations(server: ServerProcess, s3: Any, bucket: str) -> None:
    key = {"Bucket": bucket, "Key": "a key"}
    s3.put_object(**key, Body=b"x")
    large = b"z" * (MIB - 7)
    s3.put_object_annotation(**key, AnnotationName="large", AnnotationPayload=large)
    s3.put_object_annotation(**key, AnnotationName="größe-1", AnnotationPayload="Straße".encode())
    got = s3.get_object_annotation(**key, AnnotationName="large", ChecksumMode="ENABLED")
    assert got["AnnotationPayload"].read() == large  # and botocore has checked it
    assert got["ChecksumCRC32"]
    assert s3.get_object_annotation(**key, AnnotationName="größe-1")["AnnotationPayload"].read().decode() == "Straße"
    with pytest.raises(s3.exceptions.NoSuchAnnotation):
        s3.get_object_annotation(**key, AnnotationName="small")
    with pytest.raises(s3.exceptions.InvalidAnnotationName):
        s3.put_object_annotation(**key, AnnotationName="aws-1", AnnotationPayload=b"x")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=key)
    assert len(blobs(server)) == 2
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a key"}, {"Key": "copy"}]})
    until(lambda: not blobs(server))


def test_a_queue_hears_of_annotations(server: ServerProcess, s3: Any, bucket: str, name: str) -> None:
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(statement)})
    told = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectAnnotation:Put"]}]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)
    s3.put_object(Bucket=bucket, Key="heard", Body=b"x")
    s3.put_object_annotation(Bucket=bucket, Key="heard", AnnotationName="a", AnnotationPayload=b"text")
    heard: list[Any] = []

    def listen() -> bool:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            heard.extend(json.loads(message["Body"]).get("Records", []))
        return bool(heard)

    until(listen)
    [record] = heard
    assert (record["eventName"], record["objectAnnotation"][0]["name"]) == ("ObjectAnnotation:Put", "a")


def test_annotations_are_replicated(server: ServerProcess, s3: Any, name: str) -> None:
    source, target, iam = name, f"{name}-too", server.client("iam")
    for each in (source, target):
        s3.create_bucket(Bucket=each)
        s3.put_bucket_versioning(Bucket=each, VersioningConfiguration={"Status": "Enabled"})
    trust = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(everything))
    rule = {"Status": "Enabled", "Priority": 1, "Filter": {}, "DeleteMarkerReplication": {"Status": "Disabled"}}
    rule["Destination"] = {"Bucket": f"arn:aws:s3:::{target}"}
    s3.put_bucket_replication(Bucket=source, ReplicationConfiguration={"Role": role, "Rules": [rule]})
    s3.put_object(Bucket=source, Key="k", Body=b"x")
    large = b"z" * 300_000
    for annotation, text in (("small", b"text"), ("large", large)):
        s3.put_object_annotation(Bucket=source, Key="k", AnnotationName=annotation, AnnotationPayload=text)

    def states() -> dict[str, str]:
        listed = s3.list_object_annotations(Bucket=source, Key="k")["Annotations"]
        return {each["AnnotationName"]: each["ReplicationStatus"] for each in listed}

    until(lambda: states() == {"large": "COMPLETED", "small": "COMPLETED"}, states)
    got = s3.get_object_annotation(Bucket=target, Key="k", AnnotationName="large", ChecksumMode="ENABLED")
    assert (got["AnnotationPayload"].read(), got["ReplicationStatus"]) == (large, "REPLICA")


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_many_at_once(server: ServerProcess, bucket: str) -> None:
    """Writers of one object get in each other's way, and none is lost or counted twice."""
    local = threading.local()

    def put(number: int) -> None:
        if not hasattr(local, "s3"):
            local.s3 = server.client("s3", retries={"max_attempts": 5})
        local.s3.put_object_annotation(
            Bucket=bucket, Key="k", AnnotationName=f"n{number % 30:02d}", AnnotationPayload=str(number).encode()
        )

    s3 = server.client("s3")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(put, range(60)))
    listed = s3.list_object_annotations(Bucket=bucket, Key="k")
    assert [each["AnnotationName"] for each in listed["Annotations"]] == [f"n{number:02d}" for number in range(30)]
    s3.delete_object(Bucket=bucket, Key="k")
