"""What needs a clock of its own: retention, and boxes that are emptied. All else is driven on a real server."""

import json

import pytest

from opentrail.call import Call, HttpRequest, Principal
from opentrail.followers import queues
from opentrail.followers.queues import QueuesFollower
from opentrail.model.load import load_models
from opentrail.rows.sqs import COUNTS, DUES, GONE_BOXES, MESSAGES
from opentrail.services.sqs import service
from tests.fakes.house import build_house, commit, new_unit

ACCOUNT, REGION = "111122223333", "eu-west-1"
URL = f"http://localhost/{ACCOUNT}/q"


@pytest.fixture
def house():
    return build_house(models=load_models())


async def call(house, operation, **given):
    model = load_models().operation("sqs", operation)
    made = Call(
        HttpRequest("POST", "/", "", {"host": "localhost"}, None, "127.0.0.1"), "r", "", 0.0, model, REGION, ACCOUNT,
        Principal("Root", ACCOUNT, principal_id=ACCOUNT), input=given,
    )  # fmt: skip
    unit = new_unit(house)
    service.guard_of(operation)(made, unit) if service.guard_of(operation) else None
    output = await service.handlers[operation](made, unit)
    await commit(unit)
    return output


def rows(house):
    unit = new_unit(house)
    return [sum(1 for _ in table.all(unit)) for table in (MESSAGES, DUES)]


async def test_messages_past_their_retention_go_with_the_next_call(house):
    await call(house, "CreateQueue", QueueName="q", Attributes={"MessageRetentionPeriod": "60"})
    for number in range(6):
        await call(house, "SendMessage", QueueUrl=URL, MessageBody=str(number))
    house.clock.time += 61
    await call(house, "SendMessage", QueueUrl=URL, MessageBody="young")
    assert rows(house) == [3, 3]
    got = await call(house, "ReceiveMessage", QueueUrl=URL, MaxNumberOfMessages=10)
    assert [each["Body"] for each in got["Messages"]] == ["young"]
    assert rows(house) == [1, 1]
    shown = await call(house, "GetQueueAttributes", QueueUrl=URL, AttributeNames=["All"])
    assert shown["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"
    assert shown["Attributes"]["ApproximateNumberOfMessages"] == "0"


async def test_a_message_is_received_again_after_its_timeout(house):
    await call(house, "CreateQueue", QueueName="q")
    await call(house, "SendMessage", QueueUrl=URL, MessageBody="x")
    first = await call(house, "ReceiveMessage", QueueUrl=URL)
    house.clock.time += 29
    assert await call(house, "ReceiveMessage", QueueUrl=URL) == {}
    house.clock.time += 1
    again = await call(house, "ReceiveMessage", QueueUrl=URL)
    assert again["Messages"][0]["MessageId"] == first["Messages"][0]["MessageId"]
    assert again["Messages"][0]["ReceiptHandle"] != first["Messages"][0]["ReceiptHandle"]


async def test_receiving_takes_the_longest_due_first_and_no_more_than_asked(house):
    await call(house, "CreateQueue", QueueName="q")
    for number in range(25):
        house.clock.time += 0.01
        await call(house, "SendMessage", QueueUrl=URL, MessageBody=str(number))
    got = await call(house, "ReceiveMessage", QueueUrl=URL, MaxNumberOfMessages=10, VisibilityTimeout=0)
    assert [each["Body"] for each in got["Messages"]] == [str(number) for number in range(10)]


async def test_all_that_is_poisoned_moves_at_once(house):
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
    await call(house, "CreateQueue", QueueName="dead")
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    await call(house, "CreateQueue", QueueName="q", Attributes={"RedrivePolicy": policy})
    for _ in range(30):
        await call(house, "SendMessage", QueueUrl=URL, MessageBody="x")
    for _ in range(3):
        await call(house, "ReceiveMessage", QueueUrl=URL, MaxNumberOfMessages=10)
    house.clock.time += 31
    assert await call(house, "ReceiveMessage", QueueUrl=URL, WaitTimeSeconds=20) == {}
    unit = new_unit(house)
    assert sorted(row.messages for _, row in COUNTS.all(unit)) == [0, 30]


async def test_what_lay_in_a_purged_queue_is_swept(house, monkeypatch):
    monkeypatch.setattr(queues, "PAGE", 7)
    await call(house, "CreateQueue", QueueName="q")
    for _ in range(20):
        await call(house, "SendMessage", QueueUrl=URL, MessageBody="x")
    [handle] = [each["ReceiptHandle"] for each in (await call(house, "ReceiveMessage", QueueUrl=URL))["Messages"]]
    await call(house, "PurgeQueue", QueueUrl=URL)
    await call(house, "SendMessage", QueueUrl=URL, MessageBody="after")
    assert rows(house) == [21, 21]
    await QueuesFollower(house).sweep()
    assert rows(house) == [1, 1]
    assert list(GONE_BOXES.all(new_unit(house))) == []
    assert await call(house, "DeleteMessage", QueueUrl=URL, ReceiptHandle=handle) == {}
    await call(house, "DeleteQueue", QueueUrl=URL)
    await QueuesFollower(house).sweep()
    assert rows(house) == [0, 0]
    assert list(COUNTS.all(new_unit(house))) == []
