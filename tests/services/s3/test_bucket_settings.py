"""Ownership, public access block (bucket and account), versioning, tags, location, who pays."""

from __future__ import annotations

import pytest

from opentrail.call import ANONYMOUS
from tests.services.s3.bucket_world import BUCKET, HOME, OTHER, World, allow, make_world, policy, root

ARN = f"arn:aws:s3:::{BUCKET}"


@pytest.fixture
async def world():
    return await make_world()


def rules(*wanted: str) -> dict:
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": each} for each in wanted]}}


@pytest.mark.parametrize("wanted", ["BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"])
async def test_ownership_is_set_and_shown(world: World, wanted: str):
    assert (await world.put_bucket_ownership_controls(Bucket=BUCKET, **rules(wanted))).status == 200
    shown = await world.get_bucket_ownership_controls(Bucket=BUCKET)
    assert shown.parsed["OwnershipControls"] == rules(wanted)["OwnershipControls"]


async def test_without_ownership_controls_acls_are_in_force(world: World):
    assert (await world.delete_bucket_ownership_controls(Bucket=BUCKET)).status == 204
    answer = await world.get_bucket_ownership_controls(Bucket=BUCKET)
    assert (answer.status, answer.code) == (404, "OwnershipControlsNotFoundError")
    assert (await world.put_bucket_acl(Bucket=BUCKET, ACL="private")).status == 200


@pytest.mark.parametrize("wanted", [rules(), rules("Nobody"), rules("ObjectWriter", "ObjectWriter")])
async def test_ownership_controls_that_are_no_such(world: World, wanted: dict):
    answer = await world.put_bucket_ownership_controls(Bucket=BUCKET, **wanted)
    assert (answer.status, answer.code) == (400, "MalformedXML")


async def test_acls_are_not_disabled_while_they_admit_others(world: World):
    await world.put_bucket_ownership_controls(Bucket=BUCKET, **rules("ObjectWriter"))
    await world.put_bucket_acl(Bucket=BUCKET, ACL="log-delivery-write")
    answer = await world.put_bucket_ownership_controls(Bucket=BUCKET, **rules("BucketOwnerEnforced"))
    assert (answer.status, answer.code) == (400, "InvalidBucketAclWithObjectOwnership")
    await world.put_bucket_acl(Bucket=BUCKET, ACL="private")
    assert (await world.put_bucket_ownership_controls(Bucket=BUCKET, **rules("BucketOwnerEnforced"))).status == 200


async def test_the_buckets_public_access_block(world: World):
    wanted = {"BlockPublicAcls": True, "RestrictPublicBuckets": True}
    given = {"Bucket": BUCKET, "PublicAccessBlockConfiguration": wanted}
    assert (await world.put_public_access_block(**given)).status == 200
    shown = (await world.get_public_access_block(Bucket=BUCKET)).parsed["PublicAccessBlockConfiguration"]
    assert shown == {**wanted, "IgnorePublicAcls": False, "BlockPublicPolicy": False}
    assert (await world.delete_public_access_block(Bucket=BUCKET)).status == 204
    answer = await world.get_public_access_block(Bucket=BUCKET)
    assert (answer.status, answer.code) == (404, "NoSuchPublicAccessBlockConfiguration")
    assert answer.error["Message"] == "The public access block configuration was not found"
    given["PublicAccessBlockConfiguration"] = {}
    assert (await world.put_public_access_block(**given)).code == "InvalidRequest"
    assert (await world.put_public_access_block(Bucket=BUCKET, raw=b"")).code in (
        "MalformedXML",
        "MissingRequestBodyError",
    )
    raw = b"<PublicAccessBlockConfiguration><BlockPublicAcls>perhaps</BlockPublicAcls></PublicAccessBlockConfiguration>"
    assert (await world.put_public_access_block(Bucket=BUCKET, raw=raw)).code == "MalformedXML"


async def test_the_accounts_public_access_block(world: World):
    async def ask(name: str, **given):
        return await world.call("s3control", name + "_public_access_block", **given)

    missing = await ask("get", AccountId=HOME)
    assert (missing.status, missing.code) == (404, "NoSuchPublicAccessBlockConfiguration")
    wanted = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": False,
    }
    assert (await ask("put", AccountId=HOME, PublicAccessBlockConfiguration=wanted)).status == 200
    assert world.records()[-1]["eventName"] == "PutAccountPublicAccessBlock"
    assert (await ask("get", AccountId=HOME)).parsed["PublicAccessBlockConfiguration"] == wanted
    assert (await ask("get", AccountId=HOME, by=root(OTHER))).status == 403
    assert (await ask("get", AccountId="me")).code == "InvalidRequest"
    assert (await ask("get", AccountId=HOME, by=ANONYMOUS)).status == 403
    reader = await world.add_user("reader", allow("s3:GetAccountPublicAccessBlock"))
    assert (await ask("get", AccountId=HOME, by=reader)).status == 200
    assert (await ask("delete", AccountId=HOME, by=reader)).status == 403
    assert (await ask("delete", AccountId=HOME)).status < 300
    assert (await ask("get", AccountId=HOME)).status == 404


