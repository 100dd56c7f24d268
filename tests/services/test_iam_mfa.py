"""Virtual MFA devices through guard, decision and handler; and what a session is worth that began with a code."""

from __future__ import annotations

import pytest

from opentrail.access import totp
from opentrail.errors import Conflict
from opentrail.rows.mfa import DEVICES_PER_HOLDER_MAX, find_device
from opentrail.services import iam_mfa
from opentrail.services.mfa import use_code
from opentrail.turns import MISSES_FREE
from tests.fakes.authenticator import Authenticator
from tests.fakes.house import commit, new_unit
from tests.fakes.qr_reader import read_picture
from tests.services.iam_world import ACCOUNT, OTHER_ROOT, ROOT, World, allow, policy, refused

ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code."
NOT_HIS = (
    "MultiFactorAuthentication failed, unable to validate MFA code.  "
    "Please verify your MFA serial number is valid and associated with this user."
)


@pytest.fixture
async def world():
    return await World().begin()


async def make(world, name="telephone", who=ROOT, **more):
    made = await world.iam("CreateVirtualMFADevice", who=who, VirtualMFADeviceName=name, **more)
    return Authenticator(made["VirtualMFADevice"])


async def enable(world, user, name="telephone", who=ROOT):
    app = await make(world, name, who)
    pair = app.pair(world.house.clock.time)
    await world.iam("EnableMFADevice", who=who, UserName=user, SerialNumber=app.serial, **pair)
    return app


def shown(world, app):
    return {"SerialNumber": app.serial, "TokenCode": app.next(world.house.clock.time)}


def later(world, seconds):
    world.house.clock.time += seconds


