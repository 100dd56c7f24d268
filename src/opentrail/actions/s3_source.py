"""The S3 source action: takes the current version of one object into the artifact store.

Source: CodePipeline user guide, action structure reference of Amazon S3 source. Reads versioning, finds the version,
reads exactly that version and stores it, all under the pipeline's role.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from msgspec.structs import replace

from opentrail.actions.objects import length_of, reading, s3_failure, write_artifact
from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.rows.codepipeline import Artifact
from opentrail.rows.codepipeline_action import ActionContext, ActionResult, failed

SOURCE_BYTES_MAX = 5 * 1024**3
"""Bytes of a source object."""
URL_MAX = 2_048
CHANGE_ID_MAX = 100
REVISION_SUMMARY_MAX = 2_048
SUMMARY_METADATA = "codepipeline-artifact-revision-summary"


class S3Source:
    """`AWS Source S3 1`."""

    async def run(self, context: ActionContext) -> ActionResult:
        bucket, key = context.configuration["S3Bucket"], _key(context)
        try:
            versioning = await context.call("s3", "GetBucketVersioning", {"Bucket": bucket})
            if versioning.output.get("Status") != "Enabled":
                return failed(
                    "ConfigurationError",
                    f"The S3 bucket '{bucket}' is not versioned. Versioning must be enabled on the bucket of an Amazon "
                    "S3 source action",
                )
            return await self._take(context, bucket, key)
        except AwsError as error:
            return s3_failure(error, bucket, key)

    async def _take(self, context: ActionContext, bucket: str, key: str) -> ActionResult:
        """Find the version, and copy just that one."""
        asked = {"Bucket": bucket, "Key": key}
        if wanted := context.overrides.get("S3_OBJECT_VERSION_ID", ""):
            asked["VersionId"] = wanted
        head = (await context.call("s3", "HeadObject", asked)).output
        version = head.get("VersionId") or wanted or "null"
        async with reading(context, bucket, key, version) as (_, payload):
            if length_of(payload) > SOURCE_BYTES_MAX:
                return failed("JobFailed", f"The object '{key}' is larger than {SOURCE_BYTES_MAX} bytes")
            try:
                await write_artifact(context, context.outputs[0], payload)
            except AwsError as error:
                return s3_failure(error, context.outputs[0].bucket, context.outputs[0].key)
        return _succeeded(context, bucket, key, version, head)


def _key(context: ActionContext) -> str:
    allowed = context.configuration.get("AllowOverrideForS3ObjectKey", "false").lower() == "true"
    override = context.overrides.get("S3_OBJECT_KEY") if allowed else None
    return override or context.configuration["S3ObjectKey"]


def _succeeded(context: ActionContext, bucket: str, key: str, version: str, head: Shape) -> ActionResult:
    etag = str(head.get("ETag") or "").strip('"')
    noted = (head.get("Metadata") or {}).get(SUMMARY_METADATA)
    summary = str(noted or f"Amazon S3 version id: {version}")[:REVISION_SUMMARY_MAX]
    url = f"https://console.aws.amazon.com/s3/object/{bucket}/{quote(key)}?versionId={quote(version)}"
    artifact: Artifact = replace(
        context.outputs[0],
        revision_id=version,
        revision_change_id=etag[:CHANGE_ID_MAX],
        revision_summary=summary,
        revision_url=url if len(url) <= URL_MAX else "",
        created=_epoch(head.get("LastModified")) or context.clock.now(),
        action=context.action,
    )
    return ActionResult(
        "Succeeded",
        summary=summary,
        external_id=version,
        variables={"ETag": etag, "VersionId": version},
        artifacts=(artifact,),
    )


def _epoch(value: object) -> float:
    """Epoch seconds of a timestamp as handlers return it; 0 if it is none."""
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, (int, float)) else 0.0
