"""Topics, with boto3, against a real server; endpoints are HTTP servers of the test's own."""

import base64
import json
import queue as queues
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.clients.server_process import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, OTHER_SECRET, REGION, ServerProcess
from tests.clients.trail_log import log_bucket_policy
from tests.clients.waiting import PATIENCE_SECONDS, until

ONE_RETRY = json.dumps({"healthyRetryPolicy": {"numRetries": 1, "minDelayTarget": 1, "maxDelayTarget": 1}})


@pytest.fixture(scope="module")
def sns(server):
    return server.client("sns")


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def topic(sns, name):
    return sns.create_topic(Name=name)["TopicArn"]


@pytest.fixture
def queue(sqs, name):
    return new_queue(sqs, name)


def new_queue(sqs, name, **principal):
    """A queue that SNS and EventBridge may send to."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    services = principal or {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": services, "Action": "sqs:SendMessage", "Resource": queue_arn(name)}
        ],
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    return url


def queue_arn(name):
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def next_message(sqs, url):
    given = {"QueueUrl": url, "WaitTimeSeconds": 20, "MessageAttributeNames": ["All"]}
    [message] = until(lambda: sqs.receive_message(**given).get("Messages"))
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return message


def body_of(sqs, url):
    return json.loads(next_message(sqs, url)["Body"])


def refused(call, **given):
    with pytest.raises(ClientError) as caught:
        call(**given)
    return caught.value.response["Error"]["Code"]


class Endpoint:
    """An HTTP server that keeps what it is sent and answers as it is told."""

    def __init__(self):
        self.got = queues.Queue()
        self.answers = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.got.put((self.path, dict(self.headers.items()), body))
                status, extra = endpoint.answers.pop(0) if endpoint.answers else (200, {})
                self.send_response(status)
                for header, value in extra.items():
                    self.send_header(header, value)
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in?x=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.got.get(timeout=PATIENCE_SECONDS)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    made = Endpoint()
    yield made
    made.close()


def check_signature(message):
    """As the developer guide tells a subscriber to."""
    names = {
        "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    }[message["Type"]]
    text = "".join(f"{each}\n{message[each]}\n" for each in names if each in message)
    with urlopen(message["SigningCertURL"]) as answer:
        certificate = x509.load_pem_x509_certificate(answer.read())
    algorithm = {"1": hashes.SHA1, "2": hashes.SHA256}[message["SignatureVersion"]]()
    signature = base64.b64decode(message["Signature"])
    certificate.public_key().verify(signature, text.encode(), padding.PKCS1v15(), algorithm)


def test_a_queue_gets_the_envelope(sns, sqs, topic, queue, name):
    arn = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(name))["SubscriptionArn"]
    attributes = {
        "s": {"DataType": "String", "StringValue": "ü"},
        "b": {"DataType": "Binary", "BinaryValue": b"\0\1"},
    }
    sent = sns.publish(TopicArn=topic, Message="hällo", Subject="A subject", MessageAttributes=attributes)
    got = body_of(sqs, queue)
    assert got["MessageId"] == sent["MessageId"]
    assert (got["Type"], got["TopicArn"], got["Subject"], got["Message"]) == (
        "Notification", topic, "A subject", "hällo",
    )  # fmt: skip
    assert got["MessageAttributes"] == {
        "s": {"Type": "String", "Value": "ü"},
        "b": {"Type": "Binary", "Value": "AAE="},
    }
    assert arn in got["UnsubscribeURL"]
    check_signature(got)
    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
    sns.publish(TopicArn=topic, Message="again")
    got = body_of(sqs, queue)
    assert got["SignatureVersion"] == "2"
    check_signature(got)


def test_raw_delivery_and_texts_by_protocol(sns, sqs, topic, queue, name):
    arn = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(name), Attributes={"RawMessageDelivery": "true"}
    )["SubscriptionArn"]
    texts = json.dumps({"default": "for all", "sqs": "for queues"})
    value = {"DataType": "Number", "StringValue": "7"}
    sns.publish(TopicArn=topic, Message=texts, MessageStructure="json", MessageAttributes={"n": value})
    got = next_message(sqs, queue)
    assert (got["Body"], got["MessageAttributes"]) == ("for queues", {"n": value})
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="false")
    sns.publish(TopicArn=topic, Message=json.dumps({"default": "for all"}), MessageStructure="json")
    assert body_of(sqs, queue)["Message"] == "for all"


def test_filters(sns, sqs, topic, queue, name):
    policy = {"kind": ["a", {"prefix": "b"}], "n": [{"numeric": [">", 5]}]}
    arn = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue_arn(name),
        Attributes={"FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"},
    )["SubscriptionArn"]

    def publish(text, **attributes):
        given = {
            key: {
                "DataType": "Number" if key == "n" else "String.Array" if key == "l" else "String",
                "StringValue": value,
            }
            for key, value in attributes.items()
        }
        sns.publish(TopicArn=topic, Message=text, MessageAttributes=given)

    publish("1", kind="c", n="9")
    publish("2", kind="a", n="5")
    publish("3", kind="a")
    publish("4", kind="bcd", n="5.5")
    assert next_message(sqs, queue)["Body"] == "4"
    for key, value in (("FilterPolicyScope", "MessageBody"), ("FilterPolicy", '{"x":{"y":[1]}}')):
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=key, AttributeValue=value)
    publish("no json")
    publish('{"x":{"y":2}}')
    publish('{"x":{"y":1}}')
    assert next_message(sqs, queue)["Body"] == '{"x":{"y":1}}'
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="{}")
    publish("everything")
    assert next_message(sqs, queue)["Body"] == "everything"


def test_an_endpoint_confirms_and_is_sent_to(sns, topic, endpoint):
    pending = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    assert pending["SubscriptionArn"] == "pending confirmation"
    path, headers, body = endpoint.next()
    asked = json.loads(body)
    assert path == "/in?x=1"
    assert headers["x-amz-sns-message-type"] == asked["Type"] == "SubscriptionConfirmation"
    assert headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert "x-amz-sns-subscription-arn" not in headers
    check_signature(asked)
    [listed] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    wrong = asked["Token"][:-1] + ("0" if asked["Token"][-1] != "0" else "1")
    assert refused(sns.confirm_subscription, TopicArn=topic, Token=wrong) == "InvalidParameter"
    assert refused(sns.confirm_subscription, TopicArn=topic, Token="x") == "InvalidParameter"
    with urlopen(asked["SubscribeURL"]) as answer:
        assert b"<SubscriptionArn>" in answer.read()
    [listed] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    arn = listed["SubscriptionArn"]
    shown = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (shown["PendingConfirmation"], shown["ConfirmationWasAuthenticated"]) == ("false", "false")
    sns.publish(TopicArn=topic, Message="news")
    _, headers, body = endpoint.next()
    message = json.loads(body)
    assert (headers["x-amz-sns-subscription-arn"], message["Message"]) == (arn, "news")
    check_signature(message)
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true")
    sns.publish(TopicArn=topic, Message="raw")
    _, headers, body = endpoint.next()
    assert (headers["x-amz-sns-rawdelivery"], body) == ("true", "raw")
    with urlopen(message["UnsubscribeURL"]):
        pass
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_a_link_does_not_end_what_was_confirmed_with_authentication(sns, topic, endpoint):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    asked = json.loads(endpoint.next()[2])
    arn = sns.confirm_subscription(TopicArn=topic, Token=asked["Token"], AuthenticateOnUnsubscribe="true")[
        "SubscriptionArn"
    ]
    sns.publish(TopicArn=topic, Message="x")
    link = json.loads(endpoint.next()[2])["UnsubscribeURL"]
    with pytest.raises(HTTPError) as caught:
        urlopen(link)
    assert caught.value.code == 403
    sns.unsubscribe(SubscriptionArn=arn)
    assert refused(sns.get_subscription_attributes, SubscriptionArn=arn) == "NotFound"


def confirmed(sns, topic, endpoint, **attributes):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url, Attributes=attributes)
    asked = json.loads(endpoint.next()[2])
    return sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])["SubscriptionArn"]


def test_a_failed_delivery_is_tried_again_and_then_given_up(sns, sqs, topic, queue, name, endpoint):
    redrive = json.dumps({"deadLetterTargetArn": queue_arn(name)})
    confirmed(sns, topic, endpoint, DeliveryPolicy=ONE_RETRY, RedrivePolicy=redrive, RawMessageDelivery="true")
    endpoint.answers = [(500, {}), (200, {})]
    sns.publish(TopicArn=topic, Message="second time lucky")
    assert [endpoint.next()[2] for _ in range(2)] == ["second time lucky"] * 2
    endpoint.answers = [(500, {}), (503, {})]
    sns.publish(TopicArn=topic, Message="never")
    got = next_message(sqs, queue)
    assert got["Body"] == "never"
    assert got["MessageAttributes"]["ErrorMessage"]["StringValue"] == "HTTP status 503"
    # what the client is to blame for, and where a redirect leads, is not tried again
    for status, extra in ((404, {}), (302, {"Location": endpoint.url})):
        endpoint.answers = [(status, extra)]
        sns.publish(TopicArn=topic, Message=str(status))
        assert next_message(sqs, queue)["Body"] == str(status)
    assert endpoint.got.qsize() == 4


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0", "2852039166"])
def test_addresses_of_secrets_are_not_posted_to(sns, sqs, topic, queue, name, host):
    """The confirmation is not sent, and ends where what cannot be delivered ends."""
    redrive = json.dumps({"deadLetterTargetArn": queue_arn(name)})
    sns.subscribe(
        TopicArn=topic, Protocol="http", Endpoint=f"http://{host}/latest", Attributes={"RedrivePolicy": redrive}
    )
    got = next_message(sqs, queue)
    assert "may be posted to" in got["MessageAttributes"]["ErrorMessage"]["StringValue"]


def test_a_queue_that_does_not_admit_sns_gets_nothing(sns, sqs, topic, queue, name):
    closed = sqs.create_queue(QueueName=name + "-closed")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": queue_arn(name)})
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(name + "-closed"), Attributes={"RedrivePolicy": redrive}
    )
    sns.publish(TopicArn=topic, Message="x")
    got = next_message(sqs, queue)
    assert got["MessageAttributes"]["ErrorMessage"]["StringValue"].startswith("AccessDenied")
    assert "Messages" not in sqs.receive_message(QueueUrl=closed)


def test_topics(sns, topic, name):
    assert sns.create_topic(Name=name)["TopicArn"] == topic
    other = {"Name": name, "Attributes": {"DisplayName": "x"}}
    assert refused(sns.create_topic, **other) == "InvalidParameter"
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="Shown")
    shown = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (shown["DisplayName"], shown["Owner"], shown["SubscriptionsConfirmed"]) == ("Shown", ACCOUNT, "0")
    assert {"TopicArn": topic} in [
        each for page in sns.get_paginator("list_topics").paginate() for each in page["Topics"]
    ]
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sns.untag_resource(ResourceArn=topic, TagKeys=["a"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "b", "Value": "2"}]
    sns.delete_topic(TopicArn=topic)
    sns.delete_topic(TopicArn=topic)
    assert refused(sns.publish, TopicArn=topic, Message="x") == "NotFound"


def test_pages_of_subscriptions(sns, topic, name):
    for number in range(101):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(f"{name}-{number}"))
    pages = list(sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic))
    assert [len(page["Subscriptions"]) for page in pages] == [100, 1]
    assert len({each["Endpoint"] for page in pages for each in page["Subscriptions"]}) == 101
    mine = [each for page in sns.get_paginator("list_subscriptions").paginate() for each in page["Subscriptions"]]
    assert sum(each["TopicArn"] == topic for each in mine) == 101
    sns.delete_topic(TopicArn=topic)
    mine = [each for page in sns.get_paginator("list_subscriptions").paginate() for each in page["Subscriptions"]]
    assert not any(each["TopicArn"] == topic for each in mine)


def test_subscribing_twice_is_subscribing_once(sns, topic, name):
    given = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue_arn(name)}
    first = sns.subscribe(**given)["SubscriptionArn"]
    assert sns.subscribe(**given)["SubscriptionArn"] == first
    assert refused(sns.subscribe, **given, Attributes={"RawMessageDelivery": "true"}) == "InvalidParameter"
    sns.unsubscribe(SubscriptionArn=first)
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsDeleted"] == "1"


def test_batches(sns, sqs, topic, queue, name):
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(name), Attributes=raw)
    entries = [{"Id": "a", "Message": "1"}, {"Id": "b", "Message": ""}, {"Id": "c", "Message": "3"}]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [each["Id"] for each in answer["Successful"]] == ["a", "c"]
    assert [(each["Id"], each["Code"]) for each in answer["Failed"]] == [("b", "InvalidParameter")]
    assert sorted(next_message(sqs, queue)["Body"] for _ in range(2)) == ["1", "3"]
    for bad, code in (
        ([], "EmptyBatchRequest"),
        ([{"Id": str(number), "Message": "x"} for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "a", "Message": "x"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": "a b", "Message": "x"}], "InvalidBatchEntryId"),
        ([{"Id": str(number), "Message": "x" * 200_000} for number in range(2)], "BatchRequestTooLong"),
    ):
        assert refused(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=bad) == code


BAD_MESSAGES = [
    {"Message": ""},
    {"Message": "x" * 262_145},
    {"Message": "\x01"},
    {"Message": "x", "Subject": "a\nb"},
    {"Message": "x", "Subject": "x" * 101},
    {"Message": "x", "Subject": " x"},
    {"Message": "x", "MessageStructure": "xml"},
    {"Message": "x", "MessageStructure": "json"},
    {"Message": "{}", "MessageStructure": "json"},
    {"Message": '{"default":1}', "MessageStructure": "json"},
    {"Message": '{"default":"\\ud800"}', "MessageStructure": "json"},
    {"Message": "[" * 100_000, "MessageStructure": "json"},
    {"Message": "x", "MessageGroupId": "g"},
]


@pytest.mark.parametrize("given", BAD_MESSAGES, ids=range(len(BAD_MESSAGES)))
def test_bad_messages(sns, topic, given):
    assert refused(sns.publish, TopicArn=topic, **given) == "InvalidParameter"


BAD_SUBSCRIPTIONS = [
    {"Protocol": "email", "Endpoint": "a@b"},
    {"Protocol": "carrier-pigeon", "Endpoint": "x"},
    {"Protocol": "sqs", "Endpoint": "http://x/1/q"},
    {"Protocol": "http", "Endpoint": "https://x/"},
    {"Protocol": "http", "Endpoint": "http://"},
    {"Protocol": "http", "Endpoint": "http:// x/"},
    {"Protocol": "http", "Endpoint": "http://x:99999/"},
    {"Protocol": "http", "Endpoint": "http://x\r\ny/"},
    {"Protocol": "http", "Endpoint": "http://x/" + "y" * 3000},
    {"Protocol": "sqs", "Attributes": {"Nope": "1"}},
    {"Protocol": "sqs", "Attributes": {"RawMessageDelivery": "perhaps"}},
    {"Protocol": "sqs", "Attributes": {"FilterPolicy": "{"}},
    {"Protocol": "sqs", "Attributes": {"FilterPolicy": "[" * 9000}},
    {"Protocol": "sqs", "Attributes": {"FilterPolicy": '{"a":"b"}'}},
    {"Protocol": "sqs", "Attributes": {"FilterPolicy": '{"a":{"b":["c"]}}'}},
    {"Protocol": "sqs", "Attributes": {"FilterPolicy": json.dumps({str(each): ["x"] for each in range(6)})}},
    {"Protocol": "sqs", "Attributes": {"FilterPolicy": json.dumps({"a": [str(each) for each in range(151)]})}},
    {"Protocol": "sqs", "Attributes": {"FilterPolicyScope": "Everything"}},
    {"Protocol": "sqs", "Attributes": {"RedrivePolicy": '{"deadLetterTargetArn":"arn:aws:sqs:x"}'}},
    {"Protocol": "sqs", "Attributes": {"DeliveryPolicy": '{"healthyRetryPolicy":{"numRetries":101}}'}},
    {"Protocol": "sqs", "Attributes": {"DeliveryPolicy": '{"http":[]}'}},
]


@pytest.mark.parametrize("given", BAD_SUBSCRIPTIONS, ids=range(len(BAD_SUBSCRIPTIONS)))
def test_bad_subscriptions(sns, topic, name, given):
    assert refused(sns.subscribe, TopicArn=topic, **{"Endpoint": queue_arn(name), **given}) == "InvalidParameter"


def test_bad_topics(sns, topic, name):
    for given in ("a.fifo", "a b", "x" * 257):
        assert refused(sns.create_topic, Name=given) == "InvalidParameter"
    for key, value in (("Policy", "{"), ("KmsMasterKeyId", "k"), ("Nope", "x"), ("SignatureVersion", "3")):
        given = {"TopicArn": topic, "AttributeName": key, "AttributeValue": value}
        assert refused(sns.set_topic_attributes, **given) == "InvalidParameter"
    assert refused(sns.publish, TopicArn="nonsense", Message="x") == "InvalidParameter"
    assert refused(sns.publish, TopicArn=topic.replace(REGION, "eu-west-1"), Message="x") == "InvalidParameter"
    assert refused(sns.get_topic_attributes, TopicArn=topic + "x") == "NotFound"
    assert refused(sns.list_tags_for_resource, ResourceArn=topic + "x") == "ResourceNotFound"


def test_another_account_needs_the_topic_s_policy(server, sns, topic):
    other = server.client("sns", (OTHER_KEY, OTHER_SECRET))
    assert refused(other.publish, TopicArn=topic, Message="x") == "AuthorizationError"
    sns.add_permission(TopicArn=topic, Label="l", AWSAccountId=[OTHER_ACCOUNT], ActionName=["Publish"])
    other.publish(TopicArn=topic, Message="x")
    assert refused(other.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=queue_arn("q")) == "AuthorizationError"
    sns.remove_permission(TopicArn=topic, Label="l")
    assert refused(other.publish, TopicArn=topic, Message="x") == "AuthorizationError"


def test_a_foreign_queue_is_asked_first(server, sns, sqs, topic, queue, name):
    """Whoever subscribes somebody else's queue must have its owner confirm."""
    sns.add_permission(TopicArn=topic, Label="l", AWSAccountId=[OTHER_ACCOUNT], ActionName=["Subscribe"])
    other = server.client("sns", (OTHER_KEY, OTHER_SECRET))
    pending = other.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(name))
    assert pending["SubscriptionArn"] == "pending confirmation"
    asked = body_of(sqs, queue)
    assert asked["Type"] == "SubscriptionConfirmation"
    sns.publish(TopicArn=topic, Message="too early")
    sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])
    sns.publish(TopicArn=topic, Message="now")
    assert body_of(sqs, queue)["Message"] == "now"


