"""Insights on a real server: a burst of calls is looked up, delivered and sent to a rule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, REGION
from tests.clients.trail_log import new_trail
from tests.clients.waiting import until
from tests.faults.world import ClockedServer


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[ClockedServer]:
    """A server that learns nothing before it tells, and whose minutes are over when the test says so."""
    server = ClockedServer(tmp_path, insight_learning="0s")
    server.start()
    try:
        yield server
        assert server.stop() == 0
        assert not server.tracebacks()
    finally:
        server.kill()


@pytest.mark.slow
def test_a_burst_is_found_everywhere(quick: ClockedServer) -> None:
    s3, cloudtrail, sqs, events = (quick.client(name) for name in ("s3", "cloudtrail", "sqs", "events"))
    trail = new_trail(s3, cloudtrail, "main")
    kinds = [{"InsightType": "ApiCallRateInsight"}]
    assert cloudtrail.put_insight_selectors(TrailName="main", InsightSelectors=kinds)["InsightSelectors"] == kinds
    queue = sqs.create_queue(QueueName="insights")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:insights"
    allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    events.put_rule(Name="insights", EventPattern=json.dumps({"detail-type": ["AWS Insight via CloudTrail"]}))
    events.put_targets(Rule="insights", Targets=[{"Id": "1", "Arn": arn}])
    iam = quick.client("iam")
    for number in range(30):
        iam.create_user(UserName=f"user-{number}")
    quick.step(70.0)
    found = until(lambda: cloudtrail.lookup_events(EventCategory="insight")["Events"])
    told = json.loads(found[0]["CloudTrailEvent"])
    assert (found[0]["EventName"], found[0]["EventSource"]) == ("CreateUser", "iam.amazonaws.com")
    assert told["insightDetails"]["state"] == "Start"
    assert told["insightDetails"]["insightContext"]["attributions"][0]["insight"][0]["value"].endswith(":root")
    assert not [each for each in cloudtrail.lookup_events()["Events"] if each["EventId"] == found[0]["EventId"]]
    by_name = [{"AttributeKey": "EventName", "AttributeValue": "CreateUser"}]
    assert cloudtrail.lookup_events(EventCategory="insight", LookupAttributes=by_name)["Events"]
    message = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"][0]
    envelope = json.loads(message["Body"])
    assert (envelope["source"], envelope["detail"]) == ("aws.cloudtrail", told)
    files = until(lambda: trail.files("CloudTrail-Insight"))
    assert f"{ACCOUNT}_CloudTrail-Insight_{REGION}_" in files[0]


def test_a_trail_without_insights_says_so(cloudtrail: Any, s3: Any, name: str) -> None:
    new_trail(s3, cloudtrail, name)
    with pytest.raises(ClientError) as error:
        cloudtrail.get_insight_selectors(TrailName=name)
    assert error.value.response["Error"]["Code"] == "InsightNotEnabledException"
