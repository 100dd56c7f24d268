"""IAM: the families of its operations, and what a caller needs for each.

A question names the entity by its ARN with its path, as AWS does, which only the state knows; so IAM guards itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentrail.call import Access, Call
from opentrail.rows.iam import ACCESS_KEYS, GROUPS, INSTANCE_PROFILES, ROLES, USERS, Pairs
from opentrail.rows.mfa import find_device
from opentrail.service import Service
from opentrail.services import (
    iam_access_keys,
    iam_account,
    iam_attach,
    iam_boundary,
    iam_groups,
    iam_inline,
    iam_mfa,
    iam_policies,
    iam_profiles,
    iam_roles,
    iam_tags,
    iam_users,
)
from opentrail.services.iam_common import account_of, own_policy
from opentrail.services.iam_protected import SERVICE_PATH
from opentrail.services.iam_roles import linked_name
from opentrail.state import Table, Unit

service = Service("iam")
for family in (
    *(iam_users, iam_access_keys, iam_mfa, iam_groups, iam_roles, iam_profiles),
    *(iam_policies, iam_inline, iam_attach, iam_boundary, iam_tags, iam_account),
):
    service.include(family.service)

_NAMED: tuple[tuple[str, str, Table[Any]], ...] = (
    ("InstanceProfileName", "instance-profile", INSTANCE_PROFILES),
    ("RoleName", "role", ROLES),
    ("GroupName", "group", GROUPS),
    ("UserName", "user", USERS),
)
"""(member, kind in the ARN, table), in the order in which a member of the input decides."""
_LISTED = {
    "ListUsers": "user",
    "ListGroups": "group",
    "ListRoles": "role",
    "ListPolicies": "policy",
    "ListInstanceProfiles": "instance-profile",
}
_CALLERS_OWN = frozenset(
    {
        *("GetUser", "CreateAccessKey", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"),
        *("DeactivateMFADevice", "GetMFADevice", "ListMFADevices"),
    },
)
"""Operations about the caller when they name nobody."""
_CREATED = {"CreateUser", "CreateGroup", "CreateRole", "CreateInstanceProfile"}


@service.guard()
def guard(call: Call, unit: Unit) -> Sequence[Access]:
    """The operation's own action on the entity it names; passing a role is a question of its own."""
    account = account_of(call)
    arn, tags = _resource(call, unit, account)
    context = _context(call, tags)
    questions = [Access(call.operation.facts.actions[0], arn, account, context=context)]
    if call.operation.name == "AddRoleToInstanceProfile":
        role = ROLES.get(unit, account, call.input["RoleName"].lower())
        role_arn = role.arn if role is not None else f"arn:aws:iam::{account}:role/{call.input['RoleName']}"
        passed = {"iam:passedtoservice": ("ec2.amazonaws.com",)}
        questions.append(Access("iam:PassRole", role_arn, account, context=passed))
    return questions


def _resource(call: Call, unit: Unit, account: str) -> tuple[str, Pairs]:
    """The ARN that an operation is about, and the tags of what is there already."""
    given, operation = call.input, call.operation.name
    base = f"arn:aws:iam::{account}:"
    if operation in _LISTED:
        return f"{base}{_LISTED[operation]}{given.get('PathPrefix', '/')}", ()
    if operation == "CreatePolicy":
        return f"{base}policy{given.get('Path', '/')}{given['PolicyName']}", ()
    if operation == "CreateServiceLinkedRole":
        return f"{base}role{SERVICE_PATH}{given['AWSServiceName']}/{linked_name(call)}", ()
    for member, kind, table in _NAMED:
        if member in given:
            row = None if operation in _CREATED else table.get(unit, account, given[member].lower())
            if row is not None:
                return row.arn, getattr(row, "tags", ())
            return f"{base}{kind}{given.get('Path', '/')}{given[member]}", ()
    if "PolicyArn" in given:
        policy = own_policy(unit, account, given["PolicyArn"])
        return given["PolicyArn"], policy.tags if policy is not None else ()
    if "VirtualMFADeviceName" in given:
        return f"{base}mfa{given.get('Path', '/')}{given['VirtualMFADeviceName']}", ()
    return _nameless(call, unit, account, base)


def _nameless(call: Call, unit: Unit, account: str, base: str) -> tuple[str, Pairs]:
    if call.operation.name == "GetAccessKeyLastUsed":
        key = ACCESS_KEYS.get(unit, call.input["AccessKeyId"])
        user = USERS.get(unit, account, key.user_name.lower()) if key is not None and key.user_name else None
        return (user.arn, user.tags) if user is not None else (f"{base}user/*", ())
    if call.operation.name in _CALLERS_OWN:
        return (call.principal.arn if call.principal.type == "IAMUser" else f"{base}user/*"), ()
    if "SerialNumber" in call.input:
        device = find_device(unit, call.input["SerialNumber"])
        return call.input["SerialNumber"], device.tags if device is not None else ()
    return "*", ()


def _context(call: Call, tags: Pairs) -> dict[str, tuple[str, ...]]:
    """Condition keys of IAM's: what is attached, and the tags asked for and present."""
    given = call.input
    context: dict[str, tuple[str, ...]] = {}
    for member, key in (
        ("PolicyArn", "iam:policyarn"),
        ("PermissionsBoundary", "iam:permissionsboundary"),
        ("AWSServiceName", "iam:awsservicename"),
    ):
        if member in given:
            context[key] = (given[member],)
    asked = [(str(tag.get("Key", "")), str(tag.get("Value", ""))) for tag in given.get("Tags") or ()]
    context.update({f"aws:requesttag/{key.lower()}": (value,) for key, value in asked})
    keys = [key for key, _value in asked] + [str(key) for key in given.get("TagKeys") or ()]
    if keys:
        context["aws:tagkeys"] = tuple(keys)
    for key, value in tags:
        context[f"aws:resourcetag/{key.lower()}"] = (value,)
        context[f"iam:resourcetag/{key.lower()}"] = (value,)
    return context
