"""SNS: tags of topics."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.sns import TOPICS, Topic, TopicName
from opentrail.service import Service
from opentrail.services.sns_common import find_topic, guard_resource, merged_tags
from opentrail.state import Unit

service = Service("sns")
service.guard("TagResource", "UntagResource", "ListTagsForResource")(guard_resource)


def _find(call: Call, unit: Unit) -> tuple[TopicName, Topic]:
    try:
        return find_topic(call, unit, call.input["ResourceArn"])
    except AwsError as error:
        if error.code != "NotFound":
            raise
        raise AwsError("ResourceNotFound", "Resource does not exist", 404) from error


@service.operation("TagResource")
async def tag_resource(call: Call, unit: Unit) -> Shape:
    """Add tags to a topic, or replace their values."""
    name, topic = _find(call, unit)
    TOPICS.put(unit, replace(topic, tags=merged_tags(topic.tags, call.input["Tags"])), *name)
    return {}


@service.operation("UntagResource")
async def untag_resource(call: Call, unit: Unit) -> Shape:
    """Remove tags from a topic."""
    name, topic = _find(call, unit)
    gone = set(call.input["TagKeys"])
    TOPICS.put(unit, replace(topic, tags={key: tag for key, tag in topic.tags.items() if key not in gone}), *name)
    return {}


@service.operation("ListTagsForResource")
async def list_tags_for_resource(call: Call, unit: Unit) -> Shape:
    """List the tags of a topic."""
    _, topic = _find(call, unit)
    return {"Tags": [{"Key": key, "Value": value} for key, value in topic.tags.items()]}
