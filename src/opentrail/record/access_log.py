"""S3's server access logs: one line of 26 fields for each request, and the names of the objects that hold them.

Source: S3 user guide, "Amazon S3 server access log format", "Lifecycle and other bucket configurations", and lines of real
logs where the guide is silent: keys are encoded twice but for what S3 does by itself, services are `svc:NAME`. Names of
operations that neither shows follow the pattern of the others. Pure; knows neither buckets' rows nor delivery.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import Final
from urllib.parse import quote

import msgspec

from opentrail.call import Call, HttpRequest, Principal
from opentrail.record.redact import MASKED, is_secret_query

FIELD_CHARS_MAX: Final = 8_192
"""Characters of a field that the client chooses; the rest is cut off."""
NAMES_MAX: Final = 256
"""Names of operations kept in memory."""
NOTHING: Final = "-"
S3_ITSELF: Final = "AmazonS3"
"""The requester of what lifecycle rules do."""
KEY_SAFE: Final = "/"
LOG_DELIVERY: Final = "logging.s3.amazonaws.com"
"""Who delivers logs. In logs it is called as S3 itself."""
UNIQUE_ALPHABET, UNIQUE_LENGTH = "0123456789ABCDEF", 16
BY_EVENT: Final = "EventTime"

SPECIAL: Final = {
    "CopyObject": "REST.COPY.OBJECT",
    "UploadPartCopy": "REST.COPY.PART",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "CreateMultipartUpload": "REST.POST.UPLOADS",
    "CompleteMultipartUpload": "REST.POST.UPLOAD",
    "AbortMultipartUpload": "REST.DELETE.UPLOAD",
    "ListParts": "REST.GET.UPLOAD",
    "PostObject": "REST.POST.BUCKET",
    "RestoreObject": "REST.POST.RESTORE",
    "SelectObjectContent": "REST.SELECT.OBJECT",
    "PreflightRequest": "REST.OPTIONS.PREFLIGHT",
    "GetWebsiteObject": "WEBSITE.GET.OBJECT",
    "HeadWebsiteObject": "WEBSITE.HEAD.OBJECT",
}
"""Operations whose name in the log does not follow from their method and what they are about."""
BATCH_DELETE: Final = "BATCH.DELETE.OBJECT"
SOURCE_READS: Final = {"CopyObject": "REST.COPY.OBJECT_GET", "UploadPartCopy": "REST.COPY.PART_GET"}
"""What the owner of a copy's source sees of it."""
RESOURCES: Final = {
    "ObjectsV2": "BUCKET",
    "Objects": "BUCKET",
    "ObjectVersions": "BUCKETVERSIONS",
    "BucketPolicy": "BUCKETPOLICY",
    "BucketLogging": "LOGGING_STATUS",
    "BucketLifecycleConfiguration": "LIFECYCLE",
    "BucketNotificationConfiguration": "NOTIFICATION",
    "BucketAccelerateConfiguration": "ACCELERATE",
    "ObjectAcl": "ACL",
    "ObjectRetention": "OBJECT_LOCK_RETENTION",
    "ObjectLegalHold": "OBJECT_LOCK_LEGALHOLD",
    "MultipartUploads": "UPLOADS",
}
_CONFIGURATION = re.compile(r"Bucket(Analytics|Metrics|Inventory|IntelligentTiering)Configurations?")
_VERB = re.compile(r"Get|Put|Delete|List|Head|Create|Upload|Update|Write")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TRANSITIONS: Final = {
    "STANDARD_IA": "TRANSITION_SIA",
    "ONEZONE_IA": "TRANSITION_ZIA",
    "INTELLIGENT_TIERING": "TRANSITION_INT",
    "GLACIER_IR": "TRANSITION_GIR",
    "GLACIER": "TRANSITION",
    "DEEP_ARCHIVE": "TRANSITION_GDA",
}
_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.%]*")
_QUOTED_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != '"')
_BARE_SAFE = _QUOTED_SAFE.replace(" ", "")


class Entry(msgspec.Struct, frozen=True):
    """One line. Text as it is, not yet encoded; times are epoch seconds, milliseconds where they last; None and "" are
    what is not known or does not apply."""

    owner: str
    """Canonical id of the bucket's owner."""
    bucket: str
    at: float
    operation: str
    request_id: str = ""
    remote_ip: str = ""
    requester: str = ""
    key: str | None = None
    twice: bool = True
    """The key is encoded twice, as that of every request."""
    uri: str | None = None
    status: int | None = None
    error: str = ""
    bytes_sent: int = 0
    object_size: int | None = None
    total_ms: int | None = None
    turn_around_ms: int | None = None
    referer: str | None = None
    user_agent: str | None = None
    version_id: str = ""
    host_id: str = ""
    signature_version: str = ""
    cipher: str = ""
    authentication: str = ""
    host: str = ""
    tls: str = ""
    acl_required: str = ""


def render(entry: Entry) -> str:
    """The line, without its end."""
    key = None if entry.key is None else _encoded_key(entry.key, entry.twice)
    return " ".join(
        (
            entry.owner,
            entry.bucket,
            time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime(entry.at)),
            entry.remote_ip if _ADDRESS.fullmatch(entry.remote_ip) else NOTHING,
            _bare(entry.requester),
            _bare(entry.request_id),
            entry.operation,
            key or NOTHING,
            _quoted(entry.uri),
            _number(entry.status),
            _bare(entry.error),
            _number(entry.bytes_sent or None),
            _number(entry.object_size),
            _number(entry.total_ms),
            _number(entry.turn_around_ms),
            _quoted(entry.referer),
            _quoted(entry.user_agent),
            _bare(entry.version_id),
            _bare(entry.host_id),
            _bare(entry.signature_version),
            _bare(entry.cipher),
            _bare(entry.authentication),
            _bare(entry.host),
            _bare(entry.tls),
            NOTHING,
            _bare(entry.acl_required),
        )
    )


