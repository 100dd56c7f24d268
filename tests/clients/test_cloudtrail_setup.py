"""Setting a trail up: by the AWS CLI's own commands, and the checks of bucket and topic that a real server makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, OTHER_KEY, OTHER_SECRET, REGION, ServerProcess
from tests.clients.trail_log import TrailLog, log_bucket_policy
from tests.clients.waiting import until

pytestmark = pytest.mark.slow


def test_the_cli_makes_a_subscription(server: ServerProcess, s3: Any, cloudtrail: Any, name: str) -> None:
    """`create-subscription` makes bucket, topic and trail by policy templates that it fetches from a bucket of AWS's."""
    given = ("--name", name, "--s3-prefix", "logs", "--s3-new-bucket", name, "--sns-new-topic", name)
    said = server.aws("cloudtrail", "create-subscription", *given)
    assert f"Logs will be delivered to {name}:logs" in said
    trail = cloudtrail.get_trail(Name=name)["Trail"]
    assert (trail["S3BucketName"], trail["S3KeyPrefix"]) == (name, "logs")
    assert trail["SnsTopicARN"] == f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}"
    assert cloudtrail.get_trail_status(Name=name)["IsLogging"] is True
    policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    assert policy["Statement"][1]["Resource"] == f"arn:aws:s3:::{name}/logs/AWSLogs/{ACCOUNT}/*"
    server.aws("cloudtrail", "update-subscription", "--name", name, "--s3-new-bucket", f"{name}-2")
    trail = cloudtrail.get_trail(Name=name)["Trail"]
    assert (trail["S3BucketName"], trail["S3KeyPrefix"]) == (f"{name}-2", "logs")
    markers = s3.list_objects_v2(Bucket=f"{name}-2")["Contents"]
    assert [(each["Key"], each["Size"]) for each in markers][:1] == [(f"logs/AWSLogs/{ACCOUNT}/CloudTrail/", 0)]
    cloudtrail.delete_trail(Name=name)


