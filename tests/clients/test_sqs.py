"""Queues, with boto3 and in the older query protocol, against a real server."""

import json
import threading
import time
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.clients.server_process import (
    ACCOUNT,
    OTHER_ACCOUNT,
    OTHER_KEY,
    OTHER_SECRET,
    REGION,
    ROOT_KEY,
    ROOT_SECRET,
    ServerProcess,
)
from tests.hostile.raw import Line, signed_bytes

SOON = 15.0
"""Seconds in which a long poll of twenty is certainly over if something has ended it."""


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def queue(sqs, name):
    return sqs.create_queue(QueueName=name)["QueueUrl"]


def arn_of(name):
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def receive(sqs, queue, **given):
    return sqs.receive_message(QueueUrl=queue, **given).get("Messages", [])


def waiting(server, queue):
    """A connection on which the server is asked for a message, and waits for one, for twenty seconds."""
    body = json.dumps({"QueueUrl": queue, "WaitTimeSeconds": 20}).encode()
    head = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.ReceiveMessage"}
    line = Line(server)
    line.send(signed_bytes(server, "sqs", "POST", "/", body, head))
    server.client("sqs").list_queues()  # is answered, and came later: the other call is under way
    return line


def heard(line):
    """The messages that such a connection is answered with."""
    answer = line.answer("POST")
    assert answer.status == 200, answer
    return json.loads(answer.body).get("Messages", [])


def refused(call, **given):
    with pytest.raises(ClientError) as caught:
        call(**given)
    return caught.value.response["Error"]["Code"]


def counts(sqs, queue):
    shown = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    return tuple(int(shown["ApproximateNumberOfMessages" + kind]) for kind in ("", "NotVisible", "Delayed"))


def test_life_of_a_message(sqs, queue):
    attributes = {
        "text": {"DataType": "String.label", "StringValue": "ü"},
        "number": {"DataType": "Number", "StringValue": "-1.5e3"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    # boto3 itself checks the digests of body and attributes, sent and received
    sent = sqs.send_message(
        QueueUrl=queue, MessageBody="grüße\n", MessageAttributes=attributes, MessageSystemAttributes=trace
    )
    assert counts(sqs, queue) == (1, 0, 0)
    [got] = receive(sqs, queue, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])
    assert (got["MessageId"], got["Body"], got["MessageAttributes"]) == (sent["MessageId"], "grüße\n", attributes)
    system = got["Attributes"]
    assert system["SenderId"] == ACCOUNT
    assert system["ApproximateReceiveCount"] == "1"
    assert system["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    assert counts(sqs, queue) == (0, 1, 0)
    assert receive(sqs, queue) == []
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])
    assert counts(sqs, queue) == (0, 0, 0)


def test_attributes_are_chosen_by_name_and_prefix(sqs, queue):
    value = {"DataType": "String", "StringValue": "x"}
    sqs.send_message(QueueUrl=queue, MessageBody="b", MessageAttributes={"a.b": value, "a.c": value, "d": value})
    [got] = receive(sqs, queue, MessageAttributeNames=["a.*"], VisibilityTimeout=0, AttributeNames=["SenderId"])
    assert sorted(got["MessageAttributes"]) == ["a.b", "a.c"]
    assert list(got["Attributes"]) == ["SenderId"]
    [got] = receive(sqs, queue, MessageAttributeNames=["d"], VisibilityTimeout=0)
    assert sorted(got["MessageAttributes"]) == ["d"]
    assert "MessageAttributes" not in receive(sqs, queue)[0]


