"""Managed policies and their versions: the customer's own, and AWS's to read."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from opentrail.access.policy import validate_policy
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import (
    GROUPS,
    POLICIES,
    POLICY_VERSIONS,
    ROLES,
    USERS,
    ManagedPolicy,
    PolicyVersion,
    unique_id,
)
from opentrail.service import Service
from opentrail.services.iam_aws_policies import AWS_POLICIES, AwsPolicy
from opentrail.services.iam_common import (
    MANAGED_CHARS_MAX,
    account_of,
    encoded,
    erase,
    find_policy,
    list_items,
    over_quota,
    read_path,
    read_tags,
    save,
    size_of,
    tag_shapes,
    tagged,
    under,
    when,
)
from opentrail.state import Unit

VERSIONS_MAX = 5

service = Service("iam")


def policy_shape(policy: ManagedPolicy, *, whole: bool = True) -> Shape:
    """A customer's policy; lists leave description and tags out."""
    shape: Shape = {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": f"v{policy.default}",
        "AttachmentCount": policy.attachments,
        "PermissionsBoundaryUsageCount": policy.boundary_uses,
        "IsAttachable": True,
        "CreateDate": when(policy.created_at),
        "UpdateDate": when(policy.updated_at),
    }
    if whole:
        if policy.description:
            shape["Description"] = policy.description
        shape["Tags"] = tag_shapes(policy.tags)
    return shape


def _aws_shape(policy: AwsPolicy, uses: Counter[str], *, whole: bool = True) -> Shape:
    shape: Shape = {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": "v1",
        "AttachmentCount": uses[policy.arn],
        "PermissionsBoundaryUsageCount": uses[f"boundary:{policy.arn}"],
        "IsAttachable": True,
        "CreateDate": when(policy.created_at),
        "UpdateDate": when(policy.created_at),
    }
    return shape | {"Description": policy.description, "Tags": []} if whole else shape


def uses_of_aws_policies(unit: Unit, account_id: str) -> Counter[str]:
    """How often each of AWS's policies is attached in an account (`boundary:ARN`: used as a boundary)."""
    uses: Counter[str] = Counter()
    for table in (USERS, ROLES):
        for _parts, row in table.all(unit, account_id):
            uses.update(row.attached)
            uses[f"boundary:{row.boundary}"] += 1
    for _parts, group in GROUPS.all(unit, account_id):
        uses.update(group.attached)
    return uses


def _checked_document(call: Call) -> str:
    document: str = call.input["PolicyDocument"]
    validate_policy(document, "identity")
    if size_of(document) > MANAGED_CHARS_MAX:
        raise over_quota("PolicySize", MANAGED_CHARS_MAX)
    return document


def _put_version(unit: Unit, policy: ManagedPolicy, number: int, document: str) -> PolicyVersion:
    version = PolicyVersion(number, document, unit.now)
    POLICY_VERSIONS.put(unit, version, policy.account_id, policy.name.lower(), f"{number:04d}")
    return version


def versions_of(unit: Unit, policy: ManagedPolicy) -> list[PolicyVersion]:
    """The versions of a policy, newest first."""
    rows = POLICY_VERSIONS.all(unit, policy.account_id, policy.name.lower())
    return sorted((row for _parts, row in rows), key=lambda row: -row.number)


def version_shape(version: PolicyVersion, default: int, *, document: bool = True) -> Shape:
    shape: Shape = {"Document": encoded(version.document)} if document else {}
    return shape | {
        "VersionId": f"v{version.number}",
        "IsDefaultVersion": version.number == default,
        "CreateDate": when(version.created_at),
    }


def _find_version(call: Call, unit: Unit, policy: ManagedPolicy) -> PolicyVersion:
    wanted = call.input["VersionId"]
    for version in versions_of(unit, policy):
        if f"v{version.number}" == wanted:
            return version
    raise AwsError("NoSuchEntity", f"Policy {policy.arn} version {wanted} does not exist or is not attachable.", 404)


@service.operation("CreatePolicy")
async def create_policy(call: Call, unit: Unit) -> Shape:
    """Create a managed policy with its first version."""
    account, name = account_of(call), call.input["PolicyName"]
    if POLICIES.get(unit, account, name.lower()) is not None:
        raise AwsError(
            "EntityAlreadyExists", f"A policy called {name} already exists. Duplicate names are not allowed.", 409
        )
    policy = ManagedPolicy(
        id=unique_id(unit.house.clock, "ANPA"),
        account_id=account,
        name=name,
        path=read_path(call),
        created_at=unit.now,
        updated_at=unit.now,
        document=_checked_document(call),
        description=call.input.get("Description", ""),
        tags=tagged((), read_tags(call), "Policy"),
    )
    save(unit, policy)
    _put_version(unit, policy, 1, policy.document)
    tags: Shape = {"Tags": tag_shapes(policy.tags)} if policy.tags else {}
    return {"Policy": policy_shape(policy, whole=False) | tags}


