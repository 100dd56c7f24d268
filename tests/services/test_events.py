import json
import os
from pathlib import Path

import pytest

from opentrail.errors import AwsError
from opentrail.rows.bus_event import read_bus_event
from opentrail.services.events import service
from tests.services.events_caller import ACCOUNT, REGION, Caller

PATTERN = '{"source":["my.app"]}'
PIPELINE = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:p"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"


@pytest.fixture
def events():
    return Caller()


async def refused(awaitable):
    with pytest.raises(AwsError) as caught:
        await awaitable
    return caught.value.code, caught.value.message


def test_every_operation_has_a_guard():
    assert all(service.guard_of(name) for name in service.handlers)
    assert len(service.handlers) == 22


# Rules


async def test_rule_lives(events):
    answer = await events("PutRule", Name="r", EventPattern=PATTERN, Description="d", Tags=[{"Key": "a", "Value": "b"}])
    assert answer == {"RuleArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"}
    shown = {
        "Name": "r",
        "Arn": answer["RuleArn"],
        "EventPattern": PATTERN,
        "State": "ENABLED",
        "Description": "d",
        "EventBusName": "default",
    }
    assert await events("DescribeRule", Name="r") == {**shown, "CreatedBy": ACCOUNT}
    assert await events("ListRules") == {"Rules": [shown]}
    await events("DisableRule", Name="r")
    assert (await events("DescribeRule", Name="r"))["State"] == "DISABLED"
    await events("EnableRule", Name="r")
    await events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": QUEUE}])
    await events("PutRule", Name="r", ScheduleExpression="rate(5 minutes)")
    again = await events("DescribeRule", Name="r")
    assert "EventPattern" not in again
    assert "Description" not in again
    assert len((await events("ListTargetsByRule", Rule="r"))["Targets"]) == 1
    arn = answer["RuleArn"]
    assert await events("ListTagsForResource", ResourceARN=arn) == {"Tags": [{"Key": "a", "Value": "b"}]}
    expected = ("ValidationException", "Rule can't be deleted since it has targets.")
    assert await refused(events("DeleteRule", Name="r")) == expected
    await events("RemoveTargets", Rule="r", Ids=["1"])
    await events("DeleteRule", Name="r")
    await events("DeleteRule", Name="r")
    expected = ("ResourceNotFoundException", "Rule r does not exist on EventBus default.")
    assert await refused(events("DescribeRule", Name="r")) == expected
    assert await refused(events("EnableRule", Name="r")) == expected


async def test_put_rule_refusals(events):
    expected = ("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.")
    assert await refused(events("PutRule", Name="r")) == expected
    code, message = await refused(events("PutRule", Name="r", EventPattern='{"a":[]}'))
    assert code == "InvalidEventPatternException"
    assert message.startswith("Event pattern is not valid. Reason: Empty arrays are not allowed")
    expected = ("ValidationException", "Parameter ScheduleExpression is not valid.")
    assert await refused(events("PutRule", Name="r", ScheduleExpression="rate(1 minutes)")) == expected
    await events("CreateEventBus", Name="b")
    code, message = await refused(events("PutRule", Name="r", EventBusName="b", ScheduleExpression="rate(1 minute)"))
    assert message == "ScheduleExpression is supported only on the default event bus."
    expected = ("ResourceNotFoundException", "Event bus gone does not exist.")
    assert await refused(events("PutRule", Name="r", EventBusName="gone", EventPattern=PATTERN)) == expected
    code, _ = await refused(events("PutRule", Name="a/b", EventPattern=PATTERN))
    assert code == "ValidationException"
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    expected = ("ValidationException", "Invalid parameter: Duplicated keys are not allowed.")
    assert await refused(events("PutRule", Name="r", EventPattern=PATTERN, Tags=twice)) == expected


async def test_rules_are_apart_by_account_region_and_bus(events):
    await events("CreateEventBus", Name="b")
    await events("PutRule", Name="r", EventPattern=PATTERN)
    arn = (await events("PutRule", Name="r", EventPattern=PATTERN, EventBusName="b"))["RuleArn"]
    assert arn == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/b/r"
    by_arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"
    assert (await events("DescribeRule", Name="r", EventBusName=by_arn))["Arn"] == arn
    other = Caller(events.house, region="us-east-1")
    assert await other("ListRules") == {"Rules": []}
    assert (await refused(other("DescribeRule", Name="r", EventBusName=by_arn)))[0] == "ResourceNotFoundException"


