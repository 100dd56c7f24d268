"""What KMS does with a key: data keys, encrypting, decrypting, with the questions that must be answered before.

Plain functions, since other services use them for their callers within one commit (`key_use`). `call.input` is KMS's, by
the model's names. Plaintext and ciphertext are in the output alone. Source: KMS API reference; KMS's answers and records.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.kms import Key, Place
from opentrail.services import key_material
from opentrail.services.key_access import ALGORITHM, missing, question
from opentrail.services.key_find import ALIAS, check_enabled, find_key, key_at, no_key, place_of
from opentrail.services.key_material import Ciphertext, NoCiphertext, take_apart
from opentrail.state import Unit

SPEC_BYTES = {"AES_256": 32, "AES_128": 16}
CONTEXT_BYTES_MAX = 8_192
"""Bytes of an encryption context, names and values together."""


def named_question(
    call: Call, unit: Unit, action: str, member: str = "KeyId", context_member: str = "EncryptionContext"
) -> Access:
    """May the caller do `action` with the key that `member` names? Raises NotFoundException for one of the own account."""
    ref = call.input[member]
    place = place_of(call, unit, ref)
    key = key_at(unit, place)
    if key is None:
        if place.account_id == call.account_id:
            raise no_key(place)
        return missing(call, place, action)
    alias = ref[ref.index(ALIAS) :] if ALIAS in ref else ""
    return question(call, unit, key, action, context_of(call, context_member), alias=alias)


def context_of(call: Call, member: str = "EncryptionContext") -> Mapping[str, str]:
    """The encryption context; raises ValidationException for one that is too large."""
    context: Mapping[str, str] = call.input.get(member) or {}
    if len(key_material.canonical(context)) > CONTEXT_BYTES_MAX:
        raise AwsError("ValidationException", "The encryption context is larger than 8 KB.", 400)
    return context


def refuse_unbuilt(call: Call) -> None:
    """Nitro enclaves are not to be had, nor dry runs of what has no ciphertext."""
    for member in ("Recipient", "DryRunModifiers"):
        if call.input.get(member):
            raise AwsError("UnsupportedOperationException", f"{member} is not supported.", 400)


def end_dry_run(call: Call) -> None:
    if call.input.get("DryRun"):
        message = "The request would have succeeded, but the DryRun option is set."
        raise AwsError("DryRunOperationException", message, 412)


def check_algorithm(call: Call, *members: str) -> None:
    """Raises InvalidKeyUsageException; the record shows the algorithm even where the caller did not name it."""
    for member in members:
        if call.input.setdefault(member, ALGORITHM) != ALGORITHM:
            message = f"{call.input[member]} is not a supported algorithm for the key's spec {ALGORITHM}."
            raise AwsError("InvalidKeyUsageException", message, 400)


def generate_data_key(call: Call, unit: Unit) -> Shape:
    """A new data key, in the clear and encrypted."""
    refuse_unbuilt(call)
    size = data_key_bytes(call)
    key = find_key(call, unit, call.input["KeyId"])
    check_enabled(key)
    end_dry_run(call)
    plaintext = os.urandom(size)
    blob = key_material.encrypt(unit.house.seal, key, plaintext, context_of(call))
    material = note_material(call, key)
    return {"CiphertextBlob": blob, "Plaintext": plaintext, "KeyId": key.arn, "KeyMaterialId": material}


def data_key_bytes(call: Call) -> int:
    given = call.input
    spec, size = given.get("KeySpec"), given.get("NumberOfBytes")
    if (spec is None) == (size is None):
        raise AwsError("ValidationException", "Please specify either number of bytes or key spec.", 400)
    return SPEC_BYTES[spec] if spec is not None else int(size or 0)


def note_material(call: Call, key: Key, material_id: str = "", prefix: str = "") -> str:
    """The record tells which material was used (since 2025)."""
    used = material_id or key.materials[-1].id
    call.evidence.additional[f"{prefix}KeyMaterialId" if prefix else "keyMaterialId"] = used
    return used


# Decrypting


def decrypt_questions(call: Call, unit: Unit, action: str = "kms:Decrypt") -> Sequence[Access]:
    """May the caller decrypt with the key that the ciphertext names? What is no ciphertext of ours is refused at once.

    A key of which the caller may know nothing is refused alike, be it there or not."""
    source = action == "kms:ReEncryptFrom"
    found = read_blob(call)
    key = named_by(call, unit, found, "SourceKeyId" if source else "KeyId")
    if key is None:
        return [Access(action, found.arn, found.arn.split(":")[4], trust=True)]
    context = context_of(call, "SourceEncryptionContext" if source else "EncryptionContext")
    return [question(call, unit, key, action, context)]


def read_blob(call: Call) -> Ciphertext:
    try:
        return take_apart(bytes(call.input.get("CiphertextBlob") or b""))
    except NoCiphertext:
        raise invalid_ciphertext() from None


def invalid_ciphertext() -> AwsError:
    return AwsError("InvalidCiphertextException", "", 400)


def inaccessible() -> AwsError:
    """The key has gone since the question was asked."""
    message = (
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are "
        "not allowed to access."
    )
    return AwsError("AccessDeniedException", message, 400)


def named_by(call: Call, unit: Unit, found: Ciphertext, member: str) -> Key | None:
    """The key that a ciphertext names, in the call's region. Raises IncorrectKeyException if the call names another."""
    parts = found.arn.split(":", 5)
    if len(parts) != 6 or not parts[5].startswith("key/"):
        raise invalid_ciphertext()
    if parts[3] != call.region:
        return None
    place = Place(parts[4], parts[3], parts[5].removeprefix("key/"))
    wanted = call.input.get(member)
    if wanted is not None and place_of(call, unit, wanted) != place:
        message = "The key ID in the request does not identify a CMK that can perform this operation."
        raise AwsError("IncorrectKeyException", message, 400)
    return key_at(unit, place)


def opened(call: Call, unit: Unit, member: str, context_member: str) -> tuple[Key, Ciphertext, bytes]:
    """(key, ciphertext, plaintext) of the call's blob; raises what Decrypt raises."""
    found = read_blob(call)
    key = named_by(call, unit, found, member)
    if key is None:
        raise inaccessible()
    check_enabled(key)
    try:
        return key, found, key_material.decrypt(unit.house.seal, key, found, context_of(call, context_member))
    except NoCiphertext:
        raise invalid_ciphertext() from None


def decrypt(call: Call, unit: Unit) -> Shape:
    """The plaintext of a ciphertext."""
    refuse_unbuilt(call)
    check_algorithm(call, "EncryptionAlgorithm")
    key, found, plaintext = opened(call, unit, "KeyId", "EncryptionContext")
    end_dry_run(call)
    material = note_material(call, key, found.material_id)
    answer = {"KeyId": key.arn, "Plaintext": plaintext, "EncryptionAlgorithm": ALGORITHM}
    return answer | {"KeyMaterialId": material}
