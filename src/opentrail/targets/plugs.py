"""The kinds of targets that are built, by the service in a target's ARN."""

from __future__ import annotations

from opentrail.rows.event_delivery import TargetPlug
from opentrail.service import RoleSession
from opentrail.targets.bus import BusTarget
from opentrail.targets.log_group import LogGroupTarget
from opentrail.targets.pipeline import PipelineTarget
from opentrail.targets.sns import TopicTarget
from opentrail.targets.sqs import QueueTarget


def target_plugs(role_session: RoleSession) -> dict[str, TargetPlug]:
    """`role_session` makes a session of a role for a service, as STS does."""
    return {
        "codepipeline": PipelineTarget(role_session),
        "events": BusTarget(),
        "logs": LogGroupTarget(),
        "sns": TopicTarget(role_session),
        "sqs": QueueTarget(role_session),
    }
