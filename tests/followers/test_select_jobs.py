"""Queries of archived objects: what is taken on, what is written in whose name; a crash neither loses nor doubles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from opentrail.followers import select_jobs
from opentrail.followers.select_jobs import AGE_SECONDS_MAX, SelectJobsFollower
from opentrail.rows.s3_notices import NOTICES
from opentrail.rows.s3_select_jobs import SELECT_JOBS
from tests.followers.test_replication import Crash, document
from tests.services.s3.test_multipart import fails
from tests.services.s3.test_object_lock import alter
from tests.services.s3.world import BUCKET, Wire, World, new_client

OUTPUT = "output"
DATA = b"id,name\n1,ann\n2,bob\n3,cid\n"
QUERY = {
    "ExpressionType": "SQL",
    "Expression": "SELECT s.name FROM S3Object s WHERE CAST(s.id AS INT) > 1",
    "InputSerialization": {"CSV": {"FileHeaderInfo": "USE"}},
    "OutputSerialization": {"CSV": {}},
}
PLACE = {"BucketName": OUTPUT, "Prefix": "my"}


@pytest.fixture
def s3(s3: Any) -> Any:
    """With a bucket for the output, and an archived table."""
    s3.create_bucket(Bucket=OUTPUT)
    s3.put_object(Bucket=BUCKET, Key="t", Body=DATA, StorageClass="GLACIER")
    return s3


def asked(query: Any = QUERY, place: Any = PLACE, **more: Any) -> Any:
    return {"Type": "SELECT", "SelectParameters": query, "OutputLocation": {"S3": place}, **more}


def ask(s3: Any, request: Any = None, **more: Any) -> str:
    answer = s3.restore_object(Bucket=BUCKET, Key="t", RestoreRequest=request or asked(), **more)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    return str(answer["RestoreOutputPath"])


def work(world: World) -> None:
    """One look of a follower that has just been started."""
    world.loop.run_until_complete(SelectJobsFollower(world.house).flush())


def left(world: World) -> int:
    return len(SELECT_JOBS.page(world.unit()))


def files(s3: Any, path: str) -> dict[str, bytes]:
    """The output by what follows the job's folder."""
    found = s3.list_objects_v2(Bucket=OUTPUT, Prefix=path).get("Contents", ())
    return {each["Key"][len(path) + 1 :]: read(s3, each["Key"]) for each in found}


def read(s3: Any, key: str) -> bytes:
    data: bytes = s3.get_object(Bucket=OUTPUT, Key=key)["Body"].read()
    return data


