"""The raw dialect: what S3's records show of a request and its answer, taken from HTTP rather than from the model.

requestParameters: `bucketName`, `key`, `Host`, every query parameter under its own name, some headers, and the XML body
as JSON (user guide and real records 1.07 to 1.11). Bodies that are customers' content or lists of keys do not appear.
What the client can choose freely never takes the place of `bucketName`, `key` or `Host`, on which rules match.
responseElements: some response headers of object writes, else null. Knows nothing of accounts or of the record around.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from opentrail.call import Call
from opentrail.model.shapes import Operation
from opentrail.record.limits import omitted
from opentrail.record.redact import is_secret_query
from opentrail.record.xml_json import xml_as_json
from opentrail.wire.form_codec import split_pairs
from opentrail.wire.presigned import read_presigned
from opentrail.wire.scalars import Malformed

BODY_MAX: Final = 256 * 1_024
"""Bytes of XML or policy that are read for the record; a larger body is marked `omitted`, it would not fit anyway."""
PAIRS_MAX: Final = 1_000
"""Query parameters shown; the rest is left out."""

RESERVED: Final = frozenset({"bucketName", "key", "Host", "bucketPolicy", "accessControlList"})
"""Names a client's parameter or XML root may not take."""
GRANT: Final = "x-amz-grant-"
SHOWN_HEADERS: Final = frozenset(
    {
        "x-amz-acl",
        "x-amz-grant-read",
        "x-amz-grant-write",
        "x-amz-grant-read-acp",
        "x-amz-grant-write-acp",
        "x-amz-grant-full-control",
        "x-amz-copy-source",
        "x-amz-copy-source-range",
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-if-none-match",
        "x-amz-copy-source-if-modified-since",
        "x-amz-copy-source-if-unmodified-since",
        "x-amz-storage-class",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-copy-source-server-side-encryption-customer-algorithm",
        "x-amz-object-ownership",
        "x-amz-request-payer",
        "if-match",
        "if-none-match",
    }
)
_SHOWN_AS: Final = {"if-match": "If-Match", "if-none-match": "If-None-Match"}
FORM: Final = "Fields"
"""Member of PostObject's input that holds the form's fields (name → text); of these, what would be shown as a header."""

SHOWN_RESPONSE_HEADERS: Final[tuple[str, ...]] = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-version-id",
    "x-amz-expiration",
    "x-amz-copy-source-version-id",
)
ANSWERING: Final = frozenset(
    {
        "PutObject",
        "PostObject",
        "CopyObject",
        "CreateMultipartUpload",
        "CompleteMultipartUpload",
        "UploadPart",
        "UploadPartCopy",
    }
)
"""Operations whose response headers appear."""
SILENT_BODIES: Final = frozenset({"DeleteObjects", "PutBucketAnalyticsConfiguration", "PostObject"})
"""Bucket operations whose XML does not appear."""
SHOWN_OBJECT_BODIES: Final = frozenset({"CompleteMultipartUpload", "PutObjectAcl"})
"""Object operations whose XML does appear; tags, retention, restore and select bodies stay out."""
PREFIXED: Final = frozenset({"ListObjects", "ListObjectsV2", "ListObjectVersions", "HeadBucket", "DeleteObjects"})
"""Operations on many objects: their resource is a prefix."""
WITHOUT_RESOURCES: Final = frozenset({"CreateBucket", "ListBuckets", "ListDirectoryBuckets"})


def is_raw(operation: Operation) -> bool:
    """Whether the operation is recorded in this dialect."""
    return operation.service.name in ("s3", "s3control")