async def test_a_device_is_made_enabled_and_taken_away(world):
    await world.user("alice")
    app = await make(world, Path="/office/", Tags=[{"Key": "Team", "Value": "blue"}])
    assert app.serial == f"arn:aws:iam::{ACCOUNT}:mfa/office/telephone"
    assert (await world.iam("ListVirtualMFADevices"))["VirtualMFADevices"] == [{"SerialNumber": app.serial}]
    assert (await world.iam("GetMFADevice", SerialNumber=app.serial)) == {"SerialNumber": app.serial}
    given = {"UserName": "alice", "SerialNumber": app.serial}
    await world.iam("EnableMFADevice", **given, **app.pair(world.house.clock.time))
    (listed,) = (await world.iam("ListMFADevices", UserName="alice"))["MFADevices"]
    assert (listed["UserName"], listed["SerialNumber"]) == ("alice", app.serial)
    assert listed["EnableDate"].timestamp() == world.house.clock.time
    assert await world.iam("GetMFADevice", **given) == listed
    (virtual,) = (await world.iam("ListVirtualMFADevices", AssignmentStatus="Assigned"))["VirtualMFADevices"]
    assert virtual["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert virtual.keys() == {"SerialNumber", "EnableDate", "User"}
    assert (await world.iam("ListVirtualMFADevices", AssignmentStatus="Unassigned"))["VirtualMFADevices"] == []
    summary = (await world.iam("GetAccountSummary"))["SummaryMap"]
    assert (summary["MFADevices"], summary["MFADevicesInUse"], summary["AccountMFAEnabled"]) == (1, 1, 0)
    with refused("DeleteConflict", 409, "Must deactivate first"):
        await world.iam("DeleteVirtualMFADevice", SerialNumber=app.serial)
    await world.iam("DeactivateMFADevice", **given)
    assert (await world.iam("ListMFADevices", UserName="alice"))["MFADevices"] == []
    with refused("NoSuchEntity", 404, "MFA Device invalid for user."):
        await world.iam("DeactivateMFADevice", **given)
    await world.iam("DeleteVirtualMFADevice", SerialNumber=app.serial)
    with refused("NoSuchEntity", 404, f"VirtualMFADevice with serial number {app.serial} doesn't exist."):
        await world.iam("DeleteVirtualMFADevice", SerialNumber=app.serial)


async def test_the_seed_lies_sealed_and_is_told_once(world):
    made = (await world.iam("CreateVirtualMFADevice", VirtualMFADeviceName="telephone"))["VirtualMFADevice"]
    seed = made["Base32StringSeed"]
    assert len(seed) == iam_mfa.SEED_CHARS
    device = find_device(new_unit(world.house), made["SerialNumber"])
    with pytest.raises(ValueError, match="not sealed here"):
        world.house.seal.open(device.seed, "access-key")
    stored = b"".join(world.house.ledger.rows[key].value for key in world.house.ledger.rows)
    assert seed not in stored
    for answer in (await world.iam("ListVirtualMFADevices"), await world.iam("ListMFADevices")):
        assert seed.decode() not in str(answer)


async def test_the_seed_comes_as_a_picture_too(world):
    await world.iam("CreateAccountAlias", AccountAlias="our-company")
    made = (await world.iam("CreateVirtualMFADevice", VirtualMFADeviceName="a+b=c,d.e@f-g"))["VirtualMFADevice"]
    seed = made["Base32StringSeed"].decode()
    assert read_picture(made["QRCodePNG"]) == f"otpauth://totp/a+b=c,d.e@f-g@our-company?secret={seed}".encode()
    longest = "n" * (256 - len(f"arn:aws:iam::{ACCOUNT}:mfa/"))
    made = (await world.iam("CreateVirtualMFADevice", VirtualMFADeviceName=longest))["VirtualMFADevice"]
    assert longest.encode() in read_picture(made["QRCodePNG"])


async def test_what_is_refused_when_a_device_is_made(world):
    await make(world)
    with refused("EntityAlreadyExists", 409, "MFADevice entity at the same path and name already exists."):
        await make(world, "Telephone")
    await make(world, Path="/elsewhere/")
    with refused("ValidationError", 400):
        await make(world, Path="elsewhere")
    with refused("ValidationError", 400):
        await make(world, "n" * 240)
    for name in ("a/b", "é", "a b", ""):
        with refused("ValidationError", 400):
            await make(world, name)


async def test_there_is_an_end_to_devices(world, monkeypatch):
    monkeypatch.setattr(iam_mfa, "DEVICES_PER_ACCOUNT_MAX", 9)
    await world.user("alice")
    for number in range(DEVICES_PER_HOLDER_MAX):
        await enable(world, "alice", f"d{number}")
    app = await make(world, "one-more")
    with refused("LimitExceeded", 409, "Cannot exceed quota for MFADevicesPerUser: 8"):
        await world.iam(
            "EnableMFADevice", UserName="alice", SerialNumber=app.serial, **app.pair(world.house.clock.time)
        )
    with refused("LimitExceeded", 409, "Cannot exceed quota for VirtualMFADevicesPerAccount: 9"):
        await make(world, "and-one-more")
    page = await world.iam("ListMFADevices", UserName="alice", MaxItems=5)
    rest = await world.iam("ListMFADevices", UserName="alice", Marker=page["Marker"])
    names = [each["SerialNumber"].rpartition("/")[2] for each in page["MFADevices"] + rest["MFADevices"]]
    assert names == [f"d{number}" for number in range(8)]
    assert len((await world.iam("ListVirtualMFADevices", MaxItems=4))["VirtualMFADevices"]) == 4


async def test_codes_that_do_not_enable(world):
    await world.user("alice")
    app, other, now = await make(world), await make(world, "other"), world.house.clock.time
    given = {"UserName": "alice", "SerialNumber": app.serial}
    wrong = (
        (app.at(now), app.at(now)),
        (app.at(now), app.at(now, -1)),
        (app.at(now, -1), other.at(now)),
        (app.at(now, -30), app.at(now, -29)),
    )
    for first, second in wrong:
        with refused("InvalidAuthenticationCode", 403, "Authentication code for device is not valid."):
            await world.iam("EnableMFADevice", **given, AuthenticationCode1=first, AuthenticationCode2=second)
    for first in ("12345", "1234567", "abcdef", ""):
        with refused("ValidationError", 400):
            await world.iam("EnableMFADevice", **given, AuthenticationCode1=first, AuthenticationCode2=app.at(now))
    assert (await world.iam("ListMFADevices", UserName="alice"))["MFADevices"] == []
    await world.iam("EnableMFADevice", **given, **app.pair(now))
    with refused("EntityAlreadyExists", 409, "is already in use"):
        await world.iam("EnableMFADevice", **given, **app.pair(now))
    with refused("NoSuchEntity", 404, "The user with name bob cannot be found."):
        await world.iam("EnableMFADevice", **(given | {"UserName": "bob"}), **app.pair(now))


async def test_the_root_has_devices_of_its_own(world):
    admin = await world.user("admin", allow("*"))
    with refused("NoSuchEntity", 404, "The user with name root cannot be found."):
        await enable(world, "root", who=admin)
    app = await enable(world, "root", "root-account-mfa-device")
    assert app.serial == f"arn:aws:iam::{ACCOUNT}:mfa/root-account-mfa-device"
    for given in ({}, {"UserName": "root"}):
        assert [each["UserName"] for each in (await world.iam("ListMFADevices", **given))["MFADevices"]] == ["root"]
    (held,) = (await world.iam("ListVirtualMFADevices", AssignmentStatus="Assigned"))["VirtualMFADevices"]
    assert held["User"].keys() == {"UserId", "Arn", "CreateDate"}
    assert held["User"]["Arn"] == ROOT.arn
    assert (await world.iam("GetAccountSummary"))["SummaryMap"]["AccountMFAEnabled"] == 1
    for operation in ("DeactivateMFADevice", "DeleteVirtualMFADevice"):
        with refused("NoSuchEntity" if operation[2] == "a" else "DeleteConflict", 404 if operation[2] == "a" else 409):
            await world.iam(operation, who=admin, SerialNumber=app.serial)
    await world.user("root")
    assert (await world.iam("ListMFADevices", UserName="root"))["MFADevices"] == []
    await world.iam("DeactivateMFADevice", SerialNumber=app.serial)
    assert (await world.iam("ListMFADevices"))["MFADevices"] == []


async def test_renaming_and_deleting_a_user(world):
    await world.iam("CreateUser", UserName="alice")
    app = await enable(world, "alice")
    await world.iam("UpdateUser", UserName="alice", NewUserName="alison")
    assert [each["UserName"] for each in (await world.iam("ListMFADevices", UserName="alison"))["MFADevices"]] == [
        "alison"
    ]
    await world.iam("UpdateUser", UserName="alison", NewUserName="Alison")
    with refused("DeleteConflict", 409, "must delete MFA device first"):
        await world.iam("DeleteUser", UserName="Alison")
    await world.iam("CreateUser", UserName="alice")
    assert (await world.iam("ListMFADevices", UserName="alice"))["MFADevices"] == []
    await world.iam("DeactivateMFADevice", UserName="Alison", SerialNumber=app.serial)
    await world.iam("DeleteUser", UserName="Alison")


async def test_tags_and_who_may(world):
    app = await make(world, Tags=[{"Key": "Team", "Value": "blue"}])
    await world.iam("TagMFADevice", SerialNumber=app.serial, Tags=[{"Key": "Floor", "Value": "3"}])
    await world.iam("UntagMFADevice", SerialNumber=app.serial, TagKeys=["team"])
    tags = await world.iam("ListMFADeviceTags", SerialNumber=app.serial)
    assert tags["Tags"] == [{"Key": "Floor", "Value": "3"}]
    own = f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    alice = await world.user(
        "alice",
        allow("iam:CreateVirtualMFADevice", f"arn:aws:iam::{ACCOUNT}:mfa/${{aws:username}}"),
        allow(["iam:EnableMFADevice", "iam:ListMFADevices", "iam:ResyncMFADevice"], own),
    )
    await world.user("bob")
    mine = await enable(world, "alice", "alice", who=alice)
    assert [each["SerialNumber"] for each in (await world.iam("ListMFADevices", who=alice))["MFADevices"]] == [
        mine.serial
    ]
    with refused("AccessDenied", 403):
        await make(world, "bob", who=alice)
    with refused("AccessDenied", 403):
        await world.iam("DeleteVirtualMFADevice", who=alice, SerialNumber=app.serial)
    with refused("AccessDenied", 403):
        await world.iam(
            "EnableMFADevice", who=alice, UserName="bob", SerialNumber=app.serial, **app.pair(world.house.clock.time)
        )
    for operation, more in (("DeleteVirtualMFADevice", {}), ("TagMFADevice", {"Tags": []}), ("ListMFADeviceTags", {})):
        with refused("NoSuchEntity", 404):
            await world.iam(operation, who=OTHER_ROOT, SerialNumber=app.serial, **more)


async def test_a_session_that_began_with_a_code(world):
    with_code = {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}
    fresh = {"Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": "600"}}}
    alice = await world.user("alice", allow("iam:ListRoles", **with_code), allow("iam:ListUsers", **fresh))
    app = await enable(world, "alice")
    with refused("AccessDenied", 403):
        await world.iam("ListRoles", who=alice)
    plain = world.holder((await world.sts("GetSessionToken", who=alice))["Credentials"])
    assert not plain.session.mfa_authenticated
    with refused("AccessDenied", 403):
        await world.iam("ListRoles", who=plain)
    session = world.holder((await world.sts("GetSessionToken", who=alice, **shown(world, app)))["Credentials"])
    assert session.session.mfa_authenticated
    assert await world.iam("ListRoles", who=session)
    assert await world.iam("ListUsers", who=session)
    later(world, 600)
    assert await world.iam("ListRoles", who=session)
    with refused("AccessDenied", 403):
        await world.iam("ListUsers", who=session)


