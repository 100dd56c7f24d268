"""The documents of the story: policies, the rule's pattern, the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from story import Story

SOURCE_KEY = "sampleapp.zip"
Document = dict[str, Any]


def _policy(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def log_bucket_policy(bucket: str, account: str, trail_arn: str) -> Document:
    """What CloudTrail needs of its log bucket, and nobody else's trail."""
    source = {"StringEquals": {"aws:SourceArn": trail_arn}}
    write = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", "aws:SourceArn": trail_arn}}
    service = {"Service": "cloudtrail.amazonaws.com"}
    return _policy(
        {
            "Sid": "AWSCloudTrailAclCheck20150319",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:GetBucketAcl",
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": source,
        },
        {
            "Sid": "AWSCloudTrailWrite20150319",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/AWSLogs/{account}/*",
            "Condition": write,
        },
    )


def trust(service: str) -> Document:
    """A trust policy for one AWS service."""
    principal = {"Service": f"{service}.amazonaws.com"}
    return _policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def pipeline_role_policy(story: Story) -> Document:
    """What the pipeline may do: read its source, keep artifacts, deploy."""
    source, artifacts, deploy = (f"arn:aws:s3:::{name}" for name in (story.source, story.artifacts, story.deploy))
    read = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetBucketVersioning", "s3:ListBucket"]
    return _policy(
        {"Effect": "Allow", "Action": read, "Resource": [source, f"{source}/*"]},
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{artifacts}/*"},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{deploy}/*"},
    )


def rule_role_policy(pipeline_arn: str) -> Document:
    """What the rule may do: start this pipeline."""
    return _policy({"Effect": "Allow", "Action": "codepipeline:StartPipelineExecution", "Resource": pipeline_arn})


def user_policy(story: Story) -> Document:
    """What Jane may do: upload the source, read and edit the pipeline."""
    return _policy(
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{story.source}/*"},
        {
            "Effect": "Allow",
            "Action": ["codepipeline:GetPipeline", "codepipeline:UpdatePipeline"],
            "Resource": story.pipeline_arn,
        },
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": story.pipeline_role},
    )


def rule_pattern(bucket: str) -> Document:
    """The event pattern that CodePipeline's guide gives for an S3 source."""
    return {
        "source": ["aws.s3"],
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {
            "eventSource": ["s3.amazonaws.com"],
            "eventName": ["PutObject", "CopyObject", "CompleteMultipartUpload"],
            "requestParameters": {"bucketName": [bucket], "key": [SOURCE_KEY]},
        },
    }


def pipeline_declaration(story: Story, source_stage: str) -> Document:
    """Two stages: fetch the zip, deploy its files."""
    source = {
        "name": "Source",
        "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
        "configuration": {"S3Bucket": story.source, "S3ObjectKey": SOURCE_KEY, "PollForSourceChanges": "false"},
        "outputArtifacts": [{"name": "MyApp"}],
    }
    deploy = {
        "name": "Deploy",
        "actionTypeId": {"category": "Deploy", "owner": "AWS", "provider": "S3", "version": "1"},
        "configuration": {"BucketName": story.deploy, "Extract": "true"},
        "inputArtifacts": [{"name": "MyApp"}],
    }
    return {
        "name": story.pipeline,
        "roleArn": story.pipeline_role,
        "artifactStore": {"type": "S3", "location": story.artifacts},
        "stages": [{"name": source_stage, "actions": [source]}, {"name": "Deploy", "actions": [deploy]}],
    }
