"""The S3 source and deploy actions on a fake road."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from opentrail.actions.s3_deploy import S3Deploy, content_type
from opentrail.actions.s3_source import S3Source
from opentrail.call import Principal
from opentrail.errors import AwsError
from opentrail.rows.codepipeline import Artifact
from opentrail.rows.codepipeline_action import ActionContext
from tests.fakes.house import NOW, FakeClock
from tests.fakes.s3_road import FakeBucket, S3Road

HELD = Artifact("App", "artifacts", "site/App/abc1234")


@pytest.fixture
def road() -> S3Road:
    made = S3Road()
    for name in ("src", "artifacts", "site"):
        made.buckets[name] = FakeBucket()
    return made


def context(road: S3Road, configuration: dict[str, str], **more: Any) -> ActionContext:
    made = ActionContext(
        road=road,
        clock=FakeClock(),
        principal=Principal("AssumedRole", "111122223333", invoked_by="codepipeline.amazonaws.com"),
        account_id="111122223333",
        region="us-east-1",
        pipeline="site",
        execution_id="e",
        stage="S",
        action="Fetch",
        action_execution_id="a",
        token="t",
        configuration=configuration,
        inputs=(HELD,),
        outputs=(HELD,),
        started_at=NOW,
    )
    return replace(made, **more)


def fetch(road: S3Road, more: dict[str, str] | None = None, **rest: Any) -> ActionContext:
    return context(road, {"S3Bucket": "src", "S3ObjectKey": "app.zip", **(more or {})}, **rest)


async def test_source_takes_the_current_version(road):
    road.add("src", "app.zip", b"old")
    version = road.add("src", "app.zip", b"new")
    result = await S3Source().run(fetch(road))
    assert result.status == "Succeeded"
    assert road.buckets["artifacts"].content(HELD.key) == b"new"
    assert result.variables == {"ETag": "22af645d1859cb5ca6da0c484f1f37ea", "VersionId": version}
    made = result.artifacts[0]
    assert (made.revision_id, made.revision_change_id) == (version, "22af645d1859cb5ca6da0c484f1f37ea")
    assert made.revision_summary == f"Amazon S3 version id: {version}"
    assert (made.action, made.created) == ("Fetch", 1_780_000_000.0)
    assert result.external_id == version
    assert road.streams[0].closed


async def test_source_shows_the_objects_own_summary_and_the_stores_key(road):
    road.add("src", "app.zip", b"x", Metadata={"codepipeline-artifact-revision-summary": "fix the door"})
    result = await S3Source().run(fetch(road, kms_key="arn:aws:kms:us-east-1:1:key/k"))
    assert result.artifacts[0].revision_summary == "fix the door"
    put = road.calls[-1].input
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", "arn:aws:kms:us-east-1:1:key/k")


async def test_a_store_without_a_key_asks_for_what_is_the_default(road):
    road.add("src", "app.zip", b"x")
    await S3Source().run(fetch(road))
    put = road.calls[-1].input
    assert (put["ServerSideEncryption"], "SSEKMSKeyId" in put) == ("aws:kms", False)


async def test_source_takes_the_version_asked_for(road):
    version = road.add("src", "app.zip", b"old")
    road.add("src", "app.zip", b"new")
    result = await S3Source().run(fetch(road, overrides={"S3_OBJECT_VERSION_ID": version}))
    assert road.buckets["artifacts"].content(HELD.key) == b"old"
    assert result.external_id == version


async def test_the_key_is_overridden_only_where_that_is_allowed(road):
    road.add("src", "app.zip", b"usual")
    road.add("src", "other.zip", b"other")
    overrides = {"S3_OBJECT_KEY": "other.zip"}
    await S3Source().run(fetch(road, overrides=overrides))
    assert road.buckets["artifacts"].content(HELD.key) == b"usual"
    await S3Source().run(fetch(road, {"AllowOverrideForS3ObjectKey": "true"}, overrides=overrides))
    assert road.buckets["artifacts"].content(HELD.key) == b"other"


@pytest.mark.parametrize("versioning", ["", "Suspended"])
async def test_source_wants_a_versioned_bucket(road, versioning):
    road.add("src", "app.zip", b"x")
    road.buckets["src"].versioning = versioning
    result = await S3Source().run(fetch(road))
    assert (result.status, result.error_code) == ("Failed", "ConfigurationError")
    assert "'src' is not versioned" in result.error_message
    assert road.buckets["artifacts"].keys() == []


async def test_source_without_object_bucket_or_permission(road):
    result = await S3Source().run(fetch(road))
    assert (result.error_code, "app.zip" in result.error_message) == ("RevisionUnavailable", True)
    result = await S3Source().run(fetch(road, {"S3Bucket": "gone"}))
    assert (result.error_code, "gone" in result.error_message) == ("ConfigurationError", True)
    road.refuse["GetBucketVersioning", "src"] = AwsError("AccessDenied", "Access Denied", 403)
    result = await S3Source().run(fetch(road))
    assert result.error_code == "PermissionError"
    assert result.error_message.endswith("Error: Amazon S3:AccessDenied:Access Denied")


async def test_a_store_that_refuses_is_named(road):
    road.add("src", "app.zip", b"x")
    road.refuse["PutObject", "artifacts"] = AwsError("AccessDenied", "Access Denied", 403)
    result = await S3Source().run(fetch(road))
    assert "bucket named artifacts" in result.error_message


async def test_a_source_that_is_too_large(road, monkeypatch):
    monkeypatch.setattr("opentrail.actions.s3_source.SOURCE_BYTES_MAX", 2)
    road.add("src", "app.zip", b"123")
    assert "larger than 2 bytes" in (await S3Source().run(fetch(road))).error_message
    assert road.streams[0].closed


def archive(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def ship(road: S3Road, data: bytes, **configuration: str) -> ActionContext:
    road.add(HELD.bucket, HELD.key, data)
    return context(road, {"BucketName": "site", "Extract": "true", **configuration})


async def test_deploy_unpacks_with_types_and_options(road):
    data = archive(**{"index.html": b"<p>", "./a/b.css": b"p{}", "x.tar.gz": b"1", "noext": b"2"})
    result = await S3Deploy().run(
        ship(road, data, ObjectKey="www/", CannedACL="public-read", CacheControl="no-cache", KMSEncryptionKeyARN="k")
    )
    assert result.status == "Succeeded"
    assert road.buckets["site"].keys() == ["www/a/b.css", "www/index.html", "www/noext", "www/x.tar.gz"]
    assert road.buckets["site"].find("www/index.html", None)[3] == {
        "ContentType": "text/html",
        "ACL": "public-read",
        "CacheControl": "no-cache",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "k",
    }


async def test_deploy_unpacks_many_files(road):
    data = archive(**{f"f{n}": b"%d" % n * 50 for n in range(40)})
    assert (await S3Deploy().run(ship(road, data))).status == "Succeeded"
    assert len(road.buckets["site"].keys()) == 40
    assert all(road.buckets["site"].content(f"f{n}") == b"%d" % n * 50 for n in range(40))


async def test_deploy_copies_whole_under_a_dated_key(road):
    result = await S3Deploy().run(ship(road, b"not even a zip", Extract="false", ObjectKey="a-{datetime}.zip"))
    assert result.status == "Succeeded"
    assert road.buckets["site"].keys() == ["a-2026-09-21_14-13-20.zip"]
    assert road.buckets["site"].content("a-2026-09-21_14-13-20.zip") == b"not even a zip"


async def test_a_bad_archive_writes_nothing(road):
    result = await S3Deploy().run(ship(road, archive(**{"good": b"1", "../../evil": b"2"})))
    assert (result.status, "leaves its place" in result.error_message) == ("Failed", True)
    assert road.buckets["site"].keys() == []
    result = await S3Deploy().run(ship(road, b"not a zip"))
    assert "not a zip" in result.error_message


async def test_a_key_that_would_be_too_long_writes_nothing(road):
    result = await S3Deploy().run(ship(road, archive(good=b"1", **{"x" * 1000: b""}), ObjectKey="y" * 30))
    assert result.status == "Failed"
    assert road.buckets["site"].keys() == []


async def test_the_first_refusal_fails_the_deployment(road):
    road.refuse["PutObject", "site"] = AwsError("AccessDenied", "Access Denied", 403)
    result = await S3Deploy().run(ship(road, archive(**{f"f{n}": b"1" for n in range(20)})))
    assert (result.error_code, "bucket named site" in result.error_message) == ("PermissionError", True)
    assert len([call for call in road.calls if call.operation == "PutObject"]) <= 8


async def test_a_lost_artifact_is_named(road):
    result = await S3Deploy().run(context(road, {"BucketName": "site", "Extract": "true"}))
    assert HELD.key in result.error_message


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("a.html", "text/html"),
        ("A.HTML", "text/html"),
        ("a.js", "application/javascript"),
        ("a.svg", "image/svg+xml"),
        ("a.json", "application/json"),
        ("a.tar.gz", "application/gzip"),
        ("a", "application/octet-stream"),
    ],
)
def test_content_types(key, kind):
    assert content_type(key) == kind
