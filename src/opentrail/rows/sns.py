"""Topics, subscriptions and what is on its way to subscribers, as rows. Times are epoch seconds.

A published message waits as `Outgoing`, in the order of publishing, until it is spread: one `Delivery` for each subscriber,
written in the commit that ends the `Outgoing`. A delivery is over when its row is gone. Knows no operation.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from opentrail.model.facts import partition
from opentrail.ports import Key
from opentrail.rows.bell import Bell
from opentrail.rows.key_time import time_of, time_part
from opentrail.rows.messages import Attributes
from opentrail.state import Row, Table, Unit

Kind = Literal["Notification", "SubscriptionConfirmation"]
Lane = Literal["http", "sqs"]
"""Deliveries to queues of this server do not wait behind slow hosts."""

PENDING_SECONDS = 3 * 86_400
"""How long a subscription may wait to be confirmed, and how long its token is good."""
SUBSCRIPTIONS_MAX = 1_000
"""Subscriptions of one topic; each message is written once for each of them."""
CERTIFICATE_PATH = "/_opentrail/sns/"
"""Where this server shows the certificates that messages are signed with, by fingerprint."""
KEY_PURPOSE = "sns signing key"
OUTGOING_BELL, DELIVERY_BELL = "outgoing", "delivery"


class Topic(Row, frozen=True):
    """A standard topic. Keyed by account, region and name."""

    created: float
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    """Those that were set, by AWS's names."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    deleted: int = 0
    """Subscriptions that were deleted (SubscriptionsDeleted)."""

    @property
    def policy(self) -> str:
        return self.attributes.get("Policy", "")


class Subscription(Row, frozen=True):
    """A subscription. Keyed by account, region and topic of its topic, and its id."""

    protocol: str
    endpoint: str
    owner: str
    created: float
    base: str
    """Scheme and host under which the subscriber reaches this server."""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    token: str = ""
    """SHA-256 of the token that confirms it."""
    confirmed: float = 0.0
    """Since when it gets messages; 0: pending."""
    authenticated: bool = False
    """Confirmed by a signed call."""
    signed_unsubscribe: bool = False
    """AuthenticateOnUnsubscribe: only its owner or the topic's may end it."""


class Named(Row, frozen=True):
    """An entry of an index: the subscription's id."""

    id: str


class Outgoing(Row, frozen=True):
    """A message to be spread. Keyed by time of publishing and message id. Confirmations go to one endpoint alone."""

    kind: Kind
    topic: tuple[str, str, str]
    message_id: str
    message: str
    published: float
    subject: str = ""
    by_protocol: dict[str, str] = msgspec.field(default_factory=dict)
    """MessageStructure json: texts for protocols that get another one than `message`."""
    attributes: Attributes = msgspec.field(default_factory=dict)
    subscription_id: str = ""
    protocol: str = ""
    endpoint: str = ""
    base: str = ""
    token: str = ""
    after: str = ""
    """The id of the last subscription it has been spread to."""


class Delivery(Row, frozen=True):
    """What one subscriber is still to get. Keyed by lane, due time in milliseconds, and a number."""

    kind: Kind
    topic: tuple[str, str, str]
    message_id: str
    endpoint: str
    body: str
    subscription_arn: str
    first: float
    """When it was first to be delivered."""
    raw: bool = False
    attributes: Attributes = msgspec.field(default_factory=dict)
    """Raw deliveries to queues: the message's attributes."""
    redrive: str = ""
    """The queue (ARN) for what cannot be delivered."""
    policy: str = ""
    """DeliveryPolicy in force (JSON text)."""
    attempts: int = 0
    dead: bool = False
    """It goes to `redrive`."""


class SigningKey(Row, frozen=True):
    """The key messages are signed with. Keyed by fingerprint; `current` names the one in use."""

    certificate: str
    """PEM."""
    sealed: bytes
    """PKCS #8, sealed for KEY_PURPOSE."""


TOPICS: Table[Topic] = Table("sns.topic", Topic)
SUBSCRIPTIONS: Table[Subscription] = Table("sns.subscription", Subscription)
ENDPOINTS: Table[Named] = Table("sns.endpoint", Named)
"""Subscriptions by account, region, topic and digest of protocol and endpoint: there is one of each."""
OWNED: Table[Named] = Table("sns.owned", Named)
"""Subscriptions by the account that made them, region, and subscription ARN."""
OUTGOING: Table[Outgoing] = Table("sns.outgoing", Outgoing)
DELIVERIES: Table[Delivery] = Table("sns.delivery", Delivery)
SIGNING_KEYS: Table[SigningKey] = Table("sns.key", SigningKey)
CURRENT_KEY: Table[Named] = Table("sns.key.current", Named)
BELL = Bell()
"""Rings OUTGOING_BELL and DELIVERY_BELL."""


class TopicName(NamedTuple):
    """A topic's key."""

    account_id: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return topic_arn(*self)


def topic_arn(account_id: str, region: str, name: str) -> str:
    return f"arn:{partition(region)}:sns:{region}:{account_id}:{name}"


def put_outgoing(unit: Unit, row: Outgoing) -> None:
    """Let a message go out, once this unit is durable."""
    OUTGOING.put(unit, row, time_part(row.published), row.message_id)
    BELL.ring(OUTGOING_BELL)


def put_delivery(unit: Unit, lane: Lane, due: float, number: str, row: Delivery) -> Key:
    """Let a delivery be made from `due` on; its key."""
    parts = (lane, time_part(due), number)
    DELIVERIES.put(unit, row, *parts)
    BELL.ring(DELIVERY_BELL)
    return DELIVERIES.key(*parts)


def due_of(key: Key) -> float:
    return time_of(DELIVERIES.parts(key)[1])
