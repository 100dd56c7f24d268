"""The buckets from which `aws cloudtrail create-subscription` takes its policies: `awscloudtrail-policy-REGION`, readable by
everybody, with a template for the log bucket and one for the topic.

At AWS they are there; here each comes to be when it is first asked for, as any bucket and objects, of an account that nobody
can enter. Their names are nobody else's to take, or he could say who may write into other people's log buckets. Source: the
AWS CLI's cloudtrail customization (what it fetches and what it fills in); CloudTrail user guide, bucket and topic policies.
"""

from __future__ import annotations

import hashlib
import json
import re

from opentrail.rows.iam import AMAZON_ACCOUNT
from opentrail.rows.s3 import BUCKETS, NULL_VERSION, OBJECTS, Bucket, ObjectVersion, data_key
from opentrail.state import Unit

PREFIX = "awscloudtrail-policy-"
REGIONS = re.compile(
    r"(af-south|ap-(east|northeast|south|southeast)|ca-(central|west)|cn-(north|northwest)|eu-(central|north|south|west)"
    r"|il-central|me-(central|south)|mx-central|sa-east|us-(east|west|gov-east|gov-west))-[1-9]",
    re.ASCII,
)
"""Where there are such buckets, besides in the server's own region."""
_CLOUDTRAIL = {"Service": "cloudtrail.amazonaws.com"}
_VERSION = "2012-10-17"


def _bucket_template() -> str:
    owned = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
    statements = [
        {
            "Sid": "AWSCloudTrailAclCheck20150319",
            "Effect": "Allow",
            "Principal": _CLOUDTRAIL,
            "Action": "s3:GetBucketAcl",
            "Resource": "arn:aws:s3:::<BucketName>",
        },
        {
            "Sid": "AWSCloudTrailWrite20150319",
            "Effect": "Allow",
            "Principal": _CLOUDTRAIL,
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::<BucketName>/<Prefix>/AWSLogs/<CustomerAccountID>/*",
            "Condition": owned,
        },
    ]
    return json.dumps({"Version": _VERSION, "Statement": statements}, indent=2)


def _topic_template() -> str:
    statement = {
        "Sid": "AWSCloudTrailSNSPolicy20150319",
        "Effect": "Allow",
        "Principal": _CLOUDTRAIL,
        "Action": "SNS:Publish",
        "Resource": "arn:aws:sns:<Region>:<SNSTopicOwnerAccountId>:<SNSTopicName>",
    }
    return json.dumps({"Version": _VERSION, "Statement": [statement]}, indent=2)


TEMPLATES = {
    "policy/S3/AWSCloudTrail-S3BucketPolicy-2014-12-17.json": _bucket_template,
    "policy/SNS/AWSCloudTrail-SnsTopicPolicy-2014-12-17.json": _topic_template,
}


def template_bucket(unit: Unit, name: str) -> Bucket | None:
    """The bucket of that name with its objects, made now; None if it is none of these. Asked for names that nobody has."""
    region = name.removeprefix(PREFIX)
    if region == name or not (REGIONS.fullmatch(region) or region == unit.house.settings.region):
        return None
    reading = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    policy = json.dumps({"Version": _VERSION, "Statement": [reading]})
    bucket = Bucket(name=name, owner=AMAZON_ACCOUNT, region=region, created_at=unit.now, policy=policy)
    BUCKETS.put(unit, bucket, name)
    for number, (key, template) in enumerate(TEMPLATES.items()):
        data, ref = template().encode(), f"{name}-{number}"
        unit.put(data_key(ref), data)
        version = ObjectVersion(
            key=key,
            version_id=NULL_VERSION,
            order=int(unit.now * 1_000_000),
            modified=unit.now,
            owner=AMAZON_ACCOUNT,
            etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            size=len(data),
            inline=ref,
            content_type="application/json",
        )
        OBJECTS.put(unit, version, name, key)
    return bucket
