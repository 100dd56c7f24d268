"""Organizations' units: made, renamed, deleted and described. Where accounts stand in them is `organizations_places`'.

A unit groups accounts, and tells conditions where they stand (`aws:PrincipalOrgPaths`); no policy can be attached to one.
Source: Organizations API reference, and "Quotas and service limits for AWS Organizations".
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.organization_tree import UNIT_NAMES, OrganizationalUnit, count_units, drop_unit, put_unit
from opentrail.rows.organizations import ORGANIZATIONS, Organization
from opentrail.service import Service
from opentrail.services.organizations_common import (
    LETTERS,
    managed_organization,
    read_page,
    read_tags,
    violation,
    watched_organization,
)
from opentrail.services.organizations_find import asked, find_parent, find_unit, parent_of, tag_keys
from opentrail.state import Unit

UNITS_MAX = 2_000
"""Units of one organization."""
UNIT_DEPTH_MAX = 5
"""Levels of units below the root."""

service = Service("organizations")


def _shape(organization: Organization, row: OrganizationalUnit) -> Shape:
    return {
        "Id": row.id,
        "Arn": organization.unit_arn(row.id),
        "Name": row.name,
        "Path": organization.path(*row.way),
    }


@service.guard("CreateOrganizationalUnit")
def guard_create(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the parent; tags take TagResource besides."""
    keys, parent = tag_keys(call), call.input["ParentId"]
    actions = ["CreateOrganizationalUnit", "TagResource"] if call.input.get("Tags") else ["CreateOrganizationalUnit"]
    return [asked(call, unit, parent, keys, action) for action in actions]


@service.guard("UpdateOrganizationalUnit", "DeleteOrganizationalUnit", "DescribeOrganizationalUnit")
def guard_unit(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the unit itself; for any where there is none."""
    return [asked(call, unit, call.input["OrganizationalUnitId"])]


@service.guard("ListOrganizationalUnitsForParent")
def guard_parent(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the root or the unit."""
    return [asked(call, unit, call.input["ParentId"])]


@service.operation("CreateOrganizationalUnit")
async def create_organizational_unit(call: Call, unit: Unit) -> Shape:
    """Make a unit within the root or another unit."""
    organization = managed_organization(call, unit)
    tags, name = tuple(sorted(read_tags(call).items())), call.input["Name"]
    parent = find_parent(unit, organization, call.input["ParentId"])
    above = parent.unit.way if parent.unit is not None else ()
    _refuse_twin(unit, organization, parent.id, name)
    if len(above) >= UNIT_DEPTH_MAX:
        raise violation("OU_DEPTH_LIMIT_EXCEEDED", f"Units can be nested no more than {UNIT_DEPTH_MAX} levels deep.")
    if organization.units >= UNITS_MAX:
        raise violation("OU_NUMBER_LIMIT_EXCEEDED", f"An organization can have no more than {UNITS_MAX} units.")
    unit_id = f"ou-{organization.root_id.removeprefix('r-')}-{unit.house.clock.token(8, LETTERS)}"
    row = OrganizationalUnit(unit_id, name, above, tags=tags)
    put_unit(unit, organization.id, parent.id, row)
    count_units(unit, organization.id, above[-1] if above else "", 1)
    ORGANIZATIONS.put(unit, replace(organization, units=organization.units + 1), organization.id)
    return {"OrganizationalUnit": _shape(organization, row)}


def _refuse_twin(unit: Unit, organization: Organization, parent_id: str, name: str) -> None:
    if UNIT_NAMES.get(unit, organization.id, parent_id, name) is not None:
        message = "An OU with the same name already exists."
        raise AwsError("DuplicateOrganizationalUnitException", message, 400)


@service.operation("UpdateOrganizationalUnit")
async def update_organizational_unit(call: Call, unit: Unit) -> Shape:
    """Give a unit another name."""
    organization = managed_organization(call, unit)
    row = find_unit(unit, organization, call.input["OrganizationalUnitId"])
    name = call.input.get("Name") or row.name
    if name != row.name:
        parent_id = parent_of(organization, row)
        _refuse_twin(unit, organization, parent_id, name)
        old_name, row = row.name, replace(row, name=name)
        put_unit(unit, organization.id, parent_id, row, old_name)
    return {"OrganizationalUnit": _shape(organization, row)}


@service.operation("DeleteOrganizationalUnit")
async def delete_organizational_unit(call: Call, unit: Unit) -> Shape:
    """Delete a unit that has neither accounts nor units in it."""
    organization = managed_organization(call, unit)
    row = find_unit(unit, organization, call.input["OrganizationalUnitId"])
    if row.accounts or row.units:
        message = "The specified organizational unit (OU) isn't empty. Move all accounts and OUs out of it first."
        raise AwsError("OrganizationalUnitNotEmptyException", message, 400)
    drop_unit(unit, organization.id, parent_of(organization, row), row)
    count_units(unit, organization.id, row.above[-1] if row.above else "", -1)
    ORGANIZATIONS.put(unit, replace(organization, units=organization.units - 1), organization.id)
    return {}


@service.operation("DescribeOrganizationalUnit")
async def describe_organizational_unit(call: Call, unit: Unit) -> Shape:
    """One unit."""
    organization = watched_organization(call, unit)
    row = find_unit(unit, organization, call.input["OrganizationalUnitId"])
    return {"OrganizationalUnit": _shape(organization, row)}


@service.operation("ListOrganizationalUnitsForParent")
async def list_organizational_units_for_parent(call: Call, unit: Unit) -> Shape:
    """The units directly within the root or a unit, by name."""
    organization = watched_organization(call, unit)
    parent = find_parent(unit, organization, call.input["ParentId"])
    rows, more = read_page(call, unit, UNIT_NAMES, organization.id, parent.id)
    found = [find_unit(unit, organization, row.id) for _, row in rows]
    return {"OrganizationalUnits": [_shape(organization, row) for row in found], **more}
