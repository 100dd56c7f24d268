"""Where the units of an organization stand, and the accounts in them. A unit is never moved, so it knows its whole way.

Each unit counts what stands in it; whoever puts something there writes the unit, so that a unit that is being deleted
meanwhile is noticed. Accounts that stand in the root have no row here. Knows organizations by their ids only.
"""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.state import Row, Table, Unit


class OrganizationalUnit(Row, frozen=True):
    """Keyed by organization and its id (`ou-…`)."""

    id: str
    name: str
    above: tuple[str, ...] = ()
    """Ids of the units that it stands in, the outermost first; empty directly below the root."""
    units: int = 0
    accounts: int = 0
    """What stands in it directly."""
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def way(self) -> tuple[str, ...]:
        """Ids of the units down to this one, itself included."""
        return (*self.above, self.id)


class UnitName(Row, frozen=True):
    """Leads to a unit. Keyed by organization, parent (root or unit) and name: siblings have different ones."""

    id: str


class Place(Row, frozen=True):
    """An account stands in a unit. Keyed by organization, unit and account."""

    since: float


UNITS = Table("organization-unit", OrganizationalUnit)
UNIT_NAMES = Table("organization-unit-name", UnitName)
PLACES = Table("organization-place", Place)


def put_unit(unit: Unit, organization_id: str, parent_id: str, row: OrganizationalUnit, old_name: str = "") -> None:
    """Write a unit with the name that leads to it, instead of an old one."""
    UNITS.put(unit, row, organization_id, row.id)
    if old_name:
        UNIT_NAMES.delete(unit, organization_id, parent_id, old_name)
    UNIT_NAMES.put(unit, UnitName(row.id), organization_id, parent_id, row.name)


def drop_unit(unit: Unit, organization_id: str, parent_id: str, row: OrganizationalUnit) -> None:
    UNITS.delete(unit, organization_id, row.id)
    UNIT_NAMES.delete(unit, organization_id, parent_id, row.name)


def count_units(unit: Unit, organization_id: str, unit_id: str, by: int) -> None:
    """So many more units stand in a unit; the root (no unit) does not count."""
    row = UNITS.get(unit, organization_id, unit_id) if unit_id else None
    if row is not None:
        UNITS.put(unit, replace(row, units=row.units + by), organization_id, unit_id)


def enter(unit: Unit, organization_id: str, unit_id: str, account_id: str) -> None:
    """An account comes into a unit; into the root if there is none."""
    row = UNITS.get(unit, organization_id, unit_id) if unit_id else None
    if row is not None:
        PLACES.put(unit, Place(unit.now), organization_id, unit_id, account_id)
        UNITS.put(unit, replace(row, accounts=row.accounts + 1), organization_id, unit_id)


def leave(unit: Unit, organization_id: str, unit_id: str, account_id: str) -> None:
    """An account leaves the unit that it stands in; the root if there is none."""
    row = UNITS.get(unit, organization_id, unit_id) if unit_id else None
    if row is not None:
        PLACES.delete(unit, organization_id, unit_id, account_id)
        UNITS.put(unit, replace(row, accounts=row.accounts - 1), organization_id, unit_id)
