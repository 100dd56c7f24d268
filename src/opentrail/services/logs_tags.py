"""CloudWatch Logs: tags on log groups, by ARN and by the operations of old that name the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.log_groups import GROUPS, LogGroup
from opentrail.service import Service
from opentrail.services.logs_common import Place, find_group, no_group, place_of_arn, question
from opentrail.state import Unit

TAGS_MAX = 50

service = Service("logs")


@service.guard("TagResource", "UntagResource", "ListTagsForResource")
def guard_resource(call: Call, unit: Unit) -> Sequence[Access]:
    """The group is asked for by its plain ARN, as it is named."""
    place = place_of_arn(call, call.input["resourceArn"])
    asked = question(call, unit, place)
    return [Access(asked.action, place.arn, place.account_id, context=asked.context)]


@service.operation("TagResource")
async def tag_resource(call: Call, unit: Unit) -> Shape:
    """Add tags to a log group, or replace their values."""
    place, group = _named(call, unit)
    return _put(unit, place, group, merged_tags(group.tags, call.input["tags"]))


@service.operation("UntagResource")
async def untag_resource(call: Call, unit: Unit) -> Shape:
    """Remove tags from a log group."""
    place, group = _named(call, unit)
    return _put(unit, place, group, _without(group.tags, call.input["tagKeys"]))


@service.operation("ListTagsForResource")
async def list_tags_for_resource(call: Call, unit: Unit) -> Shape:
    """List the tags of a log group."""
    return {"tags": _named(call, unit)[1].tags}


@service.operation("TagLogGroup")
async def tag_log_group(call: Call, unit: Unit) -> Shape:
    """Add tags to a log group by its name."""
    place, group = find_group(call, unit)
    return _put(unit, place, group, merged_tags(group.tags, call.input["tags"]))


@service.operation("UntagLogGroup")
async def untag_log_group(call: Call, unit: Unit) -> Shape:
    """Remove tags from a log group by its name."""
    place, group = find_group(call, unit)
    return _put(unit, place, group, _without(group.tags, call.input["tags"]))


@service.operation("ListTagsLogGroup")
async def list_tags_log_group(call: Call, unit: Unit) -> Shape:
    """List the tags of a log group by its name."""
    return {"tags": find_group(call, unit)[1].tags}


def _named(call: Call, unit: Unit) -> tuple[Place, LogGroup]:
    """The group of `resourceArn`; raises ResourceNotFoundException."""
    place = place_of_arn(call, call.input["resourceArn"])
    group = GROUPS.get(unit, *place)
    if group is None:
        raise no_group()
    return place, group


def _put(unit: Unit, place: Place, group: LogGroup, tags: dict[str, str]) -> Shape:
    GROUPS.put(unit, replace(group, tags=tags), *place)
    return {}


def _without(tags: Mapping[str, str], gone: Sequence[str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in gone}


def merged_tags(before: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Tags after an addition; raises TooManyTagsException, InvalidParameterException."""
    if any(key.lower().startswith("aws:") for key in given):
        raise AwsError("InvalidParameterException", "Tag keys beginning with aws: are reserved.", 400)
    after = {**before, **given}
    if len(after) > TAGS_MAX:
        raise AwsError("TooManyTagsException", f"A log group can have {TAGS_MAX} tags at most.", 400)
    return after
