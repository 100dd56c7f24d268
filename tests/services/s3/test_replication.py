"""PutBucketReplication as boto3 sees it, the tasks that writes leave, and what a replica shows."""

from __future__ import annotations

from typing import Any

import pytest

from opentrail.rows.s3_replication import TASKS, Task
from tests.services.s3.bucket_world import allow, make_world
from tests.services.s3.test_multipart import fails
from tests.services.s3.world import BUCKET, World

ROLE = "arn:aws:iam::000000000000:role/replicator"
OTHER = "replicas"


def rule(number: int = 1, **more: Any) -> dict[str, Any]:
    whole = {
        "ID": f"r{number}",
        "Priority": number,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{OTHER}"},
    } | more
    return {name: value for name, value in whole.items() if value is not None}


def first(**more: Any) -> dict[str, Any]:
    """A rule of the older schema."""
    return rule(**({"Filter": None, "Priority": None, "DeleteMarkerReplication": None, "Prefix": ""} | more))


def put(s3: Any, *rules: Any, role: str = ROLE) -> Any:
    return s3.put_bucket_replication(Bucket=BUCKET, ReplicationConfiguration={"Role": role, "Rules": list(rules)})


def tasks(world: World) -> list[Task]:
    return [row for _, row in TASKS.page(world.unit())]


@pytest.fixture
def both(versioned: Any) -> Any:
    """Two buckets with versioning."""
    versioned.create_bucket(Bucket=OTHER)
    versioned.put_bucket_versioning(Bucket=OTHER, VersioningConfiguration={"Status": "Enabled"})
    return versioned


def test_rules_come_back_as_they_were_put(both: Any):
    assert fails(lambda: both.get_bucket_replication(Bucket=BUCKET)) == ("ReplicationConfigurationNotFoundError", 404)
    rules = [
        rule(1, Filter={}),
        rule(2, Filter={"Tag": {"Key": "a", "Value": ""}}),
        rule(3, Filter={"And": {"Prefix": "p", "Tags": [{"Key": "a", "Value": "b"}]}}, Status="Disabled"),
        rule(
            4,
            SourceSelectionCriteria={
                "SseKmsEncryptedObjects": {"Status": "Enabled"},
                "ReplicaModifications": {"Status": "Enabled"},
            },
            ExistingObjectReplication={"Status": "Disabled"},
            Destination={
                "Bucket": f"arn:aws:s3:::{OTHER}",
                "Account": "000000000000",
                "AccessControlTranslation": {"Owner": "Destination"},
                "StorageClass": "GLACIER",
                "EncryptionConfiguration": {"ReplicaKmsKeyID": "arn:aws:kms:us-east-1:000000000000:key/abc"},
                "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
                "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
            },
        ),
    ]
    put(both, *rules)
    assert both.get_bucket_replication(Bucket=BUCKET)["ReplicationConfiguration"] == {"Role": ROLE, "Rules": rules}
    both.delete_bucket_replication(Bucket=BUCKET)
    assert fails(lambda: both.get_bucket_replication(Bucket=BUCKET))[1] == 404
    put(both, first(), first(ID="other", Prefix="b", Status="Disabled"))
    assert len(both.get_bucket_replication(Bucket=BUCKET)["ReplicationConfiguration"]["Rules"]) == 2


