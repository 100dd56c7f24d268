"""Annotations that come along with a copy of their object: taken once for a call, attached in the commit of the copy.

Each gets bytes of its own, as the copy does, under the copy's encryption. Source: S3 model, CopyObject; S3 user guide,
"Annotating your objects". Knows nothing of the object's own bytes.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from msgspec.structs import replace

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.s3 import INLINE_BYTES_MAX, Bucket, ObjectVersion
from opentrail.rows.s3_annotations import ANNOTATIONS, ANNOTATIONS_MAX, SETS, AnnotationSet
from opentrail.services.s3.annotation_rules import (
    copies_annotations,
    has_annotations,
    new_ref,
    new_row,
    under_customer_key,
)
from opentrail.services.s3.copy_source import (
    CopySource,
    annotation_questions,
    copied_algorithm,
    copy_bytes,
    open_source,
)
from opentrail.services.s3.encryption import SSE_S3, STASH, Protection, not_implemented
from opentrail.services.s3.guard import question
from opentrail.services.s3.payload import Payload, taken_before
from opentrail.services.s3.reading import Run
from opentrail.state import Unit

INLINE_TOTAL_MAX = 4 * 1024 * 1024
"""Bytes of annotations that one copy puts into the ledger; the others become blobs, however small."""
TURN = 50
"""Annotations copied before other calls get their turn."""
TAKEN = "annotations"


class Taken(NamedTuple):
    """The annotations of a source as they were at one of its `changes`: name, row there, bytes here."""

    changes: int
    copies: list[tuple[str, ObjectVersion, Payload]]


async def take_annotations(call: Call, unit: Unit, bucket: Bucket, source: CopySource, version: ObjectVersion) -> None:
    """Copy the bytes of a source's annotations, if the call is to bring them along."""
    taken = call.stash.get(TAKEN)
    if isinstance(taken, Taken):  # walked again: the use of keys must be recorded with what comes of it
        copies = [(name, row, taken_before(call, payload) or payload) for name, row, payload in taken.copies]
        for _, row, _ in copies:
            open_source(call, unit, source, row)
        call.stash[TAKEN] = Taken(taken.changes, copies)
        return
    if not copies_annotations(call) or not has_annotations(unit, version):
        return
    if bucket.zone:
        raise not_implemented("x-amz-object-annotation-directive")
    _check_allowed(call, unit, bucket, source)
    protection = call.stash.setdefault(STASH, Protection(SSE_S3))
    if protection.mark:
        raise under_customer_key()
    call.stash[TAKEN] = await _taken(call, unit, source, version)


def _check_allowed(call: Call, unit: Unit, bucket: Bucket, source: CopySource) -> None:
    """Asked again: while the object's bytes were copied, it may have got its first annotation."""
    write = question(call, unit, bucket, "s3:PutObject", call.input["Key"])
    if not all(call.may(asked) for asked in annotation_questions(call, unit, write, source)):
        raise AwsError("AccessDenied", "Access Denied", 403)


async def _taken(call: Call, unit: Unit, source: CopySource, version: ObjectVersion) -> Taken:
    found = SETS.get(unit, version.annotated)
    rows = ANNOTATIONS.page(unit, version.annotated, limit=ANNOTATIONS_MAX)
    copies: list[tuple[str, ObjectVersion, Payload]] = []
    inline = 0
    for key, row in rows:
        inline_max = INLINE_BYTES_MAX if inline + row.size <= INLINE_TOTAL_MAX else 0
        algorithm = copied_algorithm(call, row)
        try:
            payload = await copy_bytes(call, unit, source, row, Run(0, row.size), algorithm, inline_max)
        except (FileNotFoundError, LookupError) as error:  # it went while others were copied
            raise _changed() from error
        inline += row.size if payload.data is not None else 0
        copies.append((ANNOTATIONS.parts(key)[1], row, payload))
        if len(copies) % TURN == 0:
            await asyncio.sleep(0)
    return Taken(found.changes if found is not None else 0, copies)


def attach_annotations(
    call: Call, unit: Unit, bucket: Bucket, copy: ObjectVersion, version: ObjectVersion
) -> ObjectVersion:
    """The copy's row with the annotations that were taken; raises ServiceUnavailable if they are others by now."""
    taken = call.stash.get(TAKEN)
    if not isinstance(taken, Taken):
        return copy
    found = SETS.get(unit, version.annotated)  # by this read the commit is guarded
    if found is None or found.changes != taken.changes:
        raise _changed()
    ref = new_ref(unit)
    for name, _, payload in taken.copies:
        ANNOTATIONS.put(unit, new_row(unit, bucket, copy.key, payload), ref, name)
    SETS.put(unit, AnnotationSet(len(taken.copies)), ref)
    return replace(copy, annotated=ref)


def _changed() -> AwsError:
    message = "Annotations of the source were changed while they were copied. Please try again."
    return AwsError("ServiceUnavailable", message, 503)
