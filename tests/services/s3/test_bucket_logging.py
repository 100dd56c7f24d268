"""PutBucketLogging as boto3 sees it, and the lines that calls leave waiting."""

from __future__ import annotations

from typing import Any

import pytest

from opentrail.followers.lifecycle import LifecycleFollower
from opentrail.rows.s3_logging import ACCESS_LINES
from opentrail.services.s3.lifecycle_pass import lifecycle_step
from tests.fakes.house import new_unit
from tests.fakes.later import Later
from tests.services.s3.bucket_world import OPEN, allow, make_world, policy
from tests.services.s3.test_multipart import fails
from tests.services.s3.world import BUCKET, World

LOGS = "logs"
GROUP = "http://acs.amazonaws.com/groups/s3/LogDelivery"
SERVICE = {"Service": "logging.s3.amazonaws.com"}
BAD_TARGET = "InvalidTargetBucketForLogging"


def enabled(**more: Any) -> dict[str, Any]:
    return {"LoggingEnabled": {"TargetBucket": LOGS, "TargetPrefix": "p/", **more}}


def lines(world: Any) -> list[list[str]]:
    """[operation, key, status, error] of what waits, in order; taken away."""
    unit = world.unit()
    found = []
    for key, row in list(ACCESS_LINES.page(unit, BUCKET)):
        found += [line.split(" ") for line in row.lines]
        unit.delete(key)
    world.commit(unit)
    return [[line[7], line[8], *" ".join(line[9:]).split('" ', 1)[-1].split(" ")[:2]] for line in found]


@pytest.fixture
def logged(s3: Any) -> Any:
    s3.create_bucket(Bucket=LOGS)
    s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=enabled())
    return s3


def test_what_was_put_comes_back(s3: Any):
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=BUCKET)
    s3.create_bucket(Bucket=LOGS)
    for more in (
        {},
        {"TargetObjectKeyFormat": {"SimplePrefix": {}}},
        {"TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}},
    ):
        s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=enabled(**more))
        assert s3.get_bucket_logging(Bucket=BUCKET)["LoggingEnabled"] == enabled(**more)["LoggingEnabled"]
    s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=BUCKET)


def test_targets_that_there_are_none(s3: Any):
    status = enabled()
    assert fails(lambda: s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=status)) == (BAD_TARGET, 400)
    s3.create_bucket(Bucket=LOGS)
    for form in ({}, {"PartitionedPrefix": {}}, {"PartitionedPrefix": {"PartitionDateSource": "Noon"}}):
        status = enabled(TargetObjectKeyFormat=form)
        assert fails(lambda: s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=status))[0] == "MalformedXML"  # noqa: B023
    s3.put_bucket_request_payment(Bucket=LOGS, RequestPaymentConfiguration={"Payer": "Requester"})
    assert fails(lambda: s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=enabled()))[0] == BAD_TARGET
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=BUCKET)


def test_a_default_retention_keeps_log_objects_out(s3: Any):
    s3.create_bucket(Bucket=LOGS, ObjectLockEnabledForBucket=True)
    s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=enabled())
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket=LOGS, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    assert fails(lambda: s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=enabled()))[0] == BAD_TARGET


async def test_both_of_one_account_in_one_region():
    world = await make_world()
    await world.create_bucket(Bucket=LOGS)
    await world.alter_bucket(LOGS, region="eu-west-1")
    answer = await world.put_bucket_logging(Bucket="a-bucket", BucketLoggingStatus=enabled())
    assert (answer.status, answer.code) == (403, "CrossLocationLoggingProhibited")
    assert answer.error["TargetBucketLocation"] == "eu-west-1"
    await world.alter_bucket(LOGS, region="us-east-1", owner="222222222222")
    answer = await world.put_bucket_logging(Bucket="a-bucket", BucketLoggingStatus=enabled())
    assert (answer.status, answer.code) == (400, BAD_TARGET)
    assert answer.error["TargetBucket"] == LOGS


