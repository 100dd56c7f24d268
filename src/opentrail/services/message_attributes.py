"""Attributes of messages: what queues and topics alike demand of them, and the digest that clients check.

Source: SQS developer guide, "Message attributes" and "Calculating the MD5 message digest for message attributes". Words of
refusal are the service's own and are passed in. Knows no queue and no topic.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

from opentrail.errors import AwsError
from opentrail.rows.messages import Attribute, Attributes, value_size

ATTRIBUTES_MAX = 10
"""Attributes of one message."""
NAME_MAX = 256
NUMBER_DIGITS_MAX = 38

Refuse = Callable[[str], AwsError]

_NAME = re.compile(r"(?!(?i:aws\.|amazon\.))(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPE = re.compile(r"(String|Number|Binary)(?:\.(.+))?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no message may contain: characters that XML 1.0 does not have."""


def read_attributes(given: Mapping[str, Any] | None, refuse: Refuse, most: int = ATTRIBUTES_MAX) -> Attributes:
    """The attributes of a shape MessageAttributeValue by name; `refuse` makes the error of a sentence."""
    if not given:
        return {}
    if len(given) > most:
        raise refuse(f"Number of message attributes [{len(given)}] exceeds the allowed maximum [{most}].")
    return {name: _read(name, value, refuse) for name, value in given.items()}


def _read(name: str, value: Mapping[str, Any], refuse: Refuse) -> Attribute:
    if not _NAME.fullmatch(name):
        raise refuse(f"The message attribute name '{shown(name)}' is invalid.")
    type_ = value.get("DataType") or ""
    found = _TYPE.fullmatch(type_)
    if found is None or len(type_) > NAME_MAX or FORBIDDEN.search(type_):
        raise refuse(f"The message attribute '{name}' has an invalid message attribute type.")
    if value.get("StringListValues") or value.get("BinaryListValues"):
        raise refuse(f"Message attribute list values in the message attribute '{name}' are not supported.")
    member = "BinaryValue" if found[1] == "Binary" else "StringValue"
    if not value.get(member):
        raise refuse(f"The message attribute '{name}' must contain a non-empty {member} for its type '{type_}'.")
    if value.get("StringValue" if member == "BinaryValue" else "BinaryValue"):
        raise refuse(f"The message attribute '{name}' must contain no other value than its {member}.")
    if member == "BinaryValue":
        return Attribute(type_, data=bytes(value[member]))
    return Attribute(type_, _checked_text(name, found[1], str(value[member]), refuse))


def _checked_text(name: str, kind: str, text: str, refuse: Refuse) -> str:
    if FORBIDDEN.search(text):
        raise refuse(f"The message attribute '{name}' contains characters that are not allowed.")
    if kind == "Number":
        found = _NUMBER.fullmatch(text)
        if found is None or sum(map(str.isdigit, found[1])) > NUMBER_DIGITS_MAX:
            raise refuse(f"Could not cast message attribute '{name}' value to number.")
    return text


def shown(text: str) -> str:
    """A text of the caller's as it can stand in an answer."""
    return FORBIDDEN.sub("?", text[:NAME_MAX])


def attributes_md5(attributes: Mapping[str, Attribute]) -> str:
    """MD5 over the attributes in the order of their names, as SDKs compute it."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        each = attributes[name]
        for text in (name, each.type):
            digest.update(_counted(text.encode()))
        if each.data is None:
            digest.update(b"\x01" + _counted(each.text.encode()))
        else:
            digest.update(b"\x02" + struct.pack("!I", value_size(each)) + each.data)
    return digest.hexdigest()


def _counted(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data
