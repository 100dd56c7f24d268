"""Declarations for tests: built small, then bent by the test."""

from __future__ import annotations

from typing import Any

from opentrail.pipeline.definition import Plan, StagePlan

ROLE = "arn:aws:iam::111122223333:role/service/pipeline"


def type_id(kind: str) -> dict[str, str]:
    owner, category, provider = kind.split()
    return {"category": category, "owner": owner, "provider": provider, "version": "1"}


def source(name: str = "Fetch", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "actionTypeId": type_id("AWS Source S3"),
        "configuration": {"S3Bucket": "src", "S3ObjectKey": "app.zip", "PollForSourceChanges": "false"},
        "outputArtifacts": [{"name": "App"}],
        **more,
    }


def deploy(name: str = "Ship", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "actionTypeId": type_id("AWS Deploy S3"),
        "configuration": {"BucketName": "site", "Extract": "true"},
        "inputArtifacts": [{"name": "App"}],
        **more,
    }


def approval(name: str = "Ask", **more: Any) -> dict[str, Any]:
    return {"name": name, "actionTypeId": type_id("AWS Approval Manual"), **more}


def declaration(*later: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A pipeline `site` of a source stage and the given stages (one that deploys, when none is given)."""
    return {
        "name": "site",
        "roleArn": ROLE,
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "stages": [
            {"name": "Source", "actions": [source()]},
            *(later or [{"name": "Deploy", "actions": [deploy()]}]),
        ],
        **more,
    }


def plan(text: str, mode: str = "SUPERSEDED") -> Plan:
    """`A: a b, c; B: d` is stage A with a and b together and then c, and stage B with d."""
    stages = []
    for part in text.split(";"):
        name, _, groups = part.partition(":")
        stages.append(StagePlan(name.strip(), tuple(tuple(group.split()) for group in groups.split(","))))
    return Plan(mode, tuple(stages))
