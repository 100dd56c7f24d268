"""What the families of SNS's operations share: finding topics and subscriptions, permission questions, pages, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from opentrail.call import Access, Call, Resource, Shape
from opentrail.errors import AwsError
from opentrail.rows.sns import PENDING_SECONDS, SUBSCRIPTIONS, TOPICS, Subscription, Topic, TopicName, topic_arn
from opentrail.services.page_token import read_token, write_token
from opentrail.state import Unit

PAGE = 100
TAGS_MAX = 50
_TOPIC_ARN = re.compile(
    r"arn:aws[a-z-]{0,20}:sns:([a-z0-9-]{1,32}):(\d{12}):([A-Za-z0-9_-]{1,256}(?:\.fifo)?)", re.ASCII
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
T = TypeVar("T")


def invalid(what: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {what}", 400)


def not_found(what: str) -> AwsError:
    return AwsError("NotFound", f"{what} does not exist", 404)


def parse_topic(arn: str) -> TopicName:
    """Raises InvalidParameter."""
    found = _TOPIC_ARN.fullmatch(arn)
    if found is None or topic_arn(found[2], found[1], found[3]) != arn:
        raise invalid("TopicArn")
    return TopicName(found[2], found[1], found[3])


def parse_subscription(arn: str) -> tuple[TopicName, str]:
    """(topic, id) of a subscription's ARN; raises InvalidParameter."""
    topic, _, id_ = arn.rpartition(":")
    if not _UUID.fullmatch(id_):
        raise invalid("SubscriptionArn Reason: An ARN must have at least 6 elements, not 1")
    return parse_topic(topic), id_


def enter(call: Call, name: TopicName) -> None:
    """The call is about this topic: links come without a region and without an account."""
    if call.principal.type == "Anonymous":
        call.region, call.account_id = name.region, name.account_id
    if name.region != call.region:
        raise invalid("TopicArn")


def find_topic(call: Call, unit: Unit, arn: str) -> tuple[TopicName, Topic]:
    """Raises InvalidParameter, NotFound."""
    name = parse_topic(arn)
    enter(call, name)
    topic = TOPICS.get(unit, *name)
    if topic is None:
        raise not_found("Topic")
    return name, topic


def question(call: Call, unit: Unit, name: TopicName, owner: str = "") -> Access:
    """May the caller do this operation on a topic, or on a subscription of it that belongs to `owner`?"""
    enter(call, name)
    topic = TOPICS.get(unit, *name)
    facts = call.operation.facts
    if topic is not None:
        call.evidence.owner_account_id = name.account_id
        if facts.category == "Data":
            call.evidence.resources.append(Resource("AWS::SNS::Topic", name.arn, name.account_id))
    mine = owner != "" and owner == call.account_id
    policy = topic.policy if topic is not None and not mine else ""
    return Access(facts.actions[0], name.arn, owner if mine else name.account_id, policy)


def guard_topic(call: Call, unit: Unit) -> Sequence[Access]:
    """The operation's own action on the topic that TopicArn names."""
    return [question(call, unit, parse_topic(call.input["TopicArn"]))]


def guard_resource(call: Call, unit: Unit) -> Sequence[Access]:
    return [question(call, unit, parse_topic(call.input["ResourceArn"]))]


def guard_subscription(call: Call, unit: Unit) -> Sequence[Access]:
    """The operation's own action on a subscription: of whoever made it, or of the topic's owner."""
    name, id_ = parse_subscription(call.input["SubscriptionArn"])
    found = SUBSCRIPTIONS.get(unit, *name, id_)
    return [question(call, unit, name, found.owner if found is not None else "")]


def find_subscription(call: Call, unit: Unit, arn: str) -> tuple[TopicName, str, Subscription]:
    """Raises InvalidParameter, NotFound."""
    name, id_ = parse_subscription(arn)
    enter(call, name)
    found = SUBSCRIPTIONS.get(unit, *name, id_)
    if found is None or is_over(found, unit.now):
        raise not_found("Subscription")
    return name, id_, found


def is_over(subscription: Subscription, now: float) -> bool:
    """Whether it was not confirmed in time."""
    return not subscription.confirmed and now - subscription.created > PENDING_SECONDS


def page(call: Call, items: Iterable[tuple[str, T]]) -> tuple[list[T], Shape]:
    """Up to a hundred of the (name, item) in order of names, behind NextToken, and the answer's NextToken."""
    token = call.input.get("NextToken")
    after = read_token(token, invalid("NextToken")) if token else ""
    found = list(islice(((name, item) for name, item in items if name > after), PAGE + 1))
    more = {"NextToken": write_token(found[PAGE - 1][0])} if len(found) > PAGE else {}
    return [item for _, item in found[:PAGE]], more


def merged_tags(before: dict[str, str], given: Iterable[Shape]) -> dict[str, str]:
    """Raises TagLimitExceeded."""
    after = before | {tag["Key"]: tag["Value"] for tag in given}
    if len(after) > TAGS_MAX:
        raise AwsError("TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded", 400)
    return after


def json_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object; raises InvalidParameter."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{what}: failed to parse JSON.") from error
    if not isinstance(document, dict):
        raise invalid(f"{what}: failed to parse JSON.")
    return document
