"""Statements of a resource's policy that AddPermission and RemovePermission write, for queues and topics alike.

Knows neither; the words of refusal are the service's own.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from opentrail.model.facts import partition


def statements_of(policy: str) -> list[dict[str, Any]]:
    """Statements of a policy that was valid when it was stored."""
    found = json.loads(policy).get("Statement", []) if policy else []
    return [found] if isinstance(found, dict) else list(found)


@lru_cache(256)
def merged_statements(policies: tuple[str, ...]) -> str:
    """One policy that says what several say."""
    statements = [each for policy in policies for each in statements_of(policy)]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"), ensure_ascii=False)


def labels_of(policy: str) -> set[str]:
    return {str(each.get("Sid", "")) for each in statements_of(policy)}


def granting(label: str, accounts: list[str], actions: list[str], resource: str, region: str) -> dict[str, Any]:
    """A statement that lets accounts do `actions` (with their service's prefix) on a resource."""
    named = [f"arn:{partition(region)}:iam::{account}:root" for account in accounts]
    return {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": named[0] if len(named) == 1 else named},
        "Action": actions[0] if len(actions) == 1 else actions,
        "Resource": resource,
    }


def with_statement(policy: str, statement: dict[str, Any], policy_id: str) -> str:
    """The policy with one statement more; `policy_id` names it if it is the first."""
    document = json.loads(policy) if policy else {"Version": "2012-10-17", "Id": policy_id}
    document["Statement"] = [*statements_of(policy), statement]
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def without_statement(policy: str, label: str) -> str:
    """The policy without the statements of that name; empty if none is left."""
    kept = [each for each in statements_of(policy) if each.get("Sid") != label]
    if not kept:
        return ""
    document = json.loads(policy)
    document["Statement"] = kept
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
