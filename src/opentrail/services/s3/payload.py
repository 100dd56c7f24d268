"""Taking in an object's bytes: hashed as they come, small ones kept to lie in the ledger, large ones stored as a blob.

Runs once for a call, however often the gate walks it: the result is kept in `call.stash`.
"""

from __future__ import annotations

from dataclasses import dataclass

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.s3 import INLINE_BYTES_MAX, ObjectVersion, Part, data_key
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


async def take_payload(call: Call, unit: Unit, inline_max: int = INLINE_BYTES_MAX) -> Payload:
    """Read and keep the body of the call; raises AWS's error for a length, digest or checksum that is wrong.

    Up to `inline_max` bytes come as `data`; more become a blob."""
    taken = call.stash.get("payload")
    if isinstance(taken, Payload):
        return taken
    body = call.body
    assert isinstance(body, DecodedBody)
    if body.length is None:
        raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if body.length > OBJECT_BYTES_MAX:
        message = "Your proposed upload exceeds the maximum allowed size"
        sizes = {"ProposedSize": str(body.length), "MaxSizeAllowed": str(OBJECT_BYTES_MAX)}
        raise AwsError("EntityTooLarge", message, 400, headers=None, **sizes)
    data, part = None, None
    if body.length <= inline_max:
        data = await body.read_all(inline_max)
    else:
        ref, size = await unit.house.blobs.put(aiter(body))
        call.stash.setdefault("blobs", []).append(ref)
        part = Part(ref, size)
    payload = Payload(body.size, body.md5, body.checksums, data, part)
    call.stash["payload"] = payload
    return payload


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


def inline_data(unit: Unit, version: ObjectVersion) -> bytes:
    """The bytes of an object that lies in the ledger."""
    if not version.inline:
        return b""
    found = unit.get(data_key(version.inline))
    if found is None:
        raise LookupError(f"the bytes of {version.key} are gone from the ledger")
    return found.value
