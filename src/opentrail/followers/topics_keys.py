"""The key that messages of topics are signed with: made when first needed, sealed at rest, its certificate shown to all.

Source: SNS developer guide, "Verifying the signatures of Amazon SNS messages".
"""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from opentrail.rows.sns import CURRENT_KEY, KEY_PURPOSE, SIGNING_KEYS, Named, SigningKey
from opentrail.state import House, Unit

KEY_BITS = 2_048
VALIDITY_DAYS = 3_650
SUBJECT = "sns.amazonaws.com"
_PUBLIC_EXPONENT = 65_537
_HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}


class MessageKey:
    """Finds or makes the key. It stays in memory once it was opened."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._key: rsa.RSAPrivateKey | None = None
        self.fingerprint = ""

    async def open(self) -> None:
        """Be able to sign; the certificate is durable on return. Raises Conflict, LedgerUnavailable."""
        if self._key is not None:
            return
        unit = Unit(self._house, self._house.clock.now())
        current = CURRENT_KEY.get(unit, "")
        row = SIGNING_KEYS.get(unit, current.id) if current is not None else None
        if current is None or row is None:
            key = await asyncio.to_thread(rsa.generate_private_key, _PUBLIC_EXPONENT, KEY_BITS)
            await self._store(unit, key)
            return
        opened = load_der_private_key(self._house.seal.open(row.sealed, KEY_PURPOSE), None)
        assert isinstance(opened, rsa.RSAPrivateKey)
        self._key, self.fingerprint = opened, current.id

    async def _store(self, unit: Unit, key: rsa.RSAPrivateKey) -> None:
        certificate = _certificate(key, unit.now)
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()[:32]
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        row = SigningKey(certificate.public_bytes(Encoding.PEM).decode(), self._house.seal.seal(private, KEY_PURPOSE))
        SIGNING_KEYS.put(unit, row, fingerprint)
        CURRENT_KEY.put(unit, Named(fingerprint), "")
        await self._house.ledger.commit(unit.writes, ())
        self._key, self.fingerprint = key, fingerprint

    def sign(self, text: bytes, version: str) -> str:
        """Base64 of the RSA signature; version 1 is SHA-1, 2 SHA-256."""
        assert self._key is not None
        signature = self._key.sign(text, padding.PKCS1v15(), _HASHES[version]())
        return base64.b64encode(signature).decode()


def _certificate(key: rsa.RSAPrivateKey, now: float) -> x509.Certificate:
    """Signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
    start = datetime.fromtimestamp(int(now), UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=VALIDITY_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SUBJECT)]), critical=False)
        .sign(key, hashes.SHA256())
    )
