"""Tags of users, roles, instance profiles, managed policies and MFA devices. The same three operations for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.rows.mfa import put_device
from opentrail.service import Service
from opentrail.services.iam_aws_policies import AWS_POLICIES
from opentrail.services.iam_common import (
    find_policy,
    find_profile,
    find_role,
    find_user,
    list_items,
    read_tags,
    save,
    tag_shapes,
    tagged,
    untagged,
)
from opentrail.services.iam_mfa import named_device
from opentrail.services.iam_protected import refuse_protected
from opentrail.state import Unit

service = Service("iam")


class Taggable(NamedTuple):
    """What can have tags: its word in the names of operations, and in prose; how it is found and written."""

    word: str
    prose: str
    find: Callable[[Call, Unit], Any]
    put: Callable[[Unit, Any], None] = save


TAGGABLE = (
    Taggable("User", "a user", find_user),
    Taggable("Role", "a role", find_role),
    Taggable("InstanceProfile", "an instance profile", find_profile),
    Taggable("Policy", "a managed policy", find_policy),
    Taggable("MFADevice", "a virtual device", named_device, put_device),
)


def _register(kind: Taggable) -> None:
    @service.operation(f"Tag{kind.word}")
    async def tag(call: Call, unit: Unit) -> Shape:
        row = kind.find(call, unit)
        refuse_protected(row)
        kind.put(unit, replace(row, tags=tagged(row.tags, read_tags(call), kind.word)))
        return {}

    @service.operation(f"Untag{kind.word}")
    async def untag(call: Call, unit: Unit) -> Shape:
        row = kind.find(call, unit)
        refuse_protected(row)
        kind.put(unit, replace(row, tags=untagged(row.tags, call)))
        return {}

    @service.operation(f"List{kind.word}Tags")
    async def list_tags(call: Call, unit: Unit) -> Shape:
        if call.input.get("PolicyArn") in AWS_POLICIES:  # these can be read, and have no tags
            return {"Tags": [], "IsTruncated": False}
        tags, more = list_items(call, kind.find(call, unit).tags, lambda tag: tag[0])
        return {"Tags": tag_shapes(tuple(tags)), **more}

    tag.__doc__ = f"Add tags to {kind.prose}, or give them new values."
    untag.__doc__ = f"Remove tags from {kind.prose}."
    list_tags.__doc__ = f"The tags of {kind.prose}."


for _kind in TAGGABLE:
    _register(_kind)
