"""Bucket policies: what may be stored, who may handle them, and whom they let in."""

from __future__ import annotations

import json

import pytest

from opentrail.call import ANONYMOUS
from opentrail.rows.s3 import PublicAccessBlock
from tests.services.s3.bucket_world import (
    BUCKET,
    HOME,
    OTHER,
    World,
    allow,
    make_world,
    policy,
    root,
    service_principal,
    user,
)

ARN = f"arn:aws:s3:::{BUCKET}"
PUBLIC = policy(allow("s3:GetObject", f"{ARN}/*", Principal="*"))
THEIRS = policy(allow("s3:GetObject", f"{ARN}/*", Principal={"AWS": OTHER}))


@pytest.fixture
async def world():
    return await make_world()


async def test_put_get_delete(world: World):
    missing = await world.get_bucket_policy(Bucket=BUCKET)
    assert (missing.status, missing.code) == (404, "NoSuchBucketPolicy")
    assert missing.error["Message"] == "The bucket policy does not exist"
    assert missing.error["BucketName"] == BUCKET
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=THEIRS)).status == 204
    shown = await world.get_bucket_policy(Bucket=BUCKET)
    assert shown.parsed["Policy"] == THEIRS
    assert shown.response.body == THEIRS.encode()
    assert (await world.delete_bucket_policy(Bucket=BUCKET)).status == 204
    assert (await world.delete_bucket_policy(Bucket=BUCKET)).status == 204
    assert (await world.get_bucket_policy(Bucket=BUCKET)).status == 404


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (" ", "MissingRequestBodyError"),
        ("not json", "MalformedPolicy"),
        ("[]", "MalformedPolicy"),
        ("{" * 10_000, "MalformedPolicy"),
        ('{"Statement": ' + "[" * 5_000, "MalformedPolicy"),
        (policy(), "MalformedPolicy"),
        (policy(allow("s3:GetObject", f"{ARN}/*")), "MalformedPolicy"),
        (policy(allow("s3:GetObject", "arn:aws:s3:::another/*", Principal="*")), "MalformedPolicy"),
        (policy(allow("sqs:SendMessage", f"{ARN}/*", Principal="*")), "MalformedPolicy"),
        (policy(allow("s3:GetObject", f"{ARN}/*", Principal={"AWS": "nobody"})), "MalformedPolicy"),
        (
            policy(allow("s3:GetObject", f"{ARN}/*", Principal={"AWS": f"arn:aws:iam::{HOME}:user/no"})),
            "MalformedPolicy",
        ),
        (policy(allow("s3:GetObject", f"{ARN}/" + "x" * 20_480, Principal={"AWS": OTHER})), "MalformedPolicy"),
    ],
)
async def test_policies_that_are_refused(world: World, text: str, code: str):
    answer = await world.put_bucket_policy(Bucket=BUCKET, Policy=text)
    assert (answer.status, answer.code) == (400, code)
    assert world.bucket().policy == ""


async def test_principals_must_exist_where_that_can_be_known(world: World):
    alice = await world.add_user("alice")
    text = policy(allow("s3:GetObject", f"{ARN}/*", Principal={"AWS": alice.arn}))
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=text)).status == 204
    elsewhere = policy(allow("s3:GetObject", f"{ARN}/*", Principal={"AWS": "arn:aws:iam::333333333333:user/x"}))
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=elsewhere)).status == 204


async def test_strangers_never_handle_the_policy(world: World):
    every = policy(allow("s3:*", [ARN, f"{ARN}/*"], Principal={"AWS": OTHER}))
    await world.put_bucket_policy(Bucket=BUCKET, Policy=every)
    for answer in (
        await world.get_bucket_policy(Bucket=BUCKET, by=root(OTHER)),
        await world.put_bucket_policy(Bucket=BUCKET, Policy=THEIRS, by=root(OTHER)),
        await world.delete_bucket_policy(Bucket=BUCKET, by=root(OTHER)),
    ):
        assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert (await world.get_bucket_policy_status(Bucket=BUCKET, by=root(OTHER))).status == 200
    assert (await world.get_bucket_policy(Bucket=BUCKET, by=root("333333333333"))).status == 403


async def test_the_owner_cannot_lock_himself_out(world: World):
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [ARN, f"{ARN}/*"]}
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=policy(deny))).status == 204
    assert (await world.list_objects_v2(Bucket=BUCKET)).status == 403
    admin = await world.add_user("admin", allow("*"))
    assert (await world.get_bucket_policy(Bucket=BUCKET, by=admin)).status == 403
    assert (await world.get_bucket_policy(Bucket=BUCKET)).status == 200
    assert (await world.delete_bucket_policy(Bucket=BUCKET)).status == 204
    assert (await world.list_objects_v2(Bucket=BUCKET)).status == 200


