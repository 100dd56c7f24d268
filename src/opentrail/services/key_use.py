"""Using a KMS key for a caller: what S3 and others do when they encrypt for somebody, within the caller's own call.

The use is a call of its own, with the caller's identity and the key's permissions, and leaves KMS's record of it in the
commit of the call that caused it; a refused use is recorded with the refused call. Source: KMS guide, "Forward access
sessions" and the records that S3 leaves; S3's error codes for KMS's refusals. Knows no service's objects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from opentrail.access.context import RequestContext
from opentrail.access.decide import NO_IDENTITY, decide
from opentrail.access.refusal import refusal
from opentrail.call import Access, Call, HttpRequest, Principal, Shape
from opentrail.errors import AwsError
from opentrail.record.identity import AWS_INTERNAL
from opentrail.rows.organizations import place_of
from opentrail.services import key_material
from opentrail.services.identity import identity_of
from opentrail.services.key_access import VIA
from opentrail.services.key_crypto import decrypt, decrypt_questions, generate_data_key, named_question
from opentrail.services.key_find import check_enabled, find_key
from opentrail.services.key_material import NoCiphertext, take_apart
from opentrail.state import Unit

DATA_KEY = "AES_256"


class _Empty:
    """`call.Body` without a byte."""

    length: int | None = 0
    received = 0
    trailers: Mapping[str, str] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def read_all(self, _limit: int) -> bytes:
        return b""


_BODY = _Empty()


class DataKey(NamedTuple):
    """A data key: the ARN of the key it is encrypted under, its ciphertext and its plaintext."""

    arn: str
    blob: bytes
    secret: bytes


class Use(NamedTuple):
    """Whose call uses a key, and how: through which service (`s3`), in which region."""

    call: Call
    unit: Unit
    service: str
    region: str


def new_data_key(use: Use, key: str, context: Mapping[str, str], known: bytes = b"") -> DataKey:
    """GenerateDataKey for the caller. `key` is a key or an alias as the caller's account means it.

    With `known`, a data key that the caller got before is given again if it is of that key: the caller must still be
    allowed, the key still enabled, but no new use is recorded. Raises KMS's errors."""
    given: Shape = {"KeyId": key, "KeySpec": DATA_KEY, "EncryptionContext": dict(context)}

    def asked(inner: Call) -> Sequence[Access]:
        question = named_question(inner, use.unit, "kms:GenerateDataKey")
        inner.input["KeyId"] = question.resource  # the record names the key, whatever the caller called it
        return [question]

    def again(inner: Call, unit: Unit) -> Shape:
        found = find_key(inner, unit, inner.input["KeyId"])
        check_enabled(found)
        try:
            plaintext = key_material.decrypt(unit.house.seal, found, take_apart(known), context)
        except NoCiphertext:
            return {}
        return {"KeyId": found.arn, "CiphertextBlob": known, "Plaintext": plaintext}

    answer = _use(use, "GenerateDataKey", given, asked, again, quiet=True) if known else {}
    if not answer:
        answer = _use(use, "GenerateDataKey", dict(given), asked, generate_data_key)
    return DataKey(answer["KeyId"], answer["CiphertextBlob"], answer["Plaintext"])


def open_data_key(use: Use, blob: bytes, context: Mapping[str, str], *, quiet: bool = False) -> bytes:
    """Decrypt for the caller; the plaintext. `quiet`: recorded only if it is refused. Raises KMS's errors."""
    given = {"EncryptionContext": dict(context), "CiphertextBlob": blob}

    def asked(inner: Call) -> Sequence[Access]:
        return decrypt_questions(inner, use.unit)

    plaintext: bytes = _use(use, "Decrypt", given, asked, decrypt, quiet=quiet)["Plaintext"]
    return plaintext


def _use(
    use: Use,
    operation: str,
    given: Shape,
    asked: Callable[[Call], Sequence[Access]],
    work: Callable[[Call, Unit], Shape],
    *,
    quiet: bool = False,
) -> Shape:
    inner = _inner(use, operation, given)
    try:
        _check(inner, use.unit, asked(inner))
        inner.output = work(inner, use.unit)
        return inner.output
    except AwsError as error:
        inner.error = error
        raise
    finally:
        inner.finished_at = use.unit.now
        if inner.error is not None or not quiet:
            use.call.evidence.caused += (inner,)


def _inner(use: Use, operation: str, given: Shape) -> Call:
    principal, unit = acting(use.call.principal), use.unit
    who = principal.invoked_by
    return Call(
        request=HttpRequest("POST", "/", "", {"user-agent": who}, _BODY, who),
        request_id=unit.house.clock.uuid(),
        host_id="",
        started_at=unit.now,
        operation=unit.house.models.operation("kms", operation),
        region=use.region,
        account_id=principal.account_id,
        principal=principal,
        input=given,
        stash={VIA: use.service},
    )


def acting(principal: Principal) -> Principal:
    """The caller, with a service acting for it."""
    return principal if principal.invoked_by else replace(principal, invoked_by=AWS_INTERNAL)


def _check(call: Call, unit: Unit, questions: Sequence[Access]) -> None:
    """The permission check, as the gate has it."""
    principal = call.principal
    identity = NO_IDENTITY if principal.type in ("AWSService", "Anonymous") else identity_of(unit, principal)
    context = RequestContext(principal, call.request, call.region, unit.now, partial(place_of, unit))
    for question in questions:
        decision = decide(principal, identity, question, context)
        if not decision.allowed:
            raise refusal(decision, principal, question)
