"""The EventBridge events of a pipeline, member by member."""

from __future__ import annotations

from opentrail.pipeline.advance import Emit
from opentrail.pipeline.events import ActionFacts, Where, envelope
from tests.pipeline.made import type_id

WHERE = Where("111122223333", "eu-west-1", "site", 3)


def test_a_stage():
    told = Emit("Stage", "SUCCEEDED", "e", "Deploy")
    assert envelope(told, WHERE, event_id="i", now=1_790_000_000.9, extra={}) == {
        "version": "0",
        "id": "i",
        "detail-type": "CodePipeline Stage Execution State Change",
        "source": "aws.codepipeline",
        "account": "111122223333",
        "time": "2026-09-21T14:13:20Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:codepipeline:eu-west-1:111122223333:site"],
        "detail": {"pipeline": "site", "execution-id": "e", "stage": "Deploy", "state": "SUCCEEDED", "version": 3},
    }


def test_an_action():
    facts = ActionFacts(
        "us-east-1", type_id("AWS Deploy S3"), inputs=(("App", "b", "k"),), result={"error-code": "JobFailed"}
    )
    told = Emit("Action", "FAILED", "e", "Deploy", "Ship", "a")
    assert envelope(told, WHERE, event_id="i", now=0.0, facts=facts, extra={})["detail"] == {
        "pipeline": "site",
        "execution-id": "e",
        "stage": "Deploy",
        "action-execution-id": "a",
        "action": "Ship",
        "input-artifacts": [{"name": "App", "s3location": {"bucket": "b", "key": "k"}}],
        "output-artifacts": [],
        "execution-result": {"error-code": "JobFailed"},
        "state": "FAILED",
        "region": "us-east-1",
        "type": {"owner": "AWS", "provider": "S3", "category": "Deploy", "version": "1"},
        "version": 3,
    }
