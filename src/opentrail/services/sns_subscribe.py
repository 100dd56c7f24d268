"""SNS: beginning, confirming and ending subscriptions. Source: SNS API reference and developer guide."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.sns import (
    ENDPOINTS,
    OWNED,
    PENDING_SECONDS,
    SUBSCRIPTIONS,
    SUBSCRIPTIONS_MAX,
    TOPICS,
    Named,
    Outgoing,
    Subscription,
    TopicName,
    put_outgoing,
)
from opentrail.rows.sns_message import words_of
from opentrail.service import Service
from opentrail.services.sns_attributes import read_attributes
from opentrail.services.sns_common import (
    find_topic,
    guard_subscription,
    invalid,
    is_over,
    parse_subscription,
    parse_topic,
    question,
)
from opentrail.state import Unit

ENDPOINT_CHARS_MAX = 2_048
TOKEN_CHARACTERS, TOKEN_LENGTH = "0123456789abcdef", 96
PENDING = "pending confirmation"
SERVED = ("http", "https", "sqs")
_QUEUE_ARN = re.compile(r"arn:aws[a-z-]{0,20}:sqs:[a-z0-9-]{1,32}:(\d{12}):[A-Za-z0-9_-]{1,80}", re.ASCII)
_TOKEN = re.compile(r"[0-9a-f]{128}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)

service = Service("sns")


@service.guard("Subscribe")
def guard_subscribe(call: Call, unit: Unit) -> Sequence[Access]:
    """A topic's policy may say who subscribes what."""
    asked = question(call, unit, parse_topic(call.input["TopicArn"]))
    given = {"sns:protocol": (call.input["Protocol"],), "sns:endpoint": (call.input.get("Endpoint") or "",)}
    return [replace(asked, context=given)]


@service.operation("Subscribe")
async def subscribe(call: Call, unit: Unit) -> Shape:
    """Begin a subscription of a queue or an HTTP endpoint; whoever owns the endpoint confirms it."""
    name, _ = find_topic(call, unit, call.input["TopicArn"])
    protocol, endpoint = call.input["Protocol"], call.input.get("Endpoint") or ""
    own = _check_endpoint(call, protocol, endpoint)
    attributes = read_attributes(unit, call.input.get("Attributes") or {}, name)
    digest = hashlib.sha256(f"{protocol}|{endpoint}".encode()).hexdigest()
    known = _known(unit, name, digest)
    if known is None:
        if len(SUBSCRIPTIONS.page(unit, *name, limit=SUBSCRIPTIONS_MAX)) >= SUBSCRIPTIONS_MAX:
            raise AwsError("SubscriptionLimitExceeded", "Subscription limit for the topic exceeded", 403)
        id_ = unit.house.clock.uuid()
        ENDPOINTS.put(unit, Named(id_), *name, digest)
    else:
        id_, there = known
        if there.confirmed:
            if there.attributes != attributes:
                raise invalid("Attributes Reason: Subscription already exists with different attributes")
            return {"SubscriptionArn": f"{name.arn}:{id_}"}
        OWNED.delete(unit, there.owner, name.region, f"{name.arn}:{id_}")
    row = Subscription(protocol, endpoint, call.account_id, unit.now, _base(call), attributes)
    row = replace(row, confirmed=unit.now, authenticated=True) if own else _ask(unit, name, id_, row)
    SUBSCRIPTIONS.put(unit, row, *name, id_)
    arn = f"{name.arn}:{id_}"
    OWNED.put(unit, Named(id_), row.owner, name.region, arn)
    return {"SubscriptionArn": arn if own or call.input.get("ReturnSubscriptionArn") else PENDING}


def _known(unit: Unit, name: TopicName, digest: str) -> tuple[str, Subscription] | None:
    found = ENDPOINTS.get(unit, *name, digest)
    row = SUBSCRIPTIONS.get(unit, *name, found.id) if found is not None else None
    return (found.id, row) if found is not None and row is not None else None


def _check_endpoint(call: Call, protocol: str, endpoint: str) -> bool:
    """Whether the endpoint is the caller's own, and so needs no confirmation. Raises InvalidParameter."""
    if protocol not in SERVED:
        raise invalid(f"Does not support this protocol string: {protocol[:32]}")
    if protocol == "sqs":
        found = _QUEUE_ARN.fullmatch(endpoint)
        if found is None:
            raise invalid("SQS endpoint ARN")
        return found[1] == call.account_id
    if not endpoint.startswith(f"{protocol}://"):
        raise invalid("Endpoint must match the specified protocol")
    if len(endpoint) > ENDPOINT_CHARS_MAX or not _is_url(endpoint):
        raise invalid("Endpoint")
    return False


