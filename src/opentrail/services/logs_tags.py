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
@service.operation("TagLogGroup")
async def tag_group(call: Call, unit: Unit) -> Shape:
    """Add tags to a log group, or replace their values."""
    place, group = _named(call, unit)
    GROUPS.put(unit, replace(group, tags=merged_tags(group.tags, call.input["tags"])), *place)
    return {}


@service.operation("UntagResource")
@service.operation("UntagLogGroup")
async def untag_group(call: Call, unit: Unit) -> Shape:
    """Remove tags from a log group."""
    place, group = _named(call, unit)
    gone = call.input["tagKeys" if "resourceArn" in call.input else "tags"]
    GROUPS.put(unit, replace(group, tags={key: tag for key, tag in group.tags.items() if key not in gone}), *place)
    return {}


@service.operation("ListTagsForResource")
@service.operation("ListTagsLogGroup")
async def list_tags(call: Call, unit: Unit) -> Shape:
    """List the tags of a log group."""
    return {"tags": _named(call, unit)[1].tags}


def _named(call: Call, unit: Unit) -> tuple[Place, LogGroup]:
    """The group of `resourceArn`, or of `logGroupName`; raises ResourceNotFoundException."""
    if "resourceArn" not in call.input:
        return find_group(call, unit)
    place = place_of_arn(call, call.input["resourceArn"])
    group = GROUPS.get(unit, *place)
    if group is None:
        raise no_group()
    return place, group


def merged_tags(before: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Tags after an addition; raises TooManyTagsException, InvalidParameterException."""
    if any(key.lower().startswith("aws:") for key in given):
        raise AwsError("InvalidParameterException", "Tag keys beginning with aws: are reserved.", 400)
    after = {**before, **given}
    if len(after) > TAGS_MAX:
        raise AwsError("TooManyTagsException", f"A log group can have {TAGS_MAX} tags at most.", 400)
    return after