async def test_versioning_goes_on_and_off_but_never_back(world: World):
    async def put(**wanted):
        return await world.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=wanted)

    assert "Status" not in (await world.get_bucket_versioning(Bucket=BUCKET)).parsed
    for status in ("Enabled", "Suspended", "Enabled"):
        assert (await put(Status=status)).status == 200
        assert (await world.get_bucket_versioning(Bucket=BUCKET)).parsed["Status"] == status
    assert (await put()).code == "IllegalVersioningConfigurationException"
    assert (await put(Status="Off")).code == "MalformedXML"
    refused = await put(Status="Enabled", MFADelete="Enabled")
    assert (refused.status, refused.code) == (403, "AccessDenied")
    assert (await put(Status="Enabled", MFADelete="Disabled")).status == 200
    await world.alter_bucket(object_lock=True)
    locked = await put(Status="Suspended")
    assert (locked.status, locked.code) == (409, "InvalidBucketState")


async def test_objects_from_before_versioning_stay_reachable(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"old")
    await world.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    assert (await world.get_object(Bucket=BUCKET, Key="k")).parsed["VersionId"] == "null"
    await world.put_object(Bucket=BUCKET, Key="k", body=b"new")
    assert (await world.get_object(Bucket=BUCKET, Key="k", VersionId="null")).response.body == b"old"
    await world.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    await world.put_object(Bucket=BUCKET, Key="k", body=b"newest")
    assert (await world.get_object(Bucket=BUCKET, Key="k", VersionId="null")).response.body == b"newest"


def tags(*pairs: tuple[str, str]) -> dict:
    return {"Tagging": {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}}


async def test_tags_of_a_bucket(world: World):
    missing = await world.get_bucket_tagging(Bucket=BUCKET)
    assert (missing.status, missing.code, missing.error["BucketName"]) == (404, "NoSuchTagSet", BUCKET)
    wanted = tags(("team", "storage"), ("empty", ""), ("größe", "a b+c-d=e._:/@"))
    assert (await world.put_bucket_tagging(Bucket=BUCKET, **wanted)).status == 204
    assert (await world.get_bucket_tagging(Bucket=BUCKET)).parsed["TagSet"] == wanted["Tagging"]["TagSet"]
    assert (await world.delete_bucket_tagging(Bucket=BUCKET)).status == 204
    assert (await world.get_bucket_tagging(Bucket=BUCKET)).status == 404


@pytest.mark.parametrize(
    "wanted",
    [
        tags(("aws:x", "v")),
        tags(("k", "1"), ("k", "2")),
        tags(("", "v")),
        tags(("k" * 129, "v")),
        tags(("k", "v" * 257)),
        tags(("k!", "v")),
        tags(("k", "v\n")),
        tags(("k", "<v>")),
    ],
)
async def test_tags_that_are_refused(world: World, wanted: dict):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    for answer in (
        await world.put_bucket_tagging(Bucket=BUCKET, **wanted),
        await world.put_object_tagging(Bucket=BUCKET, Key="k", **wanted),
    ):
        assert (answer.status, answer.code) == (400, "InvalidTag")


