"""Delivery policies: how often and when a delivery over HTTP is tried again. Pure.

Source: SNS developer guide, "Amazon SNS message delivery retries" and "Creating an HTTP/S delivery policy".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

DEFAULT_POLICY: Final[Mapping[str, int | str]] = {
    "minDelayTarget": 20,
    "maxDelayTarget": 20,
    "numRetries": 3,
    "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0,
    "numMinDelayRetries": 0,
    "backoffFunction": "linear",
}
LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    "minDelayTarget": (1, 3_600),
    "maxDelayTarget": (1, 3_600),
    "numRetries": (0, 100),
    "numMaxDelayRetries": (0, 100),
    "numNoDelayRetries": (0, 100),
    "numMinDelayRetries": (0, 100),
}
"""Least and most; delays are seconds."""
FUNCTIONS: Final = ("linear", "arithmetic", "geometric", "exponential")
HEALTHY: Final = "healthyRetryPolicy"
DEFAULT_HEALTHY: Final = "defaultHealthyRetryPolicy"
QUEUE_PAUSE_SECONDS_MAX: Final = 3_600.0
QUEUE_AGE_SECONDS_MAX: Final = 23 * 86_400.0
"""Queues are tried for this long; it is the time that AWS gives 100,015 attempts."""


def faults_of(policy: Mapping[str, Any]) -> str:
    """What is wrong with a healthyRetryPolicy; empty if nothing."""
    for name, value in policy.items():
        if name == "backoffFunction":
            if value not in FUNCTIONS:
                return f"backoffFunction must be one of {', '.join(FUNCTIONS)}"
            continue
        if name not in LIMITS:
            return f"{name[:80]} is not a member of a retry policy"
        least, most = LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            return f"{name} must be a whole number from {least} to {most}"
    merged = {**DEFAULT_POLICY, **policy}
    if merged["minDelayTarget"] > merged["maxDelayTarget"]:
        return "minDelayTarget must not exceed maxDelayTarget"
    return ""


@lru_cache(1_024)
def retry_policy(text: str) -> Mapping[str, Any]:
    """The retry policy of a stored delivery policy of a subscription (`healthyRetryPolicy`) or of a topic (`http`)."""
    document = json.loads(text) if text else {}
    http = document.get("http") or {}
    return {**DEFAULT_POLICY, **(document.get(HEALTHY) or http.get(DEFAULT_HEALTHY) or {})}


def http_pause(text: str, attempts: int) -> float | None:
    """Seconds before the next try after `attempts` failed ones; None if there is none."""
    policy = retry_policy(text)
    retries = int(policy["numRetries"])
    if attempts > retries:
        return None
    least, most = float(policy["minDelayTarget"]), float(policy["maxDelayTarget"])
    immediate, early = int(policy["numNoDelayRetries"]), int(policy["numMinDelayRetries"])
    late = int(policy["numMaxDelayRetries"])
    if attempts <= immediate:
        return 0.0
    if attempts <= immediate + early:
        return least
    between = retries - immediate - early - late
    step = attempts - immediate - early
    if between <= 1 or step > between:
        return most
    return _backoff(str(policy["backoffFunction"]), (step - 1) / (between - 1), least, most)


def _backoff(function: str, part: float, least: float, most: float) -> float:
    """Between least and most, `part` (0 to 1) of the way, the slower the more the function bends."""
    bends = {"linear": 1.0, "arithmetic": 1.5, "geometric": 2.0, "exponential": 3.0}
    bent: float = part ** bends[function]
    return least + (most - least) * bent


def queue_pause(attempts: int) -> float:
    """Seconds before a queue is tried again after `attempts` failed tries."""
    return float(min(2.0 ** min(attempts, 12), QUEUE_PAUSE_SECONDS_MAX))
