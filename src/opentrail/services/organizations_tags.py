"""Organizations' tags, of the root, units and accounts. Source: Organizations API reference."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.rows.organization_tree import UNITS
from opentrail.rows.organizations import MEMBERS, ORGANIZATIONS, Organization
from opentrail.service import Service
from opentrail.services.organizations_common import (
    bounded_tags,
    last_shown,
    managed_organization,
    read_tags,
    refuse_reserved,
    tag_shapes,
    watched_organization,
)
from opentrail.services.organizations_find import Target, asked, find_target, tag_keys
from opentrail.state import Unit

service = Service("organizations")


@service.guard("TagResource", "UntagResource", "ListTagsForResource")
def guard_resource(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the resource, with the tags that are brought."""
    return [asked(call, unit, call.input["ResourceId"], tag_keys(call))]


@service.operation("TagResource")
async def tag_resource(call: Call, unit: Unit) -> Shape:
    """Add tags to the root, a unit or an account, or change their values."""
    organization = managed_organization(call, unit)
    target = find_target(call, unit, organization)
    _put(unit, organization, target, bounded_tags(dict(target.tags) | read_tags(call)))
    return {}


@service.operation("UntagResource")
async def untag_resource(call: Call, unit: Unit) -> Shape:
    """Take tags off the root, a unit or an account."""
    organization = managed_organization(call, unit)
    target, gone = find_target(call, unit, organization), set(call.input["TagKeys"])
    refuse_reserved(gone)
    _put(unit, organization, target, {key: value for key, value in target.tags if key not in gone})
    return {}


def _put(unit: Unit, organization: Organization, target: Target, tags: dict[str, str]) -> None:
    pairs = tuple(sorted(tags.items()))
    if target.unit is not None:
        UNITS.put(unit, replace(target.unit, tags=pairs), organization.id, target.id)
    elif target.member is not None:
        MEMBERS.put(unit, replace(target.member, tags=pairs), organization.id, target.id)
    else:
        ORGANIZATIONS.put(unit, replace(organization, root_tags=pairs), organization.id)


@service.operation("ListTagsForResource")
async def list_tags_for_resource(call: Call, unit: Unit) -> Shape:
    """The tags of the root, a unit or an account; all in one page."""
    organization = watched_organization(call, unit)
    last_shown(call)
    return {"Tags": tag_shapes(find_target(call, unit, organization).tags)}
