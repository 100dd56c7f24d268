"""The RSA keys that digests are signed with: one a region at a time, made when first needed, sealed at rest."""

from __future__ import annotations

import asyncio

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from opentrail.record.digest import KEY_BITS, fingerprint, public_key_der
from opentrail.rows.cloudtrail import SIGNING_KEY_PURPOSE, SIGNING_KEYS, SigningKey
from opentrail.state import House, Unit

VALIDITY_SECONDS = 30 * 86_400
"""How long a key signs. Source: validity times of keys that ListPublicKeys gave on AWS."""
_PUBLIC_EXPONENT = 65_537


class SigningKeys:
    """Finds, makes and opens signing keys. Opened keys stay in memory."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._opened: dict[str, rsa.RSAPrivateKey] = {}

    async def at(self, region: str, moment: float) -> str:
        """The fingerprint of the key that signs digests which end at a moment; its row is durable on return.

        A digest that is late is signed with the key of its time, since whoever checks that time asks for no other.
        """
        unit = Unit(self._house, self._house.clock.now())
        for _, row in SIGNING_KEYS.all(unit, region):
            if row.valid_from <= moment < row.valid_until:
                return row.fingerprint
        key = await asyncio.to_thread(rsa.generate_private_key, _PUBLIC_EXPONENT, KEY_BITS)
        row = self._sealed(key, int(moment))
        SIGNING_KEYS.put(unit, row, region, row.fingerprint)
        await self._house.ledger.commit(unit.writes, ())
        self._opened[row.fingerprint] = key
        return row.fingerprint

    def _sealed(self, key: rsa.RSAPrivateKey, since: int) -> SigningKey:
        public = public_key_der(key.public_key())
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return SigningKey(
            fingerprint=fingerprint(public),
            public=public,
            sealed=self._house.seal.seal(private, SIGNING_KEY_PURPOSE),
            valid_from=since,
            valid_until=since + VALIDITY_SECONDS,
        )

    def private(self, region: str, name: str) -> rsa.RSAPrivateKey:
        """The private key of a fingerprint; raises KeyError if there is none."""
        key = self._opened.get(name)
        if key is None:
            row = SIGNING_KEYS.get(Unit(self._house, 0.0), region, name)
            if row is None:
                raise KeyError(name)
            opened = load_der_private_key(self._house.seal.open(row.sealed, SIGNING_KEY_PURPOSE), None)
            if not isinstance(opened, rsa.RSAPrivateKey):
                raise KeyError(name)
            key = self._opened[name] = opened
        return key