def test_the_results_lie_where_they_were_asked_for(s3: Any, world: World):
    acl = [{"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}}]
    acl[0]["Permission"] = "READ"  # type: ignore[assignment]
    s3.put_bucket_ownership_controls(Bucket=OUTPUT, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    s3.delete_public_access_block(Bucket=OUTPUT)
    place = PLACE | {
        "StorageClass": "STANDARD_IA",
        "Tagging": {"TagSet": [{"Key": "a", "Value": "b c"}]},
        "UserMetadata": [{"Name": "who", "Value": "me"}],
        "Encryption": {"EncryptionType": "AES256"},
        "AccessControlList": acl,
    }
    path = ask(s3, asked(place=place, Description="mine", GlacierJobParameters={"Tier": "Bulk"}))
    assert path.startswith("my/")
    assert list(files(s3, path)) == ["job.txt"]
    job = json.loads(read(s3, f"{path}/job.txt"))
    assert (job["JobId"], job["JobDescription"], job["Tier"]) == (path[3:], "mine", "Bulk")
    assert job["SelectParameters"]["Expression"] == QUERY["Expression"]
    work(world)
    found = files(s3, path)
    assert found.pop("job.txt")
    result = f"{path}/results/000000"
    assert found == {"results/000000": b"bob\ncid\n", "result_manifest.txt": f"s3://{OUTPUT}/{result}\n".encode()}
    head = s3.head_object(Bucket=OUTPUT, Key=result)
    assert (head["StorageClass"], head["Metadata"], head["TagCount"]) == ("STANDARD_IA", {"who": "me"}, 1)
    assert head["ServerSideEncryption"] == "AES256"
    assert any(
        "URI" in each["Grantee"] and each["Permission"] == "READ"
        for each in s3.get_object_acl(Bucket=OUTPUT, Key=result)["Grants"]
    )
    assert left(world) == 0
    assert fails(s3.get_object, Bucket=BUCKET, Key="t") == ("InvalidObjectState", 403)  # nothing was restored


def test_the_records_tell_who_asked_and_that_s3_did_it(s3: Any, world: World):
    path = ask(s3)
    work(world)
    [restore] = world.records("RestoreObject")
    assert restore["requestParameters"]["restore"] == ""
    assert "invokedBy" not in restore["userIdentity"]
    puts = [each for each in world.records("PutObject") if each["requestParameters"]["bucketName"] == OUTPUT]
    assert [each["requestParameters"]["key"] for each in puts] == [
        f"{path}/{name}" for name in ("job.txt", "results/000000", "result_manifest.txt")
    ]
    [got] = [each for each in world.records("GetObject") if each["requestParameters"]["bucketName"] == BUCKET]
    for record in [*puts, got]:
        assert record["sourceIPAddress"] == record["userIdentity"]["invokedBy"] == "s3.amazonaws.com"
        assert record["userIdentity"]["arn"] == restore["userIdentity"]["arn"]


def test_the_version_of_the_request_is_queried_and_json_comes_out(versioned: Any, world: World):
    versioned.create_bucket(Bucket=OUTPUT)
    lines = b'{"id":1}\n{"id":2}\n'
    put = {"Bucket": BUCKET, "Key": "t", "StorageClass": "DEEP_ARCHIVE"}
    first = versioned.put_object(Body=lines, **put)["VersionId"]
    versioned.put_object(Body=b'{"id":7}\n', **put)
    query = QUERY | {
        "Expression": "SELECT * FROM S3Object s WHERE s.id > 1",
        "InputSerialization": {"JSON": {"Type": "LINES"}},
        "OutputSerialization": {"JSON": {}},
    }
    named, newest = ask(versioned, asked(query), VersionId=first), ask(versioned, asked(query))
    versioned.delete_object(Bucket=BUCKET, Key="t")
    work(world)
    assert files(versioned, named)["results/000000"] == b'{"id":2}\n'
    assert files(versioned, newest)["results/000000"] == b'{"id":7}\n'


def test_what_fails_while_it_runs_is_told_in_the_output(s3: Any, world: World):
    missing = ask(s3, asked(QUERY | {"Expression": "SELECT s.nothing FROM S3Object s"}))
    cast = ask(s3, asked(QUERY | {"Expression": "SELECT CAST(s.name AS INT) FROM S3Object s"}))
    work(world)
    for path, code in ((missing, "MissingHeaders"), (cast, "CastFailed")):
        found = files(s3, path)
        assert sorted(found) == ["error_manifest.txt", "errors/000000", "job.txt"]
        assert json.loads(found["errors/000000"])["Code"] == code
        assert found["error_manifest.txt"].decode() == f"s3://{OUTPUT}/{path}/errors/000000\n"
    gone = ask(s3)
    s3.put_object(Bucket=BUCKET, Key="t", Body=b"other", StorageClass="GLACIER")
    work(world)
    assert json.loads(files(s3, gone)["errors/000000"])["Code"] == "PreconditionFailed"
    assert left(world) == 0


def test_an_output_that_is_gone_ends_the_query(s3: Any, world: World):
    path = ask(s3)
    s3.delete_object(Bucket=OUTPUT, Key=f"{path}/job.txt")
    s3.delete_bucket(Bucket=OUTPUT)
    work(world)
    assert left(world) == 0


@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
def test_a_crash_neither_loses_nor_doubles(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch, crash_at: int):
    monkeypatch.setattr(select_jobs, "RESULT_BYTES", 1)
    s3.put_bucket_versioning(Bucket=OUTPUT, VersioningConfiguration={"Status": "Enabled"})
    rows = [b"%d,%b\n" % (each, b"x" * 90) for each in range(9_000)]
    s3.put_object(Bucket=BUCKET, Key="t", Body=b"".join(rows), StorageClass="GLACIER")
    path = ask(s3, asked(QUERY | {"Expression": "SELECT * FROM S3Object", "InputSerialization": {"CSV": {}}}))
    commit, commits = world.ledger.commit, 0

    async def crashing(writes: Any, lines: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == crash_at:
            raise Crash
        return await commit(writes, lines)

    monkeypatch.setattr(world.ledger, "commit", crashing)
    with pytest.raises(BaseException):  # noqa: B017  (it comes in a group)
        work(world)
    work(world)
    found = files(s3, path)
    results = [found[name] for name in sorted(found) if name.startswith("results/")]
    assert len(results) > 1
    assert b"".join(results) == b"".join(rows)
    assert all(each.endswith(b"\n") for each in results)
    assert found["result_manifest.txt"].count(b"\n") == len(results)
    versions = s3.list_object_versions(Bucket=OUTPUT)["Versions"]
    assert len(versions) == len(found)


def test_what_may_pass_is_tried_again_for_a_day(s3: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    paths = [ask(s3), ask(s3)]
    with monkeypatch.context() as patched:
        now = world.house.clock.now()
        patched.setattr(type(world.house.clock), "now", lambda _clock: now)
        patched.setattr("opentrail.query.channel.QUERIES_MAX", 0)
        for attempts in (1, 2):
            work(world)
            assert [job.attempts for _, job in SELECT_JOBS.page(world.unit())] == [attempts] * 2
            now += 2.0**attempts
        late = SELECT_JOBS.page(world.unit())[0][1]
        unit = world.unit()
        for key, job in SELECT_JOBS.page(unit):
            first = job.first - AGE_SECONDS_MAX if job.id == late.id else job.first
            SELECT_JOBS.put(unit, replace(job, first=first), *SELECT_JOBS.parts(key))
        world.commit(unit)
        work(world)
        assert left(world) == 1  # the one that was asked for a day ago is given up
        now += 2.0**3
        patched.setattr("opentrail.query.channel.QUERIES_MAX", 8)
        work(world)
    assert sorted("result_manifest.txt" in files(s3, path) for path in paths) == [False, True]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"Type": "SELECT"}, ("MalformedXML", 400)),
        (asked(Days=1), ("MalformedXML", 400)),
        (asked(GlacierJobParameters={"Tier": "Fast"}), ("MalformedXML", 400)),
        (asked(QUERY | {"Expression": "SELEKT"}), ("ParseUnexpectedToken", 400)),
        (asked(QUERY | {"ExpressionType": "XQL"}), ("InvalidExpressionType", 400)),
        (asked(QUERY | {"OutputSerialization": {}}), ("MissingRequiredParameter", 400)),
        (asked(place=PLACE | {"BucketName": "nowhere"}), ("NoSuchBucket", 404)),
        (asked(place=PLACE | {"Prefix": "x" * 512}), ("InvalidArgument", 400)),
        (asked(place=PLACE | {"StorageClass": "ICE"}), ("InvalidStorageClass", 400)),
        (
            asked(place=PLACE | {"AccessControlList": [{"Grantee": {"Type": "CanonicalUser"}, "Permission": "READ"}]}),
            ("MalformedXML", 400),
        ),
    ],
)
def test_wrong_requests_change_nothing(s3: Any, world: World, request_: Any, error: Any):
    assert fails(s3.restore_object, Bucket=BUCKET, Key="t", RestoreRequest=request_) == error
    assert left(world) == 0
    assert not s3.list_objects_v2(Bucket=OUTPUT).get("Contents")


def test_only_archived_objects_that_s3_can_open(s3: Any, world: World):
    s3.put_object(Bucket=BUCKET, Key="warm", Body=DATA)
    s3.put_object(Bucket=BUCKET, Key="own", Body=DATA, StorageClass="GLACIER")
    alter(world, "own", "null", customer_mark=b"mark")
    given = {"Bucket": BUCKET, "RestoreRequest": asked()}
    assert fails(s3.restore_object, Key="warm", **given) == ("InvalidObjectState", 403)
    assert fails(s3.restore_object, Key="own", **given) == ("InvalidRequest", 400)
    assert fails(s3.restore_object, Key="nothing", **given) == ("NoSuchKey", 404)
    s3.put_object(Bucket=BUCKET, Key="deep", Body=DATA, StorageClass="DEEP_ARCHIVE")
    expedited = asked(GlacierJobParameters={"Tier": "Expedited"})
    assert fails(s3.restore_object, Bucket=BUCKET, Key="deep", RestoreRequest=expedited) == ("InvalidArgument", 400)
    assert left(world) == 0


def test_it_takes_the_rights_to_restore_to_read_and_to_write(s3: Any, wire: Wire, world: World):
    iam = new_client(wire, "iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = new_client(wire, key=(key["AccessKeyId"], key["SecretAccessKey"]))
    source, output = f"arn:aws:s3:::{BUCKET}/t", f"arn:aws:s3:::{OUTPUT}/my/*"
    needed = [("s3:RestoreObject", source), ("s3:GetObject", source), ("s3:PutObject", output)]
    allowed: list[Any] = []
    for action, resource in needed:
        assert fails(ask, ann) == ("AccessDenied", 403)
        allowed.append({"Effect": "Allow", "Action": action, "Resource": resource})
        iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document(*allowed))
    path = ask(ann)
    work(world)
    assert files(s3, path)["results/000000"] == b"bob\ncid\n"
    assert left(world) == 0


def test_a_query_is_no_restore_to_those_who_are_told_of_restores(s3: Any, world: World):
    topic = "arn:aws:sns:us-east-1:000000000000:t"
    told = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectRestore:*"]}]}
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=told, SkipDestinationValidation=True
    )
    ask(s3)
    assert not NOTICES.page(world.unit())
    s3.restore_object(Bucket=BUCKET, Key="t", RestoreRequest={"Days": 1})
    assert len(NOTICES.page(world.unit())) == 2