async def test_public_policies_are_blocked(world: World):
    answer = await world.put_bucket_policy(Bucket=BUCKET, Policy=PUBLIC)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.error["Message"].endswith(
        f'not authorized to perform: s3:PutBucketPolicy on resource: "{ARN}" because public policies are prevented by '
        "the BlockPublicPolicy setting in S3 Block Public Access."
    )
    await world.alter_bucket(public_access_block=None)
    block = {"PublicAccessBlockConfiguration": {"BlockPublicPolicy": True}}
    await world.call("s3control", "put_public_access_block", AccountId=HOME, **block)
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=PUBLIC)).status == 403
    await world.call("s3control", "delete_public_access_block", AccountId=HOME)
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=PUBLIC)).status == 204


async def test_status_tells_whether_it_is_public(world: World):
    assert (await world.get_bucket_policy_status(Bucket=BUCKET)).code == "NoSuchBucketPolicy"
    await world.alter_bucket(public_access_block=None)
    for text, public in ((PUBLIC, True), (THEIRS, False)):
        await world.put_bucket_policy(Bucket=BUCKET, Policy=text)
        shown = (await world.get_bucket_policy_status(Bucket=BUCKET)).parsed
        assert shown["PolicyStatus"] == {"IsPublic": public}


async def test_a_public_policy_admits_everybody_until_restricted(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    await world.alter_bucket(public_access_block=None)
    await world.put_bucket_policy(Bucket=BUCKET, Policy=PUBLIC)
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=ANONYMOUS)).status == 200
    assert "aclRequired" not in json.dumps(world.records()[-1])
    assert (await world.put_object(Bucket=BUCKET, Key="k", by=ANONYMOUS)).status == 403
    await world.alter_bucket(public_access_block=PublicAccessBlock(restrict_public_buckets=True))
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=ANONYMOUS)).status == 403
    assert (await world.get_object(Bucket=BUCKET, Key="k")).status == 200


async def test_another_account_needs_both_sides(world: World):
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    await world.put_bucket_policy(Bucket=BUCKET, Policy=THEIRS)
    reader = await world.add_user("reader", allow("s3:GetObject"), account=OTHER)
    idle = await world.add_user("idle", account=OTHER)
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=reader)).status == 200
    assert {record["recipientAccountId"] for record in world.records()[-2:]} == {HOME, OTHER}
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=idle)).status == 403
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=root(OTHER))).status == 200
    refused = await world.put_object(Bucket=BUCKET, Key="k", by=root(OTHER))
    assert refused.error["Message"] == "Access Denied"


async def test_policies_can_ask_for_tags(world: World):
    conditions = {
        "s3:GetObject": {"StringEquals": {"s3:ExistingObjectTag/Class": "open"}},
        "s3:PutObject": {"StringEquals": {"s3:RequestObjectTag/class": "open"}},
        "s3:PutObjectTagging": {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["class", "more"]}},
    }
    statements = [
        allow(action, f"{ARN}/*", Principal={"AWS": OTHER}, Condition=condition)
        for action, condition in conditions.items()
    ]
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=policy(*statements))).status == 204
    await world.put_object(Bucket=BUCKET, Key="open", body=b"x", Tagging="class=open")
    await world.put_object(Bucket=BUCKET, Key="shut", body=b"x", Tagging="class=shut")
    them = root(OTHER)
    assert (await world.get_object(Bucket=BUCKET, Key="open", by=them)).status == 200
    assert (await world.get_object(Bucket=BUCKET, Key="shut", by=them)).status == 403
    assert (await world.put_object(Bucket=BUCKET, Key="k", by=them)).status == 403
    assert (await world.put_object(Bucket=BUCKET, Key="open", by=them)).status == 403, (
        "old tags say nothing of new bytes"
    )
    assert (await world.put_object(Bucket=BUCKET, Key="k", Tagging="class=open", by=them)).status == 200
    assert (await world.put_object(Bucket=BUCKET, Key="k", Tagging="class=open&other=1", by=them)).status == 403
    assert (await world.put_object(Bucket=BUCKET, Key="k", Tagging="&" * 2_000, by=them)).status == 403
    given = {"Bucket": BUCKET, "Key": "k", "by": them}
    more = {"Tagging": {"TagSet": [{"Key": "more", "Value": "1"}]}}
    other = {"Tagging": {"TagSet": [{"Key": "other", "Value": "1"}]}}
    assert (await world.put_object_tagging(**given, **more)).status == 200
    assert (await world.put_object_tagging(**given, **other)).status == 403


async def test_log_delivery_of_a_trail(world: World):
    writer = service_principal("cloudtrail.amazonaws.com")
    statements = (
        allow("s3:GetBucketAcl", ARN, Principal={"Service": "cloudtrail.amazonaws.com"}),
        allow(
            "s3:PutObject",
            f"{ARN}/AWSLogs/*",
            Principal={"Service": "cloudtrail.amazonaws.com"},
            Condition={"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
        ),
    )
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=policy(*statements))).status == 204
    assert (await world.get_bucket_acl(Bucket=BUCKET, by=writer)).status == 200
    given = {"Bucket": BUCKET, "Key": "AWSLogs/x", "body": b"x", "by": writer}
    assert (await world.put_object(**given, ACL="bucket-owner-full-control")).status == 200
    assert (await world.put_object(**given)).status == 403


async def test_a_user_that_is_unknown_has_nothing(world: World):
    assert (await world.get_bucket_policy(Bucket=BUCKET, by=user("ghost"))).status == 403
