"""Attributes that travel with a message, as queues and topics keep them. Knows neither service."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from opentrail.state import Row


class Attribute(Row, frozen=True):
    """`type` is String, Number or Binary, with or without a custom ending; a topic also takes String.Array."""

    type: str
    text: str = ""
    data: bytes | None = None


Attributes = dict[str, Attribute]


def size_of(attributes: Mapping[str, Attribute]) -> int:
    """Bytes that attributes count for in a message's size: names, types and values."""
    return sum(len(name.encode()) + len(each.type.encode()) + value_size(each) for name, each in attributes.items())


def value_size(attribute: Attribute) -> int:
    return len(attribute.text.encode()) if attribute.data is None else len(attribute.data)


def as_shape(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """AWS's shape MessageAttributeValue by name."""
    return {
        name: {"DataType": each.type}
        | ({"StringValue": each.text} if each.data is None else {"BinaryValue": each.data})
        for name, each in attributes.items()
    }


def as_envelope(attributes: Mapping[str, Attribute]) -> dict[str, dict[str, str]]:
    """As a topic's JSON envelope shows them; binary values in base64."""
    return {
        name: {"Type": each.type, "Value": each.text if each.data is None else base64.b64encode(each.data).decode()}
        for name, each in attributes.items()
    }