def _is_url(text: str) -> bool:
    """Whether it is a URL that can be posted to: printable ASCII, a host, perhaps a port, user and password."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.netloc.rpartition("@")[2]
    host = host[: -len(f":{port}")] if port is not None and host.endswith(f":{port}") else host
    return port != 0 and _HOST.fullmatch(host) is not None


def _base(call: Call) -> str:
    """Where the subscriber finds this server: where its caller found it."""
    scheme = "http" if call.request.tls is None else "https"
    return f"{scheme}://{call.request.headers.get('host', 'localhost')}"


def _ask(unit: Unit, name: TopicName, id_: str, row: Subscription) -> Subscription:
    """Have the endpoint asked to confirm. The token names the subscription and proves itself by its digest."""
    token = id_.replace("-", "") + unit.house.clock.token(TOKEN_LENGTH, TOKEN_CHARACTERS)
    message = Outgoing(
        "SubscriptionConfirmation",
        (name.account_id, name.region, name.name),
        unit.house.clock.uuid(),
        words_of(name),
        unit.now,
        subscription_id=id_,
        protocol=row.protocol,
        endpoint=row.endpoint,
        base=row.base,
        token=token,
    )
    put_outgoing(unit, message)
    return replace(row, token=hashlib.sha256(token.encode()).hexdigest())


@service.guard("ConfirmSubscription")
def guard_confirm(call: Call, unit: Unit) -> Sequence[Access]:
    """The token is what allows it; whoever signs the call must be allowed to, besides."""
    name = parse_topic(call.input["TopicArn"])
    asked = question(call, unit, name)
    return [] if call.principal.type == "Anonymous" else [asked]


@service.operation("ConfirmSubscription")
async def confirm_subscription(call: Call, unit: Unit) -> Shape:
    """Confirm a subscription with the token its endpoint was sent."""
    name, _ = find_topic(call, unit, call.input["TopicArn"])
    token = call.input["Token"]
    if not _TOKEN.fullmatch(token):
        raise invalid("Token")
    id_ = f"{token[:8]}-{token[8:12]}-{token[12:16]}-{token[16:20]}-{token[20:32]}"
    row = SUBSCRIPTIONS.get(unit, *name, id_)
    good = row is not None and hmac.compare_digest(row.token, hashlib.sha256(token.encode()).hexdigest())
    if row is None or not good or is_over(row, unit.now) or unit.now - row.created > PENDING_SECONDS:
        raise invalid("Token")
    if not row.confirmed:
        signed = call.principal.type != "Anonymous"
        locked = signed and (call.input.get("AuthenticateOnUnsubscribe") or "").lower() == "true"
        row = replace(row, confirmed=unit.now, authenticated=signed, signed_unsubscribe=locked)
        SUBSCRIPTIONS.put(unit, row, *name, id_)
    return {"SubscriptionArn": f"{name.arn}:{id_}"}


@service.guard("Unsubscribe")
def guard_unsubscribe(call: Call, unit: Unit) -> Sequence[Access]:
    """Whoever has the link may end the subscription, unless it was confirmed otherwise."""
    if call.principal.type != "Anonymous":
        return guard_subscription(call, unit)
    name, id_ = parse_subscription(call.input["SubscriptionArn"])
    asked = question(call, unit, name)
    row = SUBSCRIPTIONS.get(unit, *name, id_)
    return [asked] if row is not None and row.signed_unsubscribe else []


@service.operation("Unsubscribe")
async def unsubscribe(call: Call, unit: Unit) -> Shape:
    """End a subscription; one that is not there counts as ended."""
    name, id_ = parse_subscription(call.input["SubscriptionArn"])
    row = SUBSCRIPTIONS.get(unit, *name, id_)
    topic = TOPICS.get(unit, *name)
    if row is None or topic is None:
        return {}
    if not row.confirmed:
        raise invalid("This operation cannot be performed on a subscription that is pending confirmation")
    SUBSCRIPTIONS.delete(unit, *name, id_)
    OWNED.delete(unit, row.owner, name.region, f"{name.arn}:{id_}")
    ENDPOINTS.delete(unit, *name, hashlib.sha256(f"{row.protocol}|{row.endpoint}".encode()).hexdigest())
    TOPICS.put(unit, replace(topic, deleted=topic.deleted + 1), *name)
    return {}
