"""CreateBucket, DeleteBucket, ListBuckets: how buckets come, go, and are found by their owner.

Source: API reference of the three; S3 user guide, "General purpose bucket naming rules", "Default settings for new
buckets".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from opentrail.access.acl import canonical_id, is_public
from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import (
    BUCKET_KEYS,
    BUCKETS,
    CONFIGS,
    OBJECTS,
    OWNED_BUCKETS,
    OWNED_DIRECTORIES,
    PARTS,
    UPLOADS,
    VERSIONS,
    Acl,
    Bucket,
    OwnedBucket,
    PublicAccessBlock,
)
from opentrail.rows.s3_metering import METERED_KINDS, touch_metered
from opentrail.service import Service
from opentrail.services.s3.directory_create import create_directory, create_directory_guard, is_directory
from opentrail.services.s3.encryption import first_encryption
from opentrail.services.s3.grants import ACL_MEMBERS, grant_pairs, grants_others, headers_acl, refuse_public_acl
from opentrail.services.s3.guard import condition_keys, effective_access_block
from opentrail.services.s3.listing import make_token, read_token
from opentrail.services.s3.location import CLASSIC_REGION, chosen_region
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.ownership import OWNERSHIPS
from opentrail.services.s3.parts import drop_bytes
from opentrail.services.s3.policy_templates import template_bucket
from opentrail.services.s3.reading import from_epoch
from opentrail.services.s3.tag_rules import check_tags
from opentrail.services.s3.tagging import BUCKET_TAGS_MAX, read_tags
from opentrail.state import SCAN_PAGE, Unit

BUCKETS_PAGE_MAX = 10_000
"""Buckets of one answer."""
NAME_MIN, NAME_MAX = 3, 63
RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
BLOCK_ALL = PublicAccessBlock(True, True, True, True)
"""What S3 has set for new buckets since April 2023, together with BucketOwnerEnforced."""
LEGACY_OWNERSHIP = ""
"""Before, a new bucket had no ownership controls: ACLs were in force, and writers owned their objects."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*", re.ASCII)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)

family = Service("s3")


