"""Access control lists as requests bring them (canned, `x-amz-grant-*` headers, XML) and as answers show them.

Shared by every operation that takes an ACL. Grantees are found among the accounts that live here. Source: S3 user guide,
"Access control list (ACL) overview" and "Controlling ownership of objects and disabling ACLs"; API reference, PutBucketAcl.
Knows nothing of who may do what.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opentrail.access.acl import (
    ANONYMOUS_ID,
    EC2_BUNDLES_ID,
    GROUPS,
    PERMISSIONS,
    canned_grants,
    canonical_id,
    is_public,
)
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import account_of_canonical_id, account_of_email
from opentrail.rows.s3 import Acl, Bucket, Grant, PublicAccessBlock
from opentrail.services.s3.guard import effective_access_block
from opentrail.state import Unit

GRANTS_MAX = 100
"""Grants of one list."""
GRANT_MEMBERS = {
    "GrantFullControl": ("FULL_CONTROL", "x-amz-grant-full-control"),
    "GrantRead": ("READ", "x-amz-grant-read"),
    "GrantWrite": ("WRITE", "x-amz-grant-write"),
    "GrantReadACP": ("READ_ACP", "x-amz-grant-read-acp"),
    "GrantWriteACP": ("WRITE_ACP", "x-amz-grant-write-acp"),
}
"""Input member -> the permission it gives, and its header."""
ACL_MEMBERS = frozenset({"ACL", *GRANT_MEMBERS})
OWNER_FULL_CONTROL = "bucket-owner-full-control"
"""The one canned list that is accepted where ACLs are disabled."""
ONLY_OF_OBJECTS = frozenset({"bucket-owner-read", OWNER_FULL_CONTROL})
"""Canned lists that a bucket ignores."""
ONLY_OF_BUCKETS = frozenset({"log-delivery-write"})
WELL_KNOWN_IDS = frozenset({ANONYMOUS_ID, EC2_BUNDLES_ID})

_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*("?)([^",]*)\2\s*', re.IGNORECASE)


def request_acl(call: Call, unit: Unit, bucket: Bucket, owner: str) -> Acl | None:
    """The ACL that the headers of a request give a new object of the account `owner`; None for the default, its owner
    alone. Raises what S3 answers to lists that are malformed, not supported by the bucket, or blocked as public."""
    if ACL_MEMBERS.isdisjoint(call.input):
        return None
    if bucket.ownership == "BucketOwnerEnforced":
        if call.input.get("ACL") != OWNER_FULL_CONTROL or _granted(call.input):
            raise acls_disabled()
        return None
    acl = headers_acl(call, unit, canonical_id(owner), canonical_id(bucket.owner))
    refuse_public_acl(call, effective_access_block(unit, bucket), acl)
    return None if call.input.get("ACL") == "private" else acl


def headers_acl(call: Call, unit: Unit, owner_id: str, bucket_owner_id: str = "") -> Acl:
    """The list that the headers spell out. `bucket_owner_id` empty: it is a bucket's own list."""
    given = call.input
    canned, granted = given.get("ACL"), _granted(given)
    if canned is not None and granted:
        raise AwsError("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed", 400)
    if canned is None:
        return Acl(owner_id, _header_grants(unit, given, owner_id))
    if bucket_owner_id and canned in ONLY_OF_BUCKETS:
        raise AwsError("InvalidArgument", "", 400, ArgumentName="x-amz-acl", ArgumentValue=canned)
    if not bucket_owner_id and canned in ONLY_OF_OBJECTS:
        canned = "private"
    pairs = canned_grants(canned, owner_id, bucket_owner_id)
    return Acl(owner_id, tuple(Grant(grantee, permission, _kind(grantee)) for grantee, permission in pairs))


def _granted(given: Shape) -> bool:
    return any(member in given for member in GRANT_MEMBERS)


def _kind(grantee: str) -> str:
    return "Group" if grantee in GROUPS else "CanonicalUser"


def _header_grants(unit: Unit, given: Shape, owner_id: str) -> tuple[Grant, ...]:
    """`id="…", uri="…", emailAddress="…"` of each grant header."""
    grants: list[Grant] = []
    for member, (permission, header) in GRANT_MEMBERS.items():
        text = given.get(member)
        if text is None:
            continue
        for piece in text.split(",", GRANTS_MAX):
            found = _GRANTEE.fullmatch(piece)
            if found is None:
                message = "Argument format not recognized"
                raise AwsError("InvalidArgument", message, 400, ArgumentName=header, ArgumentValue=text)
            grants.append(_grant(unit, found[1].lower(), found[3].strip(), permission, owner_id, in_header=True))
    return _bounded(grants)


