"""What Organizations' operations name by an id (`r-…`, `ou-…`, twelve digits): found, with their ARNs, tags and ways, and
asked for by the guards.

Source of ARNs and condition keys: Service Authorization Reference, "AWS Organizations". Knows no operation.
"""

from __future__ import annotations

from typing import NamedTuple

from opentrail.call import Access, Call
from opentrail.errors import AwsError
from opentrail.rows.organization_tree import UNITS, OrganizationalUnit
from opentrail.rows.organizations import MEMBERS, Member, Organization, Pairs, organization_of
from opentrail.services.organizations_common import find_organization
from opentrail.state import Unit

Keys = dict[str, tuple[str, ...]]


class Target(NamedTuple):
    """A root, a unit or an account. Of the rows, that which it is; neither for the root."""

    id: str
    arn: str
    tags: Pairs
    unit: OrganizationalUnit | None = None
    member: Member | None = None


def target_of(unit: Unit, organization: Organization, target_id: str) -> Target | None:
    """What has the id in the organization."""
    if target_id == organization.root_id:
        return Target(target_id, organization.root_arn, organization.root_tags)
    row = UNITS.get(unit, organization.id, target_id)
    if row is not None:
        return Target(target_id, organization.unit_arn(target_id), row.tags, row)
    member = MEMBERS.get(unit, organization.id, target_id)
    if member is not None:
        return Target(target_id, organization.account_arn(target_id), member.tags, None, member)
    return None


def find_parent(
    unit: Unit, organization: Organization, parent_id: str, which: str = "Parent", word: str = "parent"
) -> Target:
    """The root or unit; `WHICHNotFoundException` if it is neither."""
    found = target_of(unit, organization, parent_id)
    if found is None or found.member is not None:
        raise AwsError(f"{which}NotFoundException", f"You specified a {word} that doesn't exist.", 400)
    return found


def find_unit(unit: Unit, organization: Organization, unit_id: str) -> OrganizationalUnit:
    """The unit; OrganizationalUnitNotFoundException."""
    row = UNITS.get(unit, organization.id, unit_id)
    if row is None:
        message = "You specified an organizational unit that doesn't exist."
        raise AwsError("OrganizationalUnitNotFoundException", message, 400)
    return row


def parent_of(organization: Organization, row: OrganizationalUnit) -> str:
    """The id of what a unit stands in."""
    return row.above[-1] if row.above else organization.root_id


def asked(call: Call, unit: Unit, target_id: str, keys: Keys | None = None, action: str = "") -> Access:
    """May the caller do this to what has the id? Asked for anything where there is no such thing."""
    organization = organization_of(unit, call.account_id)
    found = None if organization is None else target_of(unit, organization, target_id)
    context = dict(keys or {})
    if found is not None:
        context |= {f"aws:resourcetag/{key.lower()}": (value,) for key, value in found.tags}
    resource = "*" if found is None else found.arn
    return Access(f"organizations:{action or call.operation.name}", resource, call.account_id, context=context)


def tag_keys(call: Call) -> Keys:
    """`aws:RequestTag/KEY` and `aws:TagKeys` of the tags, or of the keys, that a request brings."""
    given = call.input.get("Tags") or ()
    names = [tag["Key"] for tag in given] or list(call.input.get("TagKeys") or ())
    keys: Keys = {f"aws:requesttag/{tag['Key'].lower()}": (tag["Value"],) for tag in given}
    return keys | {"aws:tagkeys": tuple(names)} if names else keys


def find_target(call: Call, unit: Unit, organization: Organization | None = None) -> Target:
    """What the input's ResourceId names; TargetNotFoundException."""
    found = target_of(unit, organization or find_organization(call, unit), call.input["ResourceId"])
    if found is None:
        raise AwsError("TargetNotFoundException", "You specified a target that doesn't exist.", 400)
    return found
