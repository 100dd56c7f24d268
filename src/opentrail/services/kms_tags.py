"""KMS: tags of keys. Source: KMS API reference."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.rows.kms import put_key
from opentrail.service import Service
from opentrail.services.key_find import check_not_pending
from opentrail.services.kms_common import (
    check_tag_count,
    checked_tags,
    key_questions,
    list_page,
    named_key,
    own_key_guard,
    tag_context,
)
from opentrail.state import Unit

LIST_TAGS = 50

service = Service("kms")
service.guard("ListResourceTags")(own_key_guard)


@service.guard("TagResource", "UntagResource")
def guard_tags(call: Call, unit: Unit) -> Sequence[Access]:
    given = {str(tag.get("TagKey")): str(tag.get("TagValue")) for tag in call.input.get("Tags") or ()}
    more = tag_context(given)
    if call.input.get("TagKeys"):
        more["aws:tagkeys"] = tuple(call.input["TagKeys"])
    return key_questions(call, unit, foreign=False, more=more)


@service.operation("TagResource")
async def tag_resource(call: Call, unit: Unit) -> Shape:
    """Put tags on a key."""
    key = named_key(call, unit)
    check_not_pending(key)
    tags = dict(key.tags) | checked_tags(call.input["Tags"])
    check_tag_count(tags)
    put_key(unit, replace(key, tags=tuple(tags.items())), key)
    return {}


@service.operation("UntagResource")
async def untag_resource(call: Call, unit: Unit) -> Shape:
    """Take tags off a key."""
    key = named_key(call, unit)
    check_not_pending(key)
    gone = set(call.input["TagKeys"])
    put_key(unit, replace(key, tags=tuple(tag for tag in key.tags if tag[0] not in gone)), key)
    return {}


@service.operation("ListResourceTags")
async def list_resource_tags(call: Call, unit: Unit) -> Shape:
    """List the tags of a key."""
    key = named_key(call, unit)
    call.evidence.answered = None
    shown, following = list_page(call, [{"TagKey": name, "TagValue": value} for name, value in key.tags], LIST_TAGS)
    return {"Tags": list(shown), **following}