@family.guard("CreateBucket")
def create_bucket_guard(call: Call, _unit: Unit) -> Sequence[Access]:
    """To create a bucket, and to set at once what has actions of its own."""
    if is_directory(call):
        return create_directory_guard(call)
    given = call.input
    configuration = given.get("CreateBucketConfiguration") or {}
    actions = ["s3:CreateBucket"]
    if not ACL_MEMBERS.isdisjoint(given):
        actions.append("s3:PutBucketAcl")
    if "ObjectOwnership" in given:
        actions.append("s3:PutBucketOwnershipControls")
    if configuration.get("Tags"):
        actions.append("s3:TagResource")
    if given.get("ObjectLockEnabledForBucket"):
        actions += ["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
    keys = dict(condition_keys(call))
    if configuration.get("LocationConstraint"):
        keys["s3:locationconstraint"] = (configuration["LocationConstraint"],)
    account = call.principal.account_id
    return [Access(action, f"arn:aws:s3:::{given['Bucket']}", account, context=keys) for action in actions]


@family.operation("CreateBucket")
async def create_bucket(call: Call, unit: Unit) -> Shape:
    """Create a bucket, private and with ACLs disabled unless asked otherwise."""
    if is_directory(call):
        return create_directory(call, unit)
    name, owner = call.input["Bucket"], call.principal.account_id
    call.evidence.owner_account_id = owner
    check_name(name)
    new = _described(call, unit, name, owner)
    existing = BUCKETS.get(unit, name) or template_bucket(unit, name)
    if existing is not None:
        _create_again(call, unit, existing, new)
    else:
        BUCKETS.put(unit, new, name)
        OWNED_BUCKETS.put(unit, OwnedBucket(new.region, new.created_at), owner, name)
    call.region = new.region
    return {"Location": f"/{name}"}


def check_name(name: str) -> None:
    """Raise AwsError InvalidBucketName for a name that a new bucket cannot have."""
    wrong = (
        not NAME_MIN <= len(name) <= NAME_MAX
        or _NAME.fullmatch(name) is None
        or "-." in name
        or name.endswith("-")
        or _ADDRESS.fullmatch(name)
        or name.startswith(RESERVED_PREFIXES)
        or name.endswith(RESERVED_SUFFIXES)
    )
    if wrong:
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.", 400, BucketName=name)


def _described(call: Call, unit: Unit, name: str, owner: str) -> Bucket:
    """The bucket as its request describes it."""
    given = call.input
    configuration = given.get("CreateBucketConfiguration") or {}
    _refuse_unbuilt(given)
    legacy = unit.house.settings.legacy_bucket_defaults
    ownership = given.get("ObjectOwnership", LEGACY_OWNERSHIP if legacy else _default_ownership(given))
    if "ObjectOwnership" in given and ownership not in OWNERSHIPS:
        fields = {"ArgumentName": "x-amz-object-ownership", "ArgumentValue": ownership}
        raise AwsError("InvalidArgument", f"Invalid x-amz-object-ownership header: {ownership}", 400, **fields)
    constraint = configuration.get("LocationConstraint") or None
    locked = bool(given.get("ObjectLockEnabledForBucket"))
    tags = read_tags({"TagSet": configuration["Tags"]}) if configuration.get("Tags") else ()
    return Bucket(
        name=name,
        owner=owner,
        region=chosen_region(constraint, call.region),
        created_at=unit.now,
        acl=_first_acl(call, unit, owner, ownership),
        ownership=ownership,
        public_access_block=None if legacy else BLOCK_ALL,
        tags=check_tags(tags, BUCKET_TAGS_MAX),
        location=constraint or "",
        object_lock=locked,
        versioning="Enabled" if locked else "",
        encryption=first_encryption(unit),
    )


def _refuse_unbuilt(given: Shape) -> None:
    """What cannot be kept is refused, never ignored: account-regional names."""
    if given.get("BucketNamespace", "global") != "global":
        raise AwsError("NotImplemented", "", 501, Header="x-amz-bucket-namespace")


def _default_ownership(given: Shape) -> str:
    """A new bucket knows no ACLs, unless the request shows that its client does by asking for the private one: rclone
    writes every object with it. Source: what S3 does (github.com/versity/versitygw issue 1869)."""
    return "BucketOwnerPreferred" if given.get("ACL") == "private" else "BucketOwnerEnforced"


def _first_acl(call: Call, unit: Unit, owner: str, ownership: str) -> Acl | None:
    """The list a bucket is created with. New buckets block public lists, and disable lists unless told otherwise."""
    if ACL_MEMBERS.isdisjoint(call.input):
        return None
    acl = headers_acl(call, unit, canonical_id(owner))
    if ownership == "BucketOwnerEnforced":
        if grants_others(acl):
            raise AwsError("InvalidBucketAclWithObjectOwnership", "", 400)
        return None
    if is_public(grant_pairs(acl)) and not unit.house.settings.legacy_bucket_defaults:
        message = "Bucket cannot have public ACLs set with BlockPublicAccess enabled"
        raise AwsError("InvalidBucketAclWithBlockPublicAccessError", message, 400)
    return acl


def _create_again(call: Call, unit: Unit, existing: Bucket, new: Bucket) -> None:
    """The name is taken. Only us-east-1 lets owners create their bucket again, which resets its ACL."""
    if existing.owner != new.owner:
        message = (
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
            "Please select a different name and try again."
        )
        raise AwsError("BucketAlreadyExists", message, 409, BucketName=existing.name)
    if call.region != CLASSIC_REGION or existing.region != CLASSIC_REGION or new.region != CLASSIC_REGION:
        message = "Your previous request to create the named bucket succeeded and you already own it."
        raise AwsError("BucketAlreadyOwnedByYou", message, 409, BucketName=existing.name)
    if existing.ownership != "BucketOwnerEnforced" and new.acl != existing.acl:
        if new.acl is not None:
            refuse_public_acl(call, effective_access_block(unit, existing), new.acl)
        BUCKETS.put(unit, replace(existing, acl=new.acl), existing.name)


@family.operation("DeleteBucket")
async def delete_bucket(call: Call, unit: Unit) -> Shape:
    """Delete a bucket that holds no object, version or delete marker. Uploads under way are given up."""
    bucket = bucket_of(call, unit)
    if OBJECTS.page(unit, bucket.name, limit=1):
        raise _not_empty(bucket, "The bucket you tried to delete is not empty")
    if VERSIONS.page(unit, bucket.name, limit=1):
        raise _not_empty(
            bucket, "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
        )
    for key, upload in UPLOADS.all(unit, bucket.name):
        for part_key, part in PARTS.all(unit, upload.upload_id):
            drop_bytes(unit, part)
            PARTS.delete(unit, *part_key)
        UPLOADS.delete(unit, *key)
    for key, _document in CONFIGS.all(unit, bucket.name):
        CONFIGS.delete(unit, *key)
    if not METERED_KINDS.isdisjoint(bucket.configured):
        touch_metered(unit, bucket.name)
    for key, _keys in BUCKET_KEYS.all(unit, bucket.name):
        BUCKET_KEYS.delete(unit, *key)
    OWNED_BUCKETS.delete(unit, bucket.owner, bucket.name)
    OWNED_DIRECTORIES.delete(unit, bucket.owner, bucket.region, bucket.name)
    BUCKETS.delete(unit, bucket.name)
    return {}


def _not_empty(bucket: Bucket, message: str) -> AwsError:
    return AwsError("BucketNotEmpty", message, 409, BucketName=bucket.name)


@family.operation("ListBuckets")
async def list_buckets(call: Call, unit: Unit) -> Shape:
    """The buckets of the caller's account, by name, a page at a time if asked so."""
    given, owner = call.input, call.principal.account_id
    limit = _page_limit(given)
    prefix, region = given.get("Prefix", ""), given.get("BucketRegion")
    after = read_token(given["ContinuationToken"]) if "ContinuationToken" in given else ""
    told = bool({"Prefix", "BucketRegion", "MaxBuckets", "ContinuationToken"} & given.keys())
    shown: list[dict[str, Any]] = []
    output: Shape = {"Buckets": shown, "Owner": {"ID": canonical_id(owner)}}
    if "Prefix" in given:
        output["Prefix"] = prefix
    for name, row in _owned(unit, owner, prefix, after):
        if region is not None and row.region != region:
            continue
        if len(shown) == limit:
            output["ContinuationToken"] = make_token(shown[-1]["Name"])
            break
        entry = {"Name": name, "CreationDate": from_epoch(int(row.created_at))}
        shown.append({**entry, "BucketRegion": row.region} if told else entry)
    return output


def _owned(unit: Unit, owner: str, prefix: str, after: str) -> Iterator[tuple[str, OwnedBucket]]:
    """An account's buckets whose names begin with `prefix`, behind `after`, by name."""
    root = OWNED_BUCKETS.key(owner, prefix)
    position = OWNED_BUCKETS.key(owner, after) if after else b""
    while True:
        rows = unit.scan(root, position)
        for key, found in rows:
            yield OWNED_BUCKETS.parts(key)[1], OWNED_BUCKETS.decode(found.value)
        if len(rows) < SCAN_PAGE:
            return
        position = rows[-1][0]


def _page_limit(given: Shape) -> int:
    limit = given.get("MaxBuckets", BUCKETS_PAGE_MAX)
    if not 1 <= limit <= BUCKETS_PAGE_MAX:
        message = f"Argument max-buckets must be an integer between 1 and {BUCKETS_PAGE_MAX}"
        raise AwsError("InvalidArgument", message, 400, ArgumentName="max-buckets", ArgumentValue=str(limit))
    return int(limit)
