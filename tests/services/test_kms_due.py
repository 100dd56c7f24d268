"""Keys whose time has come: removed or renewed, once, with the record that KMS leaves."""

import json

import pytest
from msgspec.structs import replace

from opentrail.followers.keys import KeysFollower
from opentrail.rows.kms import (
    ALIASES,
    DUES,
    GRANT_PLACES,
    GRANTS,
    KEYS,
    PENDING,
    Alias,
    Grant,
    GrantPlace,
    Key,
    Place,
    put_key,
)
from opentrail.services.key_find import key_at
from opentrail.services.key_material import decrypt, encrypt, new_material, take_apart
from opentrail.services.kms_due import due_step
from tests.fakes.house import NOW, build_house, commit, new_unit

PLACE = Place("111122223333", "eu-west-1", "11111111-2222-4333-8444-555555555555")
DAY = 86_400


@pytest.fixture
async def house():
    house = build_house()
    unit = new_unit(house)
    materials = (new_material(house.seal, PLACE, NOW),)
    put_key(unit, Key(*PLACE, created_at=NOW, policy="{}", materials=materials, aliases=("alias/a",)))
    ALIASES.put(unit, Alias(PLACE.key_id, NOW, NOW), *PLACE[:2], "alias/a")
    grant = Grant("0" * 64, "arn:aws:iam::111122223333:root", ("Decrypt",), "token", "me", NOW)
    where = GrantPlace(*PLACE, grant.grantee, grant.grant_id)
    GRANTS.put(unit, grant, *where.parts)
    GRANT_PLACES.put(unit, where, grant.grant_id)
    GRANT_PLACES.put(unit, where, grant.token)
    await commit(unit)
    return house


async def change(house, **changes):
    unit = new_unit(house)
    key = KEYS.get(unit, *PLACE)
    put_key(unit, replace(key, **changes), key)
    await commit(unit)


def told(house):
    return [json.loads(line.data) for line in house.ledger.lines]


async def test_a_key_is_removed_when_its_waiting_time_is_over(house):
    await change(house, state=PENDING, delete_at=NOW + 7 * DAY)
    follower = KeysFollower(house, due_step)
    house.clock.time = NOW + 7 * DAY - 1
    assert not await follower.look()
    house.clock.time += 1
    assert key_at(new_unit(house), PLACE) is None  # gone at that moment, whoever looks first
    assert await follower.look()
    assert not await follower.look()
    assert not [name for name in house.ledger.rows if name.startswith(b"kms.")]
    [record] = told(house)
    assert (record["eventName"], record["eventType"]) == ("DeleteKey", "AwsServiceEvent")
    assert record["userIdentity"] == {"accountId": PLACE.account_id, "invokedBy": "AWS Internal"}
    assert record["resources"] == [{"accountId": PLACE.account_id, "type": "AWS::KMS::Key", "ARN": PLACE.arn}]
    assert record["serviceEventDetails"] == {"keyId": PLACE.key_id}


async def test_a_deletion_that_was_called_off_does_not_happen(house):
    await change(house, state=PENDING, delete_at=NOW + 7 * DAY)
    await change(house, state="Disabled", delete_at=0.0)
    house.clock.time = NOW + 100 * DAY
    assert not await KeysFollower(house, due_step).look()
    assert KEYS.get(new_unit(house), *PLACE) is not None


async def test_a_key_is_rotated_when_it_is_due_and_then_again(house):
    blob = encrypt(house.seal, KEYS.get(new_unit(house), *PLACE), b"x", {})
    await change(house, rotation_days=90, rotate_at=NOW + 90 * DAY)
    follower = KeysFollower(house, due_step)
    for turn in (1, 2):
        house.clock.time = NOW + turn * 90 * DAY
        assert await follower.look()
        assert not await follower.look()
        key = KEYS.get(new_unit(house), *PLACE)
        assert (len(key.materials), key.rotate_at) == (1 + turn, NOW + (turn + 1) * 90 * DAY)
        assert decrypt(house.seal, key, take_apart(blob), {}) == b"x"
    assert [record["serviceEventDetails"]["rotationType"] for record in told(house)] == ["AUTOMATIC"] * 2
    assert len(list(DUES.all(new_unit(house)))) == 1


async def test_a_disabled_key_waits_with_its_rotation(house):
    await change(house, rotation_days=90, rotate_at=NOW + 90 * DAY, state="Disabled")
    house.clock.time = NOW + 90 * DAY
    follower = KeysFollower(house, due_step)
    assert await follower.look()
    assert not await follower.look()
    key = KEYS.get(new_unit(house), *PLACE)
    assert (len(key.materials), key.rotate_at) == (1, NOW + 91 * DAY)
    assert told(house) == []
