"""Organizations' trusted access: which services may act for the organization, and which members administer them.

Without a policy engine of its own this has one effect here: CloudTrail makes organization trails only where it has trusted
access, and takes them back to one account when that ends. Source: Organizations API reference and user guide, "AWS
CloudTrail and AWS Organizations".
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.closed_accounts import CLOSED
from opentrail.rows.iam import ACCOUNTS
from opentrail.rows.organizations import (
    DELEGATES,
    MEMBERS,
    TRUSTED,
    Delegate,
    Organization,
    TrustedService,
    is_delegate,
)
from opentrail.service import Service
from opentrail.services.organization_trails import end_organization_trails
from opentrail.services.organizations_common import (
    account_shape,
    find_member,
    invalid,
    managed_organization,
    read_list,
    refuse_consolidated_billing,
    violation,
    watched_organization,
)
from opentrail.state import Unit

DELEGATES_MAX = 3
"""Accounts that may administer one service (CloudTrail's quota)."""
CLOUDTRAIL = "cloudtrail.amazonaws.com"

service = Service("organizations")


def _service(call: Call) -> str:
    principal: str = call.input["ServicePrincipal"]
    if not principal.endswith(".amazonaws.com"):
        raise invalid("UNRECOGNIZED_SERVICE_PRINCIPAL", "You specified an unrecognized service principal.")
    return principal


def _all_features(call: Call, unit: Unit) -> Organization:
    organization = managed_organization(call, unit)
    refuse_consolidated_billing(organization)
    return organization


@service.operation("EnableAWSServiceAccess")
async def enable_aws_service_access(call: Call, unit: Unit) -> Shape:
    """Let a service act for the organization."""
    organization, principal = _all_features(call, unit), _service(call)
    if TRUSTED.get(unit, organization.id, principal) is None:
        TRUSTED.put(unit, TrustedService(unit.now), organization.id, principal)
    return {}


@service.operation("DisableAWSServiceAccess")
async def disable_aws_service_access(call: Call, unit: Unit) -> Shape:
    """Let a service act for the organization no more; organization trails become trails of the management account."""
    organization, principal = _all_features(call, unit), _service(call)
    if any(True for _ in DELEGATES.all(unit, organization.id, principal)):
        raise violation(
            "DELEGATED_ADMINISTRATOR_EXISTS_FOR_THIS_SERVICE",
            "Deregister the delegated administrators of this service before you disable its access.",
        )
    TRUSTED.delete(unit, organization.id, principal)
    if principal == CLOUDTRAIL:
        end_organization_trails(unit, organization)
    return {}


@service.operation("ListAWSServiceAccessForOrganization")
async def list_aws_service_access(call: Call, unit: Unit) -> Shape:
    """The services that may act for the organization."""
    organization = watched_organization(call, unit)
    found = [
        (parts[1], {"ServicePrincipal": parts[1], "DateEnabled": row.since})
        for parts, row in TRUSTED.all(unit, organization.id)
    ]
    return read_list(call, "EnabledServicePrincipals", found)


@service.operation("RegisterDelegatedAdministrator")
async def register_delegated_administrator(call: Call, unit: Unit) -> Shape:
    """Let a member administer a service for the organization."""
    organization, principal = _all_features(call, unit), _service(call)
    account_id = call.input["AccountId"]
    find_member(unit, organization, account_id)
    if account_id == organization.management_id:
        raise violation(
            "CANNOT_REGISTER_MASTER_AS_DELEGATED_ADMINISTRATOR",
            "You cannot register the management account as a delegated administrator.",
        )
    if CLOSED.get(unit, account_id) is not None:
        raise violation(
            "CANNOT_REGISTER_SUSPENDED_ACCOUNT_AS_DELEGATED_ADMINISTRATOR",
            "You cannot register a suspended account as a delegated administrator.",
        )
    if TRUSTED.get(unit, organization.id, principal) is None:
        raise violation("SERVICE_ACCESS_NOT_ENABLED", "The service does not have trusted access.")
    if is_delegate(unit, organization, principal, account_id):
        message = "The specified account is already a delegated administrator for this AWS service."
        raise AwsError("AccountAlreadyRegisteredException", message, 400)
    if sum(1 for _ in DELEGATES.all(unit, organization.id, principal)) >= DELEGATES_MAX:
        raise violation(
            "MAX_DELEGATED_ADMINISTRATORS_FOR_SERVICE_LIMIT_EXCEEDED",
            f"A service can have no more than {DELEGATES_MAX} delegated administrators.",
        )
    DELEGATES.put(unit, Delegate(unit.now), organization.id, principal, account_id)
    return {}


@service.operation("DeregisterDelegatedAdministrator")
async def deregister_delegated_administrator(call: Call, unit: Unit) -> Shape:
    """Let a member administer a service no more."""
    organization, principal = managed_organization(call, unit), _service(call)
    account_id = call.input["AccountId"]
    find_member(unit, organization, account_id)
    if not is_delegate(unit, organization, principal, account_id):
        raise not_registered()
    DELEGATES.delete(unit, organization.id, principal, account_id)
    return {}


def not_registered() -> AwsError:
    message = "The specified account is not a delegated administrator for this AWS service."
    return AwsError("AccountNotRegisteredException", message, 400)


@service.operation("ListDelegatedAdministrators")
async def list_delegated_administrators(call: Call, unit: Unit) -> Shape:
    """The members that administer a service, or any."""
    organization = watched_organization(call, unit)
    wanted = call.input.get("ServicePrincipal")
    first: dict[str, float] = {}
    for parts, row in DELEGATES.all(unit, organization.id):
        if not wanted or parts[1] == wanted:
            first[parts[2]] = min(row.since, first.get(parts[2], row.since))
    found = []
    for account_id, since in sorted(first.items()):
        account, member = ACCOUNTS.get(unit, account_id), MEMBERS.get(unit, organization.id, account_id)
        if account is not None and member is not None:
            shape = account_shape(unit, organization, account, member)
            del shape["Paths"]
            found.append((account_id, shape | {"DelegationEnabledDate": since}))
    return read_list(call, "DelegatedAdministrators", found)


@service.operation("ListDelegatedServicesForAccount")
async def list_delegated_services_for_account(call: Call, unit: Unit) -> Shape:
    """The services that a member administers."""
    organization = watched_organization(call, unit)
    account_id = call.input["AccountId"]
    find_member(unit, organization, account_id)
    found = [
        (parts[1], {"ServicePrincipal": parts[1], "DelegationEnabledDate": row.since})
        for parts, row in DELEGATES.all(unit, organization.id)
        if parts[2] == account_id
    ]
    if not found:
        raise not_registered()
    return read_list(call, "DelegatedServices", found)