async def test_pages(events):
    for name in ("a1", "a2", "a3", "b1"):
        await events("PutRule", Name=name, EventPattern=PATTERN)
    first = await events("ListRules", NamePrefix="a", Limit=2)
    assert [rule["Name"] for rule in first["Rules"]] == ["a1", "a2"]
    second = await events("ListRules", NamePrefix="a", Limit=2, NextToken=first["NextToken"])
    assert [rule["Name"] for rule in second["Rules"]] == ["a3"]
    assert "NextToken" not in second
    assert (await refused(events("ListRules", NextToken="%%%")))[0] == "ValidationException"


async def test_limits(events, monkeypatch):
    monkeypatch.setattr("opentrail.services.events_rules.RULES_MAX", 2)
    await events("PutRule", Name="a", EventPattern=PATTERN)
    await events("PutRule", Name="b", EventPattern=PATTERN)
    await events("PutRule", Name="b", EventPattern=PATTERN)
    expected = ("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
    assert await refused(events("PutRule", Name="c", EventPattern=PATTERN)) == expected
    targets = [{"Id": str(number), "Arn": QUEUE} for number in range(5)]
    await events("PutTargets", Rule="a", Targets=targets)
    await events("PutTargets", Rule="a", Targets=targets)
    assert await refused(events("PutTargets", Rule="a", Targets=[{"Id": "x", "Arn": QUEUE}])) == expected


async def test_test_event_pattern(events):
    event = {"id": "1", "account": "1", "source": "my.app", "time": "t", "region": "r", "detail-type": "d"}
    assert await events("TestEventPattern", EventPattern=PATTERN, Event=json.dumps(event)) == {"Result": True}
    event["source"] = "other"
    assert await events("TestEventPattern", EventPattern=PATTERN, Event=json.dumps(event)) == {"Result": False}
    expected = ("ValidationException", "Parameter Event is not valid.")
    for bad in ('"text"', "[]", "{", '{"id":"1"}', '{"a":' + "[" * 50_000):
        assert await refused(events("TestEventPattern", EventPattern=PATTERN, Event=bad)) == expected


DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")


@pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA is not set")
async def test_all_verdicts_recorded_on_aws(events):
    for row in json.loads((Path(DATA) / "patterns_aws.json").read_text()):
        given = {
            "EventPattern": row.get("pattern_raw") or json.dumps(row["pattern"]),
            "Event": row.get("event_raw") or json.dumps(row["event"]),
        }
        if row["expect"] == "error":
            code, message = await refused(events("TestEventPattern", **given))
            assert (code, message.split("\n")[0]) == (row["error_code"], row["error_message"]), row["name"]
        else:
            assert await events("TestEventPattern", **given) == {"Result": row["expect"]}, row["name"]


# Targets


async def test_targets(events):
    await events("PutRule", Name="r", EventPattern=PATTERN)
    done = {"FailedEntryCount": 0, "FailedEntries": []}
    assert await events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": QUEUE, "InputPath": "$.detail"}]) == done
    await events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": QUEUE, "Input": "{}"}, {"Id": "2", "Arn": QUEUE}])
    listed = await events("ListTargetsByRule", Rule="r")
    assert listed == {"Targets": [{"Id": "1", "Arn": QUEUE, "Input": "{}"}, {"Id": "2", "Arn": QUEUE}]}
    assert await events("ListRuleNamesByTarget", TargetArn=QUEUE) == {"RuleNames": ["r"]}
    assert await events("ListRuleNamesByTarget", TargetArn=QUEUE + "x") == {"RuleNames": []}
    answer = await events("RemoveTargets", Rule="r", Ids=["1", "gone"])
    assert answer["FailedEntryCount"] == 1
    assert answer["FailedEntries"][0]["TargetId"] == "gone"
    assert len((await events("ListTargetsByRule", Rule="r"))["Targets"]) == 1
    _, message = await refused(events("PutTargets", Rule="gone", Targets=[{"Id": "1", "Arn": QUEUE}]))
    assert message == "Rule gone does not exist on EventBus default."


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"Input": "{}", "InputPath": "$"}, "Only one of Input, InputPath, or InputTransformer must be provided for "),
        ({"Input": "{"}, "JSON syntax error in input for target 1"),
        ({"Input": "[" * 5_000}, "JSON syntax error in input for target 1"),
        ({"InputPath": "detail"}, "Invalid JSONPath detail"),
        (
            {"InputTransformer": {"InputTemplate": '"<x>"'}},
            "InputTemplate for target 1 contains invalid placeholder x.",
        ),
        ({"InputTransformer": {"InputTemplate": '"<x>"', "InputPathsMap": {"x": "y"}}}, "Invalid JSONPath y"),
        ({"Arn": "queue"}, "Parameter queue is not valid. Reason: Provided Arn is not in correct format."),
        ({"Arn": PIPELINE}, f"RoleArn is required for target {PIPELINE}."),
        ({"Arn": QUEUE + ".fifo"}, "Parameter(s) SqsParameters must be specified for target: 1."),
    ],
)
async def test_refused_targets(events, target, expected):
    await events("PutRule", Name="r", EventPattern=PATTERN)
    code, message = await refused(events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": QUEUE, **target}]))
    assert code == "ValidationException"
    assert message.startswith(expected)
    assert await events("ListTargetsByRule", Rule="r") == {"Targets": []}


async def test_roles_must_be_passed(events):
    await events("PutRule", Name="r", EventPattern=PATTERN, RoleArn=ROLE)
    assert [(ask.action, ask.resource) for ask in events.asked] == [
        ("events:PutRule", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"),
        ("iam:PassRole", ROLE),
    ]
    assert events.asked[1].resource_account == ACCOUNT
    assert events.asked[1].context == {"iam:passedtoservice": ("events.amazonaws.com",)}
    await events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": PIPELINE}])
    assert [ask.action for ask in events.asked] == ["events:PutTargets"]
    await events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": PIPELINE, "RoleArn": ROLE}])
    assert [ask.action for ask in events.asked] == ["events:PutTargets", "iam:PassRole"]


# PutEvents


def entry(**other):
    return {"Source": "my.app", "DetailType": "T", "Detail": '{"a": 1.0,\n "b": [2]}', **other}


def emitted(events):
    return [read_bus_event(line.data) for line in events.house.ledger.lines if line.kind == "event"]


async def test_put_events(events):
    await events("CreateEventBus", Name="b")
    answer = await events("PutEvents", Entries=[entry(Resources=["x"]), entry(EventBusName="b")])
    assert answer["FailedEntryCount"] == 0
    first, second = emitted(events)
    assert (first.bus, second.bus, first.account, first.region) == ("default", "b", ACCOUNT, REGION)
    assert b"\n" not in bytes(first.event)
    assert bytes(first.event).endswith(b'"detail":{"a":1.0,"b":[2]}}')
    assert json.loads(bytes(first.event)) == {
        "version": "0",
        "id": answer["Entries"][0]["EventId"],
        "detail-type": "T",
        "source": "my.app",
        "account": ACCOUNT,
        "time": "2026-09-21T14:13:20Z",
        "region": REGION,
        "resources": ["x"],
        "detail": {"a": 1.0, "b": [2]},
    }


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"Source": ""}, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."),
        ({"DetailType": ""}, "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType is a required"),
        ({"Detail": ""}, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."),
        ({"Detail": "[]"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '"x"'}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": "{"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a":NaN}'}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a":9223372036854775808}'}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a":' + "9" * 5_000 + "}"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a":' + "[" * 20_000 + "]" * 20_000 + "}"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a":"\ud800"}'}, "MalformedDetail", "Detail is malformed."),
        ({"Source": "aws.s3"}, "NotAuthorizedForSourceException", "Not authorized for the source."),
    ],
)
async def test_a_bad_entry_fails_alone(events, given, code, message):
    answer = await events("PutEvents", Entries=[entry(**given), entry()])
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == code
    assert answer["Entries"][0]["ErrorMessage"].startswith(message)
    assert "EventId" in answer["Entries"][1]
    assert len(emitted(events)) == 1


