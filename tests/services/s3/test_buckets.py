"""Buckets come, go and are listed as S3 has it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from opentrail.access.acl import ALL_USERS, canonical_id
from opentrail.call import ANONYMOUS
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, CONFIGS, OWNED_BUCKETS, UPLOADS, ConfigDocument, ObjectVersion, Upload
from opentrail.services.s3.buckets import check_name
from tests.fakes.house import commit, new_unit
from tests.services.s3.bucket_world import BUCKET, HOME, OTHER, World, allow, make_world, root


@pytest.fixture
async def world():
    return await make_world()


async def test_new_buckets_are_private_and_have_acls_disabled(world: World):
    answer = await world.create_bucket(Bucket="fresh-bucket")
    assert answer.parsed["Location"] == "/fresh-bucket"
    assert (await world.get_bucket_ownership_controls(Bucket="fresh-bucket")).parsed["OwnershipControls"] == {
        "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
    }
    block = (await world.get_public_access_block(Bucket="fresh-bucket")).parsed["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    assert len(block) == 4


async def test_a_client_that_asks_for_the_private_list_may_go_on_asking_for_it(world: World):
    await world.create_bucket(Bucket="by-rclone", ACL="private")
    assert (await world.get_bucket_ownership_controls(Bucket="by-rclone")).parsed["OwnershipControls"] == {
        "Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]
    }
    assert (await world.put_object(Bucket="by-rclone", Key="k", ACL="private")).status == 200
    assert (await world.put_bucket_acl(Bucket="by-rclone", ACL="public-read")).code == "AccessDenied"
    await world.create_bucket(Bucket="told", ACL="private", ObjectOwnership="BucketOwnerEnforced")
    assert (await world.put_object(Bucket="told", Key="k", ACL="private")).code == "AccessControlListNotSupported"


async def test_the_record_of_a_creation_names_region_and_account(world: World):
    await world.create_bucket(
        Bucket="fresh-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}, ACL="private"
    )
    record = world.records()[-1]
    assert record["eventName"] == "CreateBucket"
    assert record["awsRegion"] == "eu-west-1"
    assert record["recipientAccountId"] == HOME
    assert record["requestParameters"]["bucketName"] == "fresh-bucket"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "ab",
            "a" * 64,
            "Upper-case",
            "under_score",
            "192.168.5.4",
            "a..b",
            "-start",
            "end-",
            ".start",
            "end.",
            "a-.b",
        ),
        *(
            "a.-b",
            "xn--name",
            "sthree-name",
            "amzn-s3-demo-name",
            "name-s3alias",
            "name--ol-s3",
            "name.mrap",
            "name--x-s3",
        ),
        "name--table-s3",
    ],
)
async def test_names_that_no_bucket_can_have(world: World, name: str):
    answer = await world.create_bucket(Bucket=name)
    assert (answer.status, answer.code) == (400, "InvalidBucketName")


@pytest.mark.parametrize("name", ["name\0x", "bücket", "na me", "name\n", "", "..", "a" * 100_000, "1.2.3.4", "٣٤٥"])
def test_names_that_do_not_get_past_the_check_either(name: str):
    with pytest.raises(AwsError, match="InvalidBucketName"):
        check_name(name)


@pytest.mark.parametrize("name", ["abc", "a" * 63, "a.b.c", "0-9", "1.2.3.4.5", "192.168.5.x"])
async def test_names_that_buckets_can_have(world: World, name: str):
    assert (await world.create_bucket(Bucket=name)).status == 200


@pytest.mark.parametrize(
    ("region", "constraint", "code", "location"),
    [
        ("us-east-1", None, "", None),
        ("us-east-1", "eu-west-1", "", "eu-west-1"),
        ("us-east-1", "EU", "", "EU"),
        ("us-east-1", "", "", None),
        ("us-east-1", "us-east-1", "InvalidLocationConstraint", None),
        ("us-east-1", "nowhere", "InvalidLocationConstraint", None),
        ("us-east-1", "eu-west-1\n", "InvalidLocationConstraint", None),
        ("eu-west-1", "eu-west-1", "", "eu-west-1"),
        ("eu-west-1", "EU", "", "EU"),
        ("eu-west-1", None, "IllegalLocationConstraintException", None),
        ("eu-west-1", "eu-central-1", "IllegalLocationConstraintException", None),
        ("xx-future-north-7", "xx-future-north-7", "", "xx-future-north-7"),
    ],
)
async def test_the_region_follows_endpoint_and_constraint(world: World, region, constraint, code, location):
    given = {} if constraint is None else {"CreateBucketConfiguration": {"LocationConstraint": constraint}}
    answer = await world.create_bucket(Bucket="somewhere", region=region, **given)
    assert answer.code == code
    if not code:
        told = ElementTree.fromstring((await world.get_bucket_location(Bucket="somewhere")).response.body)
        assert (told.tag.partition("}")[2], told.text) == ("LocationConstraint", location)
        head = await world.head_bucket(Bucket="somewhere")
        assert head.parsed["BucketRegion"] == ("eu-west-1" if location == "EU" else location or "us-east-1")


async def test_a_taken_name(world: World):
    answer = await world.create_bucket(Bucket=BUCKET, by=root(OTHER))
    assert (answer.status, answer.code, answer.error["BucketName"]) == (409, "BucketAlreadyExists", BUCKET)
    assert (await world.create_bucket(Bucket=BUCKET)).status == 200, "us-east-1 lets the owner create it again"
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    await world.create_bucket(Bucket="elsewhere", **elsewhere)
    again = await world.create_bucket(Bucket="elsewhere", region="eu-west-1", **elsewhere)
    assert (again.status, again.code) == (409, "BucketAlreadyOwnedByYou")


async def test_creating_again_in_us_east_1_resets_the_acl_and_nothing_else(world: World):
    given = {"Bucket": "listed", "ObjectOwnership": "ObjectWriter", "GrantRead": f'id="{canonical_id(OTHER)}"'}
    await world.create_bucket(**given)
    await world.put_bucket_versioning(Bucket="listed", VersioningConfiguration={"Status": "Enabled"})
    assert world.bucket("listed").acl is not None
    assert (await world.create_bucket(Bucket="listed")).status == 200
    bucket = world.bucket("listed")
    assert (bucket.acl, bucket.versioning, bucket.ownership) == (None, "Enabled", "ObjectWriter")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ACL": "private"}, ""),
        ({"ACL": "bucket-owner-full-control"}, ""),
        ({"ACL": "public-read"}, "InvalidBucketAclWithObjectOwnership"),
        ({"ACL": "log-delivery-write"}, "InvalidBucketAclWithObjectOwnership"),
        ({"GrantRead": f'uri="{ALL_USERS}"'}, "InvalidBucketAclWithObjectOwnership"),
        ({"ACL": "public-read", "ObjectOwnership": "ObjectWriter"}, "InvalidBucketAclWithBlockPublicAccessError"),
        ({"ACL": "log-delivery-write", "ObjectOwnership": "ObjectWriter"}, ""),
        ({"ACL": "nonsense", "ObjectOwnership": "ObjectWriter"}, "InvalidArgument"),
        ({"ObjectOwnership": "Nobody"}, "InvalidArgument"),
        ({"ObjectLockEnabledForBucket": True}, ""),
        ({"ObjectLockEnabledForBucket": False}, ""),
        ({"BucketNamespace": "account-regional"}, "NotImplemented"),
        ({"CreateBucketConfiguration": {"Bucket": {"Type": "Directory"}}}, "InvalidBucketName"),
        ({"CreateBucketConfiguration": {"Tags": [{"Key": "k", "Value": "v"}]}}, ""),
        ({"CreateBucketConfiguration": {"Tags": [{"Key": "aws:k", "Value": "v"}]}}, "InvalidTag"),
    ],
)
async def test_what_a_bucket_may_be_created_with(world: World, given, code):
    answer = await world.create_bucket(Bucket="described", **given)
    assert answer.code == code
    assert (BUCKETS.get(new_unit(world.house), "described") is None) == bool(code)


async def test_creation_needs_the_actions_of_what_it_sets(world: World):
    maker = await world.add_user("maker", allow("s3:CreateBucket"))
    assert (await world.create_bucket(Bucket="plain", by=maker)).status == 200
    for given in (
        {"ObjectOwnership": "ObjectWriter"},
        {"ACL": "private"},
        {"CreateBucketConfiguration": {"Tags": [{"Key": "k", "Value": "v"}]}},
    ):
        answer = await world.create_bucket(Bucket="more", by=maker, **given)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    nobody = await world.add_user("nobody")
    refused = await world.create_bucket(Bucket="none", by=nobody)
    assert refused.error["Message"] == (
        f"User: arn:aws:iam::{HOME}:user/nobody is not authorized to perform: s3:CreateBucket on resource: "
        '"arn:aws:s3:::none" because no identity-based policy allows the s3:CreateBucket action'
    )
    assert (await world.create_bucket(Bucket="none", by=ANONYMOUS)).code == "AccessDenied"


async def test_creation_can_be_tied_to_a_region(world: World):
    condition = {"StringEquals": {"s3:LocationConstraint": "eu-west-1"}}
    maker = await world.add_user("maker", allow("s3:CreateBucket", Condition=condition))
    wanted = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    assert (await world.create_bucket(Bucket="right", by=maker, **wanted)).status == 200
    assert (await world.create_bucket(Bucket="wrong", by=maker)).code == "AccessDenied"


async def test_only_empty_buckets_are_deleted(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    answer = await world.delete_bucket(Bucket=BUCKET)
    assert (answer.status, answer.code, answer.error["BucketName"]) == (409, "BucketNotEmpty", BUCKET)
    await world.delete_object(Bucket=BUCKET, Key="k")
    assert (await world.delete_bucket(Bucket=BUCKET)).status == 204
    assert (await world.head_bucket(Bucket=BUCKET)).status == 404
    assert (await world.delete_bucket(Bucket=BUCKET)).code == "NoSuchBucket"
    assert (await world.list_buckets()).parsed["Buckets"] == []


async def test_a_delete_marker_keeps_its_bucket(world: World):
    await world.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    marker = await world.delete_object(Bucket=BUCKET, Key="k")
    answer = await world.delete_bucket(Bucket=BUCKET)
    assert answer.code == "BucketNotEmpty"
    assert "all versions" in answer.error["Message"]
    await world.delete_object(Bucket=BUCKET, Key="k", VersionId=marker.parsed["VersionId"])
    assert (await world.delete_bucket(Bucket=BUCKET)).status == 204


async def test_deleting_a_bucket_leaves_nothing_of_it(world: World):
    unit = new_unit(world.house)
    template = ObjectVersion("k", "", 0, 0.0, HOME)
    UPLOADS.put(unit, Upload("u1", BUCKET, template, 0.0, "", ""), BUCKET, "k", "u1")
    CONFIGS.put(unit, ConfigDocument("{}"), BUCKET, "cors")
    await commit(unit)
    assert (await world.delete_bucket(Bucket=BUCKET)).status == 204
    unit = new_unit(world.house)
    for table in (BUCKETS, UPLOADS, CONFIGS, OWNED_BUCKETS):
        assert list(table.all(unit)) == []


async def test_list_shows_the_callers_own_buckets_only(world: World):
    await world.create_bucket(Bucket="others", by=root(OTHER))
    await world.create_bucket(Bucket="b-bucket")
    mine = (await world.list_buckets()).parsed
    assert [bucket["Name"] for bucket in mine["Buckets"]] == [BUCKET, "b-bucket"]
    assert mine["Owner"] == {"ID": canonical_id(HOME)}
    assert "BucketRegion" not in mine["Buckets"][0]
    theirs = (await world.list_buckets(by=root(OTHER))).parsed
    assert [bucket["Name"] for bucket in theirs["Buckets"]] == ["others"]
    assert (await world.list_buckets(by=ANONYMOUS)).status == 403


async def test_list_in_pages_by_prefix_and_region(world: World):
    for name in ("p-1", "p-2", "p-3", "q-1"):
        await world.create_bucket(Bucket=name)
    await world.create_bucket(Bucket="p-9", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    seen, token = [], {}
    for _ in range(10):
        page = (await world.list_buckets(Prefix="p-", MaxBuckets=2, **token)).parsed
        assert page["Prefix"] == "p-"
        seen += [(bucket["Name"], bucket["BucketRegion"]) for bucket in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert seen == [("p-1", "us-east-1"), ("p-2", "us-east-1"), ("p-3", "us-east-1"), ("p-9", "eu-west-1")]
    there = (await world.list_buckets(BucketRegion="eu-west-1", MaxBuckets=1)).parsed
    assert [bucket["Name"] for bucket in there["Buckets"]] == ["p-9"]
    assert "ContinuationToken" not in there


@pytest.mark.parametrize("given", [{"MaxBuckets": 0}, {"MaxBuckets": 10_001}, {"ContinuationToken": "not one"}])
async def test_list_refuses_nonsense(world: World, given):
    answer = await world.list_buckets(**given)
    assert (answer.status, answer.code) == (400, "InvalidArgument")


async def test_listing_all_buckets_is_an_action_of_its_own(world: World):
    lister = await world.add_user("lister", allow("s3:ListAllMyBuckets", "arn:aws:s3:::*"))
    assert (await world.list_buckets(by=lister)).status == 200
    nobody = await world.add_user("nobody", allow("s3:ListBucket"))
    refused = await world.list_buckets(by=nobody)
    assert refused.error["Message"] == (
        f"User: arn:aws:iam::{HOME}:user/nobody is not authorized to perform: s3:ListAllMyBuckets because no "
        "identity-based policy allows the s3:ListAllMyBuckets action"
    )


async def test_head_tells_strangers_nothing_more_than_that_it_is_there(world: World):
    assert (await world.head_bucket(Bucket=BUCKET)).status == 200
    assert (await world.head_bucket(Bucket=BUCKET, by=root(OTHER))).status == 403
    assert (await world.head_bucket(Bucket="missing", by=root(OTHER))).status == 404
    owner = {"x-amz-expected-bucket-owner": OTHER}
    assert (await world.head_bucket(Bucket=BUCKET, headers=owner)).status == 403
    nonsense = {"x-amz-expected-bucket-owner": "me"}
    answer = await world.get_bucket_location(Bucket=BUCKET, headers=nonsense)
    assert (answer.status, answer.code) == (400, "InvalidBucketOwnerAWSAccountID")
