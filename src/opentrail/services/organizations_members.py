"""Organizations' members: invited, accepted, removed, leaving; and the end of an organization.

An invitation reaches an account of this server only, by its id or its e-mail address; there is no mail. Source:
Organizations API reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.closed_accounts import CLOSED
from opentrail.rows.iam import ACCOUNTS, account_of_email
from opentrail.rows.organization_tree import UNITS, drop_unit
from opentrail.rows.organizations import (
    DELEGATES,
    HANDSHAKES,
    INVITATIONS,
    MEMBERS,
    ORGANIZATIONS,
    TRUSTED,
    Handshake,
    Invitation,
    Member,
    Organization,
    drop_member,
    organization_of,
    put_member,
)
from opentrail.service import Service
from opentrail.services.organization_trails import end_organization_trails
from opentrail.services.organizations_common import (
    ACCOUNTS_MAX,
    LETTERS,
    find_member,
    find_organization,
    invalid,
    managed_organization,
    read_list,
    read_tags,
    violation,
    watched_organization,
)
from opentrail.state import Unit

INVITATION_SECONDS = 15 * 86_400.0
"""How long an invitation can be accepted."""
INVITATIONS_MAX = 1_000
"""Invitations that an organization has made and an account has got, answered ones included: as many as are listed."""
CLOSED_SECONDS = 90 * 86_400.0
"""How long a closed account stays in its organization at the least."""

service = Service("organizations")


def handshake_arn(unit: Unit, row: Handshake) -> str:
    organization = ORGANIZATIONS.get(unit, row.organization_id)
    owner = organization.management_id if organization is not None else ""
    return f"arn:aws:organizations::{owner}:handshake/{row.organization_id}/invite/{row.id}"


def _state(unit: Unit, row: Handshake) -> str:
    return "EXPIRED" if row.state == "REQUESTED" and row.expires_at <= unit.now else row.state


def _shape(unit: Unit, row: Handshake) -> Shape:
    organization = ORGANIZATIONS.get(unit, row.organization_id)
    manager = None if organization is None else ACCOUNTS.get(unit, organization.management_id)
    about = [{"Type": "MASTER_EMAIL", "Value": manager.email}] if manager is not None and manager.email else []
    if manager is not None:
        about.append({"Type": "MASTER_NAME", "Value": manager.name})
    if organization is not None:
        about.append({"Type": "ORGANIZATION_FEATURE_SET", "Value": organization.feature_set})
    resources: list[Shape] = [{"Type": "ORGANIZATION", "Value": row.organization_id, "Resources": about}]
    resources.append({"Type": row.target_type, "Value": row.target})
    if row.notes:
        resources.append({"Type": "NOTES", "Value": row.notes})
    return {
        "Id": row.id,
        "Arn": handshake_arn(unit, row),
        "Parties": [
            {"Id": row.organization_id, "Type": "ORGANIZATION"},
            {"Id": row.target, "Type": row.target_type},
        ],
        "State": _state(unit, row),
        "RequestedTimestamp": row.requested_at,
        "ExpirationTimestamp": row.expires_at,
        "Action": "INVITE",
        "Resources": resources,
    }


@service.operation("InviteAccountToOrganization")
async def invite_account(call: Call, unit: Unit) -> Shape:
    """Ask an account to join; it is a member once it accepts."""
    organization = managed_organization(call, unit)
    target, kind = call.input["Target"]["Id"], call.input["Target"]["Type"]
    account_id = _invited(unit, target, kind)
    tags = tuple(sorted(read_tags(call).items()))
    if organization_of(unit, account_id) is not None:
        raise _constraint("ALREADY_IN_AN_ORGANIZATION", "The account is already a member of an organization.")
    made = [row for _, row in HANDSHAKES.all(unit, account_id)]
    if any(row.organization_id == organization.id and _state(unit, row) == "REQUESTED" for row in made):
        raise AwsError(
            "DuplicateHandshakeException", "A handshake with the same action and target exists already.", 400
        )
    if len(made) >= INVITATIONS_MAX or sum(1 for _ in INVITATIONS.all(unit, organization.id)) >= INVITATIONS_MAX:
        raise _constraint("HANDSHAKE_RATE_LIMIT_EXCEEDED", f"No more than {INVITATIONS_MAX} handshakes are kept.")
    row = Handshake(
        id="h-" + unit.house.clock.token(10, LETTERS),
        organization_id=organization.id,
        account_id=account_id,
        target=target,
        target_type=kind,
        state="REQUESTED",
        requested_at=unit.now,
        expires_at=unit.now + INVITATION_SECONDS,
        notes=call.input.get("Notes", ""),
        tags=tags,
    )
    HANDSHAKES.put(unit, row, account_id, row.id)
    INVITATIONS.put(unit, Invitation(account_id), organization.id, row.id)
    return {"Handshake": _shape(unit, row)}


def _invited(unit: Unit, target: str, kind: str) -> str:
    """The id of the account that a target names."""
    if kind == "ACCOUNT" and ACCOUNTS.get(unit, target) is not None:
        return target
    if kind == "EMAIL":
        found = account_of_email(unit, target)
        if found is not None:
            return found.account_id
        raise invalid("INVALID_EMAIL_ADDRESS_TARGET", "No account has this e-mail address.")
    raise invalid("INVALID_PARTY_TYPE_TARGET", "The target must be an account of this server or its e-mail address.")


def _constraint(reason: str, message: str) -> AwsError:
    return AwsError("HandshakeConstraintViolationException", message, 400, Reason=reason)


def _find(call: Call, unit: Unit) -> Handshake:
    """The handshake of the input, where the caller's account is a party to it; HandshakeNotFoundException."""
    handshake_id = call.input["HandshakeId"]
    mine = HANDSHAKES.get(unit, call.account_id, handshake_id)
    if mine is None:
        organization = organization_of(unit, call.account_id)
        if organization is not None and organization.management_id == call.account_id:
            sent = INVITATIONS.get(unit, organization.id, handshake_id)
            mine = None if sent is None else HANDSHAKES.get(unit, sent.account_id, handshake_id)
    if mine is None:
        raise AwsError(
            "HandshakeNotFoundException", "We can't find a handshake with the HandshakeId you specified.", 400
        )
    return mine