async def test_put_events_to_no_bus_is_swallowed(events):
    answer = await events("PutEvents", Entries=[entry(EventBusName="gone")])
    assert answer["FailedEntryCount"] == 0
    assert "EventId" in answer["Entries"][0]
    assert emitted(events) == []


async def test_put_events_limits(events):
    expected = ("ValidationException", "Total size of the entries in the request is over the limit.")
    big = '{"a":"' + "x" * 131_072 + '"}'
    assert await refused(events("PutEvents", Entries=[entry(Detail=big), entry(Detail=big)])) == expected
    code, message = await refused(events("PutEvents", Entries=[entry()] * 11))
    assert code == "ValidationException"
    assert "'entries' failed to satisfy constraint: Member must have length less than or equal to 10" in message


async def test_put_events_asks_the_policies_of_the_buses(events):
    await events("PutPermission", Action="events:PutEvents", Principal="444455556666", StatementId="s")
    other = Caller(events.house, account="444455556666")
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    await other("PutEvents", Entries=[entry(EventBusName=arn), entry()])
    foreign = next(ask for ask in other.asked if ask.resource_account == ACCOUNT)
    assert json.loads(foreign.resource_policy)["Statement"][0]["Sid"] == "s"
    assert foreign.resource == arn
    sent = emitted(events)[0]
    assert (sent.account, json.loads(bytes(sent.event))["account"]) == (ACCOUNT, "444455556666")


