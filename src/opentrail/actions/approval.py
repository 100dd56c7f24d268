"""The manual approval action: tells the topic that somebody is asked, then waits for PutApprovalResult.

The waiting itself costs nothing: the result frees the runner, and an answer or the expiry ends the action.
Source: CodePipeline user guide, approvals and the JSON format of their notifications.
"""

from __future__ import annotations

import json
import time

from opentrail.errors import AwsError
from opentrail.rows.codepipeline_action import ActionContext, ActionResult, failed

SUBJECT_MAX = 100
"""Characters of an SNS subject."""
_ARN_REGION = 3
_CONSOLE = "https://console.aws.amazon.com/codesuite/codepipeline/pipelines"


class ManualApproval:
    """`AWS Approval Manual 1`."""

    async def run(self, context: ActionContext) -> ActionResult:
        topic = context.configuration.get("NotificationArn")
        if topic:
            parts = topic.split(":")
            region = parts[_ARN_REGION] if len(parts) > _ARN_REGION else context.region
            subject = f"APPROVAL NEEDED: AWS CodePipeline {context.pipeline} for action {context.action}"[:SUBJECT_MAX]
            asked = {"TopicArn": topic, "Subject": subject, "Message": message_of(context)}
            try:
                await context.call("sns", "Publish", asked, region=region)
            except AwsError as error:
                return failed(
                    "ConfigurationError", f"The notification could not be sent to {topic}: {error.code} {error.message}"
                )
        return ActionResult("Waiting")


def message_of(context: ActionContext) -> str:
    """The JSON text that the topic's subscribers get."""
    link = f"{_CONSOLE}/{context.pipeline}/view?region={context.region}"
    given = context.configuration
    approval = {
        "pipelineName": context.pipeline,
        "stageName": context.stage,
        "actionName": context.action,
        "token": context.token,
        "expires": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(context.expires_at)),
        "externalEntityLink": given.get("ExternalEntityLink"),
        "approvalReviewLink": f"{link}#/{context.stage}/{context.action}/approve/{context.token}",
        "customData": given.get("CustomData"),
    }
    return json.dumps({"region": context.region, "consoleLink": link, "approval": approval})