TAGGED = {"Tag": {"Key": "a", "Value": "b"}}
TO = {"Bucket": f"arn:aws:s3:::{OTHER}"}


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([rule(DeleteMarkerReplication=None)], "InvalidRequest"),
        ([rule(Priority=None)], "InvalidRequest"),
        ([rule(Prefix="p")], "MalformedXML"),
        ([rule(Filter={"Prefix": "p", **TAGGED})], "MalformedXML"),
        ([rule(Filter={"And": {"Prefix": "p"}})], "MalformedXML"),
        ([rule(Filter={"And": {"Tags": [TAGGED["Tag"], TAGGED["Tag"]]}})], "InvalidRequest"),
        ([rule(Filter=TAGGED, DeleteMarkerReplication={"Status": "Enabled"})], "InvalidRequest"),
        ([rule(Priority=-1)], "InvalidArgument"),
        ([rule(Status="On")], "MalformedXML"),
        ([rule(ID="x" * 256)], "InvalidArgument"),
        ([rule(1), rule(2, ID="r1")], "InvalidArgument"),
        ([rule(1), rule(1, ID="r2")], "InvalidRequest"),
        ([rule(1), first(ID="old")], "MalformedXML"),
        ([first(Priority=1)], "InvalidRequest"),
        ([first(DeleteMarkerReplication={"Status": "Enabled"})], "InvalidRequest"),
        ([first(Prefix=None)], "MalformedXML"),
        ([first(Prefix="a"), first(ID="o", Prefix="ab")], "InvalidRequest"),
        ([rule(Destination={"Bucket": OTHER})], "InvalidArgument"),
        ([rule(Destination={"Bucket": "arn:aws:s3:::bucket"})], "InvalidRequest"),
        ([rule(Destination={"Bucket": "arn:aws:s3:::not-there"})], "InvalidRequest"),
        ([rule(Destination={"Bucket": "arn:aws:s3:::unversioned"})], "InvalidRequest"),
        ([rule(Destination={**TO, "StorageClass": "LEAD"})], "MalformedXML"),
        ([rule(Destination={**TO, "Account": "999999999999"})], "InvalidArgument"),
        ([rule(Destination={**TO, "AccessControlTranslation": {"Owner": "Destination"}})], "InvalidRequest"),
        ([rule(Destination={**TO, "EncryptionConfiguration": {"ReplicaKmsKeyID": "x"}})], "InvalidRequest"),
        (
            [rule(Destination={**TO, "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 1}}})],
            "InvalidArgument",
        ),
        (
            [rule(Destination={**TO, "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}}})],
            "InvalidRequest",
        ),
        (
            [rule(SourceSelectionCriteria={"SseKmsEncryptedObjects": {"Status": "Enabled"}})],
            "InvalidRequest",
        ),
        ([rule(number) for number in range(1001)], "InvalidRequest"),
    ],
)
def test_rules_that_there_cannot_be(both: Any, rules: Any, code: str):
    both.create_bucket(Bucket="unversioned")
    assert fails(lambda: put(both, *rules)) == (code, 400)
    assert fails(lambda: both.get_bucket_replication(Bucket=BUCKET))[1] == 404


def test_roles_and_versioning(both: Any, s3: Any):
    assert fails(lambda: put(both, rule(), role="me")) == ("InvalidArgument", 400)
    put(both, rule())
    suspended = {"Status": "Suspended"}
    assert fails(lambda: both.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=suspended)) == (
        *("InvalidBucketState", 409),
    )


def test_a_bucket_without_versioning_replicates_nothing(s3: Any):
    s3.create_bucket(Bucket=OTHER)
    assert fails(lambda: put(s3, rule())) == ("InvalidRequest", 400)


async def test_the_role_must_be_ones_to_pass_on():
    world = await make_world()
    await world.create_bucket(Bucket=OTHER)
    for bucket in ("a-bucket", OTHER):
        await world.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    may = allow(["s3:PutReplicationConfiguration"])
    alice = await world.add_user("alice", may)
    bob = await world.add_user("bob", may, allow("iam:PassRole", "arn:aws:iam::111111111111:role/*"))
    given = {"Role": "arn:aws:iam::111111111111:role/r", "Rules": [rule()]}
    answers = [
        await world.put_bucket_replication(Bucket="a-bucket", ReplicationConfiguration=given, by=who)
        for who in (alice, bob)
    ]
    assert [answer.status for answer in answers] == [403, 200]
    assert "iam:PassRole" in answers[0].error["Message"]


def test_writes_leave_tasks_and_the_version_says_so(both: Any, world: World):
    put(both, rule(Filter={"Prefix": "in/"}, DeleteMarkerReplication={"Status": "Enabled"}))
    both.put_object(Bucket=BUCKET, Key="out", Body=b"x")
    assert tasks(world) == []
    version = both.put_object(Bucket=BUCKET, Key="in/k", Body=b"x")["VersionId"]
    both.copy_object(Bucket=BUCKET, Key="in/copy", CopySource=f"{BUCKET}/out")
    both.delete_object(Bucket=BUCKET, Key="in/k")
    both.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "in/copy"}, {"Key": "out"}]})
    both.put_object_tagging(Bucket=BUCKET, Key="in/k", VersionId=version, Tagging={"TagSet": []})
    both.put_object_tagging(
        Bucket=BUCKET,
        Key="out",
        VersionId=both.list_object_versions(Bucket=BUCKET, Prefix="out")["Versions"][0]["VersionId"],
        Tagging={"TagSet": []},
    )
    both.delete_object(Bucket=BUCKET, Key="in/k", VersionId=version)
    assert [(task.operation, task.key) for task in tasks(world)] == [
        ("PutObject", "in/k"),
        ("PutObject", "in/copy"),
        ("DeleteObject", "in/k"),
        ("DeleteObject", "in/copy"),
        ("PutObjectTagging", "in/k"),
    ]
    again = both.put_object(Bucket=BUCKET, Key="in/k", Body=b"x")["VersionId"]
    assert both.head_object(Bucket=BUCKET, Key="in/k", VersionId=again)["ReplicationStatus"] == "PENDING"
    assert "ReplicationStatus" not in both.head_object(
        Bucket=BUCKET, Key="out", VersionId=both.put_object(Bucket=BUCKET, Key="out")["VersionId"]
    )


def test_what_is_not_replicated(both: Any, world: World):
    put(both, rule(Filter=TAGGED), first_destination := rule(2, Filter={"Prefix": "only/"}))
    assert first_destination["Priority"] == 2
    both.put_object(Bucket=BUCKET, Key="untagged", Body=b"x")
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    world.remote_ip = "127.0.0.1"
    both.put_object(Bucket=BUCKET, Key="only/secret", Body=b"x", **key)
    assert tasks(world) == []
    both.put_object(Bucket=BUCKET, Key="only/tagged", Body=b"x", Tagging="a=b")
    assert [task.rule_id for task in tasks(world)] == ["r2"]  # one destination, the higher priority
    both.delete_object(Bucket=BUCKET, Key="only/tagged")
    assert len(tasks(world)) == 1


def test_the_older_schema_replicates_delete_markers(both: Any, world: World):
    put(both, first())
    both.delete_object(Bucket=BUCKET, Key="k")
    assert [task.operation for task in tasks(world)] == ["DeleteObject"]


def test_buckets_without_rules_leave_none(both: Any, world: World):
    both.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    both.delete_object(Bucket=BUCKET, Key="k")
    assert tasks(world) == []
