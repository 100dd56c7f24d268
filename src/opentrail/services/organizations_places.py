"""Organizations' tree: which accounts and units stand where, and moving accounts. Units themselves are
`organizations_units`'. Source: Organizations API reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import ACCOUNTS
from opentrail.rows.organization_tree import PLACES, UNIT_NAMES, enter, leave
from opentrail.rows.organizations import MEMBERS, Member, Organization
from opentrail.service import Service
from opentrail.services.organizations_common import (
    PAGE_MAX,
    account_shape,
    find_member,
    last_shown,
    managed_organization,
    read_page,
    watched_organization,
)
from opentrail.services.organizations_find import Target, asked, find_parent, parent_of, target_of
from opentrail.services.page_token import write_token
from opentrail.state import Unit

LOOKED_AT_MAX = 1_000
"""Members that are looked at for one page of those in the root; a page may be short, or empty, although more follow."""

service = Service("organizations")


@service.guard("ListChildren", "ListAccountsForParent")
def guard_parent(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the root or the unit."""
    return [asked(call, unit, call.input["ParentId"])]


@service.guard("ListParents")
def guard_child(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the account or the unit."""
    return [asked(call, unit, call.input["ChildId"])]


@service.guard("MoveAccount")
def guard_move(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the account, and for where it comes from and goes to."""
    return [asked(call, unit, call.input[name]) for name in ("AccountId", "SourceParentId", "DestinationParentId")]


@service.operation("MoveAccount")
async def move_account(call: Call, unit: Unit) -> Shape:
    """Move an account from one unit, or the root, to another."""
    organization, account_id = managed_organization(call, unit), call.input["AccountId"]
    member = find_member(unit, organization, account_id)
    source = find_parent(unit, organization, call.input["SourceParentId"], "SourceParent", "source parent")
    goal = find_parent(unit, organization, call.input["DestinationParentId"], "DestinationParent", "destination parent")
    if _row_id(goal) == member.parent:
        message = "That account is already present in the specified destination."
        raise AwsError("DuplicateAccountException", message, 400)
    if _row_id(source) != member.parent:
        message = "The account isn't present in the source parent that you specified."
        raise AwsError("SourceParentNotFoundException", message, 400)
    leave(unit, organization.id, member.parent, account_id)
    enter(unit, organization.id, _row_id(goal), account_id)
    MEMBERS.put(unit, replace(member, parent=_row_id(goal)), organization.id, account_id)
    return {}


def _row_id(parent: Target) -> str:
    """As members name what they stand in: empty for the root."""
    return parent.id if parent.unit is not None else ""


@service.operation("ListAccountsForParent")
async def list_accounts_for_parent(call: Call, unit: Unit) -> Shape:
    """The accounts directly in the root or a unit; a page may be short although more follow."""
    organization = watched_organization(call, unit)
    members, more = _members_page(call, unit, organization, find_parent(unit, organization, call.input["ParentId"]))
    found = [(ACCOUNTS.get(unit, account_id), member) for account_id, member in members]
    shapes = [account_shape(unit, organization, account, member) for account, member in found if account is not None]
    return {"Accounts": shapes, **more}


@service.operation("ListChildren")
async def list_children(call: Call, unit: Unit) -> Shape:
    """The ids of the accounts or of the units directly in the root or a unit; a page may be short although more follow."""
    organization, kind = watched_organization(call, unit), call.input["ChildType"]
    parent = find_parent(unit, organization, call.input["ParentId"])
    if kind == "ACCOUNT":
        members, more = _members_page(call, unit, organization, parent)
        ids = [account_id for account_id, _ in members]
    else:
        rows, more = read_page(call, unit, UNIT_NAMES, organization.id, parent.id)
        ids = [row.id for _, row in rows]
    return {"Children": [{"Id": each, "Type": kind} for each in ids], **more}


def _members_page(
    call: Call, unit: Unit, organization: Organization, parent: Target
) -> tuple[list[tuple[str, Member]], Shape]:
    """One page of the members directly in a parent, by account id."""
    if parent.unit is None:
        return _root_page(call, unit, organization)
    rows, more = read_page(call, unit, PLACES, organization.id, parent.id)
    return [(account_id, find_member(unit, organization, account_id)) for account_id, _ in rows], more


def _root_page(call: Call, unit: Unit, organization: Organization) -> tuple[list[tuple[str, Member]], Shape]:
    """One page of the members that stand in no unit, picked out of all members."""
    limit, last = call.input.get("MaxResults") or PAGE_MAX, last_shown(call)
    after = MEMBERS.key(organization.id, last) if last else b""
    rows = MEMBERS.page(unit, organization.id, after=after, limit=LOOKED_AT_MAX)
    found = [(MEMBERS.parts(key)[-1], member) for key, member in rows if not member.parent]
    if len(found) > limit:
        return found[:limit], {"NextToken": write_token(found[limit - 1][0])}
    if len(rows) == LOOKED_AT_MAX:
        return found, {"NextToken": write_token(MEMBERS.parts(rows[-1][0])[-1])}
    return found, {}


@service.operation("ListParents")
async def list_parents(call: Call, unit: Unit) -> Shape:
    """The root or unit that an account or a unit stands in."""
    organization = watched_organization(call, unit)
    last_shown(call)
    child = target_of(unit, organization, call.input["ChildId"])
    if child is None or (child.unit is None and child.member is None):
        raise AwsError("ChildNotFoundException", "You specified a child that doesn't exist.", 400)
    if child.unit is not None:
        parent_id = parent_of(organization, child.unit)
    else:
        parent_id = (child.member.parent if child.member is not None else "") or organization.root_id
    kind = "ROOT" if parent_id == organization.root_id else "ORGANIZATIONAL_UNIT"
    return {"Parents": [{"Id": parent_id, "Type": kind}]}
