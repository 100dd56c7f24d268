"""What a topic sends: the JSON envelope, the text that its signature signs, and the links in it. Pure.

Source: SNS developer guide, "Message and JSON formats", "Verifying the signatures of messages".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from opentrail.rows.messages import as_envelope
from opentrail.rows.sns import CERTIFICATE_PATH, Outgoing, TopicName, topic_arn
from opentrail.wire.timestamps import format_iso8601_millis

API_VERSION = "2010-03-31"
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


def text_for(row: Outgoing, protocol: str) -> str:
    """The message as subscribers of a protocol get it."""
    return row.by_protocol.get(protocol, row.message)


def members(row: Outgoing, protocol: str) -> dict[str, Any]:
    """The envelope's members that do not depend on the subscription, in AWS's order."""
    arn = topic_arn(*row.topic)
    shown: dict[str, Any] = {"Type": row.kind, "MessageId": row.message_id}
    if row.kind != "Notification":
        shown["Token"] = row.token
    shown["TopicArn"] = arn
    if row.subject:
        shown["Subject"] = row.subject
    shown["Message"] = text_for(row, protocol)
    if row.kind != "Notification":
        shown["SubscribeURL"] = subscribe_url(row.base, arn, row.token)
    shown["Timestamp"] = format_iso8601_millis(row.published)
    return shown


def text_to_sign(shown: Mapping[str, Any]) -> bytes:
    """Names and values of the signed members, each ended by a newline, in byte order of the names."""
    names = [name for name in _SIGNED[shown["Type"]] if name in shown]
    return "".join(f"{name}\n{shown[name]}\n" for name in names).encode()


def envelope(
    row: Outgoing, protocol: str, signature: tuple[str, str], certificate: str, base: str, subscription_arn: str
) -> str:
    """The JSON text. `signature` is (SignatureVersion, base64), `certificate` the key's fingerprint."""
    shown = members(row, protocol)
    shown["SignatureVersion"], shown["Signature"] = signature
    shown["SigningCertURL"] = f"{base}{CERTIFICATE_PATH}{certificate}.pem"
    if row.kind == "Notification":
        shown["UnsubscribeURL"] = _url(base, Action="Unsubscribe", SubscriptionArn=subscription_arn)
        if row.attributes:
            shown["MessageAttributes"] = as_envelope(row.attributes)
    return json.dumps(shown, indent=2, separators=(",", " : "), ensure_ascii=False)


def subscribe_url(base: str, arn: str, token: str) -> str:
    return _url(base, Action="ConfirmSubscription", TopicArn=arn, Token=token)


def _url(base: str, **query: str) -> str:
    return f"{base}/?{urlencode({**query, 'Version': API_VERSION}, safe=':')}"


def words_of(topic: TopicName) -> str:
    """The text that asks for a confirmation."""
    return (
        f"You have chosen to subscribe to the topic {topic.arn}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message."
    )