@service.guard("AcceptHandshake", "DeclineHandshake", "CancelHandshake", "DescribeHandshake")
def guard_handshake(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the handshake itself; for any where there is none."""
    try:
        resource = handshake_arn(unit, _find(call, unit))
    except AwsError:
        resource = "*"
    return [Access(f"organizations:{call.operation.name}", resource, call.account_id)]


def _settle(unit: Unit, row: Handshake, state: str) -> Shape:
    """The open handshake in its last state; the errors of one that is not open."""
    now = _state(unit, row)
    if now == state:
        raise AwsError("HandshakeAlreadyInStateException", f"The handshake is already {now}.", 400)
    if now != "REQUESTED":
        message = f"You can't perform the operation on the handshake in its current state: {now}."
        raise AwsError("InvalidHandshakeTransitionException", message, 400)
    row = replace(row, state=state)
    HANDSHAKES.put(unit, row, row.account_id, row.id)
    return {"Handshake": _shape(unit, row)}


def _received(call: Call, unit: Unit) -> Handshake:
    row = _find(call, unit)
    if row.account_id != call.account_id:
        raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.", 400)
    return row


@service.operation("AcceptHandshake")
async def accept_handshake(call: Call, unit: Unit) -> Shape:
    """Join the organization that invites the caller's account."""
    row = _received(call, unit)
    answer = _settle(unit, row, "ACCEPTED")
    organization = ORGANIZATIONS.get(unit, row.organization_id)
    if organization is None:
        raise AwsError("HandshakeNotFoundException", "The organization no longer exists.", 400)
    if organization_of(unit, call.account_id) is not None:
        raise _constraint("ALREADY_IN_AN_ORGANIZATION", "The account is already a member of an organization.")
    if organization.accounts >= ACCOUNTS_MAX:
        raise _constraint("ACCOUNT_NUMBER_LIMIT_EXCEEDED", f"An organization has no more than {ACCOUNTS_MAX} accounts.")
    put_member(unit, organization, call.account_id, Member(unit.now, "INVITED", row.tags))
    ORGANIZATIONS.put(unit, replace(organization, accounts=organization.accounts + 1), organization.id)
    return answer


@service.operation("DeclineHandshake")
async def decline_handshake(call: Call, unit: Unit) -> Shape:
    """Refuse an invitation."""
    return _settle(unit, _received(call, unit), "DECLINED")


@service.operation("CancelHandshake")
async def cancel_handshake(call: Call, unit: Unit) -> Shape:
    """Take an invitation back."""
    managed_organization(call, unit)
    row = _find(call, unit)
    if row.account_id == call.account_id:
        raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.", 400)
    return _settle(unit, row, "CANCELED")


@service.operation("DescribeHandshake")
async def describe_handshake(call: Call, unit: Unit) -> Shape:
    """One invitation, to those who are a party to it."""
    return {"Handshake": _shape(unit, _find(call, unit))}


def _listed(call: Call, unit: Unit, rows: Sequence[Handshake]) -> Shape:
    wanted = (call.input.get("Filter") or {}).get("ActionType") or "INVITE"
    found = [(row.id, _shape(unit, row)) for row in rows if wanted == "INVITE"]
    return read_list(call, "Handshakes", found)


@service.operation("ListHandshakesForAccount")
async def list_handshakes_for_account(call: Call, unit: Unit) -> Shape:
    """The invitations that the caller's account has got."""
    return _listed(call, unit, [row for _, row in HANDSHAKES.all(unit, call.account_id)])


@service.operation("ListHandshakesForOrganization")
async def list_handshakes_for_organization(call: Call, unit: Unit) -> Shape:
    """The invitations that the organization has made."""
    organization = watched_organization(call, unit)
    rows = []
    for parts, sent in INVITATIONS.all(unit, organization.id):
        row = HANDSHAKES.get(unit, sent.account_id, parts[1])
        if row is not None:
            rows.append(row)
    return _listed(call, unit, rows)


@service.operation("LeaveOrganization")
async def leave_organization(call: Call, unit: Unit) -> Shape:
    """Leave the organization that the caller's account is a member of."""
    _let_go(unit, find_organization(call, unit), call.account_id)
    return {}


@service.operation("RemoveAccountFromOrganization")
async def remove_account(call: Call, unit: Unit) -> Shape:
    """Put a member out of the organization."""
    organization = managed_organization(call, unit)
    find_member(unit, organization, call.input["AccountId"])
    _let_go(unit, organization, call.input["AccountId"])
    return {}


def _let_go(unit: Unit, organization: Organization, account_id: str) -> None:
    if account_id == organization.management_id:
        message = "You can't remove a management account from an organization. Delete the organization first."
        raise AwsError("MasterCannotLeaveOrganizationException", message, 400)
    if any(parts[2] == account_id for parts, _ in DELEGATES.all(unit, organization.id)):
        raise violation(
            "CANNOT_REMOVE_DELEGATED_ADMINISTRATOR_FROM_ORG",
            "You can't remove an account that is a delegated administrator of a service.",
        )
    closed = CLOSED.get(unit, account_id)
    if closed is not None and unit.now < closed.at + CLOSED_SECONDS:
        message = f"A closed account stays in its organization for {CLOSED_SECONDS // 86_400:.0f} days."
        raise violation("ACCOUNT_CANNOT_LEAVE_ORGANIZATION", message)
    drop_member(unit, organization, account_id)
    ORGANIZATIONS.put(unit, replace(organization, accounts=organization.accounts - 1), organization.id)


@service.operation("DeleteOrganization")
async def delete_organization(call: Call, unit: Unit) -> Shape:
    """End an organization that has no members but its management account."""
    organization = managed_organization(call, unit)
    if len(MEMBERS.page(unit, organization.id, limit=2)) > 1:
        message = "The organization isn't empty. Remove all accounts but the management account first."
        raise AwsError("OrganizationNotEmptyException", message, 400)
    end_organization_trails(unit, organization)
    drop_member(unit, organization, organization.management_id)
    for parts, _ in list(TRUSTED.all(unit, organization.id)):
        TRUSTED.delete(unit, *parts)
    for _, row in list(UNITS.all(unit, organization.id)):
        drop_unit(unit, organization.id, row.above[-1] if row.above else organization.root_id, row)
    ORGANIZATIONS.delete(unit, organization.id)
    return {}
