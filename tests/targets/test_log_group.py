"""Events of rules in log groups, through the real gate and the policy that must admit EventBridge."""

import json

import pytest

from opentrail.errors import AwsError
from opentrail.rows.event_delivery import OUTBOX, Delivery, Sending, Undeliverable
from opentrail.targets.log_group import LogGroupTarget
from tests.fakes.house import commit, new_unit
from tests.followers.log_group_world import ACCOUNT, REGION, World, policy

GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/all"
EVENT = {"id": "1", "source": "my.app", "time": "2026-01-01T00:00:00Z", "detail": {"a": 1}}


@pytest.fixture
async def world():
    made = await World().set_up()
    await made.call("logs", "CreateLogGroup", logGroupName="/aws/events/all")
    return made


async def admit(world):
    service = {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]}
    resource = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/*:*"
    document = policy(Principal=service, Action=["logs:CreateLogStream", "logs:PutLogEvents"], Resource=resource)
    await world.call("logs", "PutResourcePolicy", policyName="events", policyDocument=document)


async def sending(world, arn=GROUP, payload=None, **target):
    data = json.dumps(payload or EVENT).encode() if not isinstance(payload, bytes) else payload
    delivery = Delivery(ACCOUNT, REGION, "default", "rule", "1", {"Arn": arn} | target, "", data, 0.0)
    unit = new_unit(world.house)
    OUTBOX.put(unit, delivery, "1", "1")
    await commit(unit)
    key = OUTBOX.key("1", "1")
    return Sending(key, world.house.ledger.get(key).version, delivery)


async def logged(world):
    found = await world.call("logs", "FilterLogEvents", logGroupName="/aws/events/all")
    return [(each["timestamp"], each["message"]) for each in found["events"]]


async def test_an_event_is_logged_once(world):
    await admit(world)
    for arn in (GROUP, f"{GROUP}:*"):
        made = await sending(world, arn)
        await LogGroupTarget().deliver(made, world.house)
        assert world.house.ledger.get(made.key) is None
        with pytest.raises(AwsError):
            await LogGroupTarget().deliver(made, world.house)
    found = await logged(world)
    assert [json.loads(message) for _, message in found] == [EVENT, EVENT]
    assert found[0][0] == pytest.approx(world.clock.now() * 1000, abs=10_000)  # the event's own time is long past
    [stream] = world.records("CreateLogStream")
    assert stream["userIdentity"] == {"type": "AWSService", "invokedBy": "events.amazonaws.com"}


async def test_a_transformer_gives_time_and_text(world):
    await admit(world)
    now = int(world.clock.now() * 1000) - 5_000
    transformer = {"InputTransformer": {"InputTemplate": "{}"}}
    cases = [
        ({"timestamp": now, "message": "a word"}, "a word"),
        ({"timestamp": str(now + 1), "message": {"b": 2}}, '{"b":2}'),
    ]
    for payload, _ in cases:
        await LogGroupTarget().deliver(await sending(world, payload=payload, **transformer), world.house)
    assert await logged(world) == [(now, "a word"), (now + 1, '{"b":2}')]


@pytest.mark.parametrize(
    "payload", [b"no JSON", b"", b'"\\ud800"', b"[" * 2_000, b'{"time": "9999-99-99"}', b'{"time": 1e300}']
)
async def test_any_payload_is_logged(world, payload):
    await admit(world)
    await LogGroupTarget().deliver(await sending(world, payload=payload), world.house)
    assert len(await logged(world)) == 1


async def test_what_keeps_an_event_from_being_logged(world):
    with pytest.raises(AwsError) as caught:
        await LogGroupTarget().deliver(await sending(world), world.house)
    assert caught.value.code == "AccessDeniedException"
    await admit(world)
    with pytest.raises(AwsError) as caught:
        await LogGroupTarget().deliver(await sending(world, f"{GROUP}/none"), world.house)
    assert caught.value.code == "ResourceNotFoundException"
    for arn in ("arn:aws:logs:us-east-1:x", GROUP.replace(ACCOUNT, "9" * 12)):
        with pytest.raises(Undeliverable):
            await LogGroupTarget().deliver(await sending(world, arn), world.house)
