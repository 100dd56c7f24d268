"""DeleteObjects, as boto3 sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.services.s3.test_multipart import fails
from tests.services.s3.world import BUCKET, World, without_digest


def delete(s3: Any, *objects: Any, **more: Any) -> Any:
    named = [{"Key": each} if isinstance(each, str) else each for each in objects]
    return s3.delete_objects(Bucket=BUCKET, Delete={"Objects": named, **more})


def live(world: World) -> list[bytes]:
    return [key for key in world.ledger.rows if key.startswith((b"s3.data", b"s3.object", b"s3.version"))]


def test_keys_there_or_not_are_deleted(s3: Any, world: World):
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * 100_000)
    done = delete(s3, "a", "c", "none", "a")
    assert [each["Key"] for each in done["Deleted"]] == ["a", "c", "none", "a"]
    assert "Errors" not in done
    assert world.blob_sizes() == [100_000]
    assert "Deleted" not in delete(s3, "b", Quiet=True)
    assert not live(world)


def test_a_thousand_at_most(s3: Any):
    delete(s3, *(f"k{number}" for number in range(1000)))
    assert fails(delete, s3, *(f"k{number}" for number in range(1001))) == ("MalformedXML", 400)
    assert fails(delete, s3) == ("MalformedXML", 400)


def test_a_digest_is_required(s3: Any):
    with without_digest(s3):
        assert fails(delete, s3, "k") == ("InvalidRequest", 400)


def test_markers_and_versions(versioned: Any, world: World):
    first = versioned.put_object(Bucket=BUCKET, Key="k", Body=b"1")["VersionId"]
    (done,) = delete(versioned, "k")["Deleted"]
    assert done["DeleteMarker"] is True
    assert "VersionId" not in done
    marker = done["DeleteMarkerVersionId"]
    (done,) = delete(versioned, {"Key": "k", "VersionId": marker})["Deleted"]
    assert (done["DeleteMarker"], done["VersionId"], done["DeleteMarkerVersionId"]) == (True, marker, marker)
    assert versioned.get_object(Bucket=BUCKET, Key="k")["VersionId"] == first
    (done,) = delete(versioned, {"Key": "k", "VersionId": first})["Deleted"]
    assert done == {"Key": "k", "VersionId": first}
    assert not live(world)


@pytest.mark.parametrize("newest_first", [True, False])
def test_many_versions_of_a_key_at_once_leave_the_right_one(versioned: Any, newest_first: bool):
    ids = [versioned.put_object(Bucket=BUCKET, Key="k", Body=b"%d" % n)["VersionId"] for n in range(6)]
    gone = ids[3:][::-1] if newest_first else ids[3:]
    done = delete(versioned, *({"Key": "k", "VersionId": each} for each in gone))
    assert [each["VersionId"] for each in done["Deleted"]] == gone
    assert versioned.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"2"
    versioned.delete_object(Bucket=BUCKET, Key="k")
    delete(versioned, *({"Key": "k", "VersionId": each} for each in ids[1:3]))
    assert fails(versioned.get_object, Bucket=BUCKET, Key="k") == ("NoSuchKey", 404)
    listed = versioned.list_object_versions(Bucket=BUCKET)
    assert [each["VersionId"] for each in listed["Versions"]] == [ids[0]]
    assert listed["DeleteMarkers"][0]["IsLatest"]


def test_everything_listed_can_be_deleted_at_once(versioned: Any, world: World):
    for number in range(40):
        versioned.put_object(Bucket=BUCKET, Key=f"k{number % 4}", Body=b"x")
        if number % 3 == 0:
            versioned.delete_object(Bucket=BUCKET, Key=f"k{number % 4}")
    listed = versioned.list_object_versions(Bucket=BUCKET)
    every = [
        {"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed["Versions"] + listed["DeleteMarkers"]
    ]
    delete(versioned, *every, Quiet=True)
    assert not live(world)


def test_each_failure_is_told_by_itself(versioned: Any):
    versioned.put_object(Bucket=BUCKET, Key="good", Body=b"1")
    done = delete(versioned, {"Key": "good", "VersionId": "junk"}, "x" * 1025, "good")
    assert [each["Code"] for each in done["Errors"]] == ["InvalidArgument", "KeyTooLongError"]
    assert [each["Key"] for each in done["Deleted"]] == ["good"]


def test_conditions_of_each(s3: Any):
    etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")["ETag"]
    assert delete(s3, {"Key": "k", "ETag": '"other"'})["Errors"][0]["Code"] == "PreconditionFailed"
    assert delete(s3, {"Key": "k", "Size": 9})["Errors"][0]["Code"] == "PreconditionFailed"
    assert delete(s3, {"Key": "k", "ETag": etag, "Size": 1})["Deleted"]
    assert delete(s3, {"Key": "k", "ETag": etag})["Deleted"]


def test_permission_is_asked_key_by_key(s3: Any, stranger: Any):
    s3.delete_public_access_block(Bucket=BUCKET)
    statement = {
        "Effect": "Allow", "Principal": "*", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{BUCKET}/open/*",
    }  # fmt: skip
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    for key in ("open/a", "closed"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    done = delete(stranger, "open/a", "closed", {"Key": "open/a", "VersionId": "null"})
    assert [each["Key"] for each in done["Deleted"]] == ["open/a"]
    assert [(each["Key"], each["Code"]) for each in done["Errors"]] == [
        ("closed", "AccessDenied"),
        ("open/a", "AccessDenied"),
    ]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["closed"]


def test_no_bucket(s3: Any):
    assert fails(s3.delete_objects, Bucket="no-such-bucket", Delete={"Objects": [{"Key": "k"}]}) == (
        "NoSuchBucket",
        404,
    )


def test_keys_are_not_recorded(s3: Any, world: World):
    delete(s3, "secret-key")
    (record,) = world.records("DeleteObjects")
    assert "secret-key" not in json.dumps(record)
    assert record["requestParameters"]["delete"] == ""
