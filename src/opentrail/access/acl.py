"""S3's access control lists: canned lists, canonical user ids, groups, and whether a list admits a caller.

Source: S3 user guide, "Access control list (ACL) overview". Knows nothing of policies.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from opentrail.call import AclGrants, Principal
from opentrail.errors import AwsError

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS = frozenset({ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY})
PERMISSIONS = frozenset({"FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"})
LOG_DELIVERY_SERVICE = "logging.s3.amazonaws.com"
ANONYMOUS_ID = "65a011a29cdf8ec533ec3d1ccaae921c"
"""Canonical id of whoever does not sign."""
EC2_BUNDLES_ID = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"
"""Canonical id that the canned list aws-exec-read names (Amazon EC2, fetching AMI bundles)."""
OWNER_ALWAYS = frozenset({"READ_ACP", "WRITE_ACP"})
"""What the owner may do whatever its list says."""

_ID_PREFIX = "opentrail:canonical-user:"


@lru_cache(maxsize=4096)
def canonical_id(account_id: str) -> str:
    """The canonical user id of an account: 64 hexadecimal digits, always the same ones."""
    return hashlib.sha256((_ID_PREFIX + account_id).encode()).hexdigest()


def canned_grants(name: str, owner_id: str, bucket_owner_id: str = "") -> tuple[tuple[str, str], ...]:
    """The (grantee, permission) pairs of a canned list, the owner's first; raises AwsError InvalidArgument.

    `owner_id` is the canonical id of the owner of the bucket or object; `bucket_owner_id` that of the bucket's when
    the list is an object's.
    """
    owner = (owner_id, "FULL_CONTROL")
    bucket_owner = bucket_owner_id if bucket_owner_id != owner_id else ""
    more: dict[str, tuple[tuple[str, str], ...]] = {
        "private": (),
        "public-read": ((ALL_USERS, "READ"),),
        "public-read-write": ((ALL_USERS, "READ"), (ALL_USERS, "WRITE")),
        "aws-exec-read": ((EC2_BUNDLES_ID, "READ"),),
        "authenticated-read": ((AUTHENTICATED_USERS, "READ"),),
        "bucket-owner-read": ((bucket_owner, "READ"),) if bucket_owner else (),
        "bucket-owner-full-control": ((bucket_owner, "FULL_CONTROL"),) if bucket_owner else (),
        "log-delivery-write": ((LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")),
    }
    if name not in more:
        raise AwsError("InvalidArgument", "", 400, ArgumentName="x-amz-acl", ArgumentValue=name)
    return (owner, *more[name])


def is_public(grants: tuple[tuple[str, str], ...]) -> bool:
    """Whether a list admits everybody, or everybody with an account anywhere."""
    return any(grantee in (ALL_USERS, AUTHENTICATED_USERS) for grantee, _permission in grants)


def admits_account(acl: AclGrants, caller: Principal) -> bool:
    """Whether the list gives the permission to the caller's account as such."""
    if caller.type in ("Anonymous", "AWSService"):
        return False
    own = canonical_id(caller.account_id)
    if own == acl.owner_id and acl.permission in OWNER_ALWAYS:
        return True
    return _gives(acl, own)


def admits_group(acl: AclGrants, caller: Principal) -> bool:
    """Whether the list gives the permission to a group that the caller belongs to by being who it is."""
    if _gives(acl, ALL_USERS):
        return True
    if caller.type == "AWSService":
        return caller.invoked_by == LOG_DELIVERY_SERVICE and _gives(acl, LOG_DELIVERY)
    return caller.type != "Anonymous" and _gives(acl, AUTHENTICATED_USERS)


def _gives(acl: AclGrants, grantee: str) -> bool:
    return (grantee, acl.permission) in acl.grants or (grantee, "FULL_CONTROL") in acl.grants
