"""Key material and ciphertexts: what KMS keys encrypt with, how it is kept, and what a ciphertext is made of.

A ciphertext is a version, the ARN of its key, the id of the material, a nonce and AES-256-GCM's output; everything before
the output and the encryption context are authenticated with it, so that no part can be exchanged. Each ciphertext has a
key of its own, made of the material and a random salt (HKDF), so that a nonce never repeats under one key, however much
a KMS key encrypts (NIST SP 800-38D allows 2^32 random nonces). Knows no calls, rows of others or permissions.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from opentrail.rows.kms import Key, Material, Place
from opentrail.state import Sealer

MATERIAL_BYTES = 32
SALT_BYTES, NONCE_BYTES, TAG_BYTES = 16, 12, 16
ID_BYTES = 32
"""Of a key material id: 64 hexadecimal digits."""
VERSION = b"\x01"
_PURPOSE = b"opentrail kms ciphertext"


class NoCiphertext(ValueError):
    """The bytes are no ciphertext of ours, or not for this key, material or context."""


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A ciphertext taken apart. `head` is what is authenticated besides the context."""

    arn: str
    material_id: str
    head: bytes
    salt: bytes
    nonce: bytes
    sealed: bytes


def new_material(sealer: Sealer, place: Place, now: float, kind: str = "") -> Material:
    """Fresh material for a key, sealed under the server's key for this key alone."""
    material_id = os.urandom(ID_BYTES).hex()
    return Material(material_id, sealer.seal(os.urandom(MATERIAL_BYTES), _purpose(place, material_id)), now, kind)


def _purpose(place: Place, material_id: str) -> str:
    return f"kms.material\0{place.arn}\0{material_id}"


def encrypt(sealer: Sealer, key: Key, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    """The ciphertext blob of `plaintext` under the key's newest material."""
    material = key.materials[-1]
    arn = key.arn.encode()
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    head = VERSION + bytes([len(arn)]) + arn + bytes.fromhex(material.id) + salt + nonce
    secret = sealer.open(material.sealed, _purpose(key.place, material.id))
    return head + AESGCM(_derived(secret, salt)).encrypt(nonce, plaintext, head + canonical(context))


def take_apart(blob: bytes) -> Ciphertext:
    """What a blob says of itself, still unproven; raises NoCiphertext."""
    if len(blob) < 2 or blob[:1] != VERSION:
        raise NoCiphertext
    start = 2 + blob[1]
    end = start + ID_BYTES + SALT_BYTES + NONCE_BYTES
    if len(blob) < end + TAG_BYTES:
        raise NoCiphertext
    try:
        arn = blob[2:start].decode("ascii")
    except UnicodeDecodeError as error:
        raise NoCiphertext from error
    salted = start + ID_BYTES
    salt, nonce = blob[salted : salted + SALT_BYTES], blob[salted + SALT_BYTES : end]
    return Ciphertext(arn, blob[start:salted].hex(), blob[:end], salt, nonce, blob[end:])


def decrypt(sealer: Sealer, key: Key, found: Ciphertext, context: Mapping[str, str]) -> bytes:
    """The plaintext; raises NoCiphertext if anything is not as it was encrypted."""
    material = next((each for each in key.materials if each.id == found.material_id), None)
    if material is None or found.arn != key.arn:
        raise NoCiphertext
    secret = sealer.open(material.sealed, _purpose(key.place, material.id))
    try:
        return AESGCM(_derived(secret, found.salt)).decrypt(found.nonce, found.sealed, found.head + canonical(context))
    except InvalidTag as error:
        raise NoCiphertext from error


def canonical(context: Mapping[str, str]) -> bytes:
    """An encryption context as bytes: no two contexts give the same ones."""
    parts = [part.encode("utf-8", "surrogatepass") for pair in sorted(context.items()) for part in pair]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _derived(secret: bytes, salt: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) for one block."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, _PURPOSE + b"\x01", "sha256")
