"""The providers of actions that can be run here, by owner, category and name."""

from __future__ import annotations

from opentrail.actions.approval import ManualApproval
from opentrail.actions.s3_deploy import S3Deploy
from opentrail.actions.s3_source import S3Source
from opentrail.rows.codepipeline_action import Actions

ACTIONS: Actions = {
    ("AWS", "Source", "S3"): S3Source(),
    ("AWS", "Deploy", "S3"): S3Deploy(),
    ("AWS", "Approval", "Manual"): ManualApproval(),
}
