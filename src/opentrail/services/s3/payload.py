"""Taking in an object's bytes: hashed as they come, small ones kept to lie in the ledger, large ones stored as a blob.

What is to be encrypted is so from here on: neither the ledger nor the blob store sees it otherwise. Runs once for a call,
however often the gate walks it: the result is kept in `call.stash`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass

from msgspec.structs import replace

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.s3 import INLINE_BYTES_MAX, ObjectVersion, Part, data_key
from opentrail.services.s3.cipher import crypt, encrypted
from opentrail.services.s3.encryption import Envelope, KeyRing, covered, new_envelope, renewed
from opentrail.state import Unit
from opentrail.wire.payload import DecodedBody

OBJECT_BYTES_MAX = 5 * 1024**3
"""Bytes of one PutObject or UploadPart."""
REF_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class Payload:
    """An object's bytes, safe. `data` when they are to lie in the ledger, else `part` names the blob."""

    size: int
    etag: str
    checksums: dict[str, str]
    data: bytes | None = None
    part: Part | None = None
    envelope: Envelope | None = None
    """Set when the bytes are encrypted: `data` and the blob are as they are to be stored."""


def taken_before(call: Call, payload: object) -> Payload | None:
    """What an earlier walk of the call has taken in, if it has."""
    if not isinstance(payload, Payload):
        return None
    return (
        payload if payload.envelope is None else dataclasses.replace(payload, envelope=renewed(call, payload.envelope))
    )


async def take_payload(call: Call, unit: Unit, inline_max: int = INLINE_BYTES_MAX) -> Payload:
    """Read and keep the body of the call; raises AWS's error for a length, digest or checksum that is wrong.

    Up to `inline_max` bytes come as `data`; more become a blob."""
    taken = taken_before(call, call.stash.get("payload"))
    if taken is not None:
        return taken
    body = call.body
    assert isinstance(body, DecodedBody)
    if body.length is None:
        raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if body.length > OBJECT_BYTES_MAX:
        message = "Your proposed upload exceeds the maximum allowed size"
        sizes = {"ProposedSize": str(body.length), "MaxSizeAllowed": str(OBJECT_BYTES_MAX)}
        raise AwsError("EntityTooLarge", message, 400, headers=None, **sizes)
    return await store_payload(call, unit, body, inline_max, small=body.length <= inline_max)


async def store_payload(call: Call, unit: Unit, body: DecodedBody, inline_max: int, *, small: bool) -> Payload:
    """Keep what the body yields: as `data` when it is known to be `small`, else as a blob."""
    data, part, envelope = None, None, new_envelope(call)
    if small:
        data = await body.read_all(inline_max)
        if envelope is not None:
            data = crypt(envelope.key, 0, data)
    else:
        part = await store_blob(call, unit, aiter(body), envelope)
    etag = body.md5 if envelope is None else envelope.etag(body.md5)
    payload = Payload(body.size, etag, body.checksums, data, part, envelope)
    call.stash["payload"] = payload
    return payload


async def store_blob(call: Call, unit: Unit, chunks: AsyncIterator[bytes], envelope: Envelope | None) -> Part:
    """Store the stream as a blob of the call's, encrypted if there is an envelope."""
    stored = chunks if envelope is None else encrypted(chunks, envelope.key)
    ref, size = await unit.house.blobs.put(stored)
    call.stash.setdefault("blobs", []).append(ref)
    return Part(ref, size)


def keep(unit: Unit, payload: Payload) -> tuple[str, tuple[Part, ...]]:
    """Put the bytes into the unit; (inline ref, parts) for the object's row."""
    if payload.part is not None:
        unit.writes.blobs.append(payload.part.ref)
        return "", (payload.part,)
    if not payload.data:
        return "", ()
    ref = unit.house.clock.token(26, REF_ALPHABET)
    unit.put(data_key(ref), payload.data)
    return ref, ()


def sealed(unit: Unit, bucket: str, version: ObjectVersion, envelope: Envelope) -> ObjectVersion:
    """The row of an object whose bytes are encrypted, with how and with the data key."""
    parts = tuple(sealed_part(unit, bucket, version.key, part, envelope) for part in version.parts)
    key = envelope.seal(unit, bucket, version.key, version.inline) if version.inline else b""
    return covered(replace(version, parts=parts, sealed_key=key), envelope.protection)


def sealed_part(unit: Unit, bucket: str, key: str, part: Part, envelope: Envelope) -> Part:
    return Part(part.ref, part.size, envelope.seal(unit, bucket, key, part.ref))


def inline_data(unit: Unit, version: ObjectVersion, offset: int, length: int, keys: KeyRing | None) -> bytes:
    """A run of the bytes of an object that lies in the ledger."""
    if not version.inline:
        return b""
    found = unit.get(data_key(version.inline))
    if found is None:
        raise LookupError(f"the bytes of {version.key} are gone from the ledger")
    data = found.value if length == version.size else found.value[offset : offset + length]
    return data if keys is None else crypt(keys.open(version.inline, version.sealed_key), offset, data)
