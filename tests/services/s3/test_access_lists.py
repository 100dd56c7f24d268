"""ACLs of buckets and objects: how they are given, shown, refused, and whom they let in."""

from __future__ import annotations

import pytest

from opentrail.access.acl import ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY, canonical_id
from opentrail.call import ANONYMOUS
from opentrail.rows.s3 import PublicAccessBlock
from tests.services.s3.bucket_world import BUCKET, HOME, OTHER, World, allow, make_world, root, service_principal

ME, THEM = canonical_id(HOME), canonical_id(OTHER)
FULL = {"Grantee": {"ID": ME, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.fixture
async def world():
    """ACLs are in force and nothing is blocked."""
    return await make_world(open_bucket=True)


def group(uri: str, permission: str) -> dict:
    return {"Grantee": {"URI": uri, "Type": "Group"}, "Permission": permission}


def canonical(id_: str, permission: str) -> dict:
    return {"Grantee": {"ID": id_, "Type": "CanonicalUser"}, "Permission": permission}


def document(*grants: dict, owner: str = ME) -> dict:
    return {"AccessControlPolicy": {"Owner": {"ID": owner}, "Grants": list(grants)}}


async def test_without_a_list_the_owner_has_everything(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    for answer in (await world.get_bucket_acl(Bucket=BUCKET), await world.get_object_acl(Bucket=BUCKET, Key="k")):
        assert answer.parsed["Owner"] == {"ID": ME}
        assert answer.parsed["Grants"] == [FULL]


@pytest.mark.parametrize(
    ("canned", "grants"),
    [
        ("private", []),
        ("public-read", [group(ALL_USERS, "READ")]),
        ("public-read-write", [group(ALL_USERS, "READ"), group(ALL_USERS, "WRITE")]),
        ("authenticated-read", [group(AUTHENTICATED_USERS, "READ")]),
        ("log-delivery-write", [group(LOG_DELIVERY, "WRITE"), group(LOG_DELIVERY, "READ_ACP")]),
        ("bucket-owner-read", []),
    ],
)
async def test_canned_lists_of_buckets(world: World, canned, grants):
    assert (await world.put_bucket_acl(Bucket=BUCKET, ACL=canned)).status == 200
    assert (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"] == [FULL, *grants]


async def test_grant_headers_name_ids_groups_and_addresses(world: World):
    headers = {
        "GrantFullControl": f'id="{ME}"',
        "GrantRead": f"uri={LOG_DELIVERY}, id = {THEM} ",
        "GrantWriteACP": 'emailAddress="other@example.com"',
    }
    assert (await world.put_bucket_acl(Bucket=BUCKET, **headers)).status == 200
    assert (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"] == [
        FULL,
        group(LOG_DELIVERY, "READ"),
        canonical(THEM, "READ"),
        canonical(THEM, "WRITE_ACP"),
    ]


async def test_documents_replace_the_whole_list(world: World):
    grants = [canonical(THEM, "READ"), group(AUTHENTICATED_USERS, "READ_ACP")]
    mail = {"Grantee": {"EmailAddress": "other@example.com", "Type": "AmazonCustomerByEmail"}, "Permission": "WRITE"}
    assert (await world.put_bucket_acl(Bucket=BUCKET, **document(*grants, mail))).status == 200
    assert (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"] == [*grants, canonical(THEM, "WRITE")]
    assert (await world.put_bucket_acl(Bucket=BUCKET, **document())).status == 200
    assert (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"] == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "MissingSecurityHeader"),
        ({"ACL": "nonsense"}, "InvalidArgument"),
        ({"ACL": "private", "GrantRead": f"id={THEM}"}, "InvalidRequest"),
        ({"ACL": "private", **document(FULL)}, "UnexpectedContent"),
        ({"GrantRead": "nonsense"}, "InvalidArgument"),
        ({"GrantRead": f'id="{THEM}'}, "InvalidArgument"),
        ({"GrantRead": ","}, "InvalidArgument"),
        ({"GrantRead": "id=_foo"}, "InvalidArgument"),
        ({"GrantRead": "uri=http://example.com/"}, "InvalidArgument"),
        ({"GrantRead": "emailAddress=nobody@example.com"}, "UnresolvableGrantByEmailAddress"),
        ({"GrantRead": ",".join([f"id={THEM}"] * 101)}, "MalformedACLError"),
        ({"GrantRead": ",".join([f"id={THEM}"] * 5_000)}, "InvalidArgument"),
        (document(canonical("_foo", "READ")), "InvalidArgument"),
        (document(canonical("", "READ")), "MalformedACLError"),
        (document(canonical(THEM, "EVERYTHING")), "MalformedACLError"),
        (document(group("http://example.com/", "READ")), "InvalidArgument"),
        (document({"Grantee": {"ID": THEM, "Type": "Nobody"}, "Permission": "READ"}), "MalformedACLError"),
        (document({"Permission": "READ"}), "MalformedACLError"),
        (document(*[FULL] * 101), "MalformedACLError"),
        (document(FULL, owner=THEM), "AccessDenied"),
        (document(FULL, owner="_foo"), "InvalidArgument"),
        ({"AccessControlPolicy": {"Grants": [FULL]}}, "MalformedACLError"),
        ({"AccessControlPolicy": {"Owner": {"ID": ME}}}, "MalformedACLError"),
    ],
)
async def test_lists_that_are_refused_change_nothing(world: World, given, code):
    answer = await world.put_bucket_acl(Bucket=BUCKET, **given)
    assert (answer.code, answer.status) == (code, 403 if code == "AccessDenied" else 400)
    assert world.bucket().acl is None


async def test_a_document_as_old_clients_write_it(world: World):
    raw = (
        f"<AccessControlPolicy><Owner><ID>{ME}</ID><DisplayName>me</DisplayName></Owner><AccessControlList>"
        f'<Grant><Grantee {XSI} xsi:type="CanonicalUser"><ID>{THEM}</ID><DisplayName>x</DisplayName></Grantee>'
        "<Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"
    )
    assert (await world.put_bucket_acl(Bucket=BUCKET, raw=raw.encode())).status == 200
    assert (await world.get_bucket_acl(Bucket=BUCKET)).parsed["Grants"] == [canonical(THEM, "READ")]


async def test_lists_of_objects(world: World):
    headers = {"GrantRead": f"id={THEM}", "GrantFullControl": f"id={ME}"}
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x", **headers)
    shown = (await world.get_object_acl(Bucket=BUCKET, Key="k")).parsed["Grants"]
    assert shown == [FULL, canonical(THEM, "READ")]
    assert (await world.put_object_acl(Bucket=BUCKET, Key="k", ACL="public-read")).status == 200
    shown = (await world.get_object_acl(Bucket=BUCKET, Key="k")).parsed["Grants"]
    assert shown == [FULL, group(ALL_USERS, "READ")]
    assert (await world.put_object_acl(Bucket=BUCKET, Key="k", ACL="log-delivery-write")).code == "InvalidArgument"
    assert (await world.put_object_acl(Bucket=BUCKET, Key="missing", ACL="private")).code == "NoSuchKey"
    assert (await world.get_object_acl(Bucket=BUCKET, Key="missing")).code == "NoSuchKey"


async def test_each_version_has_its_list(world: World):
    await world.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = (await world.put_object(Bucket=BUCKET, Key="k", body=b"1")).parsed["VersionId"]
    second = (await world.put_object(Bucket=BUCKET, Key="k", body=b"2")).parsed["VersionId"]
    await world.put_object_acl(Bucket=BUCKET, Key="k", VersionId=first, ACL="public-read")
    old = await world.get_object_acl(Bucket=BUCKET, Key="k", VersionId=first)
    new = await world.get_object_acl(Bucket=BUCKET, Key="k", VersionId=second)
    assert (len(old.parsed["Grants"]), len(new.parsed["Grants"])) == (2, 1)
    assert (await world.get_object(Bucket=BUCKET, Key="k", VersionId=first, by=ANONYMOUS)).status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="k", VersionId=second, by=ANONYMOUS)).status == 403
    marker = (await world.delete_object(Bucket=BUCKET, Key="k")).parsed["VersionId"]
    assert (await world.get_object_acl(Bucket=BUCKET, Key="k")).code == "NoSuchKey"
    assert (await world.get_object_acl(Bucket=BUCKET, Key="k", VersionId=marker)).status == 405


async def test_disabled_acls_are_read_but_not_written(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x", ACL="public-read")
    await world.alter_bucket(ownership="BucketOwnerEnforced")
    assert (await world.get_object_acl(Bucket=BUCKET, Key="k")).parsed["Grants"] == [FULL]
    for answer in (
        await world.put_bucket_acl(Bucket=BUCKET, ACL="private"),
        await world.put_object_acl(Bucket=BUCKET, Key="k", ACL="bucket-owner-full-control"),
        await world.put_object(Bucket=BUCKET, Key="k", ACL="private"),
        await world.put_object(Bucket=BUCKET, Key="k", GrantRead=f"id={ME}"),
    ):
        assert (answer.status, answer.code) == (400, "AccessControlListNotSupported")
    assert (await world.put_object(Bucket=BUCKET, Key="k", ACL="bucket-owner-full-control")).status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=ANONYMOUS)).status == 403


async def test_public_lists_are_blocked_where_the_bucket_or_the_account_says_so(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    await world.alter_bucket(public_access_block=PublicAccessBlock(block_public_acls=True))
    for canned in ("public-read", "public-read-write", "authenticated-read"):
        answer = await world.put_bucket_acl(Bucket=BUCKET, ACL=canned)
        assert answer.status == 403
        assert answer.error["Message"] == (
            f"User: arn:aws:iam::{HOME}:root is not authorized to perform: s3:PutBucketAcl on resource: "
            f'"arn:aws:s3:::{BUCKET}" because public ACLs are prevented by the BlockPublicAcls setting in S3 Block '
            "Public Access."
        )
        assert (await world.put_object_acl(Bucket=BUCKET, Key="k", ACL=canned)).status == 403
        assert (await world.put_object(Bucket=BUCKET, Key="k", ACL=canned)).status == 403
    assert (await world.put_bucket_acl(Bucket=BUCKET, **document(group(ALL_USERS, "READ")))).status == 403
    assert (await world.put_object(Bucket=BUCKET, Key="k", ACL="private")).status == 200
    await world.alter_bucket(public_access_block=None)
    block = {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}
    await world.call("s3control", "put_public_access_block", AccountId=HOME, **block)
    assert (await world.put_bucket_acl(Bucket=BUCKET, ACL="public-read")).status == 403


async def test_a_public_object_is_readable_until_public_lists_are_ignored(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x", ACL="public-read")
    await world.put_object(Bucket=BUCKET, Key="hidden", body=b"x")
    answer = await world.get_object(Bucket=BUCKET, Key="k", by=ANONYMOUS)
    assert answer.status == 200
    assert world.records()[-1]["additionalEventData"]["aclRequired"] == "Yes"
    assert (await world.get_object(Bucket=BUCKET, Key="hidden", by=ANONYMOUS)).status == 403
    assert (await world.get_object_acl(Bucket=BUCKET, Key="k", by=ANONYMOUS)).status == 403
    await world.alter_bucket(public_access_block=PublicAccessBlock(ignore_public_acls=True))
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=ANONYMOUS)).status == 403
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=root(OTHER))).status == 403
    assert (await world.get_object(Bucket=BUCKET, Key="k")).status == 200


