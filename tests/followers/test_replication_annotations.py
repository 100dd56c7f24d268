"""Annotations of replicated versions: each goes by itself, in the rules' role, once; that one was removed does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opentrail.rows.s3_notices import NOTICES
from opentrail.rows.s3_replication import TASKS
from tests.followers.test_replication import (
    READ,
    WRITE,
    Crash,
    call,
    document,
    left,
    permit,
    replicate,
    s3,
    status,
    world,
)
from tests.services.s3.test_multipart import fails
from tests.services.s3.test_notification import QUEUE
from tests.services.s3.test_replication import OTHER, ROLE, put, rule
from tests.services.s3.world import BUCKET, World

__all__ = ["s3", "world"]
NEEDED = "s3:GetObjectVersionAnnotationForReplication"
LARGE = b"a" * 200_000


@pytest.fixture
def both(s3: Any, world: World) -> Any:
    """Buckets that replicate, a role that may, and an object that is there on both sides."""
    permit(world, [*READ, NEEDED], WRITE)
    put(s3, rule())
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    replicate(world)
    return s3


def annotate(s3: Any, name: str = "note", text: bytes = b"text", bucket: str = BUCKET, **more: Any) -> None:
    s3.put_object_annotation(Bucket=bucket, Key="k", AnnotationName=name, AnnotationPayload=text, **more)


def states(s3: Any, bucket: str, key: str = "k") -> dict[str, str]:
    listed = s3.list_object_annotations(Bucket=bucket, Key=key)["Annotations"]
    return {each["AnnotationName"]: each.get("ReplicationStatus", "") for each in listed}


def read(s3: Any, name: str = "note", bucket: str = OTHER, key: str = "k") -> bytes:
    got = s3.get_object_annotation(Bucket=bucket, Key=key, AnnotationName=name, ChecksumMode="ENABLED")
    text: bytes = got["AnnotationPayload"].read()
    return text


def test_each_goes_by_itself_and_says_nothing_of_its_version(both: Any, world: World):
    annotate(both, ChecksumAlgorithm="SHA256")
    annotate(both, "large", LARGE)
    assert states(both, BUCKET) == {"large": "PENDING", "note": "PENDING"}
    assert status(both, BUCKET, "k") == "COMPLETED"
    replicate(world)
    assert states(both, BUCKET) == {"large": "COMPLETED", "note": "COMPLETED"}
    assert states(both, OTHER) == {"large": "REPLICA", "note": "REPLICA"}
    assert (read(both), read(both, "large")) == (b"text", LARGE)
    got = both.get_object_annotation(Bucket=OTHER, Key="k", AnnotationName="note", ChecksumMode="ENABLED")
    assert got["ChecksumSHA256"]
    assert got["ResponseMetadata"]["HTTPHeaders"]["x-amz-replication-status"] == "REPLICA"
    annotate(both, text=b"another")
    replicate(world)
    assert read(both) == b"another"
    assert left(world) == 0
    puts = [each for each in world.records("PutObjectAnnotation") if each["requestParameters"]["bucketName"] == OTHER]
    assert len(puts) == 3
    assert {each["userIdentity"]["invokedBy"] for each in puts} == {"s3.amazonaws.com"}


def test_removing_one_is_not_replicated_nor_is_one_that_is_gone(both: Any, world: World):
    annotate(both)
    replicate(world)
    annotate(both, "short")
    for name in ("note", "short"):
        both.delete_object_annotation(Bucket=BUCKET, Key="k", AnnotationName=name)
    replicate(world)
    assert (states(both, BUCKET), states(both, OTHER), left(world)) == ({}, {"note": "REPLICA"}, 0)


def test_a_copy_goes_with_all_it_has_brought_along(both: Any, world: World):
    for number in range(20):
        annotate(both, f"n{number:02d}", b"%d" % number)
    replicate(world)
    both.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/k")
    assert set(states(both, BUCKET, "copy").values()) == {"PENDING"}
    replicate(world)
    assert states(both, OTHER, "copy") == {f"n{number:02d}": "REPLICA" for number in range(20)}
    assert read(both, "n07", key="copy") == b"7"
    assert status(both, BUCKET, "copy") == "COMPLETED"


@pytest.mark.parametrize("denied", ["role", "bucket", "missing"])
def test_they_can_be_kept_back_and_the_object_goes_all_the_same(both: Any, world: World, denied: str):
    deny = {"Effect": "Deny", "Action": "s3:ReplicateObjectAnnotation", "Resource": f"arn:aws:s3:::{OTHER}/*"}
    if denied == "role":
        call(world, "PutRolePolicy", RoleName="replicator", PolicyName="no", PolicyDocument=document(deny))
    elif denied == "bucket":
        both.put_bucket_policy(Bucket=OTHER, Policy=document(deny | {"Principal": "*"}))
    else:
        permit(world, READ, WRITE)
    both.put_object(Bucket=BUCKET, Key="k", Body=b"new")
    annotate(both)
    replicate(world)
    assert status(both, BUCKET, "k") == "COMPLETED"
    assert states(both, BUCKET) == {"note": "FAILED"}
    assert (states(both, OTHER), left(world)) == ({}, 0)


def test_a_version_that_is_not_replicated_keeps_its_own(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    put(s3, rule())
    annotate(s3)
    assert (left(world), states(s3, BUCKET)) == (0, {"note": ""})
    replicate(world)
    assert fails(states, s3, OTHER) == ("NoSuchKey", 404)


def test_another_server_is_sent_none(both: Any, world: World):
    world.house.elsewhere = frozenset({OTHER})
    annotate(both)
    both.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/k")
    assert [task.annotation for _, task in TASKS.page(world.unit())] == [""]


def test_replicas_take_annotations_of_their_own_and_rules_may_bring_those_back(both: Any, world: World):
    changes = {"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}}
    back = rule(Destination={"Bucket": f"arn:aws:s3:::{BUCKET}"})
    annotate(both, bucket=OTHER)
    assert (states(both, OTHER), left(world)) == ({"note": ""}, 0)
    for one, expected in ((back, 0), (back | changes, 1)):
        both.put_bucket_replication(Bucket=OTHER, ReplicationConfiguration={"Role": ROLE, "Rules": [one]})
        annotate(both, bucket=OTHER)
        assert left(world) == expected
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    call(world, "PutRolePolicy", RoleName="replicator", PolicyName="q", PolicyDocument=document(everything))
    replicate(world)
    assert (states(both, OTHER), states(both, BUCKET)) == ({"note": "COMPLETED"}, {"note": "REPLICA"})
    assert left(world) == 0


def test_those_who_want_to_hear_of_annotations_hear_of_replicated_ones(both: Any, world: World):
    told = {"QueueConfigurations": [{"QueueArn": QUEUE, "Events": ["s3:ObjectAnnotation:*"]}]}
    both.put_bucket_notification_configuration(
        Bucket=OTHER, NotificationConfiguration=told, SkipDestinationValidation=True
    )
    annotate(both)
    replicate(world)
    [(_, notice)] = NOTICES.page(world.unit())
    assert '"ObjectAnnotation:Put"' in notice.body


def test_one_under_a_lock_follows_what_was_let_pass(client: Any, world: World, s3: Any):
    for name in ("locked", "locked-too"):
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    to = rule(Destination={"Bucket": "arn:aws:s3:::locked-too"})
    client.put_bucket_replication(Bucket="locked", ReplicationConfiguration={"Role": ROLE, "Rules": [to]})
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    call(world, "PutRolePolicy", RoleName="replicator", PolicyName="q", PolicyDocument=document(everything))
    until = datetime.now(UTC) + timedelta(days=900)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    client.put_object(Bucket="locked", Key="k", Body=b"x", ChecksumAlgorithm="CRC32", **lock)
    annotate(client, text=b"first", bucket="locked")
    replicate(world)
    client.meta.events.register("before-sign.s3.PutObjectAnnotation", bypass)
    try:
        annotate(client, text=b"second", bucket="locked")
    finally:
        client.meta.events.unregister("before-sign.s3.PutObjectAnnotation", bypass)
    replicate(world)
    assert read(client, bucket="locked-too") == b"second"


def bypass(request: Any, **_event: Any) -> None:
    request.headers["x-amz-bypass-governance-retention"] = "true"


@pytest.mark.parametrize("crash_at", [1, 2])
def test_a_crash_neither_loses_nor_doubles(both: Any, world: World, monkeypatch: pytest.MonkeyPatch, crash_at: int):
    annotate(both)
    commit, commits = world.ledger.commit, 0

    async def crashing(writes: Any, lines: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == crash_at:
            raise Crash
        return await commit(writes, lines)

    monkeypatch.setattr(world.ledger, "commit", crashing)
    with pytest.raises(BaseException):  # noqa: B017  (it comes in a group)
        replicate(world)
    replicate(world)
    puts = [each for each in world.records("PutObjectAnnotation") if each["requestParameters"]["bucketName"] == OTHER]
    assert (len(puts), read(both), left(world)) == (1, b"text", 0)


def test_one_that_is_replaced_meanwhile_is_put_as_it_is_now(both: Any, world: World):
    annotate(both, text=b"first")
    annotate(both, text=b"second")
    world.ledger.conflicts = 2
    replicate(world)
    replicate(world)
    assert (read(both), states(both, BUCKET), left(world)) == (b"second", {"note": "COMPLETED"}, 0)
