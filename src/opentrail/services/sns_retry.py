"""Checks of delivery policies, in SNS's words."""

from __future__ import annotations

from typing import Any

from opentrail.rows.sns_retry import DEFAULT_HEALTHY, HEALTHY, faults_of, retry_policy
from opentrail.services.sns_common import invalid, json_object


def check_policy(text: str) -> None:
    """A topic's policy (its member `http`) or a subscription's; raises InvalidParameter."""
    document = json_object(text, "DeliveryPolicy")
    http = document.get("http", {})
    if not isinstance(http, dict):
        raise invalid("DeliveryPolicy: http is not an object")
    for healthy in (document.get(HEALTHY, {}), http.get(DEFAULT_HEALTHY, {})):
        fault = faults_of(healthy) if isinstance(healthy, dict) else "the retry policy is not an object"
        if fault:
            raise invalid(f"DeliveryPolicy: {fault}")


def effective_policy(text: str) -> dict[str, Any]:
    """What a topic's policy comes to."""
    return {DEFAULT_HEALTHY: dict(retry_policy(text)), "disableSubscriptionOverrides": False}
