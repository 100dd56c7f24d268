"""Configuration documents of a bucket: kept as JSON text by kind, and named in the bucket's row.

So a request need not look for those that do not exist. Times inside a document are kept as ISO 8601 text. What a
document means is known to the family that puts it; they all refuse one that breaks S3's schema in the same words.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, CONFIGS, Bucket, ConfigDocument
from opentrail.state import Unit


def malformed() -> AwsError:
    """The document of a request is not what S3's schema asks for."""
    return AwsError("MalformedXML", "", 400)


def document_text(unit: Unit, bucket: Bucket, kind: str) -> str:
    """The JSON text of the document; empty when the bucket has none of this kind."""
    if kind not in bucket.configured:
        return ""
    found = CONFIGS.get(unit, bucket.name, kind)
    return "" if found is None else found.document


def read_document(unit: Unit, bucket: Bucket, kind: str) -> dict[str, Any]:
    """The document; empty when the bucket has none of this kind. Times in it are text."""
    text = document_text(unit, bucket, kind)
    document: dict[str, Any] = msgspec.json.decode(text) if text else {}
    return document


def put_document(unit: Unit, bucket: Bucket, kind: str, document: dict[str, Any]) -> None:
    """Set the document. `datetime`s become ISO 8601 text."""
    text = msgspec.json.encode(document).decode()
    CONFIGS.put(unit, ConfigDocument(text, unit.now), bucket.name, kind)
    name_kind(unit, bucket, kind)


def drop_document(unit: Unit, bucket: Bucket, kind: str) -> None:
    """Remove the document, if there is one."""
    if kind in bucket.configured:
        CONFIGS.delete(unit, bucket.name, kind)
        unname_kind(unit, bucket, kind)


def name_kind(unit: Unit, bucket: Bucket, kind: str) -> None:
    """Let the bucket's row say that there is something of this kind."""
    if kind not in bucket.configured:
        BUCKETS.put(unit, replace(bucket, configured=(*bucket.configured, kind)), bucket.name)


def unname_kind(unit: Unit, bucket: Bucket, kind: str) -> None:
    """The last of its kind is gone."""
    kept = tuple(each for each in bucket.configured if each != kind)
    BUCKETS.put(unit, replace(bucket, configured=kept), bucket.name)