async def test_a_role_that_wants_a_code(world):
    alice = await world.user("alice")
    app = await enable(world, "alice")
    statement = {"Effect": "Allow", "Principal": {"AWS": alice.arn}, "Action": "sts:AssumeRole"}
    wanted = {"Bool": {"aws:MultiFactorAuthPresent": "true"}, "NumericLessThan": {"aws:MultiFactorAuthAge": "60"}}
    document = policy(statement | {"Condition": wanted})
    await world.iam("CreateRole", RoleName="reader", AssumeRolePolicyDocument=document)
    given = {"RoleArn": ROLE, "RoleSessionName": "s1"}
    with refused("AccessDenied", 403, "is not authorized to perform: sts:AssumeRole"):
        await world.sts("AssumeRole", who=alice, **given)
    code = shown(world, app)
    answer = await world.sts("AssumeRole", who=alice, **given, **code)
    role = world.holder(answer["Credentials"])
    assert role.session.mfa_authenticated
    with refused("AccessDenied", 403, WRONG):
        await world.sts("AssumeRole", who=alice, **given, **code)
    with refused("AccessDenied", 403, NOT_HIS):
        await world.sts("AssumeRole", who=role, **given, **shown(world, app))


async def test_codes_that_are_not_taken(world):
    alice, bob = await world.user("alice"), await world.user("bob")
    app, his = await enable(world, "alice"), await enable(world, "bob", "his")
    foreign = await enable(world, "root", who=OTHER_ROOT)
    idle = await make(world, "idle")
    now = world.house.clock.time
    code = app.at(now)

    async def get(who=alice, **given):
        return await world.sts("GetSessionToken", who=who, **given)

    for serial in (his.serial, foreign.serial, idle.serial, app.serial.upper(), app.serial + "x", "GAHT12345678"):
        with refused("AccessDenied", 403, NOT_HIS):
            await get(SerialNumber=serial, TokenCode=code)
    with refused("AccessDenied", 403, NOT_HIS):
        await get(bob, SerialNumber=app.serial, TokenCode=code)
    with refused("AccessDenied", 403, NOT_HIS):
        await get(ROOT, SerialNumber=app.serial, TokenCode=code)
    for wrong in (his.at(now), app.at(now, -2), app.at(now, 2)):
        with refused("AccessDenied", 403, WRONG):
            await get(SerialNumber=app.serial, TokenCode=wrong)
    for half in ({"SerialNumber": app.serial}, {"TokenCode": code}):
        with refused("AccessDenied", 403, "must provide both MFA serial number and one time pass code"):
            await get(**half)
    assert await get(SerialNumber=app.serial, TokenCode=code)


