"""CloudTrail's tags on trails. Source: CloudTrail API reference, AddTags, RemoveTags, ListTags."""

from __future__ import annotations

import msgspec

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import TRAILS, Trail
from opentrail.service import Service
from opentrail.services.cloudtrail_checks import check_resource_arn, check_tag_count, check_tags
from opentrail.services.cloudtrail_find import find_own_trail, find_trail, guard_trail
from opentrail.state import Unit

LISTED_RESOURCES_MAX = 20

service = Service("cloudtrail")


@service.guard("AddTags", "RemoveTags")
def guard_resource(call: Call, unit: Unit) -> list[Access]:
    return guard_trail("ResourceId", call)


@service.guard("ListTags")
def guard_resources(call: Call, unit: Unit) -> list[Access]:
    action = call.operation.facts.actions[0]
    return [Access(action=action, resource=arn) for arn in call.input.get("ResourceIdList") or ()]


@service.operation("AddTags")
async def add_tags(call: Call, unit: Unit) -> Shape:
    """Add tags to a trail; a key that it has gets the new value."""
    trail = _own(call, unit)
    tags = dict(trail.tags) | check_tags(call.input.get("TagsList") or ())
    _put(trail, check_tag_count(tags), unit)
    return {}


@service.operation("RemoveTags")
async def remove_tags(call: Call, unit: Unit) -> Shape:
    """Take tags off a trail, by key."""
    trail = _own(call, unit)
    gone = check_tags(call.input.get("TagsList") or ())
    _put(trail, {key: value for key, value in trail.tags if key not in gone}, unit)
    return {}


@service.operation("ListTags")
async def list_tags(call: Call, unit: Unit) -> Shape:
    """Show the tags of up to 20 trails."""
    given = call.input["ResourceIdList"]
    if len(given) > LISTED_RESOURCES_MAX:
        raise AwsError("InvalidParameterException", f"Up to {LISTED_RESOURCES_MAX} resources can be listed at once.")
    if call.input.get("NextToken"):
        raise AwsError("InvalidTokenException", "The token is not valid.")
    return {"ResourceTagList": [_listed(arn, call, unit) for arn in given]}


def _listed(arn: str, call: Call, unit: Unit) -> Shape:
    check_resource_arn(arn)
    tags = _found(arn, call, unit).tags
    return {"ResourceId": arn, "TagsList": [{"Key": key, "Value": value} for key, value in tags]}


def _found(arn: str, call: Call, unit: Unit) -> Trail:
    try:
        return find_trail(arn, call, unit)
    except AwsError as error:
        raise _as_resource(error, arn) from error


def _own(call: Call, unit: Unit) -> Trail:
    arn = call.input["ResourceId"]
    check_resource_arn(arn)
    try:
        return find_own_trail(arn, call, unit)
    except AwsError as error:
        raise _as_resource(error, arn) from error


def _as_resource(error: AwsError, arn: str) -> AwsError:
    """Tagging calls a trail a resource. Its errors do not know home regions: the operation is not permitted there."""
    if error.code == "TrailNotFoundException":
        return AwsError("ResourceNotFoundException", f"Unknown trail: {arn}")
    if error.code == "InvalidHomeRegionException":
        return AwsError("OperationNotPermittedException", error.message)
    return error


def _put(trail: Trail, tags: dict[str, str], unit: Unit) -> None:
    trail = msgspec.structs.replace(trail, tags=tuple(tags.items()))
    TRAILS.put(unit, trail, trail.account_id, trail.home_region, trail.name)
