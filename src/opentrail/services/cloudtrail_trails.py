"""CloudTrail's trails: made, changed, removed and shown. A trail logs nothing until StartLogging.

Source: CloudTrail API reference; user guide, "CloudTrail concepts" and "Quotas in AWS CloudTrail".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.model.facts import partition
from opentrail.rows.cloudtrail import TRAILS, Trail, TrailConfig
from opentrail.service import Service
from opentrail.services.cloudtrail_bucket import check_bucket_access, check_topic_access, look_at_bucket
from opentrail.services.cloudtrail_checks import (
    check_bucket,
    check_prefix,
    check_tags,
    check_topic,
    check_trail_name,
    parse_trail,
)
from opentrail.services.cloudtrail_find import (
    config_of,
    find_own_trail,
    find_trail,
    guard_trail,
    is_seen_from,
    put_config,
    seen_trails,
    trails_of,
)
from opentrail.services.cloudtrail_key import check_key_access, with_key
from opentrail.services.cloudtrail_log_group import check_log_group_access, log_group_settings, with_log_group
from opentrail.services.cloudtrail_organization import not_management, trail_organization
from opentrail.state import Unit

TRAILS_PER_REGION_MAX = 5
"""Trails of an account in a region, shadows of multi-region trails included."""
TRAIL_ID_LENGTH = 16
_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"

service = Service("cloudtrail")


@service.guard("CreateTrail", "UpdateTrail", "DeleteTrail", "GetTrail")
def guard_named(call: Call, unit: Unit) -> list[Access]:
    return guard_trail("Name", call)


@service.operation("CreateTrail")
async def create_trail(call: Call, unit: Unit) -> Shape:
    """Make a trail that will deliver log files to a bucket."""
    given = call.input
    name = check_trail_name(given["Name"])
    owner, organization_id = call.account_id, ""
    if given.get("IsOrganizationTrail"):
        organization = await trail_organization(call, unit)
        owner, organization_id = organization.management_id, organization.id
    begun = TrailConfig(
        name=name, account_id=owner, home_region=call.region, bucket="", since=unit.now, organization_id=organization_id
    )
    config = _placed(begun, given)
    tags = check_tags(given.get("TagsList") or ())
    _check_name(unit, config)
    _check_quota(unit, config)
    await look_at_bucket(call, unit, config)
    config = with_key(_configured(config, given), given, unit)
    await check_bucket_access(call, unit, config)
    await check_key_access(call, unit, config)
    await check_topic_access(call, unit, config)
    await check_log_group_access(call, unit, config)
    trail = Trail(
        id=unit.house.clock.token(TRAIL_ID_LENGTH, _ID_ALPHABET),
        name=name,
        account_id=owner,
        home_region=call.region,
        revision=1,
        tags=tuple(tags.items()),
    )
    TRAILS.put(unit, trail, owner, call.region, name)
    put_config(unit, trail.id, trail.revision, config)
    return describe_settings(config)


@service.operation("UpdateTrail")
async def update_trail(call: Call, unit: Unit) -> Shape:
    """Change where a trail delivers, what regions it covers, whether its files are validated."""
    trail = find_own_trail(call.input["Name"], call, unit)
    old = config_of(trail, unit)
    organization_id = await _converted(call, unit, old)
    changed = msgspec.structs.replace(old, since=unit.now, organization_id=organization_id)
    config = _placed(changed, call.input)
    if config.multi_region and not old.multi_region:
        _check_name(unit, config, besides=trail)
        _check_quota(unit, config, besides=trail)
    if config.bucket != old.bucket:
        await look_at_bucket(call, unit, config)
    config = with_key(_configured(config, call.input), call.input, unit)
    if _destination(config) != _destination(old):
        await check_bucket_access(call, unit, config)
    if config.kms_key and (config.kms_key, *_destination(config)) != (old.kms_key, *_destination(old)):
        await check_key_access(call, unit, config)
    if config.topic_arn != old.topic_arn:
        await check_topic_access(call, unit, config)
    if log_group_settings(config) != log_group_settings(old) or config.organization_id != old.organization_id:
        await check_log_group_access(call, unit, config)
    save(trail, config, unit)
    return describe_settings(config)


async def _converted(call: Call, unit: Unit, old: TrailConfig) -> str:
    """The organization that it is a trail of after this call; only the management account can change that."""
    wanted = call.input.get("IsOrganizationTrail", bool(old.organization_id))
    if wanted == bool(old.organization_id):
        return old.organization_id
    if not wanted and call.account_id != old.account_id:
        raise not_management()
    if not wanted:
        return ""
    organization = await trail_organization(call, unit)
    if organization.management_id != call.account_id:
        raise not_management()
    return organization.id


@service.operation("DeleteTrail")
async def delete_trail(call: Call, unit: Unit) -> Shape:
    """Remove a trail; what it has logged until now is still delivered."""
    trail = find_own_trail(call.input["Name"], call, unit)
    config = msgspec.structs.replace(config_of(trail, unit), logging=False, deleted=True, since=unit.now)
    put_config(unit, trail.id, trail.revision + 1, config)
    TRAILS.delete(unit, trail.account_id, trail.home_region, trail.name)
    return {}


@service.operation("GetTrail")
async def get_trail(call: Call, unit: Unit) -> Shape:
    """Show one trail."""
    return {"Trail": describe_trail(config_of(find_trail(call.input["Name"], call, unit), unit))}


@service.operation("DescribeTrails")
async def describe_trails(call: Call, unit: Unit) -> Shape:
    """Show the trails of a region: those at home there and the shadows of other regions' and of the organization's."""
    wanted = {
        (account_id, region, name)
        for account_id, region, name, _ in (
            parse_trail(given, call.account_id, call.region) for given in call.input.get("trailNameList") or ()
        )
    }
    shadows = call.input.get("includeShadowTrails", True)
    trails = [
        trail
        for trail in seen_trails(call.account_id, unit)
        if (shadows or (trail.home_region == call.region and trail.account_id == call.account_id))
        and is_seen_from(trail, call.region, unit)
        and (not wanted or (trail.account_id, trail.home_region, trail.name) in wanted)
    ]
    return {"trailList": [describe_trail(config_of(trail, unit)) for trail in trails]}


@service.operation("ListTrails")
async def list_trails(call: Call, unit: Unit) -> Shape:
    """List the account's trails of every region."""
    return {
        "Trails": [
            {"TrailARN": trail.arn, "Name": trail.name, "HomeRegion": trail.home_region}
            for trail in seen_trails(call.account_id, unit)
        ]
    }


