"""Reading and writing S3 objects for actions: artifacts under the store's encryption, and errors in AWS's words.

Every call goes by the action's context, so under the role of the pipeline or the action.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opentrail.call import ByteStream, Shape
from opentrail.errors import AwsError
from opentrail.rows.codepipeline import Artifact
from opentrail.rows.codepipeline_action import ActionContext, ActionResult, failed

MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound", "404"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden"})


@asynccontextmanager
async def reading(
    context: ActionContext, bucket: str, key: str, version: str = ""
) -> AsyncIterator[tuple[Shape, bytes | ByteStream]]:
    """An object's output and its payload, which is given back afterwards."""
    asked = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
    answer = await context.call("s3", "GetObject", asked)
    if answer.stream is None:
        yield answer.output, answer.output.get("Body") or b""
        return
    try:
        yield answer.output, answer.stream
    finally:
        await answer.stream.close()


def length_of(payload: bytes | ByteStream) -> int:
    return len(payload) if isinstance(payload, bytes) else payload.length


async def write_artifact(context: ActionContext, artifact: Artifact, payload: bytes | ByteStream) -> None:
    """Put an output into the artifact store, under the store's key if it declares one, else under aws/s3."""
    asked: dict[str, Any] = {"Bucket": artifact.bucket, "Key": artifact.key, "ServerSideEncryption": "aws:kms"}
    if context.kms_key:
        asked["SSEKMSKeyId"] = context.kms_key
    await context.call("s3", "PutObject", asked, payload)


def s3_failure(error: AwsError, bucket: str, key: str = "") -> ActionResult:
    """The failure of an action whose S3 call was refused."""
    if error.code in DENIED:
        return failed(
            "PermissionError",
            "The service role or action role doesn't have the permissions required to access the Amazon S3 bucket "
            f"named {bucket}. Update the IAM role permissions, and then try again. Error: Amazon S3:{error.code}:"
            f"{error.message or 'Access Denied'}",
        )
    if error.code == "NoSuchBucket":
        return failed("ConfigurationError", f"The Amazon S3 bucket named {bucket} does not exist")
    if error.code in MISSING:
        return failed("RevisionUnavailable", f"The object with key '{key}' does not exist in the S3 bucket '{bucket}'")
    return failed("JobFailed", f"Amazon S3:{error.code}:{error.message} (bucket {bucket}, key {key})")
