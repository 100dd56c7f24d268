"""MFA Delete: what only the owner's root may do, with a code, and that the code is nowhere on record."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest

from opentrail.call import Session
from opentrail.rows.mfa import DEVICES, SEED_SEALED_FOR, Device
from opentrail.turns import MISSES_FREE
from tests.fakes.authenticator import ROOT_DEVICE, Authenticator, tells
from tests.fakes.house import commit, new_unit
from tests.services.s3.bucket_world import BUCKET, HOME, OTHER, World, allow, make_world, policy, root

SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
ON = {"Status": "Enabled", "MFADelete": "Enabled"}
WANTED = "Mfa Authentication must be used for this request"
RULES = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}


@pytest.fixture
async def world():
    return await make_world()


async def add_device(world: World, user_name: str = "", account: str = HOME, name: str = ROOT_DEVICE) -> Authenticator:
    """A device that somebody holds, as IAM's operations leave it."""
    unit = new_unit(world.house)
    sealed = unit.house.seal.seal(base64.b32decode(SEED), SEED_SEALED_FOR)
    device = Device(account, name, "/", 1.0, sealed, enabled_at=2.0, user_name=user_name)
    DEVICES.put(unit, device, *device.parts)
    await commit(unit)
    return Authenticator({"SerialNumber": device.serial, "Base32StringSeed": SEED})


def shown(app: Authenticator) -> str:
    return f"{app.serial} {app.next(time.time())}"


async def call_with_digest(world: World, name: str, operation: str, **given):
    """Operations whose body must come with a digest."""
    body = world.request("s3", operation, {"Bucket": BUCKET, **given}, b"", None, {}).body
    digest = base64.b64encode(hashlib.md5(await body.read_all(1 << 20)).digest()).decode()
    return await world.call("s3", name, Bucket=BUCKET, **given, headers={"content-md5": digest})


async def delete_many(world: World, *objects: dict, **more):
    return await call_with_digest(world, "delete_objects", "DeleteObjects", Delete={"Objects": list(objects)}, **more)


async def put_rules(world: World):
    name, operation = "put_bucket_lifecycle_configuration", "PutBucketLifecycleConfiguration"
    return await call_with_digest(world, name, operation, LifecycleConfiguration=RULES)


async def set_versioning(world: World, **more):
    return await world.put_bucket_versioning(**({"Bucket": BUCKET, "VersioningConfiguration": ON} | more))


async def protect(world: World) -> tuple[Authenticator, str]:
    """The bucket with MFA delete on and one version in it."""
    app = await add_device(world)
    assert (await set_versioning(world, MFA=shown(app))).status == 200
    version = (await world.put_object(Bucket=BUCKET, Key="k", body=b"x")).parsed["VersionId"]
    return app, version


async def test_it_is_switched_on_and_off_with_a_code(world: World):
    app, _version = await protect(world)
    assert (await world.get_bucket_versioning(Bucket=BUCKET)).parsed.items() >= ON.items()
    for wanted in ({"Status": "Suspended"}, {"Status": "Enabled"}, {"Status": "Enabled", "MFADelete": "Disabled"}):
        answer = await set_versioning(world, VersioningConfiguration=wanted)
        assert (answer.status, answer.code, answer.error["Message"]) == (403, "AccessDenied", WANTED)
    off = {"Status": "Suspended", "MFADelete": "Disabled"}
    assert (await set_versioning(world, VersioningConfiguration=off, MFA=shown(app))).status == 200
    assert (await world.get_bucket_versioning(Bucket=BUCKET)).parsed.items() >= off.items()
    assert (await set_versioning(world, VersioningConfiguration={"Status": "Enabled"})).status == 200


async def test_who_may_not_switch_it_on(world: World):
    admin = await world.add_user("admin", allow("*"))
    app, his = await add_device(world), await add_device(world, "admin", name="admin")
    foreign = await add_device(world, account=OTHER)
    answer = await set_versioning(world)
    assert (answer.status, answer.code, answer.error["Message"]) == (403, "AccessDenied", WANTED)
    answer = await set_versioning(world, by=admin, MFA=shown(his))
    assert answer.code == "AccessDenied"
    assert answer.error["Message"] == "This operation may only be performed by the bucket owner"
    for wrong in (shown(his), shown(foreign), f"{app.serial} 000000", f"{app.serial} 1", f"x {app.next(time.time())}"):
        answer = await set_versioning(world, MFA=wrong)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    assert (await world.get_bucket_versioning(Bucket=BUCKET)).parsed.keys() == {"ResponseMetadata"}
    strangers = policy(allow("s3:*", [f"arn:aws:s3:::{BUCKET}"], Principal={"AWS": OTHER}))
    assert (await world.put_bucket_policy(Bucket=BUCKET, Policy=strangers)).status == 204
    answer = await set_versioning(world, by=root(OTHER), MFA=shown(foreign))
    assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    "header", ["970589", "serial", "serial ", " 123456", "serial 12345x", "serial  123456", "a b c"]
)
async def test_a_header_that_is_none(world: World, header: str):
    answer = await set_versioning(world, MFA=header)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert answer.error["Message"].startswith("Mfa header is invalid")