async def test_where_acls_are_in_force_the_group_or_the_policy_must_say_so():
    world = await make_world()
    await world.create_bucket(Bucket=LOGS)
    await world.alter_bucket(LOGS, **OPEN)

    async def put(**more: Any) -> str:
        return (await world.put_bucket_logging(Bucket="a-bucket", BucketLoggingStatus=enabled(**more))).code

    assert await put() == BAD_TARGET
    await world.put_bucket_acl(Bucket=LOGS, ACL="log-delivery-write")
    assert await put() == ""
    await world.put_bucket_acl(Bucket=LOGS, ACL="private")
    for conditions, code in (("arn:aws:s3:::other", BAD_TARGET), ("arn:aws:s3:::a-bucket", "")):
        only = {"ArnLike": {"aws:SourceArn": conditions}, "StringEquals": {"aws:SourceAccount": "111111111111"}}
        text = policy(allow("s3:PutObject", f"arn:aws:s3:::{LOGS}/*", Principal=SERVICE, Condition=only))
        assert (await world.put_bucket_policy(Bucket=LOGS, Policy=text)).status == 204
        assert await put() == code
    grant = {"Grantee": {"Type": "AmazonCustomerByEmail", "EmailAddress": "other@example.com"}, "Permission": "READ"}
    assert await put(TargetGrants=[grant]) == ""
    kept = (await world.get_bucket_logging(Bucket="a-bucket")).parsed["LoggingEnabled"]["TargetGrants"]
    assert kept[0]["Permission"] == "READ"
    assert len(kept[0]["Grantee"]["ID"]) == 64
    await world.alter_bucket(LOGS, ownership="BucketOwnerEnforced")
    assert await put(TargetGrants=[grant]) == "AccessControlListNotSupported"


def test_each_call_leaves_a_line(logged: Any, world: World):
    logged.put_object(Bucket=BUCKET, Key="k", Body=b"abc")
    logged.get_object(Bucket=BUCKET, Key="k")["Body"].read()
    fails(lambda: logged.head_object(Bucket=BUCKET, Key="missing"))
    logged.list_objects_v2(Bucket=BUCKET)
    assert lines(world) == [
        ["REST.PUT.OBJECT", "k", "200", "-"],
        ["REST.GET.OBJECT", "k", "200", "-"],
        ["REST.HEAD.OBJECT", "missing", "404", "NoSuchKey"],
        ["REST.GET.BUCKET", "-", "200", "-"],
    ]


def test_large_objects_leave_theirs_when_they_are_read(logged: Any, world: World):
    logged.put_object(Bucket=BUCKET, Key="k", Body=b"x" * 200_000)
    lines(world)
    logged.get_object(Bucket=BUCKET, Key="k")["Body"].read()
    rows = ACCESS_LINES.page(world.unit(), BUCKET)
    assert " 200 - 200000 200000 " in rows[0][1].lines[0]


def test_who_is_refused_is_in_the_log_too(logged: Any, stranger: Any, world: World):
    fails(lambda: stranger.get_object(Bucket=BUCKET, Key="k"))
    assert lines(world) == [["REST.GET.OBJECT", "k", "403", "AccessDenied"]]
    before = len(world.ledger.lines)
    signer = logged._request_signer._credentials
    key, signer.secret_key = signer.secret_key, "another"
    try:
        fails(lambda: logged.get_object(Bucket=BUCKET, Key="k"))
    finally:
        signer.secret_key = key
    assert lines(world) == [["REST.GET.OBJECT", "k", "403", "SignatureDoesNotMatch"]]
    assert len(world.ledger.lines) == before  # it is no CloudTrail event


async def test_a_request_that_cannot_be_read_is_in_the_log():
    world = await make_world()
    await world.create_bucket(Bucket=LOGS)
    await world.put_bucket_logging(Bucket="a-bucket", BucketLoggingStatus=enabled())
    answer = await world.put_bucket_tagging(Bucket="a-bucket", Tagging={"TagSet": []}, raw=b"<no xml")
    assert (answer.status, answer.code) == (400, "MalformedXML")
    rows = ACCESS_LINES.page(new_unit(world.house), "a-bucket")
    assert ' REST.PUT.TAGGING - "PUT /a-bucket?tagging HTTP/1.1" 400 MalformedXML ' in rows[0][1].lines[0]


