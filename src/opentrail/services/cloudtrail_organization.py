"""Organization trails: who may have one, and the delegated administrators of CloudTrail.

CloudTrail asks Organizations and IAM in the caller's name, on the one road, so that these calls need the caller's
permissions and leave their records (`invokedBy` CloudTrail). Source: CloudTrail user guide, "Creating a trail for an
organization" and "Organization delegated administrator".
"""

from __future__ import annotations

from dataclasses import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import DELIVERY_PRINCIPAL
from opentrail.rows.iam import ROLES
from opentrail.rows.organizations import DELEGATES, MEMBERS, TRUSTED, Organization, is_delegate, organization_of
from opentrail.service import Service
from opentrail.state import Unit

LINKED_ROLE = "AWSServiceRoleForCloudTrail"
DELEGATES_MAX = 3
"""Delegated administrators of CloudTrail in an organization (the user guide's quota)."""

service = Service("cloudtrail")


async def trail_organization(call: Call, unit: Unit) -> Organization:
    """The organization for which the caller may make a trail, checked in AWS's ways; the linked role exists on return."""
    organization = _in_use(call, unit)
    is_manager = organization.management_id == call.account_id
    if not is_manager and not is_delegate(unit, organization, DELIVERY_PRINCIPAL, call.account_id):
        raise not_management()
    _check_access(unit, organization)
    if "organization" not in call.stash:
        await _ask(call, unit, "organizations", "DescribeOrganization", {})
        await _ask(call, unit, "organizations", "ListAWSServiceAccessForOrganization", {})
        await _see_to_role(call, unit, organization)
        call.stash["organization"] = True
    return organization


def _in_use(call: Call, unit: Unit) -> Organization:
    organization = organization_of(unit, call.account_id)
    if organization is None:
        raise AwsError("OrganizationsNotInUseException", "The account is not a member of an organization.")
    return organization


def _check_access(unit: Unit, organization: Organization) -> None:
    if organization.feature_set != "ALL":
        raise AwsError("OrganizationNotInAllFeaturesModeException", "The organization must have all features enabled.")
    if TRUSTED.get(unit, organization.id, DELIVERY_PRINCIPAL) is None:
        raise AwsError(
            "CloudTrailAccessNotEnabledException", "Trusted access between CloudTrail and Organizations is not enabled."
        )


def not_management() -> AwsError:
    return AwsError(
        "NotOrganizationMasterAccountException", "The account is not the management account of its organization."
    )


async def _ask(call: Call, unit: Unit, service: str, operation: str, given: Shape) -> None:
    """A call that CloudTrail makes in the caller's name."""
    principal = replace(call.principal, invoked_by=DELIVERY_PRINCIPAL)
    try:
        await unit.house.road.call(principal, service, operation, given, region=call.region)
    except AwsError as error:
        if error.code not in ("AccessDenied", "AccessDeniedException"):
            raise
        raise AwsError("InsufficientDependencyServiceAccessPermissionException", error.message) from error


def _has_role(unit: Unit, organization: Organization) -> bool:
    """Looked up apart from the unit, which must not depend on a role that is made on the way."""
    return ROLES.get(Unit(unit.house, unit.now), organization.management_id, LINKED_ROLE.lower()) is not None


async def _see_to_role(call: Call, unit: Unit, organization: Organization) -> None:
    """The service-linked role of the management account; made by that account's first organization trail."""
    if _has_role(unit, organization):
        return
    if call.account_id != organization.management_id:
        raise AwsError(
            "NoManagementAccountSLRExistsException", f"The management account does not have the role {LINKED_ROLE}."
        )
    await _ask(call, unit, "iam", "CreateServiceLinkedRole", {"AWSServiceName": DELIVERY_PRINCIPAL})


def _managed(call: Call, unit: Unit) -> Organization:
    organization = _in_use(call, unit)
    if organization.management_id != call.account_id:
        raise AwsError(
            "NotOrganizationManagementAccountException",
            "The account is not the management account of its organization.",
        )
    _check_access(unit, organization)
    return organization


@service.operation("RegisterOrganizationDelegatedAdmin")
async def register_delegated_admin(call: Call, unit: Unit) -> Shape:
    """Let a member make and change the organization's trails."""
    organization, account_id = _managed(call, unit), call.input["MemberAccountId"]
    if "registered" in call.stash:
        return {}
    if account_id == organization.management_id:
        raise AwsError(
            "CannotDelegateManagementAccountException", "The management account cannot be a delegated administrator."
        )
    _check_member(unit, organization, account_id)
    if is_delegate(unit, organization, DELIVERY_PRINCIPAL, account_id):
        raise AwsError("AccountRegisteredException", f"Account {account_id} is already registered.")
    if sum(1 for _ in DELEGATES.all(unit, organization.id, DELIVERY_PRINCIPAL)) >= DELEGATES_MAX:
        raise AwsError(
            "DelegatedAdminAccountLimitExceededException",
            f"An organization can have {DELEGATES_MAX} delegated administrators of CloudTrail.",
        )
    await _see_to_role(call, unit, organization)
    await _delegate(call, unit, "RegisterDelegatedAdministrator", account_id)
    return {}


@service.operation("DeregisterOrganizationDelegatedAdmin")
async def deregister_delegated_admin(call: Call, unit: Unit) -> Shape:
    """Let a member change the organization's trails no more; those that it made stay."""
    organization, account_id = _managed(call, unit), call.input["DelegatedAdminAccountId"]
    if "registered" in call.stash:
        return {}
    _check_member(unit, organization, account_id)
    if not is_delegate(unit, organization, DELIVERY_PRINCIPAL, account_id):
        raise AwsError("AccountNotRegisteredException", f"Account {account_id} is not registered.")
    await _delegate(call, unit, "DeregisterDelegatedAdministrator", account_id)
    return {}


def _check_member(unit: Unit, organization: Organization, account_id: str) -> None:
    if MEMBERS.get(unit, organization.id, account_id) is None:
        raise AwsError("AccountNotFoundException", f"Account {account_id} is not part of the organization.")


async def _delegate(call: Call, unit: Unit, operation: str, account_id: str) -> None:
    """The change itself is Organizations'; it conflicts with what this call has read, which is then walked again."""
    given = {"AccountId": account_id, "ServicePrincipal": DELIVERY_PRINCIPAL}
    await _ask(call, unit, "organizations", operation, given)
    call.stash["registered"] = True