def test_visibility(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="b")
    [first] = receive(sqs, queue)
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    [second] = receive(sqs, queue, AttributeNames=["ApproximateReceiveCount"])
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    # the older handle deletes nothing
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"])
    assert counts(sqs, queue) == (0, 1, 0)
    stale = {"QueueUrl": queue, "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 1}
    assert refused(sqs.change_message_visibility, **stale) == "InvalidParameterValue"
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    again = {"QueueUrl": queue, "ReceiptHandle": second["ReceiptHandle"], "VisibilityTimeout": 1}
    assert refused(sqs.change_message_visibility, **again) == "AWS.SimpleQueueService.MessageNotInflight"


def test_long_polling_ends_with_the_message_and_with_the_time(server, sqs, queue):
    begun = time.monotonic()
    assert receive(sqs, queue, WaitTimeSeconds=1) == []
    assert 0.9 < time.monotonic() - begun < SOON
    with waiting(server, queue) as line:
        begun = time.monotonic()
        sqs.send_message(QueueUrl=queue, MessageBody="late")
        [got] = heard(line)
        assert got["Body"] == "late"
        assert time.monotonic() - begun < SOON
    # a delayed message, too, is received when it is due
    sqs.send_message(QueueUrl=queue, MessageBody="delayed for long", DelaySeconds=900)
    assert counts(sqs, queue)[2] == 1
    assert receive(sqs, queue) == []
    sqs.send_message(QueueUrl=queue, MessageBody="delayed", DelaySeconds=1)
    [got] = receive(sqs, queue, WaitTimeSeconds=20)
    assert got["Body"] == "delayed"


def test_a_queue_that_goes_away_ends_the_waiting(server, sqs, queue):
    with waiting(server, queue) as line:
        begun = time.monotonic()
        sqs.delete_queue(QueueUrl=queue)
        assert heard(line) == []
        assert time.monotonic() - begun < SOON


def test_waiting_clients_share_what_comes(server, sqs, queue):
    got = []

    def wait(client):
        got.extend(receive(client, queue, WaitTimeSeconds=20))

    threads = [threading.Thread(target=wait, args=(server.client("sqs"),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(4):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
    for thread in threads:
        thread.join()
    assert sorted(each["Body"] for each in got) == ["0", "1", "2", "3"]


def test_too_many_receives_end_in_the_dead_letter_queue(sqs, queue, name):
    dead = sqs.create_queue(QueueName=name + "-dead")["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": arn_of(name + "-dead"), "maxReceiveCount": "2"})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]
    sent = sqs.send_message(QueueUrl=queue, MessageBody="poison")
    for _ in range(2):
        assert len(receive(sqs, queue, VisibilityTimeout=0)) == 1
    assert receive(sqs, queue) == []
    [got] = receive(sqs, dead, AttributeNames=["All"])
    assert got["MessageId"] == sent["MessageId"]
    assert got["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(name)
    assert counts(sqs, queue) == (0, 0, 0)
    missing = json.dumps({"deadLetterTargetArn": arn_of("nowhere"), "maxReceiveCount": 1})
    assert (
        refused(sqs.set_queue_attributes, QueueUrl=queue, Attributes={"RedrivePolicy": missing})
        == "InvalidParameterValue"
    )
    sqs.set_queue_attributes(
        QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})}
    )
    assert (
        refused(sqs.set_queue_attributes, QueueUrl=queue, Attributes={"RedrivePolicy": policy})
        == "InvalidParameterValue"
    )


