"""Directory buckets: permissions, and what their records look like."""

from __future__ import annotations

from typing import Any

from tests.services.s3.bucket_world import BUCKET, HOME, REGION, World, allow, make_world

NAME = "fast--use1-az4--x-s3"
ARN = f"arn:aws:s3express:{REGION}:{HOME}:bucket/{NAME}"
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3express/aws4_request"}
"""By the service it is signed for, a list of directory buckets is told from one of all others."""
CONFIGURATION = {
    "Location": {"Type": "AvailabilityZone", "Name": "use1-az4"},
    "Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"},
}


async def make_directory() -> World:
    world = await make_world()
    answer = await world.create_bucket(Bucket=NAME, CreateBucketConfiguration=CONFIGURATION)
    assert answer.status == 200, answer.parsed
    return world


def last(world: World) -> dict[str, Any]:
    return world.records()[-1]


async def test_records_are_s3_expresss():
    world = await make_directory()
    assert (last(world)["eventSource"], last(world)["eventName"]) == ("s3express.amazonaws.com", "CreateBucket")
    await world.put_object(Bucket=NAME, Key="k", body=b"x")
    record = last(world)
    assert (record["eventSource"], record["eventCategory"]) == ("s3express.amazonaws.com", "Data")
    assert record["resources"] == [
        {"accountId": HOME, "type": "AWS::S3Express::DirectoryBucket", "ARN": ARN},
        {"type": "AWS::S3Express::Object", "ARN": f"{ARN}/k"},
    ]
    await world.create_session(Bucket=NAME)
    assert (last(world)["eventName"], last(world)["eventSource"]) == ("CreateSession", "s3express.amazonaws.com")
    assert "SecretAccessKey" not in str(last(world))
    await world.rename_object(Bucket=NAME, Key="l", RenameSource="k")
    assert (last(world)["eventName"], last(world)["readOnly"]) == ("RenameObject", False)
    await world.list_directory_buckets(headers=SIGNED)
    assert last(world)["eventSource"] == "s3express.amazonaws.com"
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    assert last(world)["eventSource"] == "s3.amazonaws.com", "other buckets stay S3's"


async def test_whoever_may_have_a_session_may_do_what_it_would_be_for():
    world = await make_directory()
    await world.put_object(Bucket=NAME, Key="k", body=b"x")
    condition = {"StringEquals": {"s3express:SessionMode": "ReadOnly"}}
    reader = await world.add_user("reader", allow("s3express:CreateSession", ARN, Condition=condition))
    nobody = await world.add_user("nobody", allow("s3:*"))
    assert (await world.create_session(Bucket=NAME, SessionMode="ReadOnly", by=reader)).status == 200
    assert (await world.create_session(Bucket=NAME, by=reader)).code == "AccessDenied"
    assert (await world.get_object(Bucket=NAME, Key="k", by=reader)).status == 200
    assert (await world.delete_object(Bucket=NAME, Key="k", by=reader)).code == "AccessDenied"
    assert (await world.get_object(Bucket=NAME, Key="k", by=nobody)).code == "AccessDenied"
    assert (await world.delete_bucket(Bucket=NAME, by=nobody)).code == "AccessDenied"
    made = await world.create_bucket(Bucket="x--use1-az4--x-s3", CreateBucketConfiguration=CONFIGURATION, by=nobody)
    assert made.code == "AccessDenied"
    assert (await world.list_directory_buckets(by=nobody, headers=SIGNED)).code == "AccessDenied"


async def test_a_name_is_taken_once():
    world = await make_directory()
    again = await world.create_bucket(Bucket=NAME, CreateBucketConfiguration=CONFIGURATION)
    assert (again.status, again.code) == (409, "BucketAlreadyOwnedByYou")
    assert (await world.create_session(Bucket=NAME, SessionMode="Write")).code == "InvalidArgument"
    await world.delete_bucket(Bucket=NAME)
    assert (await world.list_directory_buckets(headers=SIGNED)).parsed["Buckets"] == []
    assert (await world.create_session(Bucket=NAME)).code == "NoSuchBucket"


async def test_conditions_on_both_sides_of_a_rename():
    world = await make_directory()
    etag = (await world.put_object(Bucket=NAME, Key="k", body=b"x")).parsed["ETag"]
    for given in (
        {"SourceIfMatch": '"other"'},
        {"SourceIfNoneMatch": etag},
        {"DestinationIfMatch": etag},
        {"SourceIfModifiedSince": "2099-01-01T00:00:00Z"},
        {"SourceIfUnmodifiedSince": "2001-01-01T00:00:00Z"},
    ):
        answer = await world.rename_object(Bucket=NAME, Key="l", RenameSource="k", **given)
        assert (answer.status, answer.code) == (412, "PreconditionFailed"), given
    assert (await world.rename_object(Bucket=NAME, Key="k", RenameSource="k")).code == "InvalidRequest"
    answer = await world.rename_object(Bucket=NAME, Key="l", RenameSource="k", SourceIfMatch=etag)
    assert answer.status == 200
    assert (await world.head_object(Bucket=NAME, Key="k")).status == 404


async def test_objects_have_no_annotations():
    world = await make_directory()
    await world.put_object(Bucket=NAME, Key="k", body=b"x")
    answer = await world.put_object_annotation(Bucket=NAME, Key="k", AnnotationName="a", body=b"x")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    source = {"Bucket": NAME, "Key": "copy", "CopySource": f"{BUCKET}/k"}
    assert (await world.copy_object(**source)).status == 200
    assert (await world.copy_object(**source, AnnotationDirective="COPY")).status == 501
    headers = {"content-length": "1"}
    noted = await world.put_object_annotation(Bucket=BUCKET, Key="k", AnnotationName="a", raw=b"x", headers=headers)
    assert noted.status == 200
    assert (await world.copy_object(**source)).status == 501
    assert (await world.copy_object(**source, AnnotationDirective="EXCLUDE")).status == 200