def parse_query(query: str) -> Mapping[str, str | list[str]]:
    """Every pair that may be shown, decoded, in order; a name that comes again makes an array. Not to be changed."""
    presigned = read_presigned(query)
    if presigned is not None:
        return presigned.shown
    shown: dict[str, str | list[str]] = {}
    for name, value in _pairs(query):
        if not name or name in RESERVED or is_secret_query(name):
            continue
        known = shown.get(name)
        if known is None:
            shown[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            shown[name] = [known, value]
    return shown


def _pairs(query: str) -> list[tuple[str, str]]:
    """The decoded pairs; of a query that cannot be read, as far as it can."""
    try:
        return split_pairs(query)[:PAIRS_MAX]
    except Malformed:
        halves = [pair.partition("=") for pair in query.split("&", PAIRS_MAX)[:PAIRS_MAX]]
        return [(unquote_plus(name), unquote_plus(value)) for name, _, value in halves]


def _show_headers(call: Call, shown: dict[str, Any]) -> None:
    grants: dict[str, str] = {}
    nested = call.operation.name == "CreateBucket"
    for name, value in call.request.headers.items():
        if name not in SHOWN_HEADERS:
            continue
        if nested and name.startswith(GRANT):
            grants[name] = value
        else:
            shown[_SHOWN_AS.get(name, name)] = value
    if grants:
        shown["accessControlList"] = grants


def _show_form(fields: Any, shown: dict[str, Any]) -> None:  # noqa: ANN401  (what the form reader made)
    """A browser's upload: no real record is known, so its fields are shown as the headers they stand for."""
    if not isinstance(fields, dict):
        return
    for field, value in fields.items():
        name = "x-amz-acl" if str(field).lower() == "acl" else str(field).lower()
        if name in SHOWN_HEADERS:
            shown[name] = str(value)


def _shows_body(operation: Operation) -> bool:
    if operation.name in SILENT_BODIES:
        return False
    return operation.facts.level != "object" or operation.name in SHOWN_OBJECT_BODIES


def _policy_as_json(body: bytes) -> Any:  # noqa: ANN401  (JSON of any shape)
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _show_body(call: Call, shown: dict[str, Any]) -> None:
    if not _shows_body(call.operation):
        return
    if len(call.raw_body) > BODY_MAX:
        shown.update(omitted())
        return
    if call.operation.name == "PutBucketPolicy":
        policy = _policy_as_json(call.raw_body)
        if policy is not None:
            shown["bucketPolicy"] = policy
        return
    for name, value in (xml_as_json(call.raw_body) or {}).items():
        if name not in RESERVED:
            shown.setdefault(name, value)


def request_parameters(call: Call) -> dict[str, Any] | None:
    """`requestParameters` of an S3 call. A body that cannot be read is left out."""
    request, given = call.request, call.input
    shown: dict[str, Any] = {}
    if call.operation.service.name == "s3":
        bucket = given.get("Bucket")
        if bucket is not None:
            shown["bucketName"] = str(bucket)
    host = request.headers.get("host")
    if host is not None:
        shown["Host"] = host
    if request.query:
        shown.update(parse_query(request.query))
    key = given.get("Key")
    if key is not None and "bucketName" in shown:
        shown["key"] = str(key)
    if not SHOWN_HEADERS.isdisjoint(request.headers):
        _show_headers(call, shown)
    if FORM in given:
        _show_form(given[FORM], shown)
    if call.raw_body:
        _show_body(call, shown)
    return shown or None


def response_elements(call: Call) -> dict[str, str] | None:
    """`responseElements` of an S3 call: headers of a finished object write."""
    if call.error is not None or call.operation.name not in ANSWERING:
        return None
    headers = call.evidence.response_headers
    shown = {name: headers[name] for name in SHOWN_RESPONSE_HEADERS if name in headers}
    return shown or None


def resources(call: Call, owner: str) -> list[dict[str, str]]:
    """`resources` of an S3 call: the bucket first (as of 1.11), then the object or the prefix, then the handler's own.

    `owner` is the account shown for the bucket; empty leaves it out. Operations on no bucket have none.
    """
    given, name = call.input, call.operation.name
    bucket = given.get("Bucket")
    shown: list[dict[str, str]] = []
    missing = call.error is not None and call.error.code == "NoSuchBucket"
    if bucket is not None and not missing and name not in WITHOUT_RESOURCES and call.operation.service.name == "s3":
        directory = call.evidence.directory_arn
        arn = directory or f"arn:aws:s3:::{bucket}"
        entry = {"type": "AWS::S3Express::DirectoryBucket" if directory else "AWS::S3::Bucket", "ARN": arn}
        within = "AWS::S3Express::Object" if directory else "AWS::S3::Object"
        shown.append({"accountId": owner, **entry} if owner else entry)
        if name in PREFIXED:
            prefix = given.get("Prefix") or ""
            shown.append({"type": within, "ARNPrefix": f"{arn}/{prefix}"})
        elif given.get("Key") is not None:
            shown.append({"type": within, "ARN": f"{arn}/{given['Key']}"})
    return shown