# Buses


async def test_buses(events):
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"
    assert await events("CreateEventBus", Name="b", Description="d") == {"EventBusArn": arn, "Description": "d"}
    expected = ("ResourceAlreadyExistsException", "Event bus b already exists.")
    assert await refused(events("CreateEventBus", Name="b")) == expected
    assert (await refused(events("CreateEventBus", Name="default")))[0] == "ResourceAlreadyExistsException"
    now = events.house.clock.now()
    shown = {"Name": "b", "Arn": arn, "Description": "d", "CreationTime": now, "LastModifiedTime": now}
    assert await events("DescribeEventBus", Name=arn) == shown
    assert (await events("DescribeEventBus"))["Name"] == "default"
    listed = await events("ListEventBuses")
    assert [bus["Name"] for bus in listed["EventBuses"]] == ["b", "default"]
    page = await events("ListEventBuses", Limit=1)
    assert [bus["Name"] for bus in page["EventBuses"]] == ["b"]
    rest = await events("ListEventBuses", Limit=1, NextToken=page["NextToken"])
    assert [bus["Name"] for bus in rest["EventBuses"]] == ["default"]
    await events("PutRule", Name="r", EventBusName="b", EventPattern=PATTERN)
    assert (await refused(events("DeleteEventBus", Name="b")))[0] == "ValidationException"
    await events("DeleteRule", Name="r", EventBusName="b")
    await events("DeleteEventBus", Name="b")
    await events("DeleteEventBus", Name="b")
    expected = ("ResourceNotFoundException", "Event bus b does not exist.")
    assert await refused(events("DescribeEventBus", Name="b")) == expected
    expected = ("ValidationException", "Cannot delete event bus default.")
    assert await refused(events("DeleteEventBus", Name="default")) == expected


async def test_permissions(events):
    expected = ("ResourceNotFoundException", "EventBus does not have a policy.")
    assert await refused(events("RemovePermission", StatementId="s")) == expected
    organisation = {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": "o-1"}
    one = {"Action": "events:PutEvents", "Principal": "444455556666", "StatementId": "s"}
    await events("PutPermission", **one)
    await events("PutPermission", **one | {"Principal": "*", "StatementId": "o", "Condition": organisation})
    policy = json.loads((await events("DescribeEventBus"))["Policy"])
    assert [each["Principal"] for each in policy["Statement"]] == [{"AWS": "arn:aws:iam::444455556666:root"}, "*"]
    assert policy["Statement"][1]["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
    await events("RemovePermission", StatementId="o")
    expected = ("ResourceNotFoundException", "Statement with the provided id does not exist.")
    assert await refused(events("RemovePermission", StatementId="o")) == expected
    await events("RemovePermission", RemoveAllPermissions=True)
    assert "Policy" not in await events("DescribeEventBus")


async def test_refused_policies(events):
    assert (await refused(events("PutPermission", Policy="{")))[0] == "ValidationException"
    assert (await refused(events("PutPermission", Policy="[" * 9_000)))[0] == "ValidationException"
    assert (await refused(events("PutPermission", Policy=" " * 20_000)))[0] == "PolicyLengthExceededException"
    assert (await refused(events("PutPermission", Action="events:PutEvents")))[0] == "ValidationException"


async def test_tags(events):
    await events("CreateEventBus", Name="b", Tags=[{"Key": "k", "Value": "1"}])
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"
    await events("TagResource", ResourceARN=arn, Tags=[{"Key": "l", "Value": "2"}])
    await events("UntagResource", ResourceARN=arn, TagKeys=["k", "gone"])
    assert await events("ListTagsForResource", ResourceARN=arn) == {"Tags": [{"Key": "l", "Value": "2"}]}
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    assert (await refused(events("TagResource", ResourceARN=arn, Tags=many)))[0] == "LimitExceededException"
    assert (await refused(events("TagResource", ResourceARN=arn + "x", Tags=many)))[0] == "ResourceNotFoundException"
    assert (await refused(events("ListTagsForResource", ResourceARN="arn:x")))[0] == "ValidationException"
