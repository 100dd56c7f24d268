"""Attributes of queues: which there are, what they may be, and what holds where none was set.

Source: SQS API reference, CreateQueue and SetQueueAttributes. Encryption at rest is left to the disk: keys of KMS are
refused, since nothing would be encrypted with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from opentrail.access.policy import validate_policy
from opentrail.errors import AwsError
from opentrail.rows.sqs import QUEUES, Queue
from opentrail.services.sqs_common import Place, invalid_reason, unsupported
from opentrail.state import Unit

RANGES: Mapping[str, tuple[int, int, int]] = {
    "DelaySeconds": (0, 900, 0),
    "MaximumMessageSize": (1_024, 1_048_576, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600, 345_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20, 0),
    "VisibilityTimeout": (0, 43_200, 30),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400, 300),
}
"""Least, most and default; seconds, MaximumMessageSize bytes."""
MAX_RECEIVES = 1_000
POLICY_CHARS_MAX = 65_536
SOURCES_MAX = 10
"""Queues named in a RedriveAllowPolicy."""
SHOWN_ALWAYS = (
    "DelaySeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "VisibilityTimeout",
)
FIFO = frozenset({"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"})
COMPUTED = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
)
TEXTS = ("Policy", "RedrivePolicy", "RedriveAllowPolicy")
SETTABLE = frozenset({*RANGES, *TEXTS, "KmsMasterKeyId", "SqsManagedSseEnabled"})
NAMES = SETTABLE | set(COMPUTED) | FIFO
"""Every attribute that can be asked for."""


class Redrive(NamedTuple):
    """Where messages go that were received too often."""

    arn: str
    receives_max: int


def number(queue: Queue, name: str) -> int:
    """The value of an attribute that is a number."""
    given = queue.attributes.get(name)
    return RANGES[name][2] if given is None else int(given)


def redrive_of(queue: Queue) -> Redrive | None:
    text = queue.attributes.get("RedrivePolicy")
    return _read_redrive(text) if text else None


@lru_cache(1_024)
def _read_redrive(text: str) -> Redrive:
    """Raises AwsError InvalidParameterValue."""
    document = _object(text, "RedrivePolicy")
    arn, times = document.get("deadLetterTargetArn"), document.get("maxReceiveCount")
    if set(document) != {"deadLetterTargetArn", "maxReceiveCount"}:
        raise invalid_reason(text, "RedrivePolicy", "Redrive policy does not contain mandatory attributes only.")
    if not isinstance(arn, str) or len(arn.split(":")) != 6:
        raise invalid_reason(text, "RedrivePolicy", "Invalid value for deadLetterTargetArn.")
    if isinstance(times, bool) or not str(times).isdecimal() or not 1 <= int(str(times)[:5]) <= MAX_RECEIVES:
        raise invalid_reason(text, "RedrivePolicy", f"Invalid value for maxReceiveCount: 1 to {MAX_RECEIVES}.")
    return Redrive(arn, int(str(times)))


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid_reason(text, name, "The policy is not valid JSON.") from error
    if not isinstance(document, dict):
        raise invalid_reason(text, name, "The policy is not a JSON object.")
    return document


def changed(unit: Unit, place: Place, before: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The attributes after a change; raises InvalidAttributeName, InvalidAttributeValue, InvalidParameterValue."""
    after = dict(before)
    for name, value in given.items():
        checked = _checked(unit, place, name, value)
        if checked:
            after[name] = checked
        else:
            after.pop(name, None)
    return after


def _checked(unit: Unit, place: Place, name: str, value: str) -> str:
    """The value as it is kept; empty takes the attribute away."""
    if name in FIFO:
        if value == "false" and name in ("FifoQueue", "ContentBasedDeduplication"):
            return ""
        raise unsupported("FIFO queues are not served here.")
    if name not in SETTABLE:
        raise AwsError("InvalidAttributeName", f"Unknown Attribute {name[:80]}.", 400)
    if name in RANGES:
        return _checked_number(name, value)
    if name == "KmsMasterKeyId":
        if value:
            raise AwsError("InvalidAttributeValue", "Invalid value for the parameter KmsMasterKeyId: no KMS here.", 400)
        return ""
    if name == "SqsManagedSseEnabled":
        if value not in ("true", "false"):
            raise _bad(name)
        return value
    if value:
        _CHECKS[name](unit, place, value)
    return value


def _checked_number(name: str, value: str) -> str:
    least, most, _ = RANGES[name]
    if not (value.isascii() and value.isdecimal()) or len(value) > 10 or not least <= int(value) <= most:
        raise _bad(name)
    return str(int(value))


def _bad(name: str) -> AwsError:
    return AwsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.", 400)


def _check_policy(_unit: Unit, _place: Place, text: str) -> None:
    if len(text) > POLICY_CHARS_MAX:
        raise _bad("Policy")
    try:
        validate_policy(text, "resource")
    except AwsError as error:
        raise _bad("Policy") from error


def _check_redrive(unit: Unit, place: Place, text: str) -> None:
    redrive = _read_redrive(text)
    _, _, service, region, account, name = redrive.arn.split(":")
    target = QUEUES.get(unit, account, region, name)
    same = (service, account, region) == ("sqs", place.account_id, place.region)
    if not same or (target is None and name != place.name):
        raise invalid_reason(text, "RedrivePolicy", "Dead letter target does not exist.")
    allow = target.attributes.get("RedriveAllowPolicy") if target is not None else None
    if allow and not _admits(allow, place.arn):
        raise invalid_reason(text, "RedrivePolicy", "The dead-letter queue does not allow this source queue.")


def _admits(text: str, source_arn: str) -> bool:
    document = json.loads(text)
    kind = document.get("redrivePermission")
    return kind == "allowAll" or (kind == "byQueue" and source_arn in document.get("sourceQueueArns", ()))


def _check_redrive_allow(_unit: Unit, _place: Place, text: str) -> None:
    document = _object(text, "RedriveAllowPolicy")
    sources = document.get("sourceQueueArns")
    kind = document.get("redrivePermission")
    if kind not in ("allowAll", "denyAll", "byQueue") or (kind == "byQueue") != (sources is not None):
        raise invalid_reason(text, "RedriveAllowPolicy", "redrivePermission and sourceQueueArns do not fit.")
    if sources is not None and not (isinstance(sources, list) and 1 <= len(sources) <= SOURCES_MAX):
        raise invalid_reason(text, "RedriveAllowPolicy", f"sourceQueueArns must name 1 to {SOURCES_MAX} queues.")


_CHECKS = {"Policy": _check_policy, "RedrivePolicy": _check_redrive, "RedriveAllowPolicy": _check_redrive_allow}
