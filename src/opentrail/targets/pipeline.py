"""Target CodePipeline: starts an execution, in the same commit in which the delivery ends.

Source: EventBridge user guide, "Amazon EventBridge targets". Knows nothing of rules; of pipelines only how to start one.
"""

from __future__ import annotations

import json
from typing import Any, Final

from opentrail.rows.event_delivery import Delivery, Sending, Undeliverable
from opentrail.service import RoleSession
from opentrail.state import House
from opentrail.targets.role import arn_parts, caller

_PASSED_ON: Final = ("sourceRevisions", "variables")
"""Members of StartPipelineExecution that a target's input may carry."""


class PipelineTarget:
    """A `TargetPlug`."""

    def __init__(self, role_session: RoleSession) -> None:
        self._role_session = role_session

    async def deliver(self, sending: Sending, house: House) -> None:
        """StartPipelineExecution as the role of the target or rule."""
        delivery = sending.delivery
        parts = arn_parts(delivery, "a pipeline")
        principal = caller(delivery, self._role_session, house)
        if principal.account_id != parts[4]:
            raise Undeliverable("NO_PERMISSIONS", "The pipeline belongs to another account than the role.")
        asked = {"name": parts[5], **_input(delivery)}
        await house.road.call(
            principal, "codepipeline", "StartPipelineExecution", asked, region=parts[3], also=sending.done()
        )


def _input(delivery: Delivery) -> dict[str, Any]:
    """What the target's own input says of the execution; the event itself says nothing of it."""
    if not any(delivery.target.get(name) is not None for name in ("Input", "InputPath", "InputTransformer")):
        return {}
    try:
        given = json.loads(delivery.payload)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(given, dict):
        return {}
    return {name: given[name] for name in _PASSED_ON if name in given}
