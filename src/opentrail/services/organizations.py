"""Organizations: the organization, its accounts, the requests that made them; units, members, closing, tags and trusted
access have files of their own.

An account is made at once, so a request is SUCCEEDED or FAILED in the very answer. Deliberate differences: policies of
organizations are not evaluated, so no policy type is on offer; an account made before e-mail addresses were asked for
has none; the tag `opentrail:account-id` of CreateAccount chooses the new account's id, for which AWS has no parameter.
Source: Organizations API reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import ACCOUNT_ID, Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import ACCOUNTS, AMAZON_ACCOUNT, AWS_POLICY_PREFIX, ROLES, Role, account_of_email, unique_id
from opentrail.rows.organizations import (
    CREATIONS,
    MEMBERS,
    ORGANIZATIONS,
    Creation,
    Member,
    Organization,
    Pairs,
    organization_of,
    put_member,
)
from opentrail.service import Service
from opentrail.services import (
    organizations_access,
    organizations_closing,
    organizations_members,
    organizations_places,
    organizations_tags,
    organizations_units,
)
from opentrail.services.accounts import create_account
from opentrail.services.organizations_common import (
    ACCOUNTS_MAX,
    LETTERS,
    account_shape,
    find_organization,
    invalid,
    managed_organization,
    read_page,
    read_tags,
    watched_organization,
)
from opentrail.state import Unit

ACCOUNT_ID_TAG = "opentrail:account-id"
ROLE_NAME = "OrganizationAccountAccessRole"
DIGITS = "0123456789"
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
"""The model's pattern, which the road leaves unchecked as it does all that could be slow; an address is short."""

service = Service("organizations")
service.include(organizations_access.service)
service.include(organizations_closing.service)
service.include(organizations_members.service)
service.include(organizations_places.service)
service.include(organizations_tags.service)
service.include(organizations_units.service)


def _organization_shape(unit: Unit, organization: Organization) -> Shape:
    management = ACCOUNTS.get(unit, organization.management_id)
    return {
        "Id": organization.id,
        "Arn": organization.arn,
        "FeatureSet": organization.feature_set,
        "MasterAccountArn": organization.account_arn(organization.management_id),
        "MasterAccountId": organization.management_id,
        "MasterAccountEmail": (management.email if management is not None else "") or None,
        "AvailablePolicyTypes": [],
    }


@service.operation("CreateOrganization")
async def create_organization(call: Call, unit: Unit) -> Shape:
    """Make the caller's account the management account of a new organization."""
    if organization_of(unit, call.account_id) is not None:
        message = "The AWS account is already a member of an organization."
        raise AwsError("AlreadyInOrganizationException", message, 400)
    clock = unit.house.clock
    organization = Organization(
        id="o-" + clock.token(10, LETTERS),
        management_id=call.account_id,
        root_id="r-" + clock.token(4, LETTERS),
        feature_set=call.input.get("FeatureSet") or "ALL",
        created_at=unit.now,
    )
    ORGANIZATIONS.put(unit, organization, organization.id)
    put_member(unit, organization, call.account_id, Member(unit.now, "INVITED"))
    return {"Organization": _organization_shape(unit, organization)}


@service.operation("DescribeOrganization")
async def describe_organization(call: Call, unit: Unit) -> Shape:
    """The organization that the caller's account belongs to."""
    return {"Organization": _organization_shape(unit, find_organization(call, unit))}


@service.operation("ListRoots")
async def list_roots(call: Call, unit: Unit) -> Shape:
    """The one root of the organization."""
    organization = watched_organization(call, unit)
    root = {"Id": organization.root_id, "Arn": organization.root_arn, "Name": "Root", "PolicyTypes": []}
    return {"Roots": [root]}


@service.operation("CreateAccount")
async def create(call: Call, unit: Unit) -> Shape:
    """Make an account with a role that the management account can assume; done at once."""
    organization = managed_organization(call, unit)
    if not _EMAIL.fullmatch(call.input["Email"]):
        raise invalid("INVALID_PATTERN", "The e-mail address must look like name@example.com.")
    tags = read_tags(call)
    chosen = tags.pop(ACCOUNT_ID_TAG, "")
    request_id = "car-" + unit.house.clock.token(32, LETTERS)
    creation = Creation(request_id, call.input["AccountName"], unit.now)
    failure = _failure(call, unit, organization)
    if failure:
        creation = replace(creation, failure_reason=failure)
    else:
        account_id = _account_id(unit, chosen)
        _make(call, unit, organization, account_id, tuple(sorted(tags.items())))
        creation = replace(creation, account_id=account_id)
    CREATIONS.put(unit, creation, organization.id, request_id)
    return {"CreateAccountStatus": _creation_shape(creation)}


