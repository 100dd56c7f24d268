"""Notifications: the document, and what queues, topics and EventBridge are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from opentrail.call import Principal
from opentrail.errors import AwsError
from opentrail.followers.lifecycle import LifecycleFollower
from opentrail.followers.notifications import NotificationsFollower
from opentrail.rows.s3_notices import NOTICES
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.signing import Signer
from opentrail.services import sns, sqs
from opentrail.services.s3.lifecycle_pass import lifecycle_step
from opentrail.services.s3.service import service
from tests.services.s3.browser import post_form
from tests.services.s3.world import BUCKET, World

ACCOUNT = "000000000000"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:told"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:told"
ROOT = Principal("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
EVERYTHING = [
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:ObjectTagging:*",
    "s3:ObjectAcl:Put",
    "s3:ObjectRestore:*",
]


class Post:
    """A queue and a topic that S3 may write to, and what came to them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.follower = NotificationsFollower(world.house)
        self.url = self.call("sqs", "CreateQueue", QueueName="told", Attributes={"Policy": allowing("sqs:*")})[
            "QueueUrl"
        ]
        self.call("sns", "CreateTopic", Name="told", Attributes={"Policy": allowing("sns:Publish")})

    def call(self, service: str, operation: str, **given: Any) -> dict[str, Any]:
        road = self.world.house.road
        answer = self.world.loop.run_until_complete(road.call(ROOT, service, operation, given, region="us-east-1"))
        return answer.output

    def deliver(self) -> None:
        self.world.loop.run_until_complete(self.follower.flush())

    def received(self) -> list[dict[str, Any]]:
        """The bodies of what lies in the queue, taken out."""
        self.deliver()
        found: list[dict[str, Any]] = []
        while messages := self.call("sqs", "ReceiveMessage", QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.call("sqs", "DeleteMessage", QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def names(self) -> list[str]:
        return sorted(body["Records"][0]["eventName"] for body in self.received())

    def bridged(self) -> list[dict[str, Any]]:
        lines = [line for line in self.world.ledger.lines if line.kind == "event"]
        return [json.loads(line.data)["event"] for line in lines]

    def waiting(self) -> int:
        return len(NOTICES.page(self.world.unit()))


def allowing(action: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": action,
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{BUCKET}"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def post(s3: Any, world: World) -> Post:
    services = {"s3": service, "sqs": sqs.service, "sns": sns.service}
    gate = Gate(world.house, services, SystemClock(), Signer(world.house))
    world.gate = world.house.road.gate = gate  # type: ignore[attr-defined]
    return Post(world)


def configure(s3: Any, **document: Any) -> None:
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=document)


def queue(*events: str, **filters: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": "mine", "QueueArn": QUEUE, "Events": list(events) or EVERYTHING}
    if filters:
        rules = [{"Name": name, "Value": value} for name, value in filters.items()]
        entry["Filter"] = {"Key": {"FilterRules": rules}}
    return entry


@pytest.fixture
def told(s3: Any, post: Post) -> Post:
    """A bucket that tells the queue and EventBridge everything; the test message has been taken out."""
    configure(s3, QueueConfigurations=[queue()], EventBridgeConfiguration={})
    (trial,) = post.received()
    assert (trial["Service"], trial["Event"], trial["Bucket"]) == ("Amazon S3", "s3:TestEvent", BUCKET)
    return post


def test_document(s3: Any, post: Post) -> None:
    def shown() -> dict[str, Any]:
        found = s3.get_bucket_notification_configuration(Bucket=BUCKET)
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    assert shown() == {}
    entry = queue("s3:ObjectCreated:Put", prefix="a/", suffix=".jpg")
    configure(s3, QueueConfigurations=[entry], EventBridgeConfiguration={})
    found = shown()
    names = {rule["Name"].lower() for rule in found["QueueConfigurations"][0]["Filter"]["Key"]["FilterRules"]}
    assert names == {"prefix", "suffix"}
    assert found["QueueConfigurations"][0]["Id"] == "mine"
    assert found["EventBridgeConfiguration"] == {}
    configure(s3, TopicConfigurations=[{"TopicArn": TOPIC, "Events": ["s3:ObjectRemoved:*"]}])
    assert shown()["TopicConfigurations"][0]["Id"]
    configure(s3)
    assert shown() == {}


@pytest.mark.parametrize(
    "entries",
    [
        [queue("s3:ObjectCreated:Never")],
        [queue("ObjectCreated:Put")],
        [queue() | {"QueueArn": "arn:aws:sqs:us-east-1"}],
        [queue() | {"QueueArn": TOPIC}],
        [queue(prefix="a", Prefix="b")],
        [queue(prefix="a" * 1_025)],
        [queue("s3:ObjectCreated:*"), queue("s3:ObjectCreated:Put") | {"Id": "b"}],
        [queue("s3:ObjectCreated:*"), queue("s3:ObjectRemoved:*")],
        [queue("s3:ObjectCreated:Put", prefix="a"), queue("s3:ObjectCreated:Put", prefix="ab") | {"Id": "b"}],
        [queue("s3:ObjectCreated:Put", suffix="g"), queue("s3:ObjectCreated:Put", suffix="jpg") | {"Id": "b"}],
        [queue() | {"QueueArn": QUEUE + "-missing"}],
        [queue() | {"QueueArn": QUEUE.replace("us-east-1", "eu-west-1")}],
    ],
)
def test_refused_documents(s3: Any, post: Post, entries: list[Any]) -> None:
    with pytest.raises(ClientError) as error:
        configure(s3, QueueConfigurations=entries)
    assert error.value.response["Error"]["Code"] == "InvalidArgument"
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=BUCKET)


def test_filters_that_do_not_meet(s3: Any, post: Post) -> None:
    one = queue("s3:ObjectCreated:*", prefix="images/", suffix="jpg")
    configure(s3, QueueConfigurations=[one, queue("s3:ObjectCreated:*", prefix="images/", suffix="png") | {"Id": "b"}])
    post.received()
    for key in ("images/a.jpg", "images/a.png", "images/a.gif", "a.jpg"):
        s3.put_object(Bucket=BUCKET, Key=key)
    found = {(body["Records"][0]["s3"]["configurationId"]) for body in post.received()}
    assert found == {"mine", "b"}


def test_a_destination_that_does_not_take_it(s3: Any, post: Post) -> None:
    post.call("sqs", "CreateQueue", QueueName="closed")
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations"):
        configure(s3, QueueConfigurations=[queue() | {"QueueArn": QUEUE.replace("told", "closed")}])
    function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"
    lambdas = [{"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}]
    with pytest.raises(ClientError, match="Unable to validate"):
        configure(s3, LambdaFunctionConfigurations=lambdas)
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={"LambdaFunctionConfigurations": lambdas},
        SkipDestinationValidation=True,
    )
    s3.put_object(Bucket=BUCKET, Key="a")
    assert post.received() == []
    assert post.waiting() == 0


def test_the_message(s3: Any, told: Post) -> None:
    answer = s3.put_object(Bucket=BUCKET, Key="dir/red flower+ü.jpg", Body=b"12345")
    (body,) = told.received()
    (record,) = body["Records"]
    assert (record["eventVersion"], record["eventSource"], record["awsRegion"]) == ("2.1", "aws:s3", "us-east-1")
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["requestParameters"] == {"sourceIPAddress": "192.0.2.1"}
    assert record["responseElements"]["x-amz-request-id"] == answer["ResponseMetadata"]["RequestId"]
    part = record["s3"]
    assert (part["s3SchemaVersion"], part["configurationId"]) == ("1.0", "mine")
    assert part["bucket"]["arn"] == f"arn:aws:s3:::{BUCKET}"
    thing = part["object"]
    assert thing["key"] == "dir/red+flower%2B%C3%BC.jpg"
    assert (thing["size"], thing["eTag"]) == (5, answer["ETag"].strip('"'))
    assert "versionId" not in thing
    assert int(thing["sequencer"], 16)
    (event,) = told.bridged()
    assert (event["detail-type"], event["source"], event["account"]) == ("Object Created", "aws.s3", ACCOUNT)
    assert event["detail"]["object"]["key"] == "dir/red flower+ü.jpg"
    assert (event["detail"]["reason"], event["detail"]["requester"]) == ("PutObject", ACCOUNT)


def test_every_way_to_make_an_object(s3: Any, told: Post, world: World) -> None:
    s3.put_object(Bucket=BUCKET, Key="a")
    s3.copy_object(Bucket=BUCKET, Key="b", CopySource=f"{BUCKET}/a")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="c")["UploadId"]
    etag = s3.upload_part(Bucket=BUCKET, Key="c", UploadId=upload, PartNumber=1, Body=b"1")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    for _ in range(2):
        s3.complete_multipart_upload(Bucket=BUCKET, Key="c", UploadId=upload, MultipartUpload=parts)
    made = s3.generate_presigned_post(BUCKET, "d")
    assert post_form(world, [*made["fields"].items(), ("file", ("n", b""))]).status == 204
    ways = ["CompleteMultipartUpload", "Copy", "Post", "Put"]
    assert told.names() == [f"ObjectCreated:{way}" for way in ways]
    assert len(told.bridged()) == 4


def test_changes_of_an_object(s3: Any, told: Post) -> None:
    s3.put_object(Bucket=BUCKET, Key="a", StorageClass="GLACIER")
    s3.put_object_tagging(Bucket=BUCKET, Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket=BUCKET, Key="a")
    s3.restore_object(Bucket=BUCKET, Key="a", RestoreRequest={"Days": 1})
    kinds = ["ObjectCreated:Put", "ObjectRestore:Completed", "ObjectRestore:Post"]
    assert told.names() == [*kinds, "ObjectTagging:Delete", "ObjectTagging:Put"]
    assert [event["detail-type"] for event in told.bridged()] == [
        "Object Created",
        "Object Tags Added",
        "Object Tags Deleted",
        "Object Restore Initiated",
        "Object Restore Completed",
    ]


def test_what_fails_tells_nothing(s3: Any, told: Post) -> None:
    with pytest.raises(ClientError):
        s3.put_object(Bucket=BUCKET, Key="a", IfMatch='"x"')
    s3.delete_object(Bucket=BUCKET, Key="never-there")
    assert told.received() == []
    assert told.bridged() == []


def test_deleting(s3: Any, told: Post) -> None:
    for key in ("a", "b"):
        s3.put_object(Bucket=BUCKET, Key=key)
    told.received()
    s3.delete_object(Bucket=BUCKET, Key="a")
    objects = [{"Key": "b"}, {"Key": "b"}, {"Key": "c"}]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True})
    bodies = [body["Records"][0] for body in told.received()]
    assert sorted((each["eventName"], each["s3"]["object"]["key"]) for each in bodies) == [
        ("ObjectRemoved:Delete", "a"),
        ("ObjectRemoved:Delete", "b"),
    ]
    assert {event["detail"].get("deletion-type") for event in told.bridged()[2:]} == {"Permanently Deleted"}