def save(trail: Trail, config: TrailConfig, unit: Unit, **changes: Any) -> None:  # noqa: ANN401  (fields of Trail)
    """The trail with its next configuration."""
    trail = msgspec.structs.replace(trail, revision=trail.revision + 1, **changes)
    TRAILS.put(unit, trail, trail.account_id, trail.home_region, trail.name)
    put_config(unit, trail.id, trail.revision, config)


def _placed(config: TrailConfig, given: Mapping[str, Any]) -> TrailConfig:
    """The configuration with what the input says of bucket, prefix and reach; raises the errors of each member."""
    changes: dict[str, Any] = {}
    if "S3BucketName" in given:
        changes["bucket"] = check_bucket(given["S3BucketName"])
    if "S3KeyPrefix" in given:
        changes["prefix"] = check_prefix(given["S3KeyPrefix"])
    return msgspec.structs.replace(config, **changes, **_reach(config, given))


def _configured(config: TrailConfig, given: Mapping[str, Any]) -> TrailConfig:
    """And with the rest of it, which is looked at once the bucket is known to be there."""
    changes: dict[str, Any] = {}
    if "SnsTopicName" in given:
        topic = given["SnsTopicName"]
        changes["topic_arn"] = check_topic(topic, config.account_id, config.home_region) if topic else ""
    if "EnableLogFileValidation" in given:
        changes["validation"] = given["EnableLogFileValidation"]
    if "RecursiveLogging" in given:
        changes["recursive"] = given["RecursiveLogging"]
    return with_log_group(msgspec.structs.replace(config, **changes), given)


def _reach(config: TrailConfig, given: Mapping[str, Any]) -> dict[str, bool]:
    """Multi-region and global events go together: a change of the first sets the second unless it is given."""
    multi = bool(given.get("IsMultiRegionTrail", config.multi_region))
    turned = multi != config.multi_region
    default = multi if turned else config.global_events
    global_events = bool(given.get("IncludeGlobalServiceEvents", default))
    if multi and not global_events:
        raise AwsError("InvalidParameterCombinationException", "Multi-Region trail must include global service events.")
    return {"multi_region": multi, "global_events": global_events}


def _destination(config: TrailConfig) -> tuple[str, str, bool, str]:
    return config.bucket, config.prefix, config.validation, config.organization_id


def _check_name(unit: Unit, config: TrailConfig, besides: Trail | None = None) -> None:
    """Raises TrailAlreadyExistsException: in each region that the trail covers, one trail or shadow bears a name."""
    for trail in trails_of(config.account_id, unit):
        if trail.name != config.name or (besides is not None and trail.id == besides.id):
            continue
        covered = config.multi_region and partition(trail.home_region) == partition(config.home_region)
        if covered or is_seen_from(trail, config.home_region, unit):
            raise AwsError(
                "TrailAlreadyExistsException", f"Trail {config.name} already exists for customer: {config.account_id}"
            )


def _check_quota(unit: Unit, config: TrailConfig, besides: Trail | None = None) -> None:
    """Raises MaximumNumberOfTrailsExceededException if a region that the trail covers is full."""
    others = [trail for trail in seen_trails(config.account_id, unit) if besides is None or trail.id != besides.id]
    own = partition(config.home_region)
    covered = (trail.home_region for trail in others if partition(trail.home_region) == own)
    regions = {config.home_region, *(covered if config.multi_region else ())}
    for region in sorted(regions):
        if sum(is_seen_from(trail, region, unit) for trail in others) >= TRAILS_PER_REGION_MAX:
            raise AwsError(
                "MaximumNumberOfTrailsExceededException",
                f"User: {config.account_id} already has {TRAILS_PER_REGION_MAX} trails in {region}.",
            )


def describe_settings(config: TrailConfig) -> Shape:
    """What CreateTrail and UpdateTrail answer."""
    shape: Shape = {"Name": config.name, "S3BucketName": config.bucket}
    if config.prefix:
        shape["S3KeyPrefix"] = config.prefix
    if config.topic_arn:
        shape["SnsTopicName"] = config.topic_arn.rpartition(":")[2]
        shape["SnsTopicARN"] = config.topic_arn
    if config.kms_key:
        shape["KmsKeyId"] = config.kms_key
    return shape | {
        **log_group_settings(config),
        "IncludeGlobalServiceEvents": config.global_events,
        "IsMultiRegionTrail": config.multi_region,
        "TrailARN": config.arn,
        "LogFileValidationEnabled": config.validation,
        "IsOrganizationTrail": bool(config.organization_id),
        "RecursiveLogging": config.recursive,
    }


def describe_trail(config: TrailConfig) -> Shape:
    """What GetTrail and DescribeTrails answer."""
    return describe_settings(config) | {
        "HomeRegion": config.home_region,
        "HasCustomEventSelectors": config.custom_selectors,
        "HasInsightSelectors": bool(config.insight_selectors),
    }