def test_batches(sqs, queue):
    answer = sqs.send_message_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": "a", "MessageBody": "1"},
            {"Id": "b", "MessageBody": "\x00"},
            {"Id": "c", "MessageBody": "3", "DelaySeconds": 901},
            {"Id": "d", "MessageBody": "4"},
        ],
    )
    assert [each["Id"] for each in answer["Successful"]] == ["a", "d"]
    codes = {each["Id"]: each["Code"] for each in answer["Failed"]}
    assert codes == {"b": "InvalidMessageContents", "c": "InvalidParameterValue"}
    got = receive(sqs, queue, MaxNumberOfMessages=10)
    handles = [{"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]} for number, each in enumerate(got)]
    longer = [{**each, "VisibilityTimeout": 100} for each in handles]
    assert len(sqs.change_message_visibility_batch(QueueUrl=queue, Entries=longer)["Successful"]) == 2
    answer = sqs.delete_message_batch(QueueUrl=queue, Entries=[*handles, {"Id": "x", "ReceiptHandle": "no"}])
    assert len(answer["Successful"]) == 2
    assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    prefix = "AWS.SimpleQueueService."
    many = [{"Id": str(number), "MessageBody": "x"} for number in range(11)]
    assert refused(sqs.send_message_batch, QueueUrl=queue, Entries=many) == prefix + "TooManyEntriesInBatchRequest"
    twice = [{"Id": "a", "MessageBody": "x"}] * 2
    assert refused(sqs.send_message_batch, QueueUrl=queue, Entries=twice) == prefix + "BatchEntryIdsNotDistinct"
    assert refused(sqs.send_message_batch, QueueUrl=queue, Entries=[]) == prefix + "EmptyBatchRequest"
    odd = [{"Id": "a b", "MessageBody": "x"}]
    assert refused(sqs.send_message_batch, QueueUrl=queue, Entries=odd) == prefix + "InvalidBatchEntryId"


def test_queues(sqs, queue, name):
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == queue
    assert sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "30"})["QueueUrl"] == queue
    assert refused(sqs.create_queue, QueueName=name, Attributes={"VisibilityTimeout": "31"}) == "QueueAlreadyExists"
    for number in range(3):
        sqs.create_queue(QueueName=f"{name}-{number}")
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=name + "-", PaginationConfig={"PageSize": 2})
    urls = [url for page in pages for url in page.get("QueueUrls", [])]
    assert urls == [f"{queue}-{number}" for number in range(3)]
    sqs.tag_queue(QueueUrl=queue, Tags={"a": "1", "b": "2"})
    sqs.untag_queue(QueueUrl=queue, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"b": "2"}
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    sqs.purge_queue(QueueUrl=queue)
    assert counts(sqs, queue) == (0, 0, 0)
    sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
    # another queue of that name has nothing of the former one
    sqs.create_queue(QueueName=name)
    assert sqs.list_queue_tags(QueueUrl=queue).get("Tags") is None
    sqs.delete_queue(QueueUrl=queue)


BAD_ATTRIBUTES = [
    ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
    ({"VisibilityTimeout": "-1"}, "InvalidAttributeValue"),
    ({"VisibilityTimeout": "٣"}, "InvalidAttributeValue"),
    ({"VisibilityTimeout": "9" * 5000}, "InvalidAttributeValue"),
    ({"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"),
    ({"Nonsense": "1"}, "InvalidAttributeName"),
    ({"QueueArn": "1"}, "InvalidAttributeName"),
    ({"Policy": "{"}, "InvalidAttributeValue"),
    ({"Policy": "[" * 60_000}, "InvalidAttributeValue"),
    ({"RedrivePolicy": "[]"}, "InvalidParameterValue"),
    ({"RedrivePolicy": '{"deadLetterTargetArn":"a","maxReceiveCount":1}'}, "InvalidParameterValue"),
    ({"RedrivePolicy": "[" * 60_000}, "InvalidParameterValue"),
    ({"RedriveAllowPolicy": '{"redrivePermission":"byQueue"}'}, "InvalidParameterValue"),
    ({"KmsMasterKeyId": "alias/aws/sqs"}, "InvalidAttributeValue"),
    ({"FifoQueue": "true"}, "AWS.SimpleQueueService.UnsupportedOperation"),
]


@pytest.mark.parametrize(("attributes", "code"), BAD_ATTRIBUTES)
def test_bad_attributes(sqs, queue, attributes, code):
    assert refused(sqs.set_queue_attributes, QueueUrl=queue, Attributes=attributes) == code


def test_bad_calls(sqs, queue, name):
    assert refused(sqs.create_queue, QueueName="a.fifo") == "AWS.SimpleQueueService.UnsupportedOperation"
    assert refused(sqs.create_queue, QueueName="a b") == "InvalidParameterValue"
    assert refused(sqs.create_queue, QueueName="x" * 81) == "InvalidParameterValue"
    assert refused(sqs.get_queue_url, QueueName=name, QueueOwnerAWSAccountId="a\0b").endswith("NonExistentQueue")
    assert refused(sqs.send_message, QueueUrl="nowhere", MessageBody="x") == "InvalidAddress"
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="") == "MissingParameter"
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="\ufffe") == "InvalidMessageContents"
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x" * 1_048_577) == "InvalidParameterValue"
    assert refused(sqs.receive_message, QueueUrl=queue, MaxNumberOfMessages=11) == "InvalidParameterValue"
    assert refused(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=21) == "InvalidParameterValue"
    assert refused(sqs.receive_message, QueueUrl=queue, AttributeNames=["Nope"]) == "InvalidAttributeName"
    assert refused(sqs.list_queues, MaxResults=5, NextToken="\u20ac") == "InvalidParameterValue"
    for attribute in (
        {"AWS.x": {"DataType": "String", "StringValue": "x"}},
        {"a..b": {"DataType": "String", "StringValue": "x"}},
        {"a": {"DataType": "Text", "StringValue": "x"}},
        {"a": {"DataType": "String"}},
        {"a": {"DataType": "Number", "StringValue": "1x"}},
        {str(number): {"DataType": "String", "StringValue": "x"} for number in range(11)},
    ):
        given = {"QueueUrl": queue, "MessageBody": "x", "MessageAttributes": attribute}
        assert refused(sqs.send_message, **given) == "InvalidParameterValue"