def test_each_key_of_a_batch_has_a_line(logged: Any, world: World):
    logged.put_object(Bucket=BUCKET, Key="k", Body=b"abc")
    lines(world)
    logged.delete_objects(Bucket=BUCKET, Delete={"Quiet": True, "Objects": [{"Key": "k"}, {"Key": "x" * 1025}]})
    rows = [line for _, row in ACCESS_LINES.page(world.unit(), BUCKET) for line in row.lines]
    assert " BATCH.DELETE.OBJECT k - 204 - - 3 - - - - - " in rows[0]
    assert " - 400 KeyTooLongError - - - - - - - " in rows[1]
    assert " REST.POST.MULTI_OBJECT_DELETE - " in rows[2]


def test_a_copy_is_a_read_of_its_source(logged: Any, world: World):
    logged.put_object(Bucket=BUCKET, Key="k", Body=b"abc")
    logged.create_bucket(Bucket="elsewhere")
    lines(world)
    logged.copy_object(Bucket="elsewhere", Key="copy", CopySource=f"{BUCKET}/k")
    fails(lambda: logged.copy_object(Bucket="elsewhere", Key="copy", CopySource=f"{BUCKET}/none"))
    assert lines(world) == [
        ["REST.COPY.OBJECT_GET", "k", "200", "-"],
        ["REST.COPY.OBJECT_GET", "none", "404", "NoSuchKey"],
    ]
    assert not ACCESS_LINES.page(world.unit(), "elsewhere")


def test_lines_of_one_call_are_kept_in_rows_of_bounded_size(logged: Any, world: World):
    keys = [{"Key": f"{number:04d}" + "é" * 300} for number in range(200)]
    logged.delete_objects(Bucket=BUCKET, Delete={"Objects": keys})
    rows = ACCESS_LINES.page(world.unit(), BUCKET)
    assert len(rows) > 3
    assert sum(len(row.lines) for _, row in rows) == 201


def test_a_call_that_is_walked_again_leaves_one_line(logged: Any, world: World):
    world.ledger.conflicts = 2
    logged.put_object(Bucket=BUCKET, Key="k", Body=b"abc")
    assert lines(world) == [["REST.PUT.OBJECT", "k", "200", "-"]]


def test_a_call_that_is_not_durable_leaves_none(logged: Any, world: World):
    world.ledger.fail_next = True
    logged.put_object(Bucket=BUCKET, Key="k", Body=b"abc")  # boto3 tries again after a 503
    assert lines(world) == [["REST.PUT.OBJECT", "k", "200", "-"]]


def test_buckets_without_a_log_write_nothing_more(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"abc")
    before = dict(world.ledger.rows)
    s3.get_object(Bucket=BUCKET, Key="k")["Body"].read()
    fails(lambda: s3.get_object(Bucket=BUCKET, Key="missing"))
    assert world.ledger.rows == before


def test_what_lifecycle_rules_do_is_in_the_log(logged: Any, world: World):
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 1}  # type: ignore[assignment]
    logged.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})
    logged.put_object(Bucket=BUCKET, Key="k k", Body=b"abc")
    logged.create_multipart_upload(Bucket=BUCKET, Key="u")
    lines(world)

    world.house.clock = Later(3)
    world.loop.run_until_complete(LifecycleFollower(world.house, lifecycle_step).sweep())
    rows = [line for _, row in ACCESS_LINES.page(world.unit(), BUCKET) for line in row.lines]
    assert " - AmazonS3 " in rows[0]
    assert ' S3.EXPIRE.OBJECT k%20k "-" - - - 3 - - "-" "-" - - ' in rows[0]
    assert ' S3.DELETE.UPLOAD u "-" ' in rows[1]