async def test_a_list_lets_another_account_in_as_far_as_it_says(world: World):
    await world.put_bucket_acl(Bucket=BUCKET, GrantRead=f"id={THEM}", GrantReadACP=f"id={THEM}")
    assert (await world.list_objects_v2(Bucket=BUCKET, by=root(OTHER))).status == 200
    assert (await world.get_bucket_acl(Bucket=BUCKET, by=root(OTHER))).status == 200
    assert (await world.put_bucket_acl(Bucket=BUCKET, ACL="private", by=root(OTHER))).status == 403
    assert (await world.put_object(Bucket=BUCKET, Key="k", by=root(OTHER))).status == 403
    assert (await world.get_bucket_policy(Bucket=BUCKET, by=root(OTHER))).status == 403


async def test_who_writes_into_anothers_bucket_owns_the_object_unless_handed_over(world: World):
    await world.put_bucket_acl(Bucket=BUCKET, GrantWrite=f"id={THEM}")
    assert (await world.put_object(Bucket=BUCKET, Key="k", body=b"x", by=root(OTHER))).status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="k")).status == 403, "the bucket's owner does not own it"
    assert (await world.get_object_acl(Bucket=BUCKET, Key="k", by=root(OTHER))).parsed["Owner"] == {"ID": THEM}
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=root(OTHER))).status == 200
    handed = {"ACL": "bucket-owner-full-control"}
    await world.put_object_acl(Bucket=BUCKET, Key="k", by=root(OTHER), **handed)
    assert (await world.get_object(Bucket=BUCKET, Key="k")).status == 200
    await world.alter_bucket(ownership="BucketOwnerPreferred")
    await world.put_object(Bucket=BUCKET, Key="k2", body=b"x", by=root(OTHER), **handed)
    assert (await world.get_object_acl(Bucket=BUCKET, Key="k2")).parsed["Owner"] == {"ID": ME}
    await world.alter_bucket(ownership="BucketOwnerEnforced")
    assert (await world.get_object(Bucket=BUCKET, Key="k")).status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=root(OTHER))).status == 403