async def test_a_code_is_good_once_even_for_two_at_once(world):
    alice = await world.user("alice")
    app = await enable(world, "alice")
    given = {"SerialNumber": app.serial, "TokenCode": app.next(world.house.clock.time)}
    assert await world.sts("GetSessionToken", who=alice, **given)
    with refused("AccessDenied", 403, WRONG):
        await world.sts("GetSessionToken", who=alice, **given)
    earlier = {"SerialNumber": app.serial, "TokenCode": app.at(world.house.clock.time, -1)}
    with refused("AccessDenied", 403, WRONG):
        await world.sts("GetSessionToken", who=alice, **earlier)
    code, units = app.next(world.house.clock.time), [new_unit(world.house) for _call in range(2)]
    assert all(use_code(unit, find_device(unit, app.serial), code) for unit in units)
    await commit(units[0])
    with pytest.raises(Conflict):
        await commit(units[1])
    again = new_unit(world.house)
    assert not use_code(again, find_device(again, app.serial), code)


async def test_a_used_code_stays_used_when_the_device_changes_hands(world):
    alice = await world.user("alice")
    app = await enable(world, "alice")
    code = shown(world, app)
    await world.sts("GetSessionToken", who=alice, **code)
    await world.iam("DeactivateMFADevice", UserName="alice", SerialNumber=app.serial)
    now = world.house.clock.time
    used = {"AuthenticationCode1": app.at(now, -1), "AuthenticationCode2": app.at(now)}
    with refused("InvalidAuthenticationCode", 403):
        await world.iam("EnableMFADevice", UserName="alice", SerialNumber=app.serial, **used)
    later(world, 2 * totp.STEP_SECONDS)
    await world.iam(
        "EnableMFADevice", UserName="alice", SerialNumber=app.serial, **app.pair(world.house.clock.time + 30)
    )
    with refused("AccessDenied", 403, WRONG):
        await world.sts("GetSessionToken", who=alice, **code)