def _number(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _bare(text: str) -> str:
    return quote(text[:FIELD_CHARS_MAX], safe=_BARE_SAFE, encoding="utf-8", errors="replace") or NOTHING


def _quoted(text: str | None) -> str:
    """In quotes, none of which can stand inside; a field that never applies has none."""
    if text is None:
        return NOTHING
    inner = quote(text[:FIELD_CHARS_MAX], safe=_QUOTED_SAFE, encoding="utf-8", errors="replace")
    return f'"{inner or NOTHING}"'


def _encoded_key(key: str, twice: bool) -> str:
    once = quote(key, safe=KEY_SAFE, errors="surrogatepass")
    return quote(once, safe=KEY_SAFE) if twice else once


def entry_of(call: Call, ids: tuple[str, str], bucket: str, key: str | None, status: int, now: float) -> Entry:
    """What a call leaves in the log of the bucket it went to. `ids` are the canonical ids of the bucket's owner and of
    the caller's account. `now`: its last byte is about to be sent."""
    request = call.request
    tls, answered = request.tls, call.stash.get("answered_at", now)
    service = call.principal.type == "AWSService"
    return Entry(
        owner=ids[0],
        bucket=bucket,
        at=call.started_at,
        operation=operation_name(call.operation.name, request.method),
        request_id=call.request_id,
        remote_ip=request.remote_ip,
        requester=requester(call.principal, ids[1]),
        key=key or None,
        uri=_uri(request),
        status=status,
        error=call.error.code if call.error is not None and status >= 400 else "",
        bytes_sent=call.bytes_out,
        object_size=call.evidence.object_size,
        total_ms=_milliseconds(now - call.started_at),
        turn_around_ms=None if request.body.received else _milliseconds(answered - call.started_at),
        referer=request.headers.get("referer", ""),
        user_agent="" if service else request.headers.get("user-agent", ""),
        version_id=str(call.input.get("VersionId") or ""),
        host_id=call.host_id,
        signature_version=call.signature_version,
        cipher=tls.cipher_suite if tls is not None else "",
        authentication=call.authentication_method.replace("HtmlForm", ""),
        host=request.headers.get("host", ""),
        tls=tls.version if tls is not None else "",
        acl_required=str(call.evidence.additional.get("aclRequired", "")),
    )


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def batch_entry(whole: Entry, key: str, version_id: str, status: int, error: str, size: int | None) -> Entry:
    """The line of one key of a DeleteObjects, made from the line of the whole."""
    return msgspec.structs.replace(
        whole,
        operation=BATCH_DELETE,
        key=key,
        twice=False,
        version_id=version_id,
        uri=None,
        status=status,
        error=error,
        bytes_sent=0,
        object_size=size,
        total_ms=None,
        turn_around_ms=None,
        referer=None,
        user_agent=None,
    )


def requester(principal: Principal, canonical: str) -> str:
    """Who called: an ARN, the canonical id of an account for its root, a service's name; empty for whoever did not sign."""
    if principal.type == "Anonymous":
        return ""
    if principal.type == "AWSService":
        name = principal.invoked_by
        return f"svc:{'s3.amazonaws.com' if name == LOG_DELIVERY else name}"
    return canonical if principal.type == "Root" else principal.arn


def _uri(request: HttpRequest) -> str:
    target = request.path
    if request.query:
        pairs = (pair.partition("=") for pair in request.query.split("&"))
        target += "?" + "&".join(
            name + sign + (MASKED if value and is_secret_query(name) else value) for name, sign, value in pairs
        )
    return f"{request.method} {target} HTTP/1.1"


@lru_cache(maxsize=NAMES_MAX)
def operation_name(operation: str, method: str) -> str:
    """`REST.GET.OBJECT` of GetObject, and so on."""
    if operation in SPECIAL:
        return SPECIAL[operation]
    noun = _VERB.sub("", operation, count=1)
    resource = RESOURCES.get(noun, "")
    if not resource:
        found = _CONFIGURATION.fullmatch(noun)
        noun = found[1] if found is not None else noun
        noun = noun.removeprefix("Bucket") or noun
        resource = _HUMP.sub("_", noun).upper()
    return f"REST.{method.upper()}.{resource}"


def lifecycle_operation(event: str, storage_class: str) -> str:
    """The operation of what a lifecycle rule did, by the name of its event and the class it moved an object to."""
    if event == "LifecycleTransition":
        return f"S3.{_TRANSITIONS.get(storage_class, 'TRANSITION')}.OBJECT"
    return "S3.CREATE.DELETEMARKER" if event.endswith("DeleteMarkerCreated") else "S3.EXPIRE.OBJECT"


UPLOAD_ABORTED: Final = "S3.DELETE.UPLOAD"


def object_key(prefix: str, partition: str, source: tuple[str, str, str], event: float, now: float, unique: str) -> str:
    """The key of a log object: `PREFIX2026-11-26-19-25-28-0123456789ABCDEF`, or the same below folders.

    `partition` is empty, `DeliveryTime` or `EventTime`; `source` the logged bucket's (account, region, name); `event` the
    time of a request that is told in it. Where folders go by events, an object tells of one day, and names its midnight.
    """
    if not partition:
        return prefix + time.strftime("%Y-%m-%d-%H-%M-%S-", time.gmtime(now)) + unique
    moment = time.gmtime(event // 86_400 * 86_400 if partition == BY_EVENT else now)
    return f"{prefix}{'/'.join(source)}/" + time.strftime("%Y/%m/%d/%Y-%m-%d-%H-%M-%S-", moment) + unique
