"""The EventBridge events that tell a pipeline's changes of state. Source: CodePipeline user guide, event reference.

`detail.version` is a number, `type.version` text, and the ARN has no resource type, as newer real events have it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentrail.pipeline.desk import Emit

SOURCE = "aws.codepipeline"


@dataclass(frozen=True, slots=True)
class Where:
    """The pipeline an event is about."""

    account_id: str
    region: str
    pipeline: str
    version: int

    @property
    def arn(self) -> str:
        return pipeline_arn(self.account_id, self.region, self.pipeline)


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """What an action's event says beyond its state. Locations are (artifact name, bucket, key)."""

    region: str
    type_id: Mapping[str, str]
    inputs: tuple[tuple[str, str, str], ...] = ()
    outputs: tuple[tuple[str, str, str], ...] = ()
    result: Mapping[str, str] = field(default_factory=dict)


def pipeline_arn(account_id: str, region: str, name: str) -> str:
    """The ARN of a pipeline, and with `name/stage` or `name/stage/action` of its parts."""
    return f"arn:aws:codepipeline:{region}:{account_id}:{name}"


def envelope(
    emit: Emit, where: Where, *, event_id: str, now: float, facts: ActionFacts | None = None, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole event. `extra` is merged into the detail: `execution-trigger`, `stop-execution-comments`."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": f"CodePipeline {emit.level} Execution State Change",
        "source": SOURCE,
        "account": where.account_id,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "region": where.region,
        "resources": [where.arn],
        "detail": {**_detail(emit, where, facts), **extra},
    }


def _detail(emit: Emit, where: Where, facts: ActionFacts | None) -> dict[str, Any]:
    detail: dict[str, Any] = {"pipeline": where.pipeline, "execution-id": emit.execution_id}
    if emit.stage:
        detail["stage"] = emit.stage
    if facts is not None:
        detail["action-execution-id"] = emit.action_execution_id
        detail["action"] = emit.action
        detail["input-artifacts"] = [_artifact(each) for each in facts.inputs]
        detail["output-artifacts"] = [_artifact(each) for each in facts.outputs]
        if facts.result:
            detail["execution-result"] = dict(facts.result)
    detail["state"] = emit.state
    if facts is not None:
        detail["region"] = facts.region
        detail["type"] = {key: facts.type_id[key] for key in ("owner", "provider", "category", "version")}
    detail["version"] = where.version
    return detail


def _artifact(location: tuple[str, str, str]) -> dict[str, Any]:
    name, bucket, key = location
    return {"name": name, "s3location": {"bucket": bucket, "key": key}}
