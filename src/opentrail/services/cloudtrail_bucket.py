"""May CloudTrail write into this bucket? Asked as CloudTrail itself, on the one road, when a trail is made or changed.

The check is the act: GetBucketAcl, then zero-byte markers where the log files will go, which stay behind even if the
trail is refused. Both are tried, whatever the first says. That the bucket is there is found out first of all, before the
topic's name is looked at. A Requester Pays bucket is refused by S3 itself, because CloudTrail's requests carry no
`x-amz-request-payer`. Source: CloudTrail user guide, "Amazon S3 bucket policy for CloudTrail"; real records of CreateTrail.
"""

from __future__ import annotations

from opentrail.call import Call, Principal
from opentrail.errors import AwsError
from opentrail.ports import Road
from opentrail.rows.cloudtrail import DELIVERY_ACL, TrailConfig, as_cloudtrail
from opentrail.state import Unit

VALIDATION_MESSAGE = "CloudTrail validation message."
"""What a topic is sent when a trail begins to use it. Source: messages recorded on AWS."""

_ABSENT = frozenset({"NoSuchBucket", "404", "NotFound"})


async def look_at_bucket(call: Call, unit: Unit, config: TrailConfig) -> None:
    """Raises S3BucketDoesNotExistException. What else S3 said is kept for `check_bucket_access`. Done once a call, however
    often the call is walked."""
    looked = f"looked at {config.bucket}"
    if looked in call.stash:
        return
    call.stash[looked] = None
    given = {"Bucket": config.bucket}
    try:
        await unit.house.road.call(as_cloudtrail(config), "s3", "GetBucketAcl", given, region=config.home_region)
    except AwsError as error:
        if error.code in _ABSENT or error.status >= 500:
            raise refusal(config.bucket, error) from error
        call.stash[looked] = error


async def check_bucket_access(call: Call, unit: Unit, config: TrailConfig) -> None:
    """Raises S3BucketDoesNotExistException or InsufficientS3BucketPolicyException. Once a call."""
    done = f"checked {config.bucket}/{config.prefix} {config.validation} {config.organization_id}"
    if done in call.stash:
        return
    await look_at_bucket(call, unit, config)
    refused: AwsError | None = call.stash[f"looked at {config.bucket}"]
    for folder in marker_keys(config):
        try:
            await _put_marker(unit.house.road, as_cloudtrail(config), config, folder)
        except AwsError as error:
            refused = refused or error
    if refused is not None:
        raise refusal(config.bucket, refused) from refused
    call.stash[done] = True


def marker_keys(config: TrailConfig) -> list[str]:
    """Where the markers go: the folder of the log files and, with validation on, of the digests."""
    base = f"{config.prefix}/" if config.prefix else ""
    base += f"AWSLogs/{config.organization_id}/" if config.organization_id else "AWSLogs/"
    folders = ["CloudTrail", "CloudTrail-Digest"] if config.validation else ["CloudTrail"]
    return [f"{base}{config.account_id}/{folder}/" for folder in folders]


async def _put_marker(road: Road, principal: Principal, config: TrailConfig, key: str) -> None:
    target = {"Bucket": config.bucket, "Key": key, "ACL": DELIVERY_ACL}
    await road.call(principal, "s3", "PutObject", target, region=config.home_region, body=b"")


def refusal(bucket: str, error: AwsError) -> AwsError:
    """CloudTrail's error for what S3 said; an error of the store itself stays what it is."""
    if error.status >= 500:
        return error
    if error.code in _ABSENT:
        return AwsError("S3BucketDoesNotExistException", f"S3 bucket {bucket} does not exist!")
    return AwsError(
        "InsufficientS3BucketPolicyException", f"Incorrect S3 bucket policy is detected for bucket: {bucket}"
    )


async def check_topic_access(call: Call, unit: Unit, config: TrailConfig) -> None:
    """Sends the validation message; raises InsufficientSnsTopicPolicyException. Once a call."""
    done = f"checked {config.topic_arn}"
    if not config.topic_arn or done in call.stash:
        return
    principal = as_cloudtrail(config)
    message = {"TopicArn": config.topic_arn, "Message": VALIDATION_MESSAGE}
    region = config.topic_arn.split(":")[3]
    try:
        await unit.house.road.call(principal, "sns", "Publish", message, region=region)
    except AwsError as error:
        raise AwsError(
            "InsufficientSnsTopicPolicyException", "SNS Topic does not exist or the topic policy is incorrect!"
        ) from error
    call.stash[done] = True
