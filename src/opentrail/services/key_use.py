"""Using a KMS key for a caller: what S3 and others do when they encrypt for somebody, within the caller's own call.

The use is a call of its own, with the caller's identity and the key's permissions, and leaves KMS's record of it in the
commit of the call that caused it; a refused use is recorded with the refused call. Source: KMS guide, "Forward access
sessions" and the records that S3 leaves; S3's error codes for KMS's refusals. Knows no service's objects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

from opentrail.access.context import RequestContext
from opentrail.access.decide import NO_IDENTITY, decide
from opentrail.access.refusal import refusal
from opentrail.call import Access, Call, HttpRequest, Principal, Shape
from opentrail.errors import AwsError
from opentrail.record.identity import AWS_INTERNAL
from opentrail.services.identity import identity_of
from opentrail.services.key_access import VIA
from opentrail.services.key_crypto import decrypt, decrypt_questions, generate_data_key, named_question
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


def new_data_key(call: Call, unit: Unit, service: str, key: str, context: Mapping[str, str]) -> Shape:
    """GenerateDataKey for the caller through `service` (`s3`); KMS's output. Raises KMS's errors.

    `key` is a key or an alias as the caller's account means it."""
    given: Shape = {"KeyId": key, "KeySpec": DATA_KEY, "EncryptionContext": dict(context)}

    def asked(inner: Call) -> Sequence[Access]:
        question = named_question(inner, unit, "kms:GenerateDataKey")
        inner.input["KeyId"] = question.resource  # the record names the key, whatever the caller called it
        return [question]

    return _use(call, unit, service, "GenerateDataKey", given, asked, generate_data_key)


def open_data_key(call: Call, unit: Unit, service: str, blob: bytes, context: Mapping[str, str]) -> bytes:
    """Decrypt for the caller through `service`; the plaintext. Raises KMS's errors."""
    given = {"EncryptionContext": dict(context), "CiphertextBlob": blob}
    answer = _use(call, unit, service, "Decrypt", given, lambda inner: decrypt_questions(inner, unit), decrypt)
    plaintext: bytes = answer["Plaintext"]
    return plaintext


def _use(
    call: Call,
    unit: Unit,
    service: str,
    operation: str,
    given: Shape,
    asked: Callable[[Call], Sequence[Access]],
    work: Callable[[Call, Unit], Shape],
) -> Shape:
    inner = _inner(call, unit, service, operation, given)
    try:
        _check(inner, unit, asked(inner))
        inner.output = work(inner, unit)
        return inner.output
    except AwsError as error:
        inner.error = error
        raise
    finally:
        inner.finished_at = unit.now
        call.evidence.caused += (inner,)


def _inner(call: Call, unit: Unit, service: str, operation: str, given: Shape) -> Call:
    principal = acting(call.principal)
    who = principal.invoked_by
    request = HttpRequest("POST", "/", "", {"user-agent": who}, _BODY, who)
    return Call(
        request=request,
        request_id=unit.house.clock.uuid(),
        host_id="",
        started_at=unit.now,
        operation=unit.house.models.operation("kms", operation),
        region=call.region,
        account_id=principal.account_id,
        principal=principal,
        input=given,
        stash={VIA: service},
    )


def acting(principal: Principal) -> Principal:
    """The caller, with a service acting for it."""
    return principal if principal.invoked_by else replace(principal, invoked_by=AWS_INTERNAL)


def _check(call: Call, unit: Unit, questions: Sequence[Access]) -> None:
    """The permission check, as the gate has it."""
    principal = call.principal
    identity = NO_IDENTITY if principal.type in ("AWSService", "Anonymous") else identity_of(unit, principal)
    context = RequestContext(principal, call.request, call.region, unit.now)
    for question in questions:
        decision = decide(principal, identity, question, context)
        if not decision.allowed:
            raise refusal(decision, principal, question)