def _bounded(grants: list[Grant]) -> tuple[Grant, ...]:
    if len(grants) > GRANTS_MAX:
        raise malformed_acl()
    return tuple(grants)


def _grant(unit: Unit, kind: str, text: str, permission: str, owner_id: str, *, in_header: bool) -> Grant:
    if kind == "uri":
        if text not in GROUPS:
            name = "uri" if in_header else "Group/URI"
            raise AwsError("InvalidArgument", "Invalid group uri", 400, ArgumentName=name, ArgumentValue=text)
        return Grant(text, permission, "Group")
    if kind == "emailaddress":
        account = account_of_email(unit, text)
        if account is None:
            raise AwsError("UnresolvableGrantByEmailAddress", "", 400)
        return Grant(canonical_id(account.account_id), permission)
    if text != owner_id and text not in WELL_KNOWN_IDS and account_of_canonical_id(unit, text) is None:
        raise invalid_id(text, "id" if in_header else "CanonicalUser/ID")
    return Grant(text, permission)


def document_acl(unit: Unit, document: Mapping[str, Any], owner_id: str) -> Acl:
    """The list that an AccessControlPolicy document spells out; its owner cannot be another than `owner_id`."""
    owner = (document.get("Owner") or {}).get("ID")
    grants = document.get("Grants")
    if not owner or grants is None:
        raise malformed_acl()
    if owner != owner_id:
        if account_of_canonical_id(unit, owner) is None:
            raise invalid_id(owner, "CanonicalUser/ID")
        raise AwsError("AccessDenied", "Access Denied", 403)
    return Acl(owner_id, _bounded([document_grant(unit, each, owner_id) for each in grants[: GRANTS_MAX + 1]]))


_MEMBER_OF_TYPE = {
    "CanonicalUser": ("ID", "id"),
    "Group": ("URI", "uri"),
    "AmazonCustomerByEmail": ("EmailAddress", "emailaddress"),
}


def document_grant(unit: Unit, grant: Mapping[str, Any], owner_id: str) -> Grant:
    """One grant of a document; raises AwsError."""
    grantee, permission = grant.get("Grantee") or {}, grant.get("Permission")
    member, kind = _MEMBER_OF_TYPE.get(grantee.get("Type", ""), ("", ""))
    text = grantee.get(member)
    if permission not in PERMISSIONS or not text:
        raise malformed_acl()
    return _grant(unit, kind, text, permission, owner_id, in_header=False)


def grant_pairs(acl: Acl) -> tuple[tuple[str, str], ...]:
    """(grantee, permission) of each grant, as `access.acl` takes them."""
    return tuple((grant.grantee, grant.permission) for grant in acl.grants)


def grants_others(acl: Acl) -> bool:
    """Whether the list gives anything to anybody but its owner."""
    return any(grant.grantee != acl.owner for grant in acl.grants)


def refuse_public_acl(call: Call, block: PublicAccessBlock | None, acl: Acl) -> None:
    """BlockPublicAcls: no list that admits everybody, or everybody with an account, is taken."""
    if block is None or not block.block_public_acls or not is_public(grant_pairs(acl)):
        return
    raise blocked(call, "public ACLs are prevented by the BlockPublicAcls setting in S3 Block Public Access")


def blocked(call: Call, why: str) -> AwsError:
    """The refusal of a public access block, in words for callers of the owner's account only."""
    caller = call.principal
    if caller.type in ("Anonymous", "AWSService") or caller.account_id != call.evidence.owner_account_id:
        return AwsError("AccessDenied", "Access Denied", 403)
    name, key = call.input.get("Bucket", ""), call.input.get("Key", "")
    resource = f"arn:aws:s3:::{name}/{key}" if key else f"arn:aws:s3:::{name}"
    action = f"s3:{call.operation.name}"
    message = f'User: {caller.arn} is not authorized to perform: {action} on resource: "{resource}" because {why}.'
    return AwsError("AccessDenied", message, 403)


def acls_disabled() -> AwsError:
    return AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)


def malformed_acl() -> AwsError:
    return AwsError("MalformedACLError", "", 400)


def invalid_id(text: str, name: str) -> AwsError:
    return AwsError("InvalidArgument", "Invalid id", 400, ArgumentName=name, ArgumentValue=text)


def shown_acl(acl: Acl) -> Shape:
    """The list as GetBucketAcl and GetObjectAcl answer it. Display names are no longer part of S3's answers."""
    return {
        "Owner": {"ID": acl.owner},
        "Grants": [
            {
                "Grantee": {"URI" if grant.grantee in GROUPS else "ID": grant.grantee, "Type": _kind(grant.grantee)},
                "Permission": grant.permission,
            }
            for grant in acl.grants
        ],
    }