def test_deleting_versions(versioned: Any, told: Post) -> None:
    one = versioned.put_object(Bucket=BUCKET, Key="a")["VersionId"]
    marker = versioned.delete_object(Bucket=BUCKET, Key="a")["VersionId"]
    told.received()
    objects = [{"Key": "a", "VersionId": one}, {"Key": "a", "VersionId": marker}, {"Key": "new"}]
    versioned.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})
    found = [body["Records"][0] for body in told.received()]
    told_of = {(each["eventName"], each["s3"]["object"]["key"], each["s3"]["object"]["versionId"]) for each in found}
    assert {("ObjectRemoved:Delete", "a", one), ("ObjectRemoved:Delete", "a", marker)} < told_of
    (created,) = [each for each in told_of if each[0] == "ObjectRemoved:DeleteMarkerCreated"]
    assert created[1] == "new"


def test_topics(s3: Any, post: Post) -> None:
    post.call("sns", "Subscribe", TopicArn=TOPIC, Protocol="sqs", Endpoint=QUEUE)
    configure(s3, TopicConfigurations=[{"TopicArn": TOPIC, "Events": ["s3:ObjectCreated:*"]}])
    s3.put_object(Bucket=BUCKET, Key="a")
    post.deliver()
    assert post.waiting() == 0
    published = post.world.records("Publish")
    assert [each["userIdentity"]["invokedBy"] for each in published] == ["s3.amazonaws.com"] * 2


