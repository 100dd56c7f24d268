"""What a caller of S3 must be allowed: which actions on which ARNs, with what the bucket says about it.

The default for every S3 operation; families add their own where one call needs more (a copy reads its source). Also
finds the bucket, so that a request for one that is not there says so before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from msgspec.structs import replace

from opentrail.access.acl import ALL_USERS, AUTHENTICATED_USERS, canonical_id
from opentrail.call import ACCOUNT_ID, Access, AclGrants, Call
from opentrail.errors import AwsError
from opentrail.model.shapes import Operation
from opentrail.rows.s3 import ACCOUNT_ACCESS_BLOCKS, BUCKETS, Acl, Bucket, Grant, ObjectVersion, PublicAccessBlock
from opentrail.rows.s3_logging import KIND as LOGGING
from opentrail.services.s3.bucket_tags import ABAC, tag_keys
from opentrail.services.s3.directory_rules import directory_question, enter_directory
from opentrail.services.s3.policy_templates import template_bucket
from opentrail.services.s3.tag_conditions import ObjectKeys
from opentrail.services.s3.versions import find_version
from opentrail.state import Unit

VERSIONED_ACTIONS = {
    "s3:GetObject": "s3:GetObjectVersion",
    "s3:DeleteObject": "s3:DeleteObjectVersion",
    "s3:GetObjectAcl": "s3:GetObjectVersionAcl",
    "s3:PutObjectAcl": "s3:PutObjectVersionAcl",
    "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
    "s3:PutObjectTagging": "s3:PutObjectVersionTagging",
    "s3:DeleteObjectTagging": "s3:DeleteObjectVersionTagging",
    "s3:GetObjectAttributes": "s3:GetObjectVersionAttributes",
    "s3:GetObjectAnnotation": "s3:GetObjectVersionAnnotation",
    "s3:PutObjectAnnotation": "s3:PutObjectVersionAnnotation",
    "s3:DeleteObjectAnnotation": "s3:DeleteObjectVersionAnnotation",
    "s3:ListObjectAnnotations": "s3:ListObjectVersionAnnotations",
}
"""The action that stands in for another when the request names a version (service authorization reference, S3)."""
BUCKET_ACL_PERMISSIONS = {
    "s3:ListBucket": "READ",
    "s3:ListBucketVersions": "READ",
    "s3:ListBucketMultipartUploads": "READ",
    "s3:PutObject": "WRITE",
    "s3:DeleteObject": "WRITE",
    "s3:DeleteObjectVersion": "WRITE",
    "s3:GetBucketAcl": "READ_ACP",
    "s3:PutBucketAcl": "WRITE_ACP",
}
OBJECT_ACL_PERMISSIONS = {
    "s3:GetObject": "READ",
    "s3:GetObjectVersion": "READ",
    "s3:GetObjectAcl": "READ_ACP",
    "s3:GetObjectVersionAcl": "READ_ACP",
    "s3:PutObjectAcl": "WRITE_ACP",
    "s3:PutObjectVersionAcl": "WRITE_ACP",
}
EVERYTHING = "arn:aws:s3:::*"
"""What an operation that names no bucket is asked on."""
FREE_ACL = "bucket-owner-full-control"
ACL_MEMBERS = frozenset({"ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP"})
LOCK_MEMBERS = {
    "ObjectLockMode": "s3:PutObjectRetention",
    "ObjectLockRetainUntilDate": "s3:PutObjectRetention",
    "ObjectLockLegalHoldStatus": "s3:PutObjectLegalHold",
}
SETTING_MEMBERS = ACL_MEMBERS | LOCK_MEMBERS.keys() | {"Tagging"}
"""Members of a write that set what has an action of its own."""
_HEADER_KEYS = frozenset(
    {
        "x-amz-acl",
        "x-amz-copy-source",
        "x-amz-metadata-directive",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
        "x-amz-content-sha256",
        "x-amz-object-ownership",
        "x-amz-grant-read",
        "x-amz-grant-write",
        "x-amz-grant-read-acp",
        "x-amz-grant-write-acp",
        "x-amz-grant-full-control",
    }
)
"""Headers that are condition keys under their own name (`s3:x-amz-acl`)."""
_AUTH_TYPES = {"AuthHeader": "REST-HEADER", "QueryString": "REST-QUERY-STRING", "HtmlForm": "POST"}
_INPUT_KEYS = {
    "Prefix": "s3:prefix",
    "Delimiter": "s3:delimiter",
    "MaxKeys": "s3:max-keys",
    "VersionId": "s3:versionid",
}


def guard(call: Call, unit: Unit) -> Sequence[Access]:
    """The questions of an operation that needs just its own action on the bucket or the object it names."""
    operation = call.operation
    if operation.facts.level == "service":
        return [Access(operation.facts.actions[0], EVERYTHING, call.principal.account_id, context=condition_keys(call))]
    bucket = enter_bucket(call, unit, call.input.get("Bucket", ""))
    if not operation.facts.actions:  # a preflight: the bucket's CORS rules are its only policy
        return []
    asked = question(call, unit, bucket, action_of(operation, call), call.input.get("Key", ""))
    if asked.action == "s3:PutObject" and not SETTING_MEMBERS.isdisjoint(call.input):
        return [asked, *setting_questions(call, asked)]
    return [asked]


def setting_questions(call: Call, asked: Access) -> list[Access]:
    """What a caller who writes an object needs further for the ACL, the tags and the lock it gives it at once.

    Giving the bucket's owner full control is free, as bucket policies that demand it and log delivery have it; so is what
    services do. A bucket ACL that lets somebody write also lets him say who may read what he writes.
    """
    if call.principal.type == "AWSService":
        return []
    given, actions = call.input, []
    members = ACL_MEMBERS & given.keys()
    if members and not _favours_owner_only(given, members, asked.resource_account):
        actions.append("s3:PutObjectAcl")
    if given.get("Tagging"):
        actions.append("s3:PutObjectTagging")
    locks = dict.fromkeys(action for member, action in LOCK_MEMBERS.items() if member in given)
    asks = [replace(asked, action=action) for action in actions]
    return asks + [replace(asked, action=action, acl=None) for action in locks]


def _favours_owner_only(given: Mapping[str, Any], members: Set[str], owner: str) -> bool:
    if members == {"ACL"}:
        return bool(given["ACL"] == FREE_ACL)
    if members != {"GrantFullControl"}:
        return False
    return str(given["GrantFullControl"]).replace('"', "").strip() == f"id={canonical_id(owner)}"


def action_of(operation: Operation, call: Call) -> str:
    """The IAM action, of the version when the request names one."""
    action = operation.facts.actions[0]
    return VERSIONED_ACTIONS.get(action, action) if "VersionId" in call.input else action


def enter_bucket(call: Call, unit: Unit, name: str) -> Bucket:
    """The bucket of the call, which from now on is recorded in its owner's account and its region."""
    bucket = BUCKETS.get(unit, name) or template_bucket(unit, name)
    if bucket is None:
        raise no_such_bucket(name)
    call.region = bucket.region
    call.evidence.owner_account_id = bucket.owner
    if bucket.configured and LOGGING in bucket.configured:
        call.evidence.witnessed = True
    if bucket.zone:
        enter_directory(call, bucket)
    if call.principal.type == "Anonymous":
        call.account_id = bucket.owner
    expected = call.request.headers.get("x-amz-expected-bucket-owner")
    if expected is not None and expected != bucket.owner:
        if not ACCOUNT_ID.fullmatch(expected):
            raise AwsError("InvalidBucketOwnerAWSAccountID", "", 400)
        raise AwsError("AccessDenied", "Access Denied", 403)
    if bucket.requester_pays and (call.principal.account_id != bucket.owner or call.principal.type == "AWSService"):
        _check_payer(call)
    return bucket