async def test_how_many_tags(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    many = [(f"k{number}", "v") for number in range(51)]
    assert (await world.put_bucket_tagging(Bucket=BUCKET, **tags(*many[:50]))).status == 204
    assert (await world.put_bucket_tagging(Bucket=BUCKET, **tags(*many))).status == 400
    assert (await world.put_object_tagging(Bucket=BUCKET, Key="k", **tags(*many[:10]))).status == 200
    assert (await world.put_object_tagging(Bucket=BUCKET, Key="k", **tags(*many[:11]))).code == "BadRequest"


@pytest.mark.parametrize(
    "raw", [b"", b"<Tagging/>", b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>", b"<Other/>", b"<"]
)
async def test_tagging_documents_that_are_no_such(world: World, raw: bytes):
    answer = await world.put_bucket_tagging(Bucket=BUCKET, raw=raw)
    assert (answer.status, answer.code) in ((400, "MalformedXML"), (400, "MissingRequestBodyError"))


async def test_tags_of_objects_and_their_versions(world: World):
    await world.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = (await world.put_object(Bucket=BUCKET, Key="k", body=b"1", Tagging="a=1&b=2")).parsed["VersionId"]
    second = (await world.put_object(Bucket=BUCKET, Key="k", body=b"2")).parsed["VersionId"]
    shown = (await world.get_object_tagging(Bucket=BUCKET, Key="k", VersionId=first)).parsed
    assert (shown["VersionId"], len(shown["TagSet"])) == (first, 2)
    assert (await world.get_object_tagging(Bucket=BUCKET, Key="k")).parsed["TagSet"] == []
    put = await world.put_object_tagging(Bucket=BUCKET, Key="k", **tags(("c", "3")))
    assert (put.status, put.parsed["VersionId"]) == (200, second)
    head = await world.head_object(Bucket=BUCKET, Key="k")
    assert head.response.headers["x-amz-tagging-count"] == "1"
    gone = await world.delete_object_tagging(Bucket=BUCKET, Key="k", VersionId=first)
    assert (gone.status, gone.parsed["VersionId"]) == (204, first)
    assert (await world.get_object_tagging(Bucket=BUCKET, Key="k", VersionId=first)).parsed["TagSet"] == []
    assert len((await world.get_object_tagging(Bucket=BUCKET, Key="k")).parsed["TagSet"]) == 1
    assert (await world.get_object_tagging(Bucket=BUCKET, Key="missing")).code == "NoSuchKey"


@pytest.mark.parametrize("header", ["&" * 2_000, "a=1&a=2", "=v", "&".join(f"k{n}=v" for n in range(11)), "a=%FF", "&"])
async def test_tagging_headers_that_are_refused(world: World, header: str):
    answer = await world.put_object(Bucket=BUCKET, Key="k", Tagging=header)
    assert answer.status == 400
    assert answer.code in ("InvalidArgument", "InvalidTag", "BadRequest")


async def test_tagging_needs_its_own_actions(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    tagger = await world.add_user(
        "tagger", allow(["s3:GetObjectTagging", "s3:PutObjectTagging", "s3:GetBucketTagging"])
    )
    assert (await world.put_object_tagging(Bucket=BUCKET, Key="k", by=tagger, **tags(("a", "b")))).status == 200
    assert (await world.get_object_tagging(Bucket=BUCKET, Key="k", by=tagger)).status == 200
    assert (await world.delete_object_tagging(Bucket=BUCKET, Key="k", by=tagger)).status == 403
    assert (await world.get_object_tagging(Bucket=BUCKET, Key="k", VersionId="null", by=tagger)).status == 403
    assert (await world.get_bucket_tagging(Bucket=BUCKET, by=tagger)).status == 404
    assert (await world.delete_bucket_tagging(Bucket=BUCKET, by=tagger)).status == 403


async def test_who_pays(world: World):
    assert (await world.get_bucket_request_payment(Bucket=BUCKET)).parsed["Payer"] == "BucketOwner"
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    theirs = policy(allow("s3:GetObject", f"{ARN}/*", Principal={"AWS": OTHER}))
    await world.put_bucket_policy(Bucket=BUCKET, Policy=theirs)
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=root(OTHER))).status == 200
    wanted = {"RequestPaymentConfiguration": {"Payer": "Requester"}}
    assert (await world.put_bucket_request_payment(Bucket=BUCKET, **wanted)).status == 200
    assert (await world.get_bucket_request_payment(Bucket=BUCKET)).parsed["Payer"] == "Requester"
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=root(OTHER))).status == 403
    agreed = await world.get_object(Bucket=BUCKET, Key="k", by=root(OTHER), RequestPayer="requester")
    assert agreed.status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=ANONYMOUS, RequestPayer="requester")).status == 403
    assert (await world.get_object(Bucket=BUCKET, Key="k")).status == 200
    nonsense = {"RequestPaymentConfiguration": {"Payer": "Nobody"}}
    assert (await world.put_bucket_request_payment(Bucket=BUCKET, **nonsense)).code == "MalformedXML"


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("get_bucket_location", "s3:GetBucketLocation"),
        ("get_bucket_versioning", "s3:GetBucketVersioning"),
        ("get_bucket_acl", "s3:GetBucketAcl"),
        ("get_bucket_ownership_controls", "s3:GetBucketOwnershipControls"),
        ("get_public_access_block", "s3:GetBucketPublicAccessBlock"),
        ("delete_public_access_block", "s3:PutBucketPublicAccessBlock"),
        ("delete_bucket_ownership_controls", "s3:PutBucketOwnershipControls"),
        ("get_bucket_request_payment", "s3:GetBucketRequestPayment"),
        ("head_bucket", "s3:ListBucket"),
        ("delete_bucket", "s3:DeleteBucket"),
        ("delete_bucket_tagging", "s3:PutBucketTagging"),
        ("delete_bucket_policy", "s3:DeleteBucketPolicy"),
    ],
)
async def test_each_operation_asks_its_action_on_the_bucket(world: World, operation: str, action: str):
    right = await world.add_user("right", allow(action, ARN))
    wrong = await world.add_user("wrong", allow(action, f"{ARN}-not"))
    assert (await getattr(world, operation)(Bucket=BUCKET, by=wrong)).status == 403
    assert (await getattr(world, operation)(Bucket=BUCKET, by=right)).status < 300


async def test_tags_of_an_object_are_shown_in_the_order_of_their_keys(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", Tagging="foo=bar&bar", body=b"x")
    shown = (await world.get_object_tagging(Bucket=BUCKET, Key="k")).parsed["TagSet"]
    assert shown == [{"Key": "bar", "Value": ""}, {"Key": "foo", "Value": "bar"}]