async def test_a_device_whose_clock_went_astray(world):
    alice = await world.user("alice")
    app = await enable(world, "alice")
    later(world, 7_200)
    off = world.house.clock.time + 300  # what the device takes for now
    with refused("AccessDenied", 403, WRONG):
        await world.sts("GetSessionToken", who=alice, SerialNumber=app.serial, TokenCode=app.at(off))
    given = {"UserName": "alice", "SerialNumber": app.serial}
    with refused("InvalidAuthenticationCode", 403):
        await world.iam("ResyncMFADevice", **given, AuthenticationCode1=app.at(off), AuthenticationCode2=app.at(off))
    await world.iam("ResyncMFADevice", **given, **app.pair(off))
    assert await world.sts("GetSessionToken", who=alice, SerialNumber=app.serial, TokenCode=app.at(off))
    with refused("NoSuchEntity", 404, "MFA Device invalid for user."):
        await world.iam("ResyncMFADevice", SerialNumber=app.serial, UserName="root", **app.pair(off))


async def test_guessing_gets_slow(world):
    alice = await world.user("alice")
    app = await enable(world, "alice")
    wrong = {"SerialNumber": app.serial, "TokenCode": app.at(world.house.clock.time, 9)}
    for _guess in range(MISSES_FREE):
        with refused("AccessDenied", 403, WRONG):
            await world.sts("GetSessionToken", who=alice, **wrong)
    with refused("AccessDenied", 403, WRONG):
        await world.sts("GetSessionToken", who=alice, **shown(world, app))
    with refused("InvalidAuthenticationCode", 403):
        pair = app.pair(world.house.clock.time + 90)
        await world.iam("ResyncMFADevice", UserName="alice", SerialNumber=app.serial, **pair)
    later(world, 61)
    assert await world.sts("GetSessionToken", who=alice, **shown(world, app))
    later(world, 31)
    with refused("AccessDenied", 403, WRONG):
        await world.sts("GetSessionToken", who=alice, **wrong)
    assert await world.sts("GetSessionToken", who=alice, **shown(world, app))
