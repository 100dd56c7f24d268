"""Policies by their text: compile one for deciding, or check one before it is stored.

Each kind of policy has rules of its own and each service words of its own for breaking them. Source: IAM user guide,
"Grammar of the IAM JSON policy language", S3 user guide, "Policies and permissions in Amazon S3", and the messages the
services answer with. Whether a principal that is named exists is for the caller to find out (`named_arns`).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from opentrail.access.document import Policy, PolicyFault, Statement, parse_policy
from opentrail.access.glob import Glob, parse
from opentrail.errors import AwsError

Kind = Literal["identity", "session", "trust", "bucket", "resource"]
"""`identity`: of users, groups, roles, managed; `session`: narrows temporary credentials; `trust`: of a role;
`bucket`: of an S3 bucket; `resource`: of a queue, topic, event bus …"""

BUCKET_POLICY_BYTES_MAX = 20_480
SIDS = re.compile(r"[0-9A-Za-z]*", re.ASCII)
_ACTION = re.compile(r"\*|[A-Za-z0-9*?-]+:[A-Za-z0-9*?]+", re.ASCII)
_RESOURCE = re.compile(r"\*|[*?]+|arn:[^:]*:[^:]*:[^:]*:[^:]*:.*", re.DOTALL)
_IAM_CHARACTERS = re.compile(r"[\t\n\r\u0020-\u00FF]*")
_BUCKET_ARN = re.compile(r"arn:aws[a-z-]*:s3:::([^/]+)(/.*)?", re.DOTALL)
_ASSUME = frozenset({"sts:*", "*"})

IAM_WORDS = {
    "json": "Syntax errors in policy.",
    "syntax": "Syntax errors in policy.",
    "size": "Syntax errors in policy.",
    "characters": "The specified value for policyDocument is invalid.",
    "field": "Syntax errors in policy.",
    "both": "Syntax errors in policy.",
    "version": "Policy document must be version 2012-10-17 or greater.",
    "statement": "Syntax errors in policy.",
    "effect": "Syntax errors in policy.",
    "action-missing": "Policy statement must contain actions.",
    "action": "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    "resource-missing": "Policy statement must contain resources.",
    "resource": 'Resource {0} must be in ARN format or "*".',
    "resource-prohibited": "Has prohibited field Resource",
    "principal-missing": "Missing required field Principal",
    "principal-prohibited": "Policy document should not specify a principal.",
    "principal": "Invalid principal in policy: {0}",
    "assume-only": "AssumeRole policy may only specify STS AssumeRole actions.",
    "sid": "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
    "sid-twice": "Statement IDs (SID) in a single policy must be unique.",
    "condition": "Syntax errors in policy.",
    "condition-key": "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    "condition-operator": "Invalid Condition type : {0}",
    "condition-value": "Invalid value in condition: {0}",
}
S3_WORDS = {
    "json": "Policies must be valid JSON and the first byte must be '{{'",
    "syntax": "Invalid policy syntax.",
    "size": "Policy exceeds the maximum allowed document size.",
    "field": "Unknown field {0}",
    "both": "Invalid policy syntax.",
    "version": "The policy must contain a valid version string",
    "statement": "Missing required field Statement",
    "effect": "Invalid effect: {0}",
    "action-missing": "Missing required field Action",
    "action": "Policy has invalid action",
    "resource-missing": "Missing required field Resource",
    "resource": "Policy has invalid resource",
    "principal-missing": "Missing required field Principal",
    "principal": "Invalid principal in policy",
    "sid-twice": "Policy statement IDs must be unique",
    "condition": "Invalid policy syntax.",
    "condition-key": "Policy has an invalid condition key",
    "condition-operator": "Invalid Condition type : {0}",
    "condition-value": "Invalid value in condition: {0}",
}


def compile_policy(text: str) -> Policy:
    """The compiled policy, cached by its text; raises AwsError MalformedPolicyDocument."""
    try:
        return parse_policy(text)
    except PolicyFault as fault:
        raise _error(fault, "identity") from fault


def validate_policy(text: str, kind: Kind, bucket: str = "") -> Policy:
    """Check a policy that is to be stored; the compiled policy.

    For `bucket` name the bucket: its policy may speak of nothing else. Raises AwsError MalformedPolicy (`bucket`) or
    MalformedPolicyDocument, both 400.
    """
    try:
        return _checked(text, kind, bucket)
    except PolicyFault as fault:
        raise _error(fault, kind) from fault


def named_arns(policy: Policy) -> frozenset[str]:
    """Every user, role and session ARN or unique id that a policy names as a principal."""
    return frozenset(
        arn for statement in policy.statements if statement.principals is not None for arn in statement.principals.arns
    )


def _error(fault: PolicyFault, kind: Kind) -> AwsError:
    words = S3_WORDS if kind == "bucket" else IAM_WORDS
    message = words[fault.problem].format(fault.detail.encode("utf-8", "replace").decode())
    return AwsError("MalformedPolicy" if kind == "bucket" else "MalformedPolicyDocument", message, 400)


def _checked(text: str, kind: Kind, bucket: str) -> Policy:
    if kind == "bucket" and len(text.encode("utf-8", "surrogatepass")) > BUCKET_POLICY_BYTES_MAX:
        raise PolicyFault("size")
    if kind in ("identity", "session", "trust") and not _IAM_CHARACTERS.fullmatch(text):
        raise PolicyFault("characters")
    policy = parse_policy(text)
    sids = Counter(statement.sid for statement in policy.statements if statement.sid)
    if any(count > 1 for count in sids.values()):
        raise PolicyFault("sid-twice")
    for statement in policy.statements:
        _check_common(statement, kind)
        _CHECKS[kind](statement, bucket)
    return policy


def _check_common(statement: Statement, kind: Kind) -> None:
    if kind in ("identity", "session", "trust") and not SIDS.fullmatch(statement.sid):
        raise PolicyFault("sid")
    for action in statement.actions:
        if not _ACTION.fullmatch(action):
            raise PolicyFault("action", action[:128])
    if not all(":" in condition.key for condition in statement.conditions):
        raise PolicyFault("condition-key")
    for resource in statement.resources:
        if kind != "bucket" and not _RESOURCE.fullmatch(resource):
            raise PolicyFault("resource", resource[:2048])


def _check_identity(statement: Statement, _bucket: str) -> None:
    if statement.named:
        raise PolicyFault("principal-prohibited")
    if not statement.resources:
        raise PolicyFault("resource-missing")


def _check_trust(statement: Statement, _bucket: str) -> None:
    if statement.resources:
        raise PolicyFault("resource-prohibited")
    if not statement.named:
        raise PolicyFault("principal-missing")
    actions = [action.lower() for action in statement.actions]
    if statement.not_action or not all(action in _ASSUME or action.startswith("sts:") for action in actions):
        raise PolicyFault("assume-only")


def _check_resource(statement: Statement, _bucket: str) -> None:
    if not statement.named:
        raise PolicyFault("principal-missing")


def _check_bucket(statement: Statement, bucket: str) -> None:
    if not statement.named:
        raise PolicyFault("principal-missing")
    if not all(action == "*" or action.lower().startswith("s3:") for action in statement.actions):
        raise PolicyFault("action")
    if not statement.resources:
        raise PolicyFault("resource-missing")
    for resource in statement.resources:
        arn = _BUCKET_ARN.fullmatch(resource)
        if arn is None or (bucket and not Glob(parse(arn.group(1), False)).matches(bucket)):
            raise PolicyFault("resource")


_CHECKS = {
    "identity": _check_identity,
    "session": _check_identity,
    "trust": _check_trust,
    "bucket": _check_bucket,
    "resource": _check_resource,
}
