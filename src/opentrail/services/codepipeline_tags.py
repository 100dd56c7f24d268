"""CodePipeline: tags on pipelines. Source: the API model (limits) and the user guide (reserved prefix, ARNs)."""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.codepipeline import PIPELINES, Pipeline
from opentrail.service import Service
from opentrail.services.codepipeline_common import bad_token, put_pipeline
from opentrail.state import Unit

TAGS_MAX = 50
ARN_PARTS = 6

service = Service("codepipeline")


def merged_tags(old: dict[str, str], given: list[dict[str, str]]) -> dict[str, str]:
    """Old tags with the given ones over them; raises InvalidTagsException or TooManyTagsException."""
    keys = [item["key"] for item in given]
    if len(set(keys)) < len(keys):
        raise AwsError("InvalidTagsException", "The same tag key is given more than once", 400)
    for key in keys:
        if key.lower().startswith("aws:"):
            raise AwsError("InvalidTagsException", f"Not allowed to modify system tags: '{key}'", 400)
    merged = {**old, **{item["key"]: item["value"] for item in given}}
    if len(merged) > TAGS_MAX:
        raise AwsError("TooManyTagsException", f"A resource can have no more than {TAGS_MAX} tags", 400)
    return merged


def _tagged(call: Call, unit: Unit) -> Pipeline:
    """The pipeline that `resourceArn` names; raises InvalidArnException or ResourceNotFoundException."""
    arn = call.input["resourceArn"]
    parts = arn.split(":")
    if len(parts) != ARN_PARTS or "/" in parts[-1]:
        raise AwsError("InvalidArnException", f"The ARN '{arn}' is not that of a pipeline", 400)
    region, account, name = parts[3:]
    found = None
    if (account, region) == (call.account_id, call.region):
        found = PIPELINES.get(unit, account, region, name)
    if found is None:
        raise AwsError("ResourceNotFoundException", f"The resource with the ARN '{arn}' does not exist", 400)
    return found


@service.operation("TagResource")
async def tag_resource(call: Call, unit: Unit) -> Shape:
    """Add tags to a pipeline, or replace their values."""
    pipeline = _tagged(call, unit)
    put_pipeline(unit, replace(pipeline, tags=merged_tags(pipeline.tags, call.input["tags"])))
    return {}


@service.operation("UntagResource")
async def untag_resource(call: Call, unit: Unit) -> Shape:
    """Remove tags from a pipeline."""
    pipeline = _tagged(call, unit)
    gone = set(call.input["tagKeys"])
    put_pipeline(unit, replace(pipeline, tags={k: v for k, v in pipeline.tags.items() if k not in gone}))
    return {}


@service.operation("ListTagsForResource")
async def list_tags_for_resource(call: Call, unit: Unit) -> Shape:
    """List the tags of a pipeline."""
    if call.input.get("nextToken"):
        raise bad_token()
    return {"tags": [{"key": key, "value": value} for key, value in _tagged(call, unit).tags.items()]}
