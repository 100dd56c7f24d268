"""Replication on one server: what a replica is, in whose name it is written, and that a crash neither loses nor doubles."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from opentrail.call import Principal
from opentrail.followers.replication import AGE_SECONDS_MAX, ReplicationFollower
from opentrail.rows.s3_notices import NOTICES
from opentrail.rows.s3_replication import TASKS
from opentrail.server.gate import Gate
from opentrail.server.signing import Signer
from opentrail.services import iam
from opentrail.services.s3.service import service
from opentrail.services.sts_sessions import role_session
from tests.fakes.later import Later
from tests.fakes.mortal import Crash
from tests.services.s3.test_multipart import fails
from tests.services.s3.test_replication import OTHER, put, rule
from tests.services.s3.world import BUCKET, World

ACCOUNT = "000000000000"
ROOT = Principal("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
READ = [
    *("s3:GetReplicationConfiguration", "s3:ListBucket", "s3:GetObjectVersionForReplication"),
    *("s3:GetObjectVersionTagging", "s3:GetObjectVersionAcl", "s3:GetObjectRetention", "s3:GetObjectLegalHold"),
]
WRITE = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"]


@pytest.fixture
def world(world: World) -> World:
    """The same, on a clock that the test puts forward."""
    world.house.clock = clock = Later()
    gate = Gate(world.house, {"s3": service, "iam": iam.service}, clock, Signer(world.house))
    world.gate = world.house.road.gate = gate  # type: ignore[attr-defined]
    return world


@pytest.fixture
def s3(client: Any, world: World) -> Any:
    """Two versioned buckets, and a role that may replicate from one to the other."""
    for name in (BUCKET, OTHER):
        client.create_bucket(Bucket=name)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    trust = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"}
    call(world, "CreateRole", RoleName="replicator", AssumeRolePolicyDocument=document(trust))
    permit(world, READ, WRITE)
    return client


def call(world: World, operation: str, **given: Any) -> None:
    world.loop.run_until_complete(world.house.road.call(ROOT, "iam", operation, given, region="us-east-1"))


def permit(world: World, read: list[str], write: list[str]) -> None:
    statements = [
        {"Effect": "Allow", "Action": read, "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]},
        {"Effect": "Allow", "Action": write, "Resource": f"arn:aws:s3:::{OTHER}/*"},
    ]
    call(world, "PutRolePolicy", RoleName="replicator", PolicyName="p", PolicyDocument=document(*statements))


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def replicate(world: World) -> None:
    """One look of a follower that has just been started; nothing of it goes on once it has ended."""
    try:
        world.loop.run_until_complete(ReplicationFollower(world.house, role_session, {}).flush())
    finally:
        begun = asyncio.all_tasks(world.loop)
        for task in begun:
            task.cancel()
        if begun:
            world.loop.run_until_complete(asyncio.wait(begun))


def left(world: World) -> int:
    return len(TASKS.page(world.unit()))


def versions(s3: Any, bucket: str) -> list[tuple[str, str, bool]]:
    """(key, version id, is it the newest), newest first, delete markers included."""
    listed = s3.list_object_versions(Bucket=bucket)
    rows = [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]
    rows.sort(key=lambda each: (each["Key"], each["VersionId"]), reverse=True)
    return [(each["Key"], each["VersionId"], each["IsLatest"]) for each in rows]


def status(s3: Any, bucket: str, key: str, **more: Any) -> str:
    return str(s3.head_object(Bucket=bucket, Key=key, **more).get("ReplicationStatus", ""))


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_a_replica_is_the_version_itself(s3: Any, world: World, size: int):
    put(s3, rule())
    described = {
        "ContentType": "text/x",
        "CacheControl": "max-age=1",
        "ContentEncoding": "br",
        "Metadata": {"who": "me"},
        "Expires": "Thu, 01 Jan 2026 00:00:00 GMT",
        "ChecksumAlgorithm": "SHA256",
    }
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x" * size, Tagging="a=b&c=d", **described)
    replicate(world)
    assert left(world) == 0
    one, other = (s3.get_object(Bucket=name, Key="k", ChecksumMode="ENABLED") for name in (BUCKET, OTHER))
    assert other["Body"].read() == b"x" * size
    assert (one["ReplicationStatus"], other["ReplicationStatus"]) == ("COMPLETED", "REPLICA")
    for member in ("VersionId", "ETag", "LastModified", "Metadata", "ContentType", "ChecksumSHA256", "TagCount"):
        assert one[member] == other[member], member
    for member in ("CacheControl", "ContentEncoding", "ExpiresString"):
        assert one[member] == other[member], member


def test_an_upload_in_parts_keeps_them(s3: Any, world: World):
    put(s3, rule())
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=BUCKET, Key="k", UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in ((1, b"a" * 5 * 1024**2), (2, b"b"))
    ]
    s3.complete_multipart_upload(Bucket=BUCKET, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    replicate(world)
    found = s3.get_object(Bucket=OTHER, Key="k", PartNumber=2)
    assert (found["Body"].read(), found["PartsCount"]) == (b"b", 2)
    assert found["ETag"] == s3.head_object(Bucket=BUCKET, Key="k")["ETag"]


def test_versions_and_delete_markers_keep_their_order(s3: Any, world: World):
    put(s3, rule(DeleteMarkerReplication={"Status": "Enabled"}))
    for number in range(3):
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"%d" % number)
    s3.delete_object(Bucket=BUCKET, Key="k")
    s3.put_object(Bucket=BUCKET, Key="other", Body=b"")
    replicate(world)
    assert versions(s3, OTHER) == versions(s3, BUCKET)
    assert fails(lambda: s3.head_object(Bucket=OTHER, Key="k"))[1] == 404
    newest = s3.put_object(Bucket=BUCKET, Key="k", Body=b"back")["VersionId"]
    replicate(world)
    assert s3.get_object(Bucket=OTHER, Key="k")["VersionId"] == newest
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=newest)
    replicate(world)
    assert (
        len(versions(s3, OTHER)) == len(versions(s3, BUCKET)) + 1
    )  # a version that is removed stays at the other side


def test_an_older_version_does_not_hide_what_the_destination_has(s3: Any, world: World):
    put(s3, rule())
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"old")
    own = s3.put_object(Bucket=OTHER, Key="k", Body=b"its own")["VersionId"]
    replicate(world)
    assert s3.get_object(Bucket=OTHER, Key="k")["VersionId"] == own
    assert len(versions(s3, OTHER)) == 2


def test_changes_follow(s3: Any, world: World):
    put(s3, rule())
    version = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")["VersionId"]
    replicate(world)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"y")
    s3.put_object_tagging(Bucket=BUCKET, Key="k", VersionId=version, Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    assert status(s3, BUCKET, "k", VersionId=version) == "PENDING"
    replicate(world)
    tags = s3.get_object_tagging(Bucket=OTHER, Key="k", VersionId=version)["TagSet"]
    assert tags == [{"Key": "t", "Value": "1"}]
    assert status(s3, BUCKET, "k", VersionId=version) == "COMPLETED"
    s3.delete_object_tagging(Bucket=BUCKET, Key="k", VersionId=version)
    replicate(world)
    assert s3.get_object_tagging(Bucket=OTHER, Key="k", VersionId=version)["TagSet"] == []


def test_locks_follow(client: Any, s3: Any, world: World):
    for name in ("locked", "locked-too"):
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    to = {"Bucket": "arn:aws:s3:::locked-too"}
    configuration = {"Role": f"arn:aws:iam::{ACCOUNT}:role/replicator", "Rules": [rule(Destination=to)]}
    client.put_bucket_replication(Bucket="locked", ReplicationConfiguration=configuration)
    call(
        world,
        "PutRolePolicy",
        RoleName="replicator",
        PolicyName="q",
        PolicyDocument=document({"Effect": "Allow", "Action": [*READ, *WRITE], "Resource": "*"}),
    )
    client.put_object(Bucket="locked", Key="k", Body=b"x", ChecksumAlgorithm="CRC32", ObjectLockLegalHoldStatus="ON")
    replicate(world)
    assert client.get_object_legal_hold(Bucket="locked-too", Key="k")["LegalHold"]["Status"] == "ON"
    client.put_object_legal_hold(Bucket="locked", Key="k", LegalHold={"Status": "OFF"})
    replicate(world)
    assert client.get_object_legal_hold(Bucket="locked-too", Key="k")["LegalHold"]["Status"] == "OFF"


def test_replicas_are_not_replicated_again_but_changes_to_them_may_go_back(s3: Any, world: World):
    back = rule(Destination={"Bucket": f"arn:aws:s3:::{BUCKET}"})
    changes = {"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}}
    role = f"arn:aws:iam::{ACCOUNT}:role/replicator"
    put(s3, rule(**changes))
    s3.put_bucket_replication(Bucket=OTHER, ReplicationConfiguration={"Role": role, "Rules": [back]})
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    replicate(world)
    assert (left(world), len(versions(s3, BUCKET)), len(versions(s3, OTHER))) == (0, 1, 1)
    tagging = {"TagSet": [{"Key": "t", "Value": "1"}]}
    s3.put_object_tagging(Bucket=OTHER, Key="k", Tagging=tagging)
    assert left(world) == 0
    s3.put_bucket_replication(Bucket=OTHER, ReplicationConfiguration={"Role": role, "Rules": [back | changes]})
    s3.put_object_tagging(Bucket=OTHER, Key="k", Tagging=tagging)
    everything = {"Effect": "Allow", "Action": [*READ, *WRITE], "Resource": "*"}
    call(world, "PutRolePolicy", RoleName="replicator", PolicyName="q", PolicyDocument=document(everything))
    replicate(world)
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == tagging["TagSet"]
    assert left(world) == 0


def test_in_whose_name(s3: Any, world: World):
    put(s3, rule())
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    replicate(world)
    record = world.records("PutObject")[-1]
    identity = record["userIdentity"]
    assert identity["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/replicator/s3-replication"
    assert identity["invokedBy"] == record["sourceIPAddress"] == "s3.amazonaws.com"
    assert record["requestParameters"]["bucketName"] == OTHER
    assert world.records("GetObject")[-1]["requestParameters"]["bucketName"] == BUCKET


@pytest.mark.parametrize(
    ("read", "write"), [(READ[:2], WRITE), (READ, ["s3:PutObject"]), (READ, WRITE[:2]), (["s3:GetObject*"], WRITE)]
)
def test_a_role_that_may_not(s3: Any, world: World, read: list[str], write: list[str]):
    permit(world, read, write)
    put(s3, rule())
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        SkipDestinationValidation=True,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "Events": ["s3:Replication:*"]}]
        },
    )
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", Tagging="a=b")
    replicate(world)
    assert (left(world), status(s3, BUCKET, "k"), versions(s3, OTHER)) == (0, "FAILED", [])
    (notice,) = [row for _, row in NOTICES.page(world.unit())]
    assert json.loads(notice.body)["Records"][0]["eventName"] == "Replication:OperationFailedReplication"


def test_a_role_that_does_not_trust_s3_or_is_gone(s3: Any, world: World):
    put(s3, rule(), role=f"arn:aws:iam::{ACCOUNT}:role/nobody")
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    replicate(world)
    assert (left(world), status(s3, BUCKET, "k")) == (0, "FAILED")


def test_the_destination_may_own_and_store_otherwise(s3: Any, world: World):
    s3.put_bucket_ownership_controls(Bucket=OTHER, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    to = {
        "Bucket": f"arn:aws:s3:::{OTHER}",
        "StorageClass": "STANDARD_IA",
        "Account": ACCOUNT,
        "AccessControlTranslation": {"Owner": "Destination"},
    }
    put(s3, rule(Destination=to))
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    replicate(world)
    assert status(s3, BUCKET, "k") == "FAILED"  # that takes a permission of its own
    permit(world, READ, [*WRITE, "s3:ObjectOwnerOverrideToBucketOwner"])
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    replicate(world)
    assert s3.head_object(Bucket=OTHER, Key="k")["StorageClass"] == "STANDARD_IA"


def test_encrypted_objects_stay_so(s3: Any, world: World):
    put(s3, rule())
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"secret" * 30_000, ServerSideEncryption="AES256")
    replicate(world)
    found = s3.get_object(Bucket=OTHER, Key="k")
    assert (found["ServerSideEncryption"], found["Body"].read()) == ("AES256", b"secret" * 30_000)


def test_what_is_gone_by_then_is_not_replicated(s3: Any, world: World):
    put(s3, rule())
    version = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=version)
    replicate(world)
    assert (left(world), versions(s3, OTHER)) == (0, [])


def test_a_task_keeps_trying_for_a_day(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    put(s3, rule())
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")

    async def broken(*_given: Any) -> Any:
        raise OSError("disk")

    monkeypatch.setattr("opentrail.followers.replication.read_source", broken)
    follower = ReplicationFollower(world.house, role_session, {})
    for _ in range(3):
        world.loop.run_until_complete(follower.flush())
    assert (left(world), status(s3, BUCKET, "k")) == (1, "PENDING")
    world.house.clock.ahead = AGE_SECONDS_MAX + 1  # type: ignore[attr-defined]
    world.loop.run_until_complete(follower.flush())
    world.house.clock.ahead = 0.0  # type: ignore[attr-defined]
    assert (left(world), status(s3, BUCKET, "k")) == (0, "FAILED")


@pytest.mark.parametrize("after", [False, True])
def test_each_version_arrives_once_whatever_commit_a_crash_hits(
    s3: Any, world: World, monkeypatch: pytest.MonkeyPatch, after: bool
):
    put(s3, rule(DeleteMarkerReplication={"Status": "Enabled"}))
    for number in range(3):
        s3.put_object(Bucket=BUCKET, Key=f"k{number % 2}", Body=b"x" * 70_000)
    s3.delete_object(Bucket=BUCKET, Key="k1")
    ledger, whole = world.ledger, world.ledger.commit
    for step in range(1, 9):
        steps = step

        async def commit(writes: Any, lines: Any) -> int:
            nonlocal steps
            steps -= 1
            if steps == 0 and not after:
                raise Crash
            seq = await whole(writes, lines)
            if steps == 0:
                raise Crash
            return seq

        monkeypatch.setattr(ledger, "commit", commit)
        with suppress(Crash, BaseExceptionGroup):
            replicate(world)
    monkeypatch.setattr(ledger, "commit", whole)
    replicate(world)
    assert left(world) == 0
    assert versions(s3, OTHER) == versions(s3, BUCKET)
    writes = [record for record in world.records("PutObject") if record["requestParameters"]["bucketName"] == OTHER]
    assert len(writes) == 3


def test_annotations_stay_with_the_source(s3: Any, world: World):
    put(s3, rule())
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    for name in (BUCKET, OTHER):
        s3.put_object_annotation(Bucket=BUCKET, Key="k", AnnotationName=name, AnnotationPayload=b"x")
        replicate(world)
    assert not TASKS.page(world.unit())
    assert s3.list_object_annotations(Bucket=OTHER, Key="k")["AnnotationCount"] == 0
    s3.put_object_annotation(Bucket=OTHER, Key="k", AnnotationName="own", AnnotationPayload=b"x")
    s3.put_object_tagging(Bucket=BUCKET, Key="k", Tagging={"TagSet": []})
    replicate(world)
    version = s3.head_object(Bucket=OTHER, Key="k")["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=version)
    assert s3.list_object_annotations(Bucket=OTHER, Key="k")["AnnotationCount"] == 1


def test_a_restored_copy_is_the_source_s_own(s3: Any, world: World):
    put(s3, rule())
    s3.put_object(Bucket=BUCKET, Key="cold", Body=b"x", StorageClass="GLACIER")
    replicate(world)
    s3.restore_object(Bucket=BUCKET, Key="cold", RestoreRequest={"Days": 1})
    assert left(world) == 0
    assert status(s3, BUCKET, "cold") == "COMPLETED"