@service.operation("GetPolicy")
async def get_policy(call: Call, unit: Unit) -> Shape:
    """A managed policy by ARN, without its document."""
    aws = AWS_POLICIES.get(call.input["PolicyArn"])
    if aws is not None:
        return {"Policy": _aws_shape(aws, uses_of_aws_policies(unit, account_of(call)))}
    return {"Policy": policy_shape(find_policy(call, unit))}


@service.operation("GetPolicyVersion")
async def get_policy_version(call: Call, unit: Unit) -> Shape:
    """One version of a managed policy, with its document."""
    aws = AWS_POLICIES.get(call.input["PolicyArn"])
    if aws is not None:
        if call.input["VersionId"] != "v1":
            message = f"Policy {aws.arn} version {call.input['VersionId']} does not exist or is not attachable."
            raise AwsError("NoSuchEntity", message, 404)
        return {"PolicyVersion": version_shape(PolicyVersion(1, aws.document, aws.created_at), 1)}
    policy = find_policy(call, unit)
    return {"PolicyVersion": version_shape(_find_version(call, unit, policy), policy.default)}


@service.operation("ListPolicies")
async def list_policies(call: Call, unit: Unit) -> Shape:
    """The managed policies of AWS, of the account, or of both."""
    account, scope = account_of(call), call.input.get("Scope", "All")
    uses = uses_of_aws_policies(unit, account)
    keep = under(call)
    shapes = []
    if scope != "Local":
        shapes += [_aws_shape(policy, uses, whole=False) for policy in AWS_POLICIES.values() if keep(policy)]
    if scope != "AWS":
        rows = POLICIES.all(unit, account)
        shapes += [policy_shape(policy, whole=False) for _parts, policy in rows if keep(policy)]
    as_boundary = call.input.get("PolicyUsageFilter") == "PermissionsBoundary"
    count = "PermissionsBoundaryUsageCount" if as_boundary else "AttachmentCount"
    if call.input.get("OnlyAttached") or call.input.get("PolicyUsageFilter"):
        shapes = [shape for shape in shapes if shape[count]]
    page, more = list_items(call, sorted(shapes, key=_arn), _arn)
    return {"Policies": page, **more}


def _arn(shape: Shape) -> str:
    arn: str = shape["Arn"]
    return arn


@service.operation("DeletePolicy")
async def delete_policy(call: Call, unit: Unit) -> Shape:
    """Delete a managed policy that nobody uses."""
    policy = find_policy(call, unit)
    if policy.attachments or policy.boundary_uses:
        raise AwsError("DeleteConflict", "Cannot delete a policy attached to entities.", 409)
    versions = versions_of(unit, policy)
    if len(versions) > 1:
        message = (
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
            "The default version is deleted with the policy."
        )
        raise AwsError("DeleteConflict", message, 409)
    for version in versions:
        POLICY_VERSIONS.delete(unit, policy.account_id, policy.name.lower(), f"{version.number:04d}")
    erase(unit, policy)
    return {}


@service.operation("CreatePolicyVersion")
async def create_policy_version(call: Call, unit: Unit) -> Shape:
    """Add a version to a managed policy, and perhaps make it the one in force."""
    policy, document = find_policy(call, unit), _checked_document(call)
    if len(versions_of(unit, policy)) >= VERSIONS_MAX:
        message = (
            f"A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, "
            "you must delete an existing version."
        )
        raise AwsError("LimitExceeded", message, 409)
    policy = replace(policy, newest=policy.newest + 1, updated_at=unit.now)
    if call.input.get("SetAsDefault"):
        policy = replace(policy, default=policy.newest, document=document)
    save(unit, policy)
    version = _put_version(unit, policy, policy.newest, document)
    return {"PolicyVersion": version_shape(version, policy.default, document=False)}


@service.operation("ListPolicyVersions")
async def list_policy_versions(call: Call, unit: Unit) -> Shape:
    """The versions of a managed policy, newest first."""
    aws = AWS_POLICIES.get(call.input["PolicyArn"])
    if aws is not None:
        only = PolicyVersion(1, aws.document, aws.created_at)
        return {"Versions": [version_shape(only, 1, document=False)], "IsTruncated": False}
    policy = find_policy(call, unit)
    versions, more = list_items(call, versions_of(unit, policy), lambda version: f"{9999 - version.number:04d}")
    return {"Versions": [version_shape(version, policy.default, document=False) for version in versions], **more}


@service.operation("DeletePolicyVersion")
async def delete_policy_version(call: Call, unit: Unit) -> Shape:
    """Delete a version that is not in force."""
    policy = find_policy(call, unit)
    version = _find_version(call, unit, policy)
    if version.number == policy.default:
        raise AwsError("DeleteConflict", "Cannot delete the default version of a policy.", 409)
    POLICY_VERSIONS.delete(unit, policy.account_id, policy.name.lower(), f"{version.number:04d}")
    save(unit, replace(policy, updated_at=unit.now))
    return {}


@service.operation("SetDefaultPolicyVersion")
async def set_default_policy_version(call: Call, unit: Unit) -> Shape:
    """Put a version in force."""
    policy = find_policy(call, unit)
    version = _find_version(call, unit, policy)
    save(unit, replace(policy, default=version.number, document=version.document, updated_at=unit.now))
    return {}