def _check_payer(call: Call) -> None:
    """Where the requester pays, strangers must say that they know, and be somebody who can be charged. Services never say
    so: such a bucket takes no log files (user guide, "Requester Pays"; CloudTrail's, "Bucket policy for CloudTrail")."""
    caller = call.principal.type
    agreed = (call.input.get("RequestPayer") or call.request.headers.get("x-amz-request-payer")) == "requester"
    if caller == "Anonymous" or not agreed:
        raise AwsError("AccessDenied", "Access Denied", 403)


def no_such_bucket(name: str) -> AwsError:
    return AwsError("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=name)


def question(call: Call, unit: Unit, bucket: Bucket, action: str, key: str, version_id: str | None = None) -> Access:
    """May the caller do `action` on the object `key` of the bucket, or on the bucket itself when `key` is empty?

    `version_id` is the version meant where that is not the one the request names (the source of a copy); empty is the
    newest."""
    if bucket.zone:
        return directory_question(call, bucket, action)
    speaks = bool(bucket.policy) or bucket.ownership != "BucketOwnerEnforced"
    block = effective_access_block(unit, bucket) if speaks else None  # it narrows policies and ACLs, nothing else
    meant = call.input.get("VersionId", "") if version_id is None else version_id
    keys = _object_keys(call, unit, bucket, action, key, meant) if key else condition_keys(call)
    if bucket.configured and ABAC in bucket.configured:
        keys.update(tag_keys(bucket))
    return Access(
        action,
        f"arn:aws:s3:::{bucket.name}/{key}" if key else f"arn:aws:s3:::{bucket.name}",
        bucket.owner,
        bucket.policy,
        _acl_grants(unit, bucket, action, key, block, meant),
        keys,
        restrict_public=block is not None and block.restrict_public_buckets,
    )


def may_know(call: Call, unit: Unit, bucket: Bucket, key: str) -> bool:
    """May the caller be told that there is no such object? Who may list the bucket, with the key as the prefix."""
    asked = question(call, unit, bucket, "s3:ListBucket", "")
    return call.may(replace(asked, context={**asked.context, "s3:prefix": (key,)}))


def condition_keys(call: Call) -> dict[str, tuple[str, ...]]:
    """S3's own condition keys of this request, by lower-case name."""
    keys: dict[str, tuple[str, ...]] = {}
    headers = call.request.headers
    if not _HEADER_KEYS.isdisjoint(headers):
        for header in _HEADER_KEYS & headers.keys():
            keys["s3:" + header] = (headers[header],)
    for member, key in _INPUT_KEYS.items():
        if member in call.input:
            keys[key] = (str(call.input[member]),)
    if call.authentication_method:
        keys["s3:authtype"] = (_AUTH_TYPES[call.authentication_method],)
        keys["s3:signatureversion"] = ("AWS4-HMAC-SHA256" if call.signature_version == "SigV4" else "AWS",)
    return keys


def _object_keys(
    call: Call, unit: Unit, bucket: Bucket, action: str, key: str, version_id: str
) -> dict[str, tuple[str, ...]]:
    return ObjectKeys(condition_keys(call)).about(call, unit, bucket, action, key, version_id)


def effective_access_block(unit: Unit, bucket: Bucket) -> PublicAccessBlock | None:
    """The public access block of the bucket and of its owner's account together: the stricter of each setting."""
    account = ACCOUNT_ACCESS_BLOCKS.get(unit, bucket.owner)
    own = bucket.public_access_block
    if account is None or own is None:
        return own or account
    return PublicAccessBlock(
        own.block_public_acls or account.block_public_acls,
        own.ignore_public_acls or account.ignore_public_acls,
        own.block_public_policy or account.block_public_policy,
        own.restrict_public_buckets or account.restrict_public_buckets,
    )


def _acl_grants(
    unit: Unit, bucket: Bucket, action: str, key: str, block: PublicAccessBlock | None, version_id: str
) -> AclGrants | None:
    """What the ACL that speaks of this action grants; None where ACLs are off or say nothing of it."""
    if bucket.ownership == "BucketOwnerEnforced":
        return None
    ignore = block is not None and block.ignore_public_acls
    if action in BUCKET_ACL_PERMISSIONS:
        acl = bucket.acl or owner_alone(canonical_id(bucket.owner))
        return _grants(acl, BUCKET_ACL_PERMISSIONS[action], ignore)
    if action in OBJECT_ACL_PERMISSIONS and key:
        version = find_version(unit, bucket, key, version_id)
        if version is not None and not version.delete_marker:
            return _grants(object_acl(version), OBJECT_ACL_PERMISSIONS[action], ignore)
        if OBJECT_ACL_PERMISSIONS[action] == "READ":  # nobody grants what is not there; who may list is told so
            return _grants(bucket.acl or owner_alone(canonical_id(bucket.owner)), "READ", ignore)
    return None


def object_acl(version: ObjectVersion) -> Acl:
    """The ACL of a version; without one, its owner has full control."""
    return version.acl or owner_alone(canonical_id(version.owner))


def owner_alone(owner_id: str) -> Acl:
    """What holds where no list was given or lists are disabled."""
    return Acl(owner_id, (Grant(owner_id, "FULL_CONTROL"),))


def _grants(acl: Acl, permission: str, ignore_public: bool) -> AclGrants:
    public = (ALL_USERS, AUTHENTICATED_USERS) if ignore_public else ()
    given = tuple((grant.grantee, grant.permission) for grant in acl.grants if grant.grantee not in public)
    return AclGrants(acl.owner, given, permission)
