import pytest

from opentrail.call import Principal
from opentrail.errors import AwsError, Conflict
from opentrail.ports import InternalAnswer
from opentrail.rows.bus_event import read_bus_event
from opentrail.rows.event_delivery import OUTBOX, Delivery, Sending, Undeliverable
from opentrail.targets.plugs import target_plugs
from tests.fakes.house import build_house, commit, new_unit
from tests.services.events_caller import ACCOUNT, REGION, Caller, models

OTHER = "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
PIPELINE = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:p"


def role_session(unit, role_arn, session_name, service, now, context):
    assert context["aws:sourcearn"] == (f"arn:aws:events:{REGION}:{ACCOUNT}:rule/rule",)
    account = role_arn.split(":")[4]
    return Principal(
        "AssumedRole", account, f"arn:aws:sts::{account}:assumed-role/r/{session_name}", invoked_by=service
    )


@pytest.fixture
def house():
    return build_house(models=models())


async def sending(house, arn, role=ROLE, payload=b'{"source":"my.app"}', target=None, **other):
    delivery = Delivery(
        ACCOUNT, REGION, "default", "rule", "1", {"Arn": arn} | (target or {}), role, payload, 0.0, **other
    )
    unit = new_unit(house)
    OUTBOX.put(unit, delivery, "1", "1")
    await commit(unit)
    key = OUTBOX.key("1", "1")
    return Sending(key, house.ledger.get(key).version, delivery)


class Road:
    """A `ports.Road` that commits what goes along with a call."""

    def __init__(self, house):
        self.house = house
        self.calls = []

    async def call(self, principal, service, operation, input, *, region, also, **_rest):
        self.calls.append((principal, service, operation, input, region))
        await self.house.ledger.commit(also, ())
        return InternalAnswer({})


async def deliver(house, made):
    await target_plugs(role_session)[made.delivery.target_arn.split(":")[2]].deliver(made, house)


async def refused(house, made):
    with pytest.raises(Undeliverable) as caught:
        await deliver(house, made)
    assert house.ledger.get(made.key) is not None
    return caught.value.code


async def test_pipeline_is_started_by_the_role_and_the_delivery_ends_with_it(house):
    house.road = Road(house)
    made = await sending(house, PIPELINE)
    await deliver(house, made)
    [(principal, service, operation, given, region)] = house.road.calls
    assert (service, operation, given, region) == ("codepipeline", "StartPipelineExecution", {"name": "p"}, REGION)
    assert principal.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/r/AWSEvents_rule"
    assert principal.invoked_by == "events.amazonaws.com"
    assert principal.source_arn == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/rule"
    assert house.ledger.get(made.key) is None


async def test_a_delivery_that_is_gone_is_not_made_again(house):
    house.road = Road(house)
    made = await sending(house, PIPELINE)
    await deliver(house, made)
    with pytest.raises(Conflict):
        await deliver(house, made)


async def test_pipeline_input_carries_revisions(house):
    house.road = Road(house)
    revisions = '[{"actionName":"Source","revisionType":"S3_OBJECT_VERSION_ID","revisionValue":"v"}]'
    payload = b'{"sourceRevisions":' + revisions.encode() + b',"name":"other"}'
    await deliver(house, await sending(house, PIPELINE, payload=payload, target={"InputPath": "$"}))
    assert house.road.calls[0][3]["sourceRevisions"][0]["revisionValue"] == "v"
    assert house.road.calls[0][3]["name"] == "p"
    await deliver(house, await sending(house, PIPELINE, payload=b"[" * 9_000, target={"Input": "x"}))
    assert house.road.calls[1][3] == {"name": "p"}


async def test_pipeline_needs_a_role_of_the_rule_s_account(house):
    assert await refused(house, await sending(house, PIPELINE, role="")) == "NO_PERMISSIONS"
    foreign = f"arn:aws:iam::{OTHER}:role/r"
    assert await refused(house, await sending(house, PIPELINE, role=foreign)) == "NO_PERMISSIONS"
    elsewhere = f"arn:aws:codepipeline:{REGION}:{OTHER}:p"
    assert await refused(house, await sending(house, elsewhere)) == "NO_PERMISSIONS"
    assert await refused(house, await sending(house, "arn:aws:codepipeline:x")) == "NO_RESOURCE"


async def test_failure_of_the_call_leaves_the_delivery(house):
    house.road.answers["codepipeline", "StartPipelineExecution"] = AwsError("PipelineNotFoundException")
    made = await sending(house, PIPELINE)
    with pytest.raises(AwsError):
        await deliver(house, made)
    assert house.ledger.get(made.key) is not None


def bus(name, account=ACCOUNT, region=REGION):
    return f"arn:aws:events:{region}:{account}:event-bus/{name}"


async def test_bus_gets_the_event_as_it_is(house):
    await Caller(house)("CreateEventBus", Name="b")
    made = await sending(house, bus("b"))
    await deliver(house, made)
    line = read_bus_event(house.ledger.lines[-1].data)
    assert (line.bus, line.account, line.region, line.forwarded) == ("b", ACCOUNT, REGION, True)
    assert bytes(line.event) == b'{"source":"my.app"}'
    assert house.ledger.get(made.key) is None


async def test_an_event_from_a_bus_goes_on_to_no_third(house):
    made = await sending(house, bus("default", region="us-east-1"), forwarded=True)
    await deliver(house, made)
    assert house.ledger.lines == []
    assert house.ledger.get(made.key) is None


async def test_buses_that_are_missing_or_closed(house):
    assert await refused(house, await sending(house, bus("gone"))) == "NO_RESOURCE"
    assert await refused(house, await sending(house, "arn:aws:events:x:1:rule/r")) == "NO_RESOURCE"
    assert await refused(house, await sending(house, bus("default", OTHER))) == "NO_PERMISSIONS"
    await Caller(house, account=OTHER)(
        "PutPermission", Action="events:PutEvents", Principal=ACCOUNT, StatementId="s"
    )  # fmt: skip
    made = await sending(house, bus("default", OTHER))
    await deliver(house, made)
    assert read_bus_event(house.ledger.lines[-1].data).account == OTHER
