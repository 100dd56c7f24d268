"""What IAM says about an account as a whole: its alias, its counts, and everything at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from opentrail.call import ACCOUNT_ID, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import (
    ACCOUNTS,
    ALIASES,
    GROUPS,
    INSTANCE_PROFILES,
    POLICIES,
    ROLES,
    USERS,
    Account,
    AccountName,
    Group,
    ManagedPolicy,
    Pairs,
    Role,
    User,
    keys_of,
)
from opentrail.rows.mfa import DEVICES, held_by
from opentrail.service import Service
from opentrail.services.iam_access_keys import KEYS_PER_USER_MAX
from opentrail.services.iam_attach import ATTACHED_MAX, attached_shapes
from opentrail.services.iam_common import (
    GROUP,
    MANAGED_CHARS_MAX,
    ROLE,
    TRUST_CHARS_MAX,
    USER,
    account_of,
    encoded,
    list_items,
    taken,
)
from opentrail.services.iam_groups import GROUPS_PER_USER_MAX, group_shape
from opentrail.services.iam_policies import VERSIONS_MAX, policy_shape, version_shape, versions_of
from opentrail.services.iam_profiles import profile_shape
from opentrail.services.iam_roles import role_shape
from opentrail.services.iam_users import USERS_PER_ACCOUNT_MAX, user_shape
from opentrail.state import Unit

_ALIAS = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]", re.ASCII)

service = Service("iam")


def _account(call: Call, unit: Unit) -> Account:
    account = ACCOUNTS.get(unit, account_of(call))
    if account is None:
        raise AwsError("NoSuchEntity", f"The account {account_of(call)} cannot be found.", 404)
    return account


@service.operation("CreateAccountAlias")
async def create_account_alias(call: Call, unit: Unit) -> Shape:
    """Give the account its one alias, unique among all accounts."""
    account, alias = _account(call, unit), call.input["AccountAlias"]
    if not _ALIAS.fullmatch(alias) or ACCOUNT_ID.fullmatch(alias):
        message = "The account alias must be 3 to 63 lower-case letters, digits and single inner hyphens."
        raise AwsError("ValidationError", message, 400)
    holder = ALIASES.get(unit, alias)
    if holder is not None:
        raise taken(f"The account alias {alias} already exists.")
    if account.alias:
        ALIASES.delete(unit, account.alias)
    ALIASES.put(unit, AccountName(account.account_id), alias)
    ACCOUNTS.put(unit, replace(account, alias=alias), account.account_id)
    return {}


@service.operation("ListAccountAliases")
async def list_account_aliases(call: Call, unit: Unit) -> Shape:
    """The account's alias, if it has one."""
    account = ACCOUNTS.get(unit, account_of(call))
    return {"AccountAliases": [account.alias] if account is not None and account.alias else [], "IsTruncated": False}


@service.operation("ListOpenIDConnectProviders")
async def list_open_id_connect_providers(call: Call, unit: Unit) -> Shape:
    """The account's OpenID Connect providers: none, as none can be made here."""
    return {"OpenIDConnectProviderList": []}


@service.operation("DeleteAccountAlias")
async def delete_account_alias(call: Call, unit: Unit) -> Shape:
    """Take the account's alias away."""
    account, alias = _account(call, unit), call.input["AccountAlias"]
    if account.alias != alias:
        raise AwsError("NoSuchEntity", f"The account alias {alias} does not exist.", 404)
    ALIASES.delete(unit, alias)
    ACCOUNTS.put(unit, replace(account, alias=""), account.account_id)
    return {}