async def test_setting_a_list_while_writing_is_an_action_of_its_own(world: World):
    writer = await world.add_user("writer", allow("s3:PutObject"))
    given = {"Bucket": BUCKET, "Key": "k", "body": b"x", "by": writer}
    assert (await world.put_object(**given)).status == 200
    assert (await world.put_object(**given, ACL="bucket-owner-full-control")).status == 200
    assert (await world.put_object(**given, GrantFullControl=f'id="{ME}"')).status == 200
    assert (await world.put_object(**given, GrantFullControl=f"id={THEM}")).status == 403
    assert (await world.put_object(**given, GrantFullControl=f"id={ME}", GrantRead=f"id={THEM}")).status == 403
    assert (await world.put_object(**given, ACL="public-read")).status == 403
    assert (await world.put_object(**given, GrantRead=f"id={THEM}")).status == 403
    assert (await world.put_object(**given, Tagging="a=b")).status == 403
    both = await world.add_user("both", allow(["s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectTagging"]))
    given["by"] = both
    assert (await world.put_object(**given, ACL="public-read", Tagging="a=b")).status == 200


async def test_log_delivery_writes_by_its_group(world: World):
    await world.put_bucket_acl(Bucket=BUCKET, ACL="log-delivery-write")
    logging = service_principal("logging.s3.amazonaws.com")
    assert (await world.put_object(Bucket=BUCKET, Key="log", body=b"x", by=logging)).status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="log", by=logging)).status == 403
