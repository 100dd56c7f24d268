"""A house with a trail, rules and recorded uploads, and a plug that notes what it is given."""

from __future__ import annotations

import json

from opentrail.followers.rules import RulesFollower
from opentrail.ports import Line
from opentrail.rows.bus_event import bus_event
from opentrail.rows.cloudtrail import CHANGES, CONFIGS, Change, TrailConfig, padded
from opentrail.rows.event_delivery import FAILED, OUTBOX
from opentrail.state import Unit
from tests.fakes.house import build_house, commit, new_unit
from tests.services.events_caller import ACCOUNT, REGION, Caller, models

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
UPLOADS = json.dumps(
    {
        "source": ["aws.s3"],
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {
            "eventSource": ["s3.amazonaws.com"],
            "eventName": ["PutObject"],
            "requestParameters": {"bucketName": ["b"], "key": ["k"]},
        },
    }
)
WRITES = (
    {
        "ReadWriteType": "WriteOnly",
        "IncludeManagementEvents": True,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/"]}],
    },
)


def record(name="PutObject", **other):
    made = {
        "eventVersion": "1.11",
        "eventTime": "2026-09-21T14:13:20Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "requestParameters": {"bucketName": "b", "key": "k"},
        "eventID": f"event-{name}",
        "readOnly": False,
        "resources": [{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k"}],
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "eventCategory": "Data",
        "recipientAccountId": ACCOUNT,
    }
    return Line("record", json.dumps(made | other).encode())


def event(source="my.app", bus="default", detail=None):
    made = {
        "id": "e",
        "account": ACCOUNT,
        "region": REGION,
        "source": source,
        "detail-type": "T",
        "detail": detail or {},
    }
    return Line("event", bus_event(made, bus))


class Plug:
    """A `TargetPlug` that keeps payloads, or raises what it is told to."""

    def __init__(self):
        self.sent = []
        self.error = None

    async def deliver(self, sending, house):
        if self.error is not None:
            raise self.error
        await house.ledger.commit(sending.done(), ())
        self.sent.append((sending.delivery, sending.delivery.payload))


class World:
    def __init__(self):
        self.house = build_house(models=models())
        self.events = Caller(self.house)
        self.plug = Plug()
        self.follower = self.restart()

    def restart(self):
        self.follower = RulesFollower(self.house, {"sqs": self.plug})
        return self.follower

    async def trail(self, revision=1, **other):
        unit = new_unit(self.house)
        config = TrailConfig("t", ACCOUNT, REGION, "logs", 0.0, logging=True, event_selectors=WRITES)
        config = TrailConfig(**{name: getattr(config, name) for name in config.__struct_fields__} | other)
        CONFIGS.put(unit, config, "trail", padded(revision))
        CHANGES.put(unit, Change(trail_id="trail", revision=revision), "")
        await commit(unit, [Line("record", b"{}")])

    async def rule(self, name="r", pattern=UPLOADS, bus="default", state="ENABLED", target=None, **other):
        await self.events("PutRule", Name=name, EventPattern=pattern, EventBusName=bus, State=state, **other)
        target = {"Id": "1", "Arn": QUEUE} | (target or {})
        await self.events("PutTargets", Rule=name, EventBusName=bus, Targets=[target])

    async def lines(self, *lines):
        await commit(new_unit(self.house), lines)

    async def sent(self):
        """What is delivered when everything was followed."""
        await self.follower.flush()
        sent, self.plug.sent = self.plug.sent, []
        return sent

    def outbox(self):
        return [row for _, row in OUTBOX.all(Unit(self.house, 0.0))]

    def failed(self, rule="r"):
        return FAILED.get(Unit(self.house, 0.0), ACCOUNT, REGION, "default", rule)
