"""The KMS key of a trail: found, and tried as CloudTrail itself will use it, when a trail is made or changed.

The check is the act, as with the bucket: a marker is put under the key, which stays behind even if the trail is refused.
Source: model of CreateTrail (the exceptions' documentation), user guide, "Configure AWS KMS key policies for CloudTrail";
messages from reports of users.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from opentrail.call import Call
from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import DELIVERY_ACL, TrailConfig, as_cloudtrail, encryption_of
from opentrail.rows.s3 import BUCKETS
from opentrail.services.cloudtrail_bucket import marker_keys
from opentrail.services.key_find import check_enabled, key_at, place_in
from opentrail.state import Unit

_KEY_ID = re.compile(
    r"(arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:)?(alias/[A-Za-z0-9/_-]+|(key/)?(mrk-)?[0-9a-f-]{32,36})", re.ASCII
)


def with_key(config: TrailConfig, given: Mapping[str, Any], unit: Unit) -> TrailConfig:
    """The configuration with the key that KmsKeyId names, as its ARN; an empty one takes the key away.

    Raises InvalidKmsKeyIdException, KmsKeyNotFoundException (also for a key in another region than the bucket's) and
    KmsException for a key that is switched off."""
    named = given.get("KmsKeyId")
    if named is None:
        return config
    if not named:
        return replace(config, kms_key="")
    if not _KEY_ID.fullmatch(named):
        raise AwsError("InvalidKmsKeyIdException", f"KMS key ID {named[:256]} is not valid.")
    bucket = BUCKETS.get(unit, config.bucket)
    region = bucket.region if bucket is not None else config.home_region
    try:
        place = place_in(unit, config.account_id, region, named)
    except AwsError as error:
        raise _not_found(named) from error
    key = key_at(unit, place)
    if key is None and place.account_id == config.account_id:
        raise _not_found(named)
    if key is not None and place.account_id == config.account_id:
        try:
            check_enabled(key)
        except AwsError as error:
            raise _unusable(error) from error
    return replace(config, kms_key=place.arn)


def _not_found(named: str) -> AwsError:
    return AwsError(
        "KmsKeyNotFoundException", f"KMS key {named} does not exist, or is not in the region of the bucket."
    )


def _unusable(error: AwsError) -> AwsError:
    return AwsError("KmsException", error.message)


async def check_key_access(call: Call, unit: Unit, config: TrailConfig) -> None:
    """Raises InsufficientEncryptionPolicyException, or KmsException for a key that is switched off. Once a call."""
    done = f"checked {config.bucket}/{config.prefix} {config.kms_key}"
    if not config.kms_key or done in call.stash:
        return
    target = {"Bucket": config.bucket, "Key": marker_keys(config)[0], "ACL": DELIVERY_ACL, **encryption_of(config)}
    try:
        await unit.house.road.call(
            as_cloudtrail(config), "s3", "PutObject", target, region=config.home_region, body=b""
        )
    except AwsError as error:
        if error.status >= 500:
            raise
        if error.code in ("KMS.DisabledException", "KMS.KMSInvalidStateException"):
            raise _unusable(error) from error
        message = f"Insufficient permissions to access S3 bucket {config.bucket} or KMS key {config.kms_key}."
        raise AwsError("InsufficientEncryptionPolicyException", message) from error
    call.stash[done] = True
