"""Archived objects and their restore, as boto3 sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.services.s3.test_multipart import fails
from tests.services.s3.test_object_lock import alter, refusal
from tests.services.s3.world import BUCKET, World


def archive(s3: Any, storage_class: str = "GLACIER", **more: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"ice", StorageClass=storage_class, **more)


def restore(s3: Any, days: int = 2, **more: Any) -> int:
    answer = s3.restore_object(Bucket=BUCKET, Key="k", RestoreRequest={"Days": days, **more})
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_is_read_between_a_restore_and_its_end(
    s3: Any, world: World, storage_class: str, monkeypatch: pytest.MonkeyPatch
):
    now = world.house.clock.now()
    monkeypatch.setattr(type(world.house.clock), "now", lambda _clock: now)  # no midnight comes in between
    archive(s3, storage_class)
    head = s3.head_object(Bucket=BUCKET, Key="k")
    assert (head["StorageClass"], head["ContentLength"]) == (storage_class, 3)
    assert "Restore" not in head
    answer = refusal(s3.get_object, Bucket=BUCKET, Key="k")
    assert (answer["Code"], answer["Status"], answer["StorageClass"]) == ("InvalidObjectState", 403, storage_class)
    assert fails(s3.copy_object, Bucket=BUCKET, Key="c", CopySource=f"{BUCKET}/k") == ("InvalidObjectState", 403)
    assert restore(s3) == 202
    until = (datetime.fromtimestamp(now, UTC) + timedelta(days=3)).replace(hour=0, minute=0, second=0)
    header = f'ongoing-request="false", expiry-date="{until:%a, %d %b %Y %H:%M:%S} GMT"'
    got = s3.get_object(Bucket=BUCKET, Key="k")
    assert (got["Body"].read(), got["Restore"], got["StorageClass"]) == (b"ice", header, storage_class)
    assert s3.head_object(Bucket=BUCKET, Key="k")["Restore"] == header
    s3.copy_object(Bucket=BUCKET, Key="c", CopySource=f"{BUCKET}/k")
    assert s3.get_object(Bucket=BUCKET, Key="c")["Body"].read() == b"ice"
    assert restore(s3, 5) == 200
    assert s3.head_object(Bucket=BUCKET, Key="k")["Restore"] != header
    alter(world, "k", "null", restored_until=1.0)
    assert fails(s3.get_object, Bucket=BUCKET, Key="k") == ("InvalidObjectState", 403)
    assert "Restore" not in s3.head_object(Bucket=BUCKET, Key="k")
    assert restore(s3) == 202
    assert [each["readOnly"] for each in world.records("RestoreObject")] == [False] * 3


def test_other_classes_need_no_restore(s3: Any):
    for storage_class in ("STANDARD", "GLACIER_IR", "STANDARD_IA"):
        archive(s3, storage_class)
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"ice"
        answer = refusal(restore, s3)
        assert (answer["Code"], answer["Status"], answer["StorageClass"]) == ("InvalidObjectState", 403, storage_class)


def test_archived_parts_and_versions(versioned: Any):
    upload_id = versioned.create_multipart_upload(Bucket=BUCKET, Key="k", StorageClass="GLACIER")["UploadId"]
    about = {"Bucket": BUCKET, "Key": "k", "UploadId": upload_id}
    part = versioned.upload_part(**about, PartNumber=1, Body=b"ice")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    version_id = versioned.complete_multipart_upload(**about, MultipartUpload=parts)["VersionId"]
    marker = versioned.delete_object(Bucket=BUCKET, Key="k")["VersionId"]
    given = {"Bucket": BUCKET, "Key": "k", "RestoreRequest": {"Days": 1}}
    assert fails(versioned.restore_object, **given) == ("NoSuchKey", 404)
    assert fails(versioned.restore_object, **given, VersionId=marker) == ("MethodNotAllowed", 405)
    versioned.restore_object(**given, VersionId=version_id)
    assert versioned.get_object(Bucket=BUCKET, Key="k", VersionId=version_id)["Body"].read() == b"ice"
    versioned.put_object(Bucket=BUCKET, Key="target", Body=b"x")


@pytest.mark.parametrize(
    "request_",
    [{}, {"Days": 0}, {"Days": -1}, {"Days": 1, "GlacierJobParameters": {"Tier": "Fast"}}, {"Days": 1, "Tier": "x"}],
)
def test_wrong_requests(s3: Any, request_: Any):
    archive(s3)
    given = {"Bucket": BUCKET, "Key": "k", "RestoreRequest": request_}
    assert fails(s3.restore_object, **given) == ("MalformedXML", 400)


def test_tiers(s3: Any):
    archive(s3)
    for tier in ("Bulk", "Standard", "Expedited"):
        restore(s3, GlacierJobParameters={"Tier": tier})
    archive(s3, "DEEP_ARCHIVE")
    expedited = {"Tier": "Expedited"}
    assert fails(restore, s3, GlacierJobParameters=expedited) == ("InvalidArgument", 400)
    assert fails(s3.restore_object, Bucket=BUCKET, Key="k") == ("MalformedXML", 400)
    assert fails(restore, s3, Type="SELECT") == ("MalformedXML", 400)
    assert restore(s3, 2**31 - 1) == 202
    assert "9999" in s3.head_object(Bucket=BUCKET, Key="k")["Restore"]


def test_listings_tell_of_restores_when_asked(versioned: Any):
    archive(versioned)
    versioned.put_object(Bucket=BUCKET, Key="warm", Body=b"x")
    asked = {"Bucket": BUCKET, "OptionalObjectAttributes": ["RestoreStatus"]}
    lists = (versioned.list_objects, versioned.list_objects_v2, versioned.list_object_versions)
    assert not any("RestoreStatus" in entry for call in lists for entry in shown(call(**asked)))
    restore(versioned)
    for call in lists:
        assert not any("RestoreStatus" in entry for entry in shown(call(Bucket=BUCKET)))
        cold, warm = shown(call(**asked))
        assert cold["RestoreStatus"]["IsRestoreInProgress"] is False
        assert cold["RestoreStatus"]["RestoreExpiryDate"] > datetime.now(UTC)
        assert "RestoreStatus" not in warm


def shown(listing: Any) -> Any:
    return listing.get("Contents") or listing["Versions"]
