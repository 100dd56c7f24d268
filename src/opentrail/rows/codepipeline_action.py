"""The plug of pipeline actions: what an action is given, what it hands back, and what it must be.

Lies between the follower that runs actions and the actions themselves, which do not know each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from opentrail.call import ByteStream, Principal, Shape
from opentrail.ports import Clock, InternalAnswer, Road
from opentrail.rows.codepipeline import Artifact

SERVICE_PRINCIPAL = "codepipeline.amazonaws.com"


@dataclass(frozen=True, slots=True)
class ActionContext:
    """One run of an action. `principal` is the session of the pipeline's or the action's role."""

    road: Road
    clock: Clock
    principal: Principal
    account_id: str
    region: str
    pipeline: str
    execution_id: str
    stage: str
    action: str
    action_execution_id: str
    token: str
    """What PutApprovalResult has to show."""
    configuration: Mapping[str, str]
    """With variables resolved."""
    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    """Where the outputs are to be put; the same in every attempt."""
    kms_key: str = ""
    """Key of the artifact store, empty for AWS's own."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Source revisions asked for, by kind (`S3_OBJECT_VERSION_ID`, `S3_OBJECT_KEY`)."""
    started_at: float = 0.0
    """When the action was started, epoch seconds; the same in every attempt."""
    expires_at: float = 0.0
    """When the action times out, epoch seconds."""

    async def call(
        self, service: str, operation: str, input: Shape, body: bytes | ByteStream = b"", *, region: str = ""
    ) -> InternalAnswer:
        """Call a service under the role, on the road that every call takes; raises the call's AwsError."""
        return await self.road.call(
            self.principal, service, operation, input, region=region or self.region, body=body, source=SERVICE_PRINCIPAL
        )


@dataclass(frozen=True, slots=True)
class ActionResult:
    """How an action ended, or that it waits for PutApprovalResult until it expires.

    `artifacts` are its outputs with what is known of their revision.
    """

    status: Literal["Succeeded", "Failed", "Waiting"]
    summary: str = ""
    external_id: str = ""
    external_url: str = ""
    error_code: str = ""
    error_message: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()


def failed(code: str, message: str) -> ActionResult:
    """A failure as `errorDetails` shows it: JobFailed, ConfigurationError, PermissionError, RevisionUnavailable, …"""
    return ActionResult("Failed", error_code=code, error_message=message[:ERROR_MESSAGE_MAX])


ERROR_MESSAGE_MAX = 5_000
"""Characters of errorDetails.message."""


class Action(Protocol):
    """A provider of actions. MUST be repeatable: a run that a crash cut short is run again with the same context."""

    async def run(self, context: ActionContext) -> ActionResult:
        """Do it. May be cancelled at any await. An AwsError that escapes makes the action fail with its code."""
        ...


ActionKey = tuple[str, str, str]
"""(owner, category, provider)."""
Actions = Mapping[ActionKey, Action]