def allow(sns, topic, service):
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "SNS:Publish", "Resource": topic}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)


def test_cloudtrail_tells_a_topic_of_each_log_file(server, sns, sqs, s3, cloudtrail, topic, queue, name):
    s3.create_bucket(Bucket="logs-" + name)
    s3.put_bucket_policy(Bucket="logs-" + name, Policy=log_bucket_policy("logs-" + name, ACCOUNT))
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(name))
    given = {"Name": name, "S3BucketName": "logs-" + name, "SnsTopicName": name}
    assert refused(cloudtrail.create_trail, **given) == "InsufficientSnsTopicPolicyException"
    allow(sns, topic, "cloudtrail.amazonaws.com")
    assert cloudtrail.create_trail(**given)["SnsTopicARN"] == topic
    checked = body_of(sqs, queue)
    assert checked["Message"] == "CloudTrail validation message."
    cloudtrail.start_logging(Name=name)
    told = body_of(sqs, queue)
    assert "Subject" not in told
    file = json.loads(told["Message"])
    assert list(file) == ["s3Bucket", "s3ObjectKey"]
    [key] = file["s3ObjectKey"]
    assert s3.head_object(Bucket=file["s3Bucket"], Key=key)["ContentEncoding"] == "gzip"
    status = cloudtrail.get_trail_status(Name=name)
    assert not status.get("LatestNotificationError")
    cloudtrail.delete_trail(Name=name)