def test_the_buckets_of_templates_are_nobodys_to_take(server: ServerProcess, name: str) -> None:
    there = server.client("s3", (OTHER_KEY, OTHER_SECRET))
    with pytest.raises(there.exceptions.BucketAlreadyExists):
        there.create_bucket(
            Bucket="awscloudtrail-policy-eu-west-1", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    for refused in (
        lambda: there.put_object(Bucket="awscloudtrail-policy-eu-west-1", Key="k", Body=b"x"),
        lambda: there.list_objects_v2(Bucket="awscloudtrail-policy-eu-west-1"),
    ):
        with pytest.raises(ClientError) as caught:
            refused()
        assert caught.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(there.exceptions.NoSuchBucket):
        there.get_object(Bucket=f"awscloudtrail-policy-{name}", Key="policy")


def test_the_cli_chooses_what_is_logged(server: ServerProcess, s3: Any, cloudtrail: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_bucket_policy(Bucket=name, Policy=log_bucket_policy(name, ACCOUNT))
    cloudtrail.create_trail(Name=name, S3BucketName=name)
    fields = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
    ]
    text = json.dumps([{"Name": "objects", "FieldSelectors": fields}])
    server.aws("cloudtrail", "put-event-selectors", "--trail-name", name, "--advanced-event-selectors", text)
    [chosen] = cloudtrail.get_event_selectors(TrailName=name)["AdvancedEventSelectors"]
    assert chosen == {"Name": "objects", "FieldSelectors": fields}
    nothing = {"ReadWriteType": "All", "IncludeManagementEvents": False}
    with pytest.raises(cloudtrail.exceptions.InvalidEventSelectorsException):
        cloudtrail.put_event_selectors(TrailName=name, EventSelectors=[nothing])
    cloudtrail.delete_trail(Name=name)


def test_the_event_configuration_of_a_trail(server: ServerProcess, cloudtrail: Any, trail: TrailLog) -> None:
    """A trail's records are of one size and never enriched; who asks for it is told so, and log files stay as they are."""
    shown = json.loads(server.aws("cloudtrail", "get-event-configuration", "--trail-name", trail.name))
    assert shown == {"TrailARN": trail.arn, "AggregationConfigurations": []}
    asked = [{"Type": "RequestContext", "Equals": ["aws:PrincipalArn"]}]
    given = ("--trail-name", trail.name, "--max-event-size", "Large", "--context-key-selectors", json.dumps(asked))
    said = server.aws("cloudtrail", "put-event-configuration", *given, status=255)
    assert "InvalidParameterCombinationException" in said
    summaries = [{"EventCategory": "Data", "Templates": ["API_ACTIVITY"]}]
    for refused, code in (
        ({"TrailName": trail.name, "AggregationConfigurations": summaries}, "NotImplemented"),
        ({"EventDataStore": "store"}, "EventDataStoreNotFoundException"),
        ({}, "InvalidParameterCombinationException"),
    ):
        with pytest.raises(ClientError) as caught:
            cloudtrail.put_event_configuration(**refused)
        assert caught.value.response["Error"]["Code"] == code
    taken = trail.of(cloudtrail.put_event_configuration(TrailName=trail.name, MaxEventSize="Standard"))
    assert taken["requestParameters"] == {"trailName": trail.name, "maxEventSize": "Standard"}
    assert taken["responseElements"] == {"trailARN": trail.arn, "aggregationConfigurations": []}
    [told] = trail.find(eventName="PutEventConfiguration", errorCode="InvalidParameterCombinationException")[:1]
    assert told["requestParameters"]["contextKeySelectors"] == [
        {"type": "RequestContext", "equals": ["aws:PrincipalArn"]}
    ]
    assert not any("eventContext" in each for each in trail.records)


def test_a_bucket_where_the_requester_pays_takes_no_log_files(s3: Any, cloudtrail: Any, bucket: str, name: str) -> None:
    s3.put_bucket_policy(Bucket=bucket, Policy=log_bucket_policy(bucket, ACCOUNT))
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    with pytest.raises(cloudtrail.exceptions.InsufficientS3BucketPolicyException) as caught:
        cloudtrail.create_trail(Name=name, S3BucketName=bucket)
    assert caught.value.response["Error"]["Message"] == f"Incorrect S3 bucket policy is detected for bucket: {bucket}"
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    cloudtrail.create_trail(Name=name, S3BucketName=bucket)
    cloudtrail.delete_trail(Name=name)


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({"StringEquals": {"aws:SourceArn": "TRAIL"}}, True),
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, True),
        ({"StringEquals": {"aws:SourceArn": "TRAIL-2"}}, False),
        ({"StringEquals": {"aws:SourceAccount": "999999999999"}}, False),
        ({"StringEquals": {"s3:x-amz-acl": "private"}}, False),
    ],
)
def test_conditions_of_the_buckets_policy(
    s3: Any, cloudtrail: Any, bucket: str, name: str, condition: dict[str, dict[str, str]], fits: bool
) -> None:
    arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{name}"
    policy = json.loads(log_bucket_policy(bucket, ACCOUNT))
    told = json.loads(json.dumps(condition).replace("TRAIL", arn))
    for statement in policy["Statement"]:
        if "s3:x-amz-acl" not in told["StringEquals"] or statement["Action"] == "s3:PutObject":
            statement["Condition"] = told
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    if fits:
        cloudtrail.create_trail(Name=name, S3BucketName=bucket)
        cloudtrail.delete_trail(Name=name)
        return
    with pytest.raises(cloudtrail.exceptions.InsufficientS3BucketPolicyException):
        cloudtrail.create_trail(Name=name, S3BucketName=bucket)


def test_a_topic_is_tried_by_a_message(server: ServerProcess, s3: Any, cloudtrail: Any, bucket: str, name: str) -> None:
    s3.put_bucket_policy(Bucket=bucket, Policy=log_bucket_policy(bucket, ACCOUNT))
    sns, sqs = server.client("sns"), server.client("sqs")
    topic = sns.create_topic(Name=name)["TopicArn"]
    for given in (name, topic, "nobody"):
        with pytest.raises(cloudtrail.exceptions.InsufficientSnsTopicPolicyException) as caught:
            cloudtrail.create_trail(Name=name, S3BucketName=bucket, SnsTopicName=given)
        message = "SNS Topic does not exist or the topic policy is incorrect!"
        assert caught.value.response["Error"]["Message"] == message
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    publish = {"Service": "cloudtrail.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": publish, "Action": "SNS:Publish", "Resource": topic}
    sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    made = cloudtrail.create_trail(Name=name, S3BucketName=bucket, SnsTopicName=name)
    assert (made["SnsTopicName"], made["SnsTopicARN"]) == (name, topic)
    [message] = until(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages"))
    assert message["Body"] == "CloudTrail validation message."
    assert "SnsTopicARN" not in cloudtrail.update_trail(Name=name, SnsTopicName="")
    cloudtrail.delete_trail(Name=name)
