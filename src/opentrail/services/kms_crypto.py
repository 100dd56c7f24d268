"""KMS: encrypting, decrypting and data keys. What is done lies in `key_crypto`, which other services use as well."""

from __future__ import annotations

import os
from collections.abc import Sequence

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services import key_material
from opentrail.services.key_access import ALGORITHM
from opentrail.services.key_crypto import (
    check_algorithm,
    context_of,
    decrypt,
    decrypt_questions,
    end_dry_run,
    generate_data_key,
    named_question,
    note_material,
    opened,
    refuse_unbuilt,
)
from opentrail.services.key_find import check_enabled, find_key
from opentrail.state import Unit

service = Service("kms")


@service.guard("Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
def guard_named(call: Call, unit: Unit) -> Sequence[Access]:
    return [named_question(call, unit, call.operation.facts.actions[0])]


@service.guard("Decrypt")
def guard_decrypt(call: Call, unit: Unit) -> Sequence[Access]:
    return decrypt_questions(call, unit)


@service.guard("ReEncrypt")
def guard_re_encrypt(call: Call, unit: Unit) -> Sequence[Access]:
    """Decrypting with one key and encrypting with another must both be allowed."""
    first = decrypt_questions(call, unit, "kms:ReEncryptFrom")
    return [
        *first,
        named_question(call, unit, "kms:ReEncryptTo", "DestinationKeyId", "DestinationEncryptionContext"),
    ]


@service.operation("Encrypt")
async def encrypt(call: Call, unit: Unit) -> Shape:
    """Encrypt up to 4 KB under a key."""
    check_algorithm(call, "EncryptionAlgorithm")
    key = find_key(call, unit, call.input["KeyId"])
    check_enabled(key)
    end_dry_run(call)
    blob = key_material.encrypt(unit.house.seal, key, bytes(call.input["Plaintext"]), context_of(call))
    note_material(call, key)
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": ALGORITHM}


@service.operation("Decrypt")
async def decrypt_blob(call: Call, unit: Unit) -> Shape:
    """Decrypt what a key of KMS encrypted."""
    return decrypt(call, unit)


@service.operation("ReEncrypt")
async def re_encrypt(call: Call, unit: Unit) -> Shape:
    """Encrypt under another key or context, without showing the plaintext."""
    check_algorithm(call, "SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm")
    refuse_unbuilt(call)
    source, found, plaintext = opened(call, unit, "SourceKeyId", "SourceEncryptionContext")
    target = find_key(call, unit, call.input["DestinationKeyId"])
    check_enabled(target)
    end_dry_run(call)
    blob = key_material.encrypt(unit.house.seal, target, plaintext, context_of(call, "DestinationEncryptionContext"))
    return {
        "CiphertextBlob": blob,
        "SourceKeyId": source.arn,
        "KeyId": target.arn,
        "SourceEncryptionAlgorithm": ALGORITHM,
        "DestinationEncryptionAlgorithm": ALGORITHM,
        "SourceKeyMaterialId": note_material(call, source, found.material_id, "source"),
        "DestinationKeyMaterialId": note_material(call, target, prefix="destination"),
    }


@service.operation("GenerateDataKey")
async def generate(call: Call, unit: Unit) -> Shape:
    """Make a data key and give it in the clear and encrypted."""
    return generate_data_key(call, unit)


@service.operation("GenerateDataKeyWithoutPlaintext")
async def generate_without_plaintext(call: Call, unit: Unit) -> Shape:
    """Make a data key and give it encrypted."""
    output = generate_data_key(call, unit)
    return {name: value for name, value in output.items() if name != "Plaintext"}


@service.operation("GenerateRandom")
async def generate_random(call: Call, _unit: Unit) -> Shape:
    """Give random bytes."""
    refuse_unbuilt(call)
    if call.input.get("CustomKeyStoreId"):
        raise AwsError("CustomKeyStoreNotFoundException", "", 400)
    size = call.input.get("NumberOfBytes")
    if size is None:
        raise AwsError("ValidationException", "NumberOfBytes is required.", 400)
    return {"Plaintext": os.urandom(size)}
