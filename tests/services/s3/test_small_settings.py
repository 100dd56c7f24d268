"""Transfer Acceleration, attribute-based access control, and what S3 no longer does or nobody here can: torrents, Object
Lambda, S3 Metadata."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate
from opentrail.server.signing import Signer
from opentrail.services import s3control
from opentrail.services.s3.service import service
from tests.services.s3.bucket_world import BUCKET, HOME, World, allow, make_world


async def test_acceleration_has_no_state_until_it_is_set():
    world = await make_world()
    assert "Status" not in (await world.get_bucket_accelerate_configuration(Bucket=BUCKET)).parsed
    for status in ("Enabled", "Suspended"):
        given = {"Status": status}
        answer = await world.put_bucket_accelerate_configuration(Bucket=BUCKET, AccelerateConfiguration=given)
        assert answer.status == 200
        assert (await world.get_bucket_accelerate_configuration(Bucket=BUCKET)).parsed["Status"] == status
    names = [record["eventName"] for record in world.records()]
    assert names.count("PutAccelerateConfiguration") == 2
    wrong = await world.put_bucket_accelerate_configuration(Bucket=BUCKET, AccelerateConfiguration={"Status": "Fast"})
    assert wrong.code == "MalformedXML"


async def test_names_with_dots_cannot_be_accelerated():
    world = await make_world()
    await world.create_bucket(Bucket="dotted.name")
    given = {"Status": "Enabled"}
    answer = await world.put_bucket_accelerate_configuration(Bucket="dotted.name", AccelerateConfiguration=given)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


ARN = f"arn:aws:s3:::{BUCKET}"


async def tag(world: World, *pairs: tuple[str, str], **more: Any) -> Any:
    tags = [{"Key": key, "Value": value} for key, value in pairs]
    return await world.call("s3control", "tag_resource", AccountId=HOME, ResourceArn=ARN, Tags=tags, **more)


async def tags_of(world: World) -> list[dict[str, str]]:
    answer = await world.call("s3control", "list_tags_for_resource", AccountId=HOME, ResourceArn=ARN)
    return list(answer.parsed["Tags"])


async def test_tags_decide_only_once_it_is_said_that_they_do():
    world = await make_world()
    condition = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    blue = await world.add_user("blue", allow("s3:*", Condition=condition))
    await tag(world, ("team", "blue"))
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    assert (await world.get_bucket_abac(Bucket=BUCKET)).parsed["AbacStatus"]["Status"] == "Disabled"
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=blue)).code == "AccessDenied"
    assert (await world.put_bucket_abac(Bucket=BUCKET, AbacStatus={"Status": "Enabled"})).status == 200
    assert (await world.get_bucket_abac(Bucket=BUCKET)).parsed["AbacStatus"]["Status"] == "Enabled"
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=blue)).status == 200
    assert (await world.list_objects_v2(Bucket=BUCKET, by=blue)).status == 200
    await tag(world, ("team", "red"))
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=blue)).code == "AccessDenied"
    await tag(world, ("team", "blue"))
    await world.put_bucket_abac(Bucket=BUCKET, AbacStatus={"Status": "Disabled"})
    assert (await world.get_object(Bucket=BUCKET, Key="k", by=blue)).code == "AccessDenied"


async def test_the_key_of_the_bucket_by_its_other_name():
    world = await make_world()
    await tag(world, ("Team", "blue"))
    await world.put_bucket_abac(Bucket=BUCKET, AbacStatus={"Status": "Enabled"})
    condition = {"StringEquals": {"s3:BucketTag/Team": "blue"}}
    blue = await world.add_user("blue", allow("s3:ListBucket", Condition=condition))
    assert (await world.list_objects(Bucket=BUCKET, by=blue)).status == 200


async def test_an_unknown_status_changes_nothing():
    world = await make_world()
    assert (await world.put_bucket_abac(Bucket=BUCKET, AbacStatus={"Status": "Maybe"})).code == "MalformedXML"
    assert (await world.put_bucket_abac(Bucket=BUCKET, AbacStatus={})).code == "MalformedXML"
    assert (await world.get_bucket_abac(Bucket=BUCKET)).parsed["AbacStatus"]["Status"] == "Disabled"


async def test_tags_that_decide_are_managed_with_s3_control_alone():
    world = await make_world()
    await world.put_bucket_abac(Bucket=BUCKET, AbacStatus={"Status": "Enabled"})
    tagging = {"TagSet": [{"Key": "a", "Value": "b"}]}
    assert (await world.put_bucket_tagging(Bucket=BUCKET, Tagging=tagging)).code == "MethodNotAllowed"
    assert (await world.delete_bucket_tagging(Bucket=BUCKET)).code == "MethodNotAllowed"
    assert (await tag(world, ("a", "b"))).status == 204
    assert (await world.get_bucket_tagging(Bucket=BUCKET)).parsed["TagSet"] == [{"Key": "a", "Value": "b"}]


async def test_tags_are_added_replaced_listed_and_taken_away():
    world = await make_world()
    assert await tags_of(world) == []
    await tag(world, ("a", "1"), ("b", "2"))
    await tag(world, ("b", "3"), ("c", "4"))
    assert {each["Key"]: each["Value"] for each in await tags_of(world)} == {"a": "1", "b": "3", "c": "4"}
    gone = {"AccountId": HOME, "ResourceArn": ARN, "TagKeys": ["a", "c", "never"]}
    assert (await world.call("s3control", "untag_resource", **gone)).status == 204
    assert await tags_of(world) == [{"Key": "b", "Value": "3"}]
    assert (await tag(world, ("aws:x", "1"))).code == "InvalidTag"
    assert (await tag(world, ("x", "1"), ("x", "2"))).code == "InvalidTag"
    assert (await tag(world, *((f"k{n}", "") for n in range(50)))).code == "InvalidTag"


async def test_who_may_tag_may_be_held_to_certain_tags():
    world = await make_world()
    condition = {"StringEquals": {"aws:RequestTag/team": "blue"}}
    blue = await world.add_user("blue", allow("s3:TagResource", ARN, Condition=condition))
    assert (await tag(world, ("team", "blue"), by=blue)).status == 204
    assert (await tag(world, ("team", "red"), by=blue)).code == "AccessDenied"
    missing = await world.call(
        "s3control", "list_tags_for_resource", AccountId=HOME, ResourceArn="arn:aws:s3:::no-such-bucket"
    )
    assert missing.status == 404


async def test_no_torrents():
    world = await make_world()
    await world.put_object(Bucket=BUCKET, Key="k", body=b"x")
    answer = await world.get_object_torrent(Bucket=BUCKET, Key="k")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert (await world.get_object_torrent(Bucket=BUCKET, Key="other")).code == "NoSuchKey"
    record = world.records()[-2]
    assert (record["eventName"], record["readOnly"], record["eventCategory"]) == ("GetObjectTorrent", True, "Data")
    assert record["errorCode"] == "MethodNotAllowed"


async def test_nobody_waits_for_a_functions_answer():
    world = await make_world()
    given = {"RequestRoute": "io-cell001", "RequestToken": "x" * 40}
    answer = await world.write_get_object_response(**given, body=b"answer")
    assert (answer.status, answer.code) == (400, "ValidationError")
    record = world.records()[-1]
    assert record["eventSource"] == "s3-object-lambda.amazonaws.com"
    assert (record["eventName"], record["eventCategory"]) == ("WriteGetObjectResponse", "Data")
    nobody = await world.add_user("nobody")
    assert (await world.write_get_object_response(**given, by=nobody)).code == "AccessDenied"


JOURNAL = {"JournalTableConfiguration": {"RecordExpiration": {"Expiration": "DISABLED"}}}
TABLE = {
    "S3TablesDestination": {"TableBucketArn": "arn:aws:s3tables:us-east-1:111111111111:bucket/t", "TableName": "n"}
}


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("create_bucket_metadata_configuration", {"MetadataConfiguration": JOURNAL}, "MethodNotAllowed"),
        ("create_bucket_metadata_table_configuration", {"MetadataTableConfiguration": TABLE}, "MethodNotAllowed"),
        ("create_bucket_metadata_configuration", {"MetadataConfiguration": {}}, "MalformedXML"),
        ("get_bucket_metadata_configuration", {}, "MetadataConfigurationNotFound"),
        ("get_bucket_metadata_table_configuration", {}, "MetadataConfigurationNotFound"),
        (
            "update_bucket_metadata_inventory_table_configuration",
            {"InventoryTableConfiguration": {"ConfigurationState": "ENABLED"}},
            "MetadataConfigurationNotFound",
        ),
        (
            "update_bucket_metadata_journal_table_configuration",
            {"JournalTableConfiguration": {"RecordExpiration": {"Expiration": "DISABLED"}}},
            "MetadataConfigurationNotFound",
        ),
        (
            "update_bucket_metadata_annotation_table_configuration",
            {"AnnotationTableConfiguration": {"ConfigurationState": "ENABLED"}},
            "MetadataConfigurationNotFound",
        ),
        ("delete_bucket_metadata_configuration", {}, ""),
        ("delete_bucket_metadata_table_configuration", {}, ""),
    ],
)
async def test_no_metadata_tables(name: str, given: dict[str, Any], code: str):
    world = await make_world()
    answer = await world.call("s3", name, Bucket=BUCKET, **given)
    assert answer.code == code
    assert answer.status == {"": 204, "MalformedXML": 400, "MethodNotAllowed": 405}.get(code, 404)


async def test_events_bear_the_guides_names_if_the_server_is_told_so():
    world = await make_world()
    settings = replace(world.house.settings, event_names="documented")
    house = replace(world.house, settings=settings)
    clock = SystemClock()
    world.gate = Gate(house, {"s3": service, "s3control": s3control.service}, clock, Signer(house))
    await world.get_public_access_block(Bucket=BUCKET)
    await world.call("s3control", "get_public_access_block", AccountId=HOME)
    await world.get_bucket_acl(Bucket=BUCKET)
    assert [record["eventName"] for record in world.records()[-3:]] == [
        "GetPublicAccessBlock",
        "GetPublicAccessBlock",
        "GetBucketAcl",
    ]