@service.operation("GetAccountSummary")
async def get_account_summary(call: Call, unit: Unit) -> Shape:
    """How much there is in the account, and how much there may be."""
    account = account_of(call)
    policies = [policy for _parts, policy in POLICIES.all(unit, account)]
    devices = [device for _parts, device in DEVICES.all(unit, account)]
    summary = {
        "Users": _count(unit, USERS, account),
        "UsersQuota": USERS_PER_ACCOUNT_MAX,
        "Groups": _count(unit, GROUPS, account),
        "GroupsQuota": 300,
        "Roles": _count(unit, ROLES, account),
        "RolesQuota": 1_000,
        "Policies": len(policies),
        "PoliciesQuota": 1_500,
        "PolicyVersionsInUse": len(policies),
        "PolicyVersionsInUseQuota": 10_000,
        "PolicySizeQuota": MANAGED_CHARS_MAX,
        "VersionsPerPolicyQuota": VERSIONS_MAX,
        "InstanceProfiles": _count(unit, INSTANCE_PROFILES, account),
        "InstanceProfilesQuota": 1_000,
        "AccessKeysPerUserQuota": KEYS_PER_USER_MAX,
        "GroupsPerUserQuota": GROUPS_PER_USER_MAX,
        "AttachedPoliciesPerUserQuota": ATTACHED_MAX,
        "AttachedPoliciesPerGroupQuota": ATTACHED_MAX,
        "AttachedPoliciesPerRoleQuota": ATTACHED_MAX,
        "UserPolicySizeQuota": USER.inline_max,
        "GroupPolicySizeQuota": GROUP.inline_max,
        "RolePolicySizeQuota": ROLE.inline_max,
        "AssumeRolePolicySizeQuota": TRUST_CHARS_MAX,
        "AccountMFAEnabled": int(bool(held_by(unit, account, ""))),
        "AccountAccessKeysPresent": int(bool(keys_of(unit, account, ""))),
        "AccountPasswordPresent": 0,
        "AccountSigningCertificatesPresent": 0,
        "MFADevices": len(devices),
        "MFADevicesInUse": sum(1 for device in devices if device.enabled_at),
        "Providers": 0,
        "ServerCertificates": 0,
        "ServerCertificatesQuota": 20,
        "SigningCertificatesPerUserQuota": 2,
        "GlobalEndpointTokenVersion": 1,
    }
    return {"SummaryMap": summary}


def _count(unit: Unit, table: Any, account: str) -> int:  # noqa: ANN401  (a table of any row)
    return sum(1 for _row in table.all(unit, account))


def _inline(pairs: Pairs) -> list[Shape]:
    return [{"PolicyName": name, "PolicyDocument": encoded(document)} for name, document in pairs]


def _user_detail(_unit: Unit, user: User) -> Shape:
    shape = user_shape(user) | {
        "GroupList": list(user.groups),
        "AttachedManagedPolicies": attached_shapes(user.attached),
    }
    return shape | ({"UserPolicyList": _inline(user.inline)} if user.inline else {})


def _group_detail(_unit: Unit, group: Group) -> Shape:
    shape = group_shape(group) | {"GroupPolicyList": _inline(group.inline)}
    return shape | {"AttachedManagedPolicies": attached_shapes(group.attached)}


def _role_detail(unit: Unit, role: Role) -> Shape:
    shape = role_shape(role)
    for name in ("Description", "MaxSessionDuration"):
        shape.pop(name, None)
    profiles = INSTANCE_PROFILES.all(unit, role.account_id)
    return shape | {
        "RolePolicyList": _inline(role.inline),
        "AttachedManagedPolicies": attached_shapes(role.attached),
        "InstanceProfileList": [profile_shape(unit, row) for _parts, row in profiles if row.role == role.name],
    }


def _policy_detail(unit: Unit, policy: ManagedPolicy) -> Shape:
    shape = policy_shape(policy)
    shape.pop("Tags", None)
    return shape | {"PolicyVersionList": [version_shape(one, policy.default) for one in versions_of(unit, policy)]}


_DETAILS: dict[str, tuple[str, Any, Callable[[Unit, Any], Shape]]] = {
    "Group": ("GroupDetailList", GROUPS, _group_detail),
    "LocalManagedPolicy": ("Policies", POLICIES, _policy_detail),
    "Role": ("RoleDetailList", ROLES, _role_detail),
    "User": ("UserDetailList", USERS, _user_detail),
}
"""Filter -> (member of the answer, table, how an entity is told). In the order in which pages run through them."""


@service.operation("GetAccountAuthorizationDetails")
async def get_account_authorization_details(call: Call, unit: Unit) -> Shape:
    """Every user, group, role and own policy with all that hangs on them."""
    wanted = call.input.get("Filter") or list(_DETAILS)
    entries = list(_entries(unit, account_of(call), wanted))
    page, more = list_items(call, entries, lambda entry: f"{entry[0]}/{entry[1]}")
    answer: Shape = {member: [] for member, _table, _tell in _DETAILS.values()}
    for kind, _name, row in page:
        member, _table, tell = _DETAILS[kind]
        answer[member].append(tell(unit, row))
    return answer | more


def _entries(unit: Unit, account: str, wanted: list[str]) -> Iterator[tuple[str, str, Any]]:
    for kind, (_member, table, _tell) in _DETAILS.items():
        if kind in wanted:
            for parts, row in table.all(unit, account):
                yield kind, parts[-1], row