def test_a_conflict_tells_once(s3: Any, told: Post, world: World) -> None:
    world.ledger.conflicts = 2
    s3.put_object(Bucket=BUCKET, Key="a")
    assert told.names() == ["ObjectCreated:Put"]
    assert len(told.bridged()) == 1


def test_a_queue_that_is_gone_is_given_up_and_one_that_is_ill_tried_again(s3: Any, told: Post, world: World) -> None:
    s3.put_object(Bucket=BUCKET, Key="a")
    gate, ill = world.house.road.gate, AwsError("InternalError", "", 500)  # type: ignore[attr-defined]

    class Ill:
        async def call(self, *_given: Any, **_more: Any) -> Any:
            raise ill

    road, world.house.road = world.house.road, Ill()  # type: ignore[assignment]
    told.deliver()
    world.house.road = road
    assert told.waiting() == 1
    assert NOTICES.page(world.unit())[0][1].attempts == 1
    assert gate is world.gate
    told.call("sqs", "DeleteQueue", QueueUrl=told.url)
    s3.put_object(Bucket=BUCKET, Key="b")
    told.deliver()
    assert told.waiting() == 1


def test_lifecycle_rules_tell_too(s3: Any, post: Post, world: World) -> None:
    configure(s3, QueueConfigurations=[queue("s3:LifecycleExpiration:*")], EventBridgeConfiguration={})
    post.received()
    s3.put_object(Bucket=BUCKET, Key="a")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Date": "2020-01-01T00:00:00Z"}}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})
    world.loop.run_until_complete(LifecycleFollower(world.house, lifecycle_step).sweep())
    (body,) = post.received()
    assert body["Records"][0]["eventName"] == "LifecycleExpiration:Delete"
    assert post.bridged()[-1]["detail"]["reason"] == "Lifecycle Expiration"


