"""Filter policies: which messages a subscription wants. Pure.

They are event patterns over the message's attributes, or over its body. Source: SNS developer guide, "Amazon SNS message
filtering" and "Subscription filter policies".
"""

from __future__ import annotations

import json
import re
from typing import Any

from opentrail.errors import AwsError
from opentrail.match.pattern import compile_pattern
from opentrail.rows.messages import Attributes

KEYS_MAX = 5
"""Keys of a policy on attributes; of one on the body, its leaves."""
COMBINATIONS_MAX = 150
DEPTH_MAX = 100
"""Levels of a policy that are looked through."""
SCOPES = ("MessageAttributes", "MessageBody")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def check_filter(text: str, scope: str) -> None:
    """Raise InvalidParameter for a filter policy that is none, FilterPolicyLimitExceeded for one too large."""
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad("failed to parse JSON.") from error
    if not isinstance(policy, dict):
        raise _bad("failed to parse JSON.")
    if not policy:
        return
    _check_size(policy, scope)
    try:
        compile_pattern(text)
    except AwsError as error:
        raise _bad(error.message) from error


def _bad(why: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: FilterPolicy: {why}", 400)


def _check_size(policy: dict[str, Any], scope: str) -> None:
    leaves = _leaves(policy, 0)
    combinations = 1
    for depth, count in leaves:
        if scope == SCOPES[0] and depth > 1:
            raise _bad("Filter policy scope MessageAttributes does not support nested filter policy")
        combinations *= max(1, count) * depth
    if len(leaves) > KEYS_MAX:
        raise _bad("Filter policy can not have more than 5 keys")
    if combinations > COMBINATIONS_MAX:
        raise _bad("Filter policy is too complex")


def _leaves(policy: dict[str, Any], depth: int) -> list[tuple[int, int]]:
    """(depth, number of values) of every key that holds values."""
    if depth > DEPTH_MAX:
        raise _bad("Filter policy is too deep")
    found: list[tuple[int, int]] = []
    for name, value in policy.items():
        if name == "$or" and isinstance(value, list):
            for each in value:
                found += _leaves(each, depth) if isinstance(each, dict) else []
        elif isinstance(value, dict):
            found += _leaves(value, depth + 1)
        else:
            found.append((depth + 1, len(value) if isinstance(value, list) else 1))
    return found


def wants(policy: str, scope: str, message: str, attributes: Attributes) -> bool:
    """Whether a subscription with this (checked) policy gets the message. A body that is no JSON object matches none."""
    if policy in ("", "{}"):
        return True
    event = message if scope == SCOPES[1] else _attributes_event(attributes)
    try:
        return compile_pattern(policy).matches(event)
    except (ValueError, RecursionError):
        return False
    except AwsError:  # it was valid once; what nobody can read wants nothing
        return False


def _attributes_event(attributes: Attributes) -> str:
    parts = []
    for name, each in attributes.items():
        value = _json_value(each.type, each.text) if each.data is None else None
        if value is not None:
            parts.append(f"{json.dumps(name)}:{value}")
    return "{" + ",".join(parts) + "}"


def _json_value(type_: str, text: str) -> str | None:
    """An attribute's value as JSON text; None for one that no policy can match."""
    if type_.startswith("Number"):
        return text if _JSON_NUMBER.fullmatch(text) else None
    if type_ == "String.Array":
        try:
            return text if isinstance(json.loads(text), list) else None
        except (ValueError, RecursionError):
            return None
    return json.dumps(text)
