"""May a trail deliver to this log group, in this role? Asked when it is set, in the way it will be done.

The check is the act: CloudTrail assumes the role and makes the trail's stream, which stays behind. Whether the role may
also put events is asked of the permission check alone: an event that tells nothing has no place among the evidence. Source:
CloudTrail user guide, "Sending events to CloudWatch Logs"; the sentences are AWS's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from opentrail.access.context import RequestContext
from opentrail.access.decide import decide
from opentrail.call import Access, Call, Principal
from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import TrailConfig
from opentrail.rows.log_groups import group_arn
from opentrail.rows.organizations import place_of
from opentrail.rows.trail_log_groups import assume_role, create_stream, group_name, stream_name
from opentrail.services.identity import credentials_holder, identity_of
from opentrail.state import Unit

GROUP, ROLE = "CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn"
ARN_CHARS_MAX = 1_024

_GROUP = re.compile(r"arn:aws[\w-]*:logs:([a-z0-9-]+):(\d{12}):log-group:[.\-_/#A-Za-z0-9]{1,512}:\*", re.ASCII)
_ROLE = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):role/[!-~]{1,512}", re.ASCII)


def with_log_group(config: TrailConfig, given: Mapping[str, Any]) -> TrailConfig:
    """The configuration with the log group and role that the input says, both or neither; empty ones clear.

    Raises InvalidCloudWatchLogsLogGroupArnException or InvalidCloudWatchLogsRoleArnException.
    """
    if given.get(GROUP) is None and given.get(ROLE) is None:
        return config
    group, role = given.get(GROUP), given.get(ROLE)
    group = config.log_group_arn if group is None else str(group)
    role = config.log_role_arn if role is None else str(role)
    if role and not group:
        raise _group_error("A log group ARN is required with a role ARN.")
    if group and not role:
        raise _role_error("A role ARN is required with a log group ARN.")
    if group:
        _check_forms(config, group, role)
    return msgspec.structs.replace(config, log_group_arn=group, log_role_arn=role)


def _check_forms(config: TrailConfig, group: str, role: str) -> None:
    found = _GROUP.fullmatch(group) if len(group) <= ARN_CHARS_MAX else None
    if found is None or found[1] != config.home_region:
        raise _group_error("CloudTrail cannot validate the specified log group ARN.")
    named = _ROLE.fullmatch(role) if len(role) <= ARN_CHARS_MAX else None
    if named is None:
        raise _role_error("CloudTrail cannot validate the specified role ARN.")
    if found[2] != config.account_id:
        raise _group_error("The log group must belong to the account of the trail.")
    if named[1] != config.account_id:
        raise _role_error("The role must belong to the account of the trail.")


def log_group_settings(config: TrailConfig) -> dict[str, str]:
    """The members that show them; none when there are none."""
    return {GROUP: config.log_group_arn, ROLE: config.log_role_arn} if config.log_group_arn else {}


async def check_log_group_access(call: Call, unit: Unit, config: TrailConfig) -> None:
    """Raises InvalidCloudWatchLogsRoleArnException or InvalidCloudWatchLogsLogGroupArnException. Once a call."""
    done = f"checked {config.log_group_arn} {config.log_role_arn} {config.organization_id}"
    if not config.log_group_arn or done in call.stash:
        return
    try:
        principal = await assume_role(unit.house, config, credentials_holder)
    except AwsError as error:
        raise _refusal(error, _role_error("Access denied. Check the trust relationships for your role.")) from error
    try:
        await create_stream(unit.house, config, principal)
    except AwsError as error:
        absent = error.code == "ResourceNotFoundException"
        words = "CloudTrail cannot validate the specified log group ARN." if absent else _DENIED
        raise _refusal(error, _group_error(words)) from error
    if not _may_put(call, unit, config, principal):
        raise _group_error(_DENIED)
    call.stash[done] = True


_DENIED = "Access denied. Check the permissions for your role."


def _may_put(call: Call, unit: Unit, config: TrailConfig, principal: Principal) -> bool:
    arn = group_arn(config.account_id, config.home_region, group_name(config))
    question = Access("logs:PutLogEvents", f"{arn}:log-stream:{stream_name(config)}", config.account_id)
    context = RequestContext(principal, call.request, config.home_region, unit.now, partial(place_of, unit))
    return decide(principal, identity_of(unit, principal), question, context).allowed


def _refusal(error: AwsError, said: AwsError) -> AwsError:
    """CloudTrail's error for a refusal; an error of the house itself stays what it is."""
    return error if error.status >= 500 else said


def _group_error(message: str) -> AwsError:
    return AwsError("InvalidCloudWatchLogsLogGroupArnException", message)


def _role_error(message: str) -> AwsError:
    return AwsError("InvalidCloudWatchLogsRoleArnException", message)
