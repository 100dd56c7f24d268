"""Trails that deliver to a log group as well: how far each has come, how it goes, and how CloudTrail acts in its role.

Source: CloudTrail user guide, "Sending events to CloudWatch Logs". The session's name is the one that delivered records
show. Times are epoch seconds. Knows nothing of when to deliver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from opentrail.call import Principal
from opentrail.errors import AwsError
from opentrail.ports import Seq
from opentrail.rows.cloudtrail import DELIVERY_PRINCIPAL, TrailConfig, as_cloudtrail
from opentrail.state import House, Row, Table, Unit

SESSION_NAME: Final = "CLOUDWATCH_LOGS_DELIVERY_SESSION"
EXISTS: Final = "ResourceAlreadyExistsException"

Holder = Callable[[Unit, str, str], Principal]
"""Whose temporary credentials are these (key id, session token)?"""


class LogGroupCursor(Row, frozen=True):
    """How far a trail's lines are in its log group. Keyed by trail id."""

    through: Seq


class LogGroupStatus(Row, frozen=True):
    """What GetTrailStatus says about the log group. Keyed by trail id."""

    delivered_at: float = 0.0
    error: str = ""
    events: int = 0
    """Log events delivered."""
    left_out: int = 0
    """Records too large for a log event."""
    failures: int = 0
    """Tries that failed."""


LOG_GROUP_CURSORS: Table[LogGroupCursor] = Table("trail_log_group_cursor", LogGroupCursor)
LOG_GROUP_STATUS: Table[LogGroupStatus] = Table("trail_log_group_status", LogGroupStatus)


def group_name(config: TrailConfig) -> str:
    """The name in the ARN of the trail's log group, whose form was checked when it was set."""
    return config.log_group_arn.split(":", 6)[6].removesuffix(":*")


def stream_name(config: TrailConfig) -> str:
    """`111122223333_CloudTrail_us-east-1`; of an organization trail with the organization's id before it."""
    before = f"{config.organization_id}_" if config.organization_id else ""
    return f"{before}{config.account_id}_CloudTrail_{config.home_region}"


async def assume_role(house: House, config: TrailConfig, holder: Holder) -> Principal:
    """CloudTrail in the role of a trail; raises the AwsError of AssumeRole."""
    given = {"RoleArn": config.log_role_arn, "RoleSessionName": SESSION_NAME}
    answer = await house.road.call(as_cloudtrail(config), "sts", "AssumeRole", given, region=config.home_region)
    got = answer.output["Credentials"]
    session = holder(Unit(house, house.clock.now()), got["AccessKeyId"], got["SessionToken"])
    return replace(session, invoked_by=DELIVERY_PRINCIPAL, source_arn=config.arn, source_account=config.account_id)


async def create_stream(house: House, config: TrailConfig, principal: Principal) -> None:
    """See to it that the trail's stream is there; raises the AwsError of CreateLogStream."""
    given = {"logGroupName": group_name(config), "logStreamName": stream_name(config)}
    try:
        await house.road.call(principal, "logs", "CreateLogStream", given, region=config.home_region)
    except AwsError as error:
        if error.code != EXISTS:
            raise