def test_a_bucket_that_tells_nobody_writes_nothing(s3: Any, post: Post) -> None:
    s3.put_object(Bucket=BUCKET, Key="a")
    s3.delete_object(Bucket=BUCKET, Key="a")
    assert post.waiting() == 0
    assert post.bridged() == []


def test_annotations_are_told_of_one_by_one(s3: Any, post: Post):
    configure(s3, QueueConfigurations=[queue("s3:ObjectAnnotation:*", "s3:ObjectCreated:Copy")])
    post.received()
    note = {"Bucket": BUCKET, "Key": "k", "AnnotationName": "note"}
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")["ETag"].strip('"')
    made = s3.put_object_annotation(**note, AnnotationPayload=b"text")["ETag"].strip('"')
    s3.copy_object(Bucket=BUCKET, Key="c", CopySource=f"{BUCKET}/k")
    s3.copy_object(Bucket=BUCKET, Key="d", CopySource=f"{BUCKET}/k", AnnotationDirective="EXCLUDE")
    for _ in range(2):
        s3.delete_object_annotation(**note)  # the second finds nothing
    s3.delete_object_annotation(**note | {"AnnotationName": "other"})
    s3.get_object(Bucket=BUCKET, Key="k")
    records = sorted((body["Records"][0] for body in post.received()), key=lambda each: str(each["eventName"]))
    gone, put, *copies = records
    assert [each["eventName"] for each in records] == [
        *("ObjectAnnotation:Delete", "ObjectAnnotation:Put"),
        *["ObjectCreated:Copy"] * 2,
    ]
    copied = {each["s3"]["object"]["key"]: each["s3"]["object"]["hasObjectAnnotation"] for each in copies}
    assert copied == {"c": True, "d": False}
    assert put["s3"]["object"] == gone["s3"]["object"] == {"key": "k", "eTag": etag}
    assert put["objectAnnotation"] == [{"name": "note", "size": 4, "eTag": made}]
    assert gone["objectAnnotation"] == [{"name": "note"}]


def test_event_bridge_hears_of_annotations(s3: Any, post: Post):
    configure(s3, EventBridgeConfiguration={})
    note = {"Bucket": BUCKET, "Key": "k", "AnnotationName": "note"}
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    made = s3.put_object_annotation(**note, AnnotationPayload=b"text")["ETag"].strip('"')
    s3.copy_object(Bucket=BUCKET, Key="c", CopySource=f"{BUCKET}/k")
    s3.copy_object(Bucket=BUCKET, Key="d", CopySource=f"{BUCKET}/k", AnnotationDirective="EXCLUDE")
    s3.delete_object_annotation(**note)
    _, put, copy, bare, gone = post.bridged()
    assert [put["detail-type"], gone["detail-type"]] == ["Object Annotation Created", "Object Annotation Removed"]
    assert put["detail"]["object-annotation"] == {"name": "note", "size": 4, "etag": made}
    assert gone["detail"]["object-annotation"] == {"name": "note"}
    assert put["detail"]["reason"] == "PutObjectAnnotation"
    assert put["detail"]["object"].keys() == {"key", "etag", "sequencer"}
    assert put["detail"]["object"]["sequencer"] < gone["detail"]["object"]["sequencer"]
    assert [each["detail"]["object"]["has-object-annotation"] for each in (copy, bare)] == [True, False]
