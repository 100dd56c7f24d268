"""The managed policies that AWS keeps for everybody, as far as OpenTrail's services have a use for them.

Facts of the AWS managed policy reference: name, path, what they allow. Every account sees them under the same ARN.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opentrail.rows.iam import AWS_POLICY_PREFIX

_SINCE = 1_423_161_600.0
"""2015-02-05T18:40:00Z, when AWS published the first of them."""


@dataclass(frozen=True, slots=True)
class AwsPolicy:
    """One of AWS's own policies. `path` is `/`, `/service-role/` …; `created_at` epoch seconds."""

    name: str
    path: str
    id: str
    document: str
    description: str
    created_at: float = _SINCE

    @property
    def arn(self) -> str:
        return AWS_POLICY_PREFIX + self.path.removeprefix("/") + self.name


def _allow(actions: Sequence[str], resource: str | Sequence[str] = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def _policy(name: str, id_: str, description: str, *statements: dict[str, Any], path: str = "/") -> AwsPolicy:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, separators=(",", ":"))
    return AwsPolicy(name, path, id_, document, description)


_READS = ("Get*", "List*", "Describe*")
_READ_SERVICES = (
    *("cloudtrail", "cloudwatch", "codepipeline", "events", "iam", "kms"),
    *("logs", "organizations", "s3", "sns", "sqs"),
)
_READ_ONLY = [f"{service}:{verb}" for service in _READ_SERVICES for verb in _READS]

_ALL = (
    _policy("AdministratorAccess", "ANPAIWMBCKSKIEE64ZLYK", "Allows every action on every resource.", _allow(["*"])),
    _policy(
        "PowerUserAccess",
        "ANPAJYRXTHIB4FOVS3ZXS",
        "Allows every action except the management of identities.",
        {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*", "account:*"], "Resource": "*"},
        _allow(["iam:CreateServiceLinkedRole", "iam:DeleteServiceLinkedRole", "iam:ListRoles"]),
    ),
    _policy(
        "ReadOnlyAccess",
        "ANPAILL3HVNFSB6DCOWYQ",
        "Allows reading everywhere, changing nothing.",
        _allow([*_READ_ONLY, "cloudtrail:LookupEvents", "events:TestEventPattern", "logs:FilterLogEvents"]),
    ),
    _policy(
        "IAMFullAccess",
        "ANPAI7XKCFMBPM3QQRRVQ",
        "Allows the management of identities.",
        _allow(["iam:*", "organizations:DescribeAccount", "organizations:DescribeOrganization"]),
    ),
    _policy(
        "IAMReadOnlyAccess",
        "ANPAJKSO7NDY4T57MWDSQ",
        "Allows reading identities and their policies.",
        _allow(["iam:GenerateCredentialReport", "iam:Get*", "iam:List*", "iam:Simulate*"]),
    ),
    _policy(
        "AmazonS3FullAccess",
        "ANPAIFIR6V6BVTRAHWINE",
        "Allows everything in S3.",
        _allow(["s3:*", "s3-object-lambda:*"]),
    ),
    _policy(
        "AmazonS3ReadOnlyAccess",
        "ANPAIZTJ4DXE7G6AGAE6M",
        "Allows reading in S3.",
        _allow(["s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*", "s3-object-lambda:List*"]),
    ),
    _policy(
        "AWSCloudTrail_FullAccess",
        "ANPAZKAPJZG4OCTRAILFA",
        "Allows the management of trails and what they need.",
        _allow(["cloudtrail:*"]),
        _allow(["s3:CreateBucket", "s3:PutBucketPolicy"], "arn:aws:s3:::aws-cloudtrail-logs*"),
        _allow(["s3:ListAllMyBuckets", "s3:GetBucketLocation", "s3:GetBucketPolicy"]),
        _allow(["logs:CreateLogGroup", "iam:ListRoles", "sns:CreateTopic", "sns:ListTopics", "sns:GetTopicAttributes"]),
    ),
    _policy(
        "AWSCloudTrail_ReadOnlyAccess",
        "ANPAZKAPJZG4OCTRAILRO",
        "Allows reading trails and the event history.",
        _allow(["cloudtrail:Get*", "cloudtrail:Describe*", "cloudtrail:List*", "cloudtrail:LookupEvents"]),
    ),
    _policy(
        "AWSCodePipeline_FullAccess",
        "ANPAZKAPJZG4OPIPELINF",
        "Allows the management of pipelines and what starts them.",
        _allow(
            ["codepipeline:*", "events:*", "iam:ListRoles", "s3:ListAllMyBuckets", "s3:ListBucket", "sns:ListTopics"]
        ),
        _allow(["iam:PassRole"]),
    ),
    _policy(
        "AWSCodePipeline_ReadOnlyAccess",
        "ANPAZKAPJZG4OPIPELINR",
        "Allows reading pipelines.",
        _allow(
            ["codepipeline:Get*", "codepipeline:List*", "s3:ListAllMyBuckets", "s3:ListBucket", "s3:GetBucketPolicy"]
        ),
    ),
    _policy(
        "AmazonEventBridgeFullAccess",
        "ANPAJBOZRLTKVY4MJH2CO",
        "Allows everything in EventBridge.",
        _allow(["events:*", "schemas:*", "scheduler:*", "pipes:*"]),
    ),
    _policy("AmazonSNSFullAccess", "ANPAJWEKLCXXUNT2SOLSG", "Allows everything in SNS.", _allow(["sns:*"])),
    _policy("AmazonSQSFullAccess", "ANPAI65L554VRJ33ECQS6", "Allows everything in SQS.", _allow(["sqs:*"])),
    _policy(
        "CloudWatchFullAccess",
        "ANPAIKEABORKUXN6DEAZU",
        "Allows everything in CloudWatch and its logs.",
        _allow(["cloudwatch:*", "logs:*", "sns:*", "autoscaling:Describe*"]),
    ),
    _policy(
        "CloudWatchLogsFullAccess", "ANPAJ3ZGNWK2R5HW5BQFO", "Allows everything in CloudWatch Logs.", _allow(["logs:*"])
    ),
)

AWS_POLICIES: dict[str, AwsPolicy] = {policy.arn: policy for policy in _ALL}
"""By ARN."""
