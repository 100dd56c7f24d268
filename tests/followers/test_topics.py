"""Spreading and trying again, on fakes with a clock of their own. Delivery itself is driven on a real server."""

import json

import pytest

from opentrail.errors import AwsError
from opentrail.followers import topics
from opentrail.followers.topics import TopicsFollower
from opentrail.ports import InternalAnswer
from opentrail.rows.sns import (
    DELIVERIES,
    OUTGOING,
    OWNED,
    PENDING_SECONDS,
    SUBSCRIPTIONS,
    TOPICS,
    Named,
    Outgoing,
    Subscription,
    Topic,
    put_outgoing,
)
from tests.fakes.house import build_house, commit, new_unit

ACCOUNT, REGION = "111122223333", "eu-west-1"
TOPIC = (ACCOUNT, REGION, "t")
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"


class Road:
    """A `ports.Road` of queues: refuses those it was told to, and commits what goes along with the others."""

    def __init__(self, house):
        self.house = house
        self.sent = []
        self.refusals = {}

    async def call(self, principal, service, operation, input, *, region, also, **_rest):
        assert (principal.invoked_by, service, operation, region) == ("sns.amazonaws.com", "sqs", "SendMessage", REGION)
        name = input["QueueUrl"].rpartition("/")[2]
        if name in self.refusals:
            raise self.refusals[name]
        await self.house.ledger.commit(also, ())
        self.sent.append((name, input["MessageBody"]))
        return InternalAnswer({})


@pytest.fixture
def house():
    made = build_house()
    made.road = Road(made)
    return made


def queue_arn(name):
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


async def subscribe(house, *names, **given):
    unit = new_unit(house)
    TOPICS.put(unit, Topic(0.0), *TOPIC)
    attributes = {"RawMessageDelivery": "true"} | given.pop("attributes", {})
    for name in names:
        row = Subscription(
            "sqs", queue_arn(name), ACCOUNT, unit.now, "http://x", attributes, **{"confirmed": unit.now, **given}
        )
        SUBSCRIPTIONS.put(unit, row, *TOPIC, name)
    await commit(unit)


async def publish(house, text, **given):
    unit = new_unit(house)
    put_outgoing(unit, Outgoing("Notification", TOPIC, house.clock.uuid(), text, unit.now, **given))
    await commit(unit)


def left(house):
    unit = new_unit(house)
    return [sum(1 for _ in table.all(unit)) for table in (OUTGOING, DELIVERIES)]


async def test_pages_reach_everybody_once(house, monkeypatch):
    monkeypatch.setattr(topics, "PAGE", 3)
    names = [f"q{number}" for number in range(7)]
    await subscribe(house, *names)
    await publish(house, "x")
    await TopicsFollower(house).flush()
    assert sorted(house.road.sent) == [(name, "x") for name in names]
    assert left(house) == [0, 0]


async def test_large_messages_are_spread_a_few_at_a_time(house):
    await subscribe(house, *(f"q{number}" for number in range(40)))
    await publish(house, "x" * 262_144)
    follower = TopicsFollower(house)
    [(key, row)] = OUTGOING.page(new_unit(house))
    assert await follower._spread(key, row)
    assert left(house) == [1, 15]
    await follower.flush()
    assert len(house.road.sent) == 40


async def test_another_follower_goes_on_in_the_middle(house, monkeypatch):
    """As after a crash between two pages."""
    monkeypatch.setattr(topics, "PAGE", 2)
    await subscribe(house, "a", "b", "c")
    await publish(house, "x")
    first = TopicsFollower(house)
    [(key, row)] = OUTGOING.page(new_unit(house))
    await first._spread(key, row)
    assert left(house) == [1, 2]
    await TopicsFollower(house).flush()
    assert sorted(house.road.sent) == [("a", "x"), ("b", "x"), ("c", "x")]


async def test_who_came_later_gets_nothing_of_before(house):
    await subscribe(house, "a")
    await publish(house, "x")
    house.clock.time += 1
    await subscribe(house, "b")
    await TopicsFollower(house).flush()
    assert house.road.sent == [("a", "x")]


async def test_a_topic_that_is_gone_has_no_messages(house):
    await subscribe(house, "a")
    await publish(house, "x")
    unit = new_unit(house)
    TOPICS.delete(unit, *TOPIC)
    await commit(unit)
    await TopicsFollower(house).flush()
    assert house.road.sent == []
    assert left(house) == [0, 0]


async def test_what_nobody_confirmed_is_taken_away(house):
    await subscribe(house, "a", confirmed=0.0)
    unit = new_unit(house)
    arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:t:a"
    OWNED.put(unit, Named("a"), ACCOUNT, REGION, arn)
    await commit(unit)
    await publish(house, "x")
    await TopicsFollower(house).flush()
    assert SUBSCRIPTIONS.get(new_unit(house), *TOPIC, "a") is not None
    house.clock.time += PENDING_SECONDS + 1
    await publish(house, "x")
    await TopicsFollower(house).flush()
    assert SUBSCRIPTIONS.get(new_unit(house), *TOPIC, "a") is None
    assert OWNED.get(new_unit(house), ACCOUNT, REGION, arn) is None
    assert house.road.sent == []


async def test_a_queue_that_cannot_take_it_now_is_tried_again(house):
    await subscribe(house, "a")
    house.road.refusals["a"] = AwsError("ServiceUnavailable", "", 503)
    await publish(house, "x")
    follower = TopicsFollower(house)
    await follower.flush()
    assert left(house) == [0, 1]
    house.road.refusals.clear()
    await follower.flush()
    assert house.road.sent == []
    house.clock.time += 1.1
    await follower.flush()
    assert house.road.sent == [("a", "x")]
    assert left(house) == [0, 0]


async def test_a_queue_is_given_up_after_weeks(house):
    await subscribe(house, "a", attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD})})
    house.road.refusals["a"] = AwsError("ServiceUnavailable", "", 503)
    await publish(house, "x")
    follower = TopicsFollower(house)
    await follower.flush()
    house.clock.time += 24 * 86_400
    await follower.flush()
    assert house.road.sent == [("dead", "x")]


async def test_what_is_refused_for_good_goes_to_the_dead_letter_queue_or_nowhere(house):
    house.road.refusals = {"a": AwsError("AccessDenied", "no", 403), "b": AwsError("AccessDenied", "no", 403)}
    await subscribe(house, "a", attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD})})
    await subscribe(house, "b")
    await publish(house, "x")
    await TopicsFollower(house).flush()
    assert house.road.sent == [("dead", "x")]
    assert left(house) == [0, 0]
    house.road.refusals["dead"] = AwsError("AccessDenied", "no", 403)
    await publish(house, "y")
    await TopicsFollower(house).flush()
    assert left(house) == [0, 0]


async def test_a_defect_does_not_stop_the_others(house):
    house.road.refusals["a"] = ZeroDivisionError()
    await subscribe(house, "a", "b")
    await publish(house, "x")
    await TopicsFollower(house).flush()
    assert house.road.sent == [("b", "x")]
    assert left(house) == [0, 1]
