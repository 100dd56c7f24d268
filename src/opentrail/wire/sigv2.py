"""S3's Signature Version 2 as arithmetic: the text that is signed, and its HMAC-SHA1.

Knows nothing of errors, clocks or who owns a key. Source: S3 Developer Guide, "Signing and Authenticating REST Requests".
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from opentrail.wire.sigv4 import wire_bytes

SUBRESOURCES = frozenset(
    {
        "abac",
        "accelerate",
        "acl",
        "analytics",
        "annotation",
        "attributes",
        "cors",
        "defaultObjectAcl",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "metadataAnnotationTable",
        "metadataConfiguration",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "partNumber",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "retention",
        "select",
        "select-type",
        "session",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)
"""Parameters that are part of what is signed. Version 2 leaves all others uncovered; every sub-resource that S3 knows is
here, so that a signature for one operation can never be turned into another by adding a `?marker`."""


def canonical_resource(path: str, query: str, bucket_in_host: str) -> str:
    """The path as sent, led by the bucket of a virtual host, and the sub-resources with decoded values."""
    resource = f"/{bucket_in_host}{path}" if bucket_in_host else path
    if not query:
        return resource
    marks = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if name not in SUBRESOURCES and "%" in name:
            name = _decode(name)
        if name in SUBRESOURCES:
            marks.append((name, f"{name}={_decode(value)}" if equals else name))
    if not marks:
        return resource
    return resource + "?" + "&".join(text for _, text in sorted(marks, key=lambda mark: mark[0]))


def signed_paths(path: str) -> tuple[str, ...]:
    """The spellings of a path that a client may have signed: a bucket's own path is the same with and without the slash
    at its end, and botocore signs it with one that it does not send."""
    return (path, path + "/") if path.count("/") == 1 and path != "/" else (path,)


def _decode(text: str) -> str:
    return unquote_to_bytes(wire_bytes(text)).decode("latin-1") if "%" in text else text


def string_to_sign(
    method: str, path: str, query: str, headers: Mapping[str, str], bucket_in_host: str, expires: str = ""
) -> str:
    """`expires` takes the place of the date in a query-string signature; `x-amz-date` empties it in a header one."""
    date = expires or ("" if "x-amz-date" in headers else headers.get("date", ""))
    amz = "".join([f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-amz-")])
    resource = canonical_resource(path, query, bucket_in_host)
    return f"{method}\n{headers.get('content-md5', '')}\n{headers.get('content-type', '')}\n{date}\n{amz}{resource}"


def sign(secret: str, text: str) -> str:
    """Signature in Base64."""
    digest = hmac.digest(secret.encode("utf-8", "surrogatepass"), wire_bytes(text), "sha1")
    return base64.b64encode(digest).decode("ascii")