async def test_temporary_credentials_show_no_code(world: World):
    app = await add_device(world)
    caller = root()
    session = Session(None, 0, int(time.time()) + 900, mfa_authenticated=True)
    answer = await set_versioning(
        world, by=type(caller)("Root", HOME, caller.arn, HOME, session=session), MFA=shown(app)
    )
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert answer.error["Message"] == "DevPay and Mfa are mutually exclusive authorization methods."


async def test_a_version_is_removed_with_a_code_only(world: World):
    app, version = await protect(world)
    given = {"Bucket": BUCKET, "Key": "k", "VersionId": version}
    admin = await world.add_user("admin", allow("*"))
    for caller in (root(), admin):
        answer = await world.delete_object(**given, by=caller)
        assert (answer.status, answer.code, answer.error["Message"]) == (403, "AccessDenied", WANTED)
    assert (await world.delete_object(**given, MFA=f"{app.serial} 000000")).code == "AccessDenied"
    marker = await world.delete_object(Bucket=BUCKET, Key="k", by=admin)
    assert marker.parsed["DeleteMarker"]
    assert (await world.delete_object(**(given | {"VersionId": marker.parsed["VersionId"]}))).code == "AccessDenied"
    code = shown(app)
    assert (await world.delete_object(**given, MFA=code)).status == 204
    assert (await world.delete_object(**(given | {"VersionId": marker.parsed["VersionId"]}), MFA=code)).status == 403
    assert (await world.get_object(**given)).code == "NoSuchVersion"


async def test_of_many_all_or_none_are_deleted(world: World):
    app, version = await protect(world)
    await world.put_object(Bucket=BUCKET, Key="l", body=b"x")
    both = ({"Key": "k", "VersionId": version}, {"Key": "l"})
    for more in ({}, {"MFA": f"{app.serial} 000000"}):
        answer = await delete_many(world, *both, **more)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    wrong = await delete_many(world, {"Key": "l"}, MFA=f"{app.serial} 000000")
    assert (wrong.status, wrong.code) == (403, "AccessDenied")
    assert (await world.get_object(Bucket=BUCKET, Key="l")).status == 200
    plain = await delete_many(world, {"Key": "l"})
    assert plain.parsed["Deleted"][0]["DeleteMarker"]
    done = await delete_many(world, *both, MFA=shown(app))
    assert sorted(each["Key"] for each in done.parsed["Deleted"]) == ["k", "l"]


async def test_guessing_at_the_header_gets_slow(world: World):
    app, version = await protect(world)
    given = {"Bucket": BUCKET, "Key": "k", "VersionId": version}
    for _guess in range(MISSES_FREE):
        assert (await world.delete_object(**given, MFA=f"{app.serial} 000000")).status == 403
    assert (await world.delete_object(**given, MFA=shown(app))).status == 403


async def test_lifecycle_rules_do_not_go_with_it(world: World):
    app = await add_device(world)
    assert (await put_rules(world)).status == 200
    answer = await set_versioning(world, MFA=shown(app))
    assert (answer.status, answer.code) == (409, "InvalidBucketState")
    assert answer.error["Message"].startswith("Mfa Authentication is not supported on a bucket with lifecycle")
    await world.delete_bucket_lifecycle(Bucket=BUCKET)
    assert (await set_versioning(world, MFA=f"{app.serial} {app.at(time.time())}")).status == 200
    answer = await put_rules(world)
    assert (answer.status, answer.code) == (409, "InvalidBucketState")
    answer = await set_versioning(world, VersioningConfiguration={"MFADelete": "Disabled"})
    assert answer.code == "AccessDenied"


async def test_no_record_tells_a_code(world: World):
    app, version = await protect(world)
    code = shown(app)
    await world.delete_object(Bucket=BUCKET, Key="k", VersionId=version, MFA=code)
    await world.delete_object(Bucket=BUCKET, Key="k", VersionId=version, MFA=code)
    await set_versioning(world, MFA=code)
    await set_versioning(world, MFA=code.rpartition(" ")[2])
    lines = [line.data for line in world.house.ledger.lines]
    assert len(lines) >= 5
    for line in lines:
        assert not tells(line.decode("latin-1"), code.rpartition(" ")[2])
        assert b"x-amz-mfa" not in line
