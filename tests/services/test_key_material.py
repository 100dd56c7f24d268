"""Ciphertexts: what opens them, and that nothing else does."""

import pytest

from opentrail.rows.kms import Key, Place
from opentrail.services.key_material import NoCiphertext, canonical, decrypt, encrypt, new_material, take_apart
from opentrail.state import Sealer

SEALER = Sealer(bytes(32))
PLACE = Place("111122223333", "eu-west-1", "11111111-2222-4333-8444-555555555555")


def make_key(place=PLACE, sealer=SEALER):
    return Key(*place, created_at=0.0, policy="{}", materials=(new_material(sealer, place, 0.0),))


def test_a_ciphertext_opens_with_its_key_and_context_alone():
    key, context = make_key(), {"a": "b", "c": "d"}
    blob = encrypt(SEALER, key, b"plain", context)
    assert b"plain" not in blob
    assert decrypt(SEALER, key, take_apart(blob), {"c": "d", "a": "b"}) == b"plain"
    for other in ({}, {"a": "b"}, {"a": "bc", "": "d"}, {"A": "b", "c": "d"}):
        with pytest.raises(NoCiphertext):
            decrypt(SEALER, key, take_apart(blob), other)
    with pytest.raises(NoCiphertext):
        decrypt(SEALER, make_key(), take_apart(blob), context)


def test_no_byte_of_a_ciphertext_can_be_changed_added_or_left_out():
    key = make_key()
    blob = encrypt(SEALER, key, b"plain", {})
    damaged = [blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(len(blob))]
    damaged += [blob[:at] for at in range(len(blob))] + [blob + b"\0"]
    for each in damaged:
        with pytest.raises(NoCiphertext):
            decrypt(SEALER, key, take_apart(each), {})


def test_older_material_still_decrypts_and_the_newest_encrypts():
    key = make_key()
    old = encrypt(SEALER, key, b"old", {})
    rotated = Key(*PLACE, created_at=0.0, policy="{}", materials=(*key.materials, new_material(SEALER, PLACE, 1.0)))
    new = encrypt(SEALER, rotated, b"new", {})
    assert decrypt(SEALER, rotated, take_apart(old), {}) == b"old"
    with pytest.raises(NoCiphertext):
        decrypt(SEALER, key, take_apart(new), {})


def test_material_opens_in_its_own_key_under_the_servers_key_alone():
    key = make_key()
    blob = encrypt(SEALER, key, b"plain", {})
    elsewhere = Key(*PLACE._replace(account_id="999999999999"), created_at=0.0, policy="{}", materials=key.materials)
    with pytest.raises(ValueError, match="not sealed here"):
        encrypt(SEALER, elsewhere, b"x", {})
    with pytest.raises(ValueError, match="not sealed here"):
        decrypt(Sealer(b"1" * 32), key, take_apart(blob), {})


def test_two_contexts_never_look_alike():
    contexts = [{}, {"a": ""}, {"": "a"}, {"a": "b"}, {"ab": ""}, {"a": "", "b": ""}, {"a": "b", "c": ""}]
    assert len({canonical(each) for each in contexts}) == len(contexts)