def _failure(call: Call, unit: Unit, organization: Organization) -> str:
    """Why the account cannot be made, in AWS's word; empty if it can."""
    if organization.accounts >= ACCOUNTS_MAX:
        return "ACCOUNT_LIMIT_EXCEEDED"
    return "EMAIL_ALREADY_EXISTS" if account_of_email(unit, call.input["Email"]) is not None else ""


def _account_id(unit: Unit, chosen: str) -> str:
    """The chosen id, or a free one. InvalidInputException for one that is taken or no account id."""
    if chosen:
        if not ACCOUNT_ID.fullmatch(chosen):
            raise invalid("INVALID_PATTERN", f"The tag {ACCOUNT_ID_TAG} must be twelve digits.")
        if ACCOUNTS.get(unit, chosen) is not None or chosen == AMAZON_ACCOUNT:
            raise invalid("INVALID_ENUM", f"The account {chosen} exists already; choose another account id.")
        return chosen
    while True:
        account_id = unit.house.clock.token(1, DIGITS[1:]) + unit.house.clock.token(11, DIGITS)
        if ACCOUNTS.get(unit, account_id) is None:
            return account_id


def _make(call: Call, unit: Unit, organization: Organization, account_id: str, tags: Pairs) -> None:
    """The account, its place in the organization, and the role."""
    create_account(unit, account_id, call.input["AccountName"], call.input["Email"])
    put_member(unit, organization, account_id, Member(unit.now, "CREATED", tags))
    ORGANIZATIONS.put(unit, replace(organization, accounts=organization.accounts + 1), organization.id)
    root = {"AWS": f"arn:aws:iam::{organization.management_id}:root"}
    trusted = {"Effect": "Allow", "Principal": root, "Action": "sts:AssumeRole"}
    role = Role(
        id=unique_id(unit.house.clock, "AROA"),
        account_id=account_id,
        name=call.input.get("RoleName") or ROLE_NAME,
        path="/",
        created_at=unit.now,
        trust=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}),
        attached=(f"{AWS_POLICY_PREFIX}AdministratorAccess",),
    )
    ROLES.put(unit, role, account_id, role.name.lower())


def _creation_shape(creation: Creation) -> Shape:
    shape: Shape = {
        "Id": creation.id,
        "AccountName": creation.account_name,
        "State": "FAILED" if creation.failure_reason else "SUCCEEDED",
        "RequestedTimestamp": creation.requested_at,
        "CompletedTimestamp": creation.requested_at,
    }
    if creation.failure_reason:
        return shape | {"FailureReason": creation.failure_reason}
    return shape | {"AccountId": creation.account_id}


@service.operation("DescribeCreateAccountStatus")
async def describe_create_account_status(call: Call, unit: Unit) -> Shape:
    """What became of a request for an account."""
    organization = managed_organization(call, unit)
    creation = CREATIONS.get(unit, organization.id, call.input["CreateAccountRequestId"])
    if creation is None:
        message = "You specified a create account request that does not exist."
        raise AwsError("CreateAccountStatusNotFoundException", message, 400)
    return {"CreateAccountStatus": _creation_shape(creation)}


@service.operation("ListCreateAccountStatus")
async def list_create_account_status(call: Call, unit: Unit) -> Shape:
    """The requests for accounts, optionally of some states; a page may be short although more follow."""
    organization = managed_organization(call, unit)
    rows, more = read_page(call, unit, CREATIONS, organization.id)
    states = call.input.get("States") or ()
    shapes = [_creation_shape(creation) for _, creation in rows]
    return {"CreateAccountStatuses": [each for each in shapes if not states or each["State"] in states], **more}


@service.operation("ListAccounts")
async def list_accounts(call: Call, unit: Unit) -> Shape:
    """The accounts of the organization, the management account included, by id."""
    organization = watched_organization(call, unit)
    rows, more = read_page(call, unit, MEMBERS, organization.id)
    found = [(ACCOUNTS.get(unit, account_id), member) for account_id, member in rows]
    shapes = [account_shape(unit, organization, account, member) for account, member in found if account is not None]
    return {"Accounts": shapes, **more}


@service.guard("DescribeAccount")
def guard_account(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the account itself; for any where there is no organization."""
    organization = organization_of(unit, call.account_id)
    resource = "*" if organization is None else organization.account_arn(call.input["AccountId"])
    return [Access(f"organizations:{call.operation.name}", resource, call.account_id)]


@service.operation("DescribeAccount")
async def describe_account(call: Call, unit: Unit) -> Shape:
    """One account of the organization."""
    organization = watched_organization(call, unit)
    account_id = call.input["AccountId"]
    account, member = ACCOUNTS.get(unit, account_id), MEMBERS.get(unit, organization.id, account_id)
    if account is None or member is None:
        raise AwsError("AccountNotFoundException", "You specified an account that doesn't exist.", 400)
    return {"Account": account_shape(unit, organization, account, member)}
