"""Annotations: named payloads that hang on one version of an object, and go when it goes.

    s3.annotation       ref name    one annotation, kept as an object is: where its bytes lie, how they are encrypted
    s3.annotation-set   ref         how many a version has, and how often they were changed
    s3.annotation-gone  ref         a set whose version is gone; its rows are cleared away later, a page at a time

`ref` stands in the version's row (`ObjectVersion.annotated`) from its first annotation on. So the rows of a version that
never had one say nothing of them, a version that goes takes a thousand annotations along by writing one row, and what is
written about annotations does not touch the version, which may have ten thousand parts. Knows no operation.
"""

from __future__ import annotations

from typing import Final

from opentrail.rows.bell import Bell
from opentrail.rows.s3 import ObjectVersion, data_key
from opentrail.state import Row, Table, Unit

ANNOTATIONS_MAX: Final = 1_000
"""Annotations of one version of an object. Source: S3 model, PutObjectAnnotation."""
CLEARED_PAGE: Final = 100
"""Annotations cleared away in one commit."""
GONE_BELL: Final = "annotations-gone"


class AnnotationSet(Row, frozen=True):
    """The annotations of one version. `changes` grows with every change of any of them."""

    count: int = 0
    changes: int = 0


class GoneSet(Row, frozen=True):
    """A set that belongs to nobody any more, since then (epoch seconds)."""

    since: float


ANNOTATIONS: Table[ObjectVersion] = Table("s3.annotation", ObjectVersion)
"""The row of an annotation's bytes: of the fields of an object those that speak of bytes, size, checksums, encryption."""
SETS: Table[AnnotationSet] = Table("s3.annotation-set", AnnotationSet)
GONE: Table[GoneSet] = Table("s3.annotation-gone", GoneSet)
BELL = Bell()
"""Rings GONE_BELL."""


def drop_set(unit: Unit, ref: str) -> None:
    """The version is gone, and with it all its annotations; their rows and bytes are cleared away later."""
    GONE.put(unit, GoneSet(unit.now), ref)
    BELL.ring(GONE_BELL)


def drop_bytes(unit: Unit, row: ObjectVersion) -> None:
    """Let go the bytes of an annotation."""
    if row.inline:
        unit.delete(data_key(row.inline))
    unit.writes.dropped_blobs += [part.ref for part in row.parts]


def clear_page(unit: Unit, ref: str) -> bool:
    """Remove a page of what a gone set has; True if nothing is left of it."""
    rows = unit.scan(ANNOTATIONS.key(ref, ""), b"", CLEARED_PAGE)
    for key, found in rows:
        drop_bytes(unit, ANNOTATIONS.decode(found.value))
        unit.delete(key)
    if len(rows) == CLEARED_PAGE:
        return False
    SETS.delete(unit, ref)
    GONE.delete(unit, ref)
    return True
