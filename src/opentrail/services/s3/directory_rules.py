"""Directory buckets (S3 Express One Zone): their names, what can be done with them, and the sessions that calls are made in.

A session's token seals who asked for it, its secret, its bucket, its mode and its end; nothing is stored. What a call in a
session may do is asked again at every call: may this caller still have such a session? Source: API reference, CreateSession;
S3 user guide, "Directory bucket naming rules", "Regional and Zonal endpoint API operations".
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64encode

import msgspec

from opentrail.call import Access, Call, Principal
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket
from opentrail.state import Sealer

SESSION_SECONDS = 300
SEALED_FOR = "s3express-session"
TOKEN_CHARS_MAX = 16_384
TOKEN_HEADER = "x-amz-s3session-token"
STASH = "express"
"""Where a call keeps the session it is made in."""
STORAGE_CLASS = "EXPRESS_ONEZONE"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?--([a-z0-9]+(?:-[a-z0-9]+)*-az\d+)--x-s3", re.ASCII)
ZONAL = frozenset(
    {
        "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "CreateSession",
        "DeleteObject", "DeleteObjects", "GetObject", "GetObjectAttributes", "HeadBucket", "HeadObject",
        "ListMultipartUploads", "ListObjectsV2", "ListParts", "PutObject", "RenameObject", "UploadPart", "UploadPartCopy",
    }
)  # fmt: skip
"""Operations of the zonal endpoint, which are allowed by `s3express:CreateSession`."""
REGIONAL = frozenset(
    {
        "CreateBucket", "DeleteBucket", "DeleteBucketEncryption", "DeleteBucketLifecycle", "GetBucketEncryption",
        "GetBucketLifecycleConfiguration", "PutBucketEncryption", "PutBucketLifecycleConfiguration",
        "DeleteBucketInventoryConfiguration", "GetBucketInventoryConfiguration", "ListBucketInventoryConfigurations",
        "PutBucketInventoryConfiguration", "DeleteBucketMetricsConfiguration", "GetBucketMetricsConfiguration",
        "ListBucketMetricsConfigurations", "PutBucketMetricsConfiguration",
    }
)  # fmt: skip
"""Operations of the regional endpoint, each with an action of its own."""


class ExpressSession(msgspec.Struct, frozen=True, array_like=True):
    """What a session token seals. `principal` has the session's access key id; `expires_at` is epoch seconds."""

    secret: str
    principal: Principal
    bucket: str
    mode: str
    expires_at: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ExpressSession).decode


def zone_of(name: str) -> str:
    """The zone that a directory bucket's name says it lies in; empty for any other name."""
    found = _NAME.fullmatch(name)
    return found[1] if found is not None else ""


def directory_arn(bucket: Bucket) -> str:
    return f"arn:aws:s3express:{bucket.region}:{bucket.owner}:bucket/{bucket.name}"


def issue_session(seal: Sealer, session: ExpressSession) -> str:
    """The text of x-amz-s3session-token."""
    return urlsafe_b64encode(seal.seal(_encode(session), SEALED_FOR)).decode()


def open_session(seal: Sealer, token: str, access_key_id: str, bucket: str, now: float) -> ExpressSession:
    """The session of a token; raises AwsError InvalidToken, ExpiredToken, InvalidAccessKeyId, AccessDenied."""
    try:
        sealed = b64decode(token, b"-_", validate=True) if len(token) <= TOKEN_CHARS_MAX else b""
        session = _decode(seal.open(sealed, SEALED_FOR))
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise AwsError("InvalidToken", "The provided token is malformed or otherwise invalid.", 400) from error
    if session.principal.access_key_id != access_key_id:
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise AwsError("InvalidAccessKeyId", message, 403, AWSAccessKeyId=access_key_id)
    if now >= session.expires_at:
        raise AwsError("ExpiredToken", "The provided token has expired.", 400)
    if session.bucket != bucket:
        raise AwsError("AccessDenied", "Access Denied", 403)
    return session


def enter_directory(call: Call, bucket: Bucket) -> None:
    """Note what kind of bucket it is; raise AwsError for what it cannot have done, or not in this session."""
    call.evidence.directory_arn = directory_arn(bucket)
    operation = call.operation
    if operation.name not in ZONAL and operation.name not in REGIONAL:
        message = "The specified method is not allowed against this resource."
        raise AwsError("MethodNotAllowed", message, 405, Method=call.request.method, ResourceType="DIRECTORYBUCKET")
    session = call.stash.get(STASH)
    if isinstance(session, ExpressSession) and session.mode == "ReadOnly" and not operation.facts.read_only:
        raise AwsError("AccessDenied", "Access Denied", 403)


def directory_question(call: Call, bucket: Bucket, action: str) -> Access:
    """What a caller must be allowed: a session that would do for the operation, or the regional operation's own action."""
    context: dict[str, tuple[str, ...]] = {}
    if call.operation.name in REGIONAL:
        asked = f"s3express:{action.partition(':')[2]}"
    else:
        asked = "s3express:CreateSession"
        mode = "ReadOnly" if call.operation.facts.read_only else "ReadWrite"
        if call.operation.name == "CreateSession":
            mode = call.input.get("SessionMode") or "ReadWrite"
        context["s3express:sessionmode"] = (mode,)
    return Access(asked, directory_arn(bucket), bucket.owner, context=context)


def directory_class(asked: str) -> str:
    """The storage class of an object in a directory bucket; raises AwsError InvalidStorageClass for any other."""
    if asked not in ("", STORAGE_CLASS):
        raise AwsError("InvalidStorageClass", "The storage class you specified is not valid", 400)
    return STORAGE_CLASS