def test_what_is_too_old_goes_away(sqs, queue):
    """Sixty seconds are the least; so the queue's clock is not tested here, but that a young message stays."""
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MessageRetentionPeriod": "60"})
    sqs.send_message(QueueUrl=queue, MessageBody="young")
    assert len(receive(sqs, queue)) == 1


def test_another_account_needs_the_queue_s_policy(server, sqs, queue, name):
    other = server.client("sqs", (OTHER_KEY, OTHER_SECRET))
    assert refused(other.send_message, QueueUrl=queue, MessageBody="x") == "AccessDenied"
    given = {"QueueUrl": queue, "Label": "l", "AWSAccountIds": [OTHER_ACCOUNT], "Actions": ["SendMessage"]}
    sqs.add_permission(**given)
    other.send_message(QueueUrl=queue, MessageBody="from afar")
    assert refused(other.receive_message, QueueUrl=queue) == "AccessDenied"
    assert receive(sqs, queue, AttributeNames=["SenderId"])[0]["Attributes"]["SenderId"] == OTHER_ACCOUNT
    sqs.remove_permission(QueueUrl=queue, Label="l")
    assert refused(other.send_message, QueueUrl=queue, MessageBody="x") == "AccessDenied"
    everything = {"Effect": "Allow", "Principal": {"AWS": OTHER_ACCOUNT}, "Action": "sqs:*", "Resource": arn_of(name)}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    assert other.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=ACCOUNT)["QueueUrl"] == queue
    # what no policy opens
    assert refused(other.delete_queue, QueueUrl=queue) == "AccessDenied"


def query(server, queue, **given):
    body = urlencode({"Version": "2012-11-05", **given})
    request = AWSRequest(
        "POST", queue, data=body, headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    )
    SigV4Auth(Credentials(ROOT_KEY, ROOT_SECRET), "sqs", REGION).add_auth(request)
    with urlopen(Request(queue, body.encode(), dict(request.headers.items()))) as answer:
        return answer.read().decode()


def test_clients_of_the_query_protocol(server, queue):
    given = {"MessageAttribute.1.Name": "n", "MessageAttribute.1.Value.DataType": "String"}
    given["MessageAttribute.1.Value.StringValue"] = "v"
    sent = query(server, queue, Action="SendMessage", QueueUrl=queue, MessageBody="a<b", **given)
    assert "<MD5OfMessageBody>" in sent
    got = query(server, queue, Action="ReceiveMessage", QueueUrl=queue, **{"MessageAttributeName.1": "All"})
    assert "<Body>a&lt;b</Body>" in got
    assert "<Name>n</Name>" in got


def test_sending_is_a_data_event_and_what_was_sent_is_not_in_it(sqs, queue, trail):
    sqs.send_message(QueueUrl=queue, MessageBody="secret text")
    answer = sqs.tag_queue(QueueUrl=queue, Tags={"a": "b"})
    record = trail.of(answer)
    assert (record["eventSource"], record["eventName"]) == ("sqs.amazonaws.com", "TagQueue")
    assert record["managementEvent"] is True
    assert not any("secret text" in json.dumps(each) for each in trail.records)


def test_the_server_does_not_wait_for_those_who_wait(tmp_path):
    process = ServerProcess(tmp_path).start()
    try:
        sqs = process.client("sqs")
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        with waiting(process, queue) as line:
            begun = time.monotonic()
            assert process.stop() == 0
            assert heard(line) == []
            assert time.monotonic() - begun < SOON
    finally:
        process.kill()