def put_rule(events, name, *targets):
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    answer = events.put_targets(Rule=name, Targets=[{"Id": str(number)} | each for number, each in enumerate(targets)])
    assert answer["FailedEntryCount"] == 0


def put_event(events, name):
    entry = {"Source": name, "DetailType": "t", "Detail": '{"a":1}'}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0


def test_rules_reach_queues_and_topics(server, sns, sqs, topic, queue, name):
    events = server.client("events")
    inbox = new_queue(sqs, name + "-topic")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(name + "-topic"))
    allow(sns, topic, "events.amazonaws.com")
    put_rule(events, name, {"Arn": queue_arn(name)}, {"Arn": topic, "InputPath": "$.detail"})
    put_event(events, name)
    event = body_of(sqs, queue)
    assert (event["source"], event["detail"]) == (name, {"a": 1})
    told = body_of(sqs, inbox)
    assert told["Message"] == '{"a":1}'
    assert "Subject" not in told


def test_what_a_rule_cannot_deliver_ends_in_its_dead_letter_queue(server, sns, sqs, topic, queue, name):
    events = server.client("events")
    sqs.create_queue(QueueName=name + "-closed")
    dead = {"DeadLetterConfig": {"Arn": queue_arn(name)}}
    put_rule(
        events,
        name,
        {"Arn": queue_arn(name + "-closed"), **dead},
        {"Arn": queue_arn(name + "-gone"), **dead},
        {"Arn": topic, **dead},
    )
    put_event(events, name)
    got = [next_message(sqs, queue) for _ in range(3)]
    assert {json.loads(each["Body"])["source"] for each in got} == {name}
    codes = {
        each["MessageAttributes"]["TARGET_ARN"]["StringValue"]: each["MessageAttributes"]["ERROR_CODE"]["StringValue"]
        for each in got
    }
    assert codes[queue_arn(name + "-closed")] == "NO_PERMISSIONS"
    assert codes[topic] == "NO_PERMISSIONS"
    assert got[0]["MessageAttributes"]["RULE_ARN"]["StringValue"].endswith(f"rule/{name}")


def test_what_was_published_survives_a_crash(tmp_path):
    """Killed in the middle of spreading: every message is in the queue once."""
    process = ServerProcess(tmp_path).start()
    try:
        sns, sqs = process.client("sns"), process.client("sqs")
        topic = sns.create_topic(Name="t")["TopicArn"]
        new_queue(sqs, "q")
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn("q"))
        sent = [sns.publish(TopicArn=topic, Message=str(number))["MessageId"] for number in range(40)]
        process.kill()
        process.start()
        sqs = process.client("sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        got = []
        while len(got) < len(sent):
            # what was received stays so to the end, however long that takes
            given = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20, "VisibilityTimeout": 3_600}
            found = sqs.receive_message(**given).get("Messages", [])
            assert found, f"{len(got)} of {len(sent)}"
            got += [json.loads(each["Body"])["MessageId"] for each in found]
        assert sorted(got) == sorted(sent)
        assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
        assert process.stop() == 0
    finally:
        process.kill()
