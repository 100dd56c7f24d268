"""Log groups with boto3 and the AWS CLI against a real server."""

import json
import time

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, OTHER_KEY, OTHER_SECRET, REGION
from tests.clients.waiting import until

DAY = 86_400_000


@pytest.fixture(scope="module")
def logs(server):
    return server.client("logs")


@pytest.fixture
def group(logs, name):
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    return name


def refused(call, **given):
    with pytest.raises(ClientError) as caught:
        call(**given)
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Error"]["Code"], error["Error"]["Message"]


def put(logs, group, *messages, stream="s", at=None, step=1):
    start = int(time.time() * 1000) if at is None else at
    events = [{"timestamp": start + index * step, "message": message} for index, message in enumerate(messages)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def messages(answer):
    return [each["message"] for each in answer["events"]]


def test_life_of_a_log_group(logs, name):
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
    logs.create_log_group(logGroupName=name, tags={"team": "red"})
    code, message = refused(logs.create_log_group, logGroupName=name)
    assert (code, message) == ("ResourceAlreadyExistsException", "The specified log group already exists")
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    [shown] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert shown.pop("creationTime") == pytest.approx(time.time() * 1000, abs=120_000)
    assert shown == {
        "logGroupName": name,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "logGroupClass": "STANDARD",
        "metricFilterCount": 0,
        "retentionInDays": 7,
        "storedBytes": 0,
        "deletionProtectionEnabled": False,
    }
    logs.delete_retention_policy(logGroupName=name)
    [shown] = logs.describe_log_groups(logGroupNamePattern=name[2:])["logGroups"]
    assert set(shown) == {"logGroupName", "arn", "creationTime"}
    assert "retentionInDays" not in logs.describe_log_groups(logGroupIdentifiers=[arn])["logGroups"][0]
    assert logs.list_log_groups(logGroupNamePattern=f"^{name[:8]}")["logGroups"][0]["logGroupArn"] == arn
    logs.tag_resource(resourceArn=arn, tags={"a": "1"})
    logs.tag_log_group(logGroupName=name, tags={"b": "2"})
    logs.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1", "b": "2"}
    logs.untag_log_group(logGroupName=name, tags=["a"])
    assert logs.list_tags_log_group(logGroupName=name)["tags"] == {"b": "2"}
    logs.put_log_group_deletion_protection(logGroupIdentifier=arn, deletionProtectionEnabled=True)
    assert refused(logs.delete_log_group, logGroupName=name)[0] == "ValidationException"
    logs.put_log_group_deletion_protection(logGroupIdentifier=name, deletionProtectionEnabled=False)
    logs.delete_log_group(logGroupName=name)
    code, message = refused(logs.delete_log_group, logGroupName=name)
    assert (code, message) == ("ResourceNotFoundException", "The specified log group does not exist.")
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []


def test_groups_by_the_page(logs, name):
    names = [f"/{name}/{number:02d}" for number in range(7)]
    for each in reversed(names):
        logs.create_log_group(logGroupName=each)
    pages = list(logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/{name}", limit=3))
    assert [len(page["logGroups"]) for page in pages] == [3, 3, 1]
    assert [each["logGroupName"] for page in pages for each in page["logGroups"]] == names
    code, message = refused(logs.describe_log_groups, nextToken="!")
    assert (code, message) == ("InvalidParameterException", "The specified nextToken is invalid.")


def test_what_cannot_be_a_log_group(logs, group, name):
    assert refused(logs.create_log_group, logGroupName="a b")[0] == "InvalidParameterException"
    assert refused(logs.create_log_group, logGroupName=f"{name}x", kmsKeyId="k")[0] == "InvalidParameterException"
    assert refused(logs.put_retention_policy, logGroupName=group, retentionInDays=2)[0] == "InvalidParameterException"
    assert refused(logs.put_retention_policy, logGroupName="none", retentionInDays=1)[0] == "ResourceNotFoundException"
    assert refused(logs.create_log_stream, logGroupName=group, logStreamName="a:b")[0] == "InvalidParameterException"
    both = {"logGroupName": group, "logGroupIdentifier": group}
    assert refused(logs.filter_log_events, **both)[0] == "InvalidParameterException"
    foreign = f"arn:aws:logs:{REGION}:999999999999:log-group:{group}"
    assert refused(logs.filter_log_events, logGroupIdentifier=foreign)[0] == "InvalidParameterException"


def test_streams(logs, group):
    for stream in ("b", "a", "ab"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    assert refused(logs.create_log_stream, logGroupName=group, logStreamName="a") == (
        "ResourceAlreadyExistsException",
        "The specified log stream already exists",
    )
    now = int(time.time() * 1000)
    put(logs, group, "x", "y", stream="b", at=now - 5000, step=1000)
    put(logs, group, "x", stream="a", at=now)

    def names(**given):
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group, limit=2, **given)
        return [each["logStreamName"] for page in pages for each in page["logStreams"]]

    assert names() == ["a", "ab", "b", "s"]
    assert names(descending=True) == ["s", "b", "ab", "a"]
    assert names(logStreamNamePrefix="a") == ["a", "ab"]
    assert names(orderBy="LastEventTime", descending=True) == ["a", "b", "s", "ab"]
    both = {"orderBy": "LastEventTime", "logStreamNamePrefix": "a"}
    assert refused(logs.describe_log_streams, logGroupName=group, **both)[0] == "InvalidParameterException"
    [shown] = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="b")["logStreams"]
    assert (shown["firstEventTimestamp"], shown["lastEventTimestamp"]) == (now - 5000, now - 4000)
    assert shown["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:b"
    logs.delete_log_stream(logGroupName=group, logStreamName="b")
    assert names() == ["a", "ab", "s"]
    logs.create_log_stream(logGroupName=group, logStreamName="b")
    reborn = logs.get_log_events(logGroupName=group, logStreamName="b")
    assert reborn["events"] == []
    assert messages(logs.filter_log_events(logGroupName=group)) == ["x"]


def test_events_forwards_and_backwards(logs, group):
    now = int(time.time() * 1000)
    for start in range(0, 30, 10):
        put(
            logs,
            group,
            *[f"e{number}" for number in range(start, start + 10)],
            at=now - 60_000 + start * 1000,
            step=1000,
        )
    put(logs, group, "between", at=now - 60_000 + 4_500)
    expected = [f"e{number}" for number in range(5)] + ["between"] + [f"e{number}" for number in range(5, 30)]
    where = {"logGroupName": group, "logStreamName": "s"}
    whole = logs.get_log_events(**where, startFromHead=True)
    assert messages(whole) == expected
    assert messages(logs.get_log_events(**where, limit=4)) == expected[-4:]
    ranged = {"startTime": now - 60_000 + 4_500, "endTime": now - 60_000 + 6_000}
    assert messages(logs.get_log_events(**where, **ranged)) == ["between", "e5"]

    def walk(member, **first):
        answer, seen = logs.get_log_events(**where, limit=7, **first), []
        while answer["events"]:
            seen.append(messages(answer))
            token = answer[member]
            answer = logs.get_log_events(**where, limit=7, startFromHead=True, nextToken=token)
        assert answer[member] == token
        return seen, answer

    forwards, at_end = walk("nextForwardToken", startFromHead=True)
    assert [each for page in forwards for each in page] == expected
    back = logs.get_log_events(**where, limit=3, nextToken=at_end["nextBackwardToken"])
    assert messages(back) == expected[-3:]
    put(logs, group, "late", at=now)
    again = logs.get_log_events(**where, startFromHead=True, nextToken=at_end["nextForwardToken"])
    assert messages(again) == ["late"]
    backwards, _ = walk("nextBackwardToken")
    assert [each for page in reversed(backwards) for each in page] == [*expected, "late"]
    assert refused(logs.get_log_events, **where, nextToken="f/1")[1] == "The specified nextToken is invalid."


def test_what_is_rejected_of_a_batch(logs, group):
    now = int(time.time() * 1000)
    where = {"logGroupName": group, "logStreamName": "s"}

    def events(*times):
        return [{"timestamp": at, "message": f"{at}"} for at in times]

    answer = logs.put_log_events(**where, logEvents=events(now - 15 * DAY, now - 2 * DAY, now, now + 3 * 3_600_000)[:1])
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert answer["nextSequenceToken"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    batch = events(now - 15 * DAY, now - 2 * DAY, now - 1000, now, now + 3 * 3_600_000, now + 4 * 3_600_000)
    answer = logs.put_log_events(**where, logEvents=batch, sequenceToken="ignored")
    assert answer["rejectedLogEventsInfo"] == {
        "tooOldLogEventEndIndex": 1,
        "expiredLogEventEndIndex": 2,
        "tooNewLogEventStartIndex": 4,
    }
    assert messages(logs.get_log_events(**where)) == [str(now - 1000), str(now)]
    code, message = refused(logs.put_log_events, **where, logEvents=events(now, now - 1))
    assert code == "InvalidParameterException"
    assert message == "Log events in a single PutLogEvents request must be in chronological order."
    logs.delete_retention_policy(logGroupName=group)
    _, message = refused(logs.put_log_events, **where, logEvents=events(now - 2 * DAY, now))
    assert "24 hours" in message
    _, message = refused(logs.put_log_events, **where, logEvents=[{"timestamp": now, "message": "x" * 1_048_577}])
    assert message == "Log event too large: 1048577 bytes exceeds limit of 1048576"
    _, message = refused(logs.put_log_events, **where, logEvents=[{"timestamp": now, "message": "ü" * 524_280}] * 1)
    assert message == f"Upload too large: {524_280 * 2 + 26} bytes exceeds limit of 1048576"
    assert refused(logs.put_log_events, **where, logEvents=events(*[now] * 10_001))[0] == "InvalidParameterException"
    assert refused(logs.put_log_events, logGroupName=group, logStreamName="none", logEvents=events(now)) == (
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    )
    assert messages(logs.get_log_events(**where)) == [str(now - 1000), str(now)]


def test_a_search_over_streams(logs, group):
    now = int(time.time() * 1000)
    for stream in ("web-1", "web-2", "db"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        for number in range(10):
            at = now - 10_000 + number * 100 + len(stream)
            record = json.dumps({"stream": stream, "n": number, "eventName": "CreateTrail" if number % 2 else "x"})
            put(logs, group, record, stream=stream, at=at)

    def found(**given):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **given)
        events = [each for page in pages for each in page["events"]]
        order = [(each["timestamp"], each["eventId"]) for each in events]
        assert order == sorted(order) or order == sorted(order, reverse=True)
        return [(json.loads(each["message"])["stream"], json.loads(each["message"])["n"]) for each in events]

    assert len(found()) == len(set(found())) == 30
    assert found(PaginationConfig={"PageSize": 7}) == found()
    assert found(startFromHead=False, PaginationConfig={"PageSize": 4}) == found()[::-1]
    assert found(logStreamNames=["db", "web-2"], PaginationConfig={"PageSize": 3}) == [
        each for each in found() if each[0] != "web-1"
    ]
    assert {stream for stream, _ in found(logStreamNamePrefix="web")} == {"web-1", "web-2"}
    chosen = found(filterPattern='{ $.eventName = "Create*" && $.n > 5 }', PaginationConfig={"PageSize": 1})
    assert sorted(chosen) == [(stream, n) for stream in ("db", "web-1", "web-2") for n in (7, 9)]
    assert found(startTime=now) == []
    assert (
        refused(logs.filter_log_events, logGroupName=group, filterPattern="{ $.a = }")[0] == "InvalidParameterException"
    )
    assert refused(logs.filter_log_events, logGroupName=group, nextToken="f1")[0] == "InvalidParameterException"
    both = {"logStreamNames": ["db"], "logStreamNamePrefix": "d"}
    assert refused(logs.filter_log_events, logGroupName=group, **both)[0] == "InvalidParameterException"


def test_a_page_of_a_large_stream_is_bounded(logs, group):
    now = int(time.time() * 1000)
    for number in range(3):
        put(
            logs, group, *[f"{number}.{index} " + "x" * 90 for index in range(8_000)], at=now - 30_000 + number * 10_000
        )
    where = {"logGroupName": group, "logStreamName": "s"}
    page = logs.get_log_events(**where, startFromHead=True)
    assert sum(len(each["message"]) + 26 for each in page["events"]) <= 1_048_576
    assert page["events"][0]["message"].startswith("0.0 ")
    seen = []
    for each in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
        seen += [event["message"].split()[0] for event in each["events"]]
    assert seen == [f"{number}.{index}" for number in range(3) for index in range(8_000)]
    [shown] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert shown["storedBytes"] == sum(len(each) + 91 + 26 for each in seen)


def test_who_may(logs, group, iam, name, server):
    iam.create_user(UserName=name)
    statement = {
        "Effect": "Allow",
        "Action": ["logs:PutLogEvents", "logs:GetLogEvents"],
        "Resource": f"arn:aws:logs:*:*:log-group:{group}:log-stream:s",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    client = server.client("logs", (key["AccessKeyId"], key["SecretAccessKey"]))
    put(client, group, "mine")
    assert messages(client.get_log_events(logGroupIdentifier=group, logStreamName="s")) == ["mine"]
    code, message = refused(client.create_log_stream, logGroupName=group, logStreamName="t")
    assert code == "AccessDeniedException"
    assert f"log-group:{group}:log-stream:t" in message
    assert refused(client.filter_log_events, logGroupName=group)[0] == "AccessDeniedException"
    unmasked = {"logGroupName": group, "logStreamName": "s", "unmask": True}
    assert refused(client.get_log_events, **unmasked)[0] == "AccessDeniedException"
    other = server.client("logs", (OTHER_KEY, OTHER_SECRET))
    assert refused(other.get_log_events, logGroupName=group, logStreamName="s")[0] == "ResourceNotFoundException"


def test_resource_policies(logs, group, name):
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["logs:PutLogEvents", "logs:CreateLogStream"],
        "Resource": f"{arn}:*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    logs.put_resource_policy(policyName=name, policyDocument=document)
    shown = {each["policyName"]: each for each in logs.describe_resource_policies()["resourcePolicies"]}
    assert (shown[name]["policyDocument"], shown[name]["policyScope"]) == (document, "ACCOUNT")
    made = logs.put_resource_policy(resourceArn=arn, policyDocument=document)
    [own] = logs.describe_resource_policies(resourceArn=arn, policyScope="RESOURCE")["resourcePolicies"]
    assert (own["resourceArn"], own["revisionId"]) == (arn, made["revisionId"])
    stale = {"resourceArn": arn, "policyDocument": document, "expectedRevisionId": "1"}
    assert refused(logs.put_resource_policy, **stale)[0] == "OperationAbortedException"
    logs.delete_resource_policy(resourceArn=arn, expectedRevisionId=made["revisionId"])
    logs.delete_resource_policy(policyName=name)
    assert refused(logs.delete_resource_policy, policyName=name)[0] == "ResourceNotFoundException"
    assert refused(logs.put_resource_policy, policyName=name, policyDocument="{}")[0] == "InvalidParameterException"


def test_records(logs, name, trail):
    made = logs.create_log_group(logGroupName=name, tags={"k": "v"})
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    put(logs, name, "a secret word")
    read = logs.filter_log_events(logGroupName=name, filterPattern="secret")
    with pytest.raises(ClientError) as caught:
        logs.create_log_group(logGroupName=name)
    record = trail.of(made)
    assert record["eventSource"] == "logs.amazonaws.com"
    assert record["apiVersion"] == "20140328"
    assert record["requestParameters"] == {"logGroupName": name, "tags": {"k": "v"}}
    assert (record["responseElements"], record["readOnly"], record["managementEvent"]) == (None, False, True)
    searched = trail.of(read)
    assert (searched["eventName"], searched["readOnly"], searched["responseElements"]) == (
        "FilterLogEvents",
        True,
        None,
    )
    refused_twice = trail.of(caught.value.response)
    assert refused_twice["errorCode"] == "ResourceAlreadyExistsException"
    assert "a secret word" not in json.dumps(trail.records)


def test_a_trail_delivers_to_a_log_group(server, logs, iam, cloudtrail, trail, name):
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
    logs.create_log_group(logGroupName=name)
    service = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": service}))
    statement = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"{arn}:log-stream:{ACCOUNT}_CloudTrail_{REGION}*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    pair = {"CloudWatchLogsLogGroupArn": f"{arn}:*", "CloudWatchLogsRoleArn": role}
    cloudtrail.update_trail(Name=trail.name, **pair)
    try:
        iam.create_user(UserName=name)
        pattern = f'{{ $.eventName = CreateUser && $.requestParameters.userName = "{name}" }}'
        found = []

        def delivered():
            found[:] = logs.filter_log_events(logGroupName=name, filterPattern=pattern)["events"]
            return bool(found)

        until(delivered)
        assert [each["logStreamName"] for each in found] == [f"{ACCOUNT}_CloudTrail_{REGION}"]
        message = json.loads(found[0]["message"])
        assert trail.find(eventID=message["eventID"]) == [message]
        assert "LatestCloudWatchLogsDeliveryTime" in cloudtrail.get_trail_status(Name=trail.name)
    finally:
        cloudtrail.update_trail(Name=trail.name, **dict.fromkeys(pair, ""))


def test_the_aws_cli(server, group):
    now = int(time.time() * 1000)
    events = json.dumps([{"timestamp": now, "message": "ERROR one"}, {"timestamp": now, "message": "INFO two"}])
    server.aws("logs", "put-log-events", "--log-group-name", group, "--log-stream-name", "s", "--log-events", events)
    answer = server.aws("logs", "filter-log-events", "--log-group-name", group, "--filter-pattern", "ERROR")
    assert [each["message"] for each in json.loads(answer)["events"]] == ["ERROR one"]
