"""Whether a bucket policy is public, as S3's public access block understands the word.

Source: S3 user guide, "Blocking public access to your Amazon S3 storage", "The meaning of 'public'". A policy is not
public if everything it allows is tied to fixed principals or to fixed values of certain condition keys.
"""

from __future__ import annotations

from functools import lru_cache

from opentrail.access.conditions import Condition, read_network
from opentrail.access.document import Statement
from opentrail.access.policy import compile_policy

FIXING_KEYS = frozenset(
    {
        *("aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount"),
        *("aws:userid", "aws:principalarn", "aws:principalaccount", "aws:principalorgid", "aws:principalorgpaths"),
        *("aws:sourceorgid", "s3:dataaccesspointarn", "s3:dataaccesspointaccount"),
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)
"""Condition keys whose fixed value ties a statement down."""
_FIXING_OPERATORS = frozenset({"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike"})
WIDEST_IPV4 = 8
WIDEST_IPV6 = 32
"""Prefix lengths (bits) below which an address range counts as everybody."""


@lru_cache(maxsize=512)
def policy_is_public(text: str) -> bool:
    """Whether any statement admits the public; raises AwsError MalformedPolicyDocument."""
    return any(statement_is_public(statement) for statement in compile_policy(text).statements)


def statement_is_public(statement: Statement) -> bool:
    if not statement.allow:
        return False
    open_to_all = statement.not_principal or ("*", "*") in statement.named or ("AWS", "*") in statement.named
    return open_to_all and not any(_fixes(condition) for condition in statement.conditions)


def _fixes(condition: Condition) -> bool:
    if condition.if_exists or condition.quantifier == "ForAllValues" or not condition.values:
        return False
    if condition.operator == "IpAddress" and condition.key == "aws:sourceip":
        return all(map(_narrow, condition.values))
    if condition.operator not in _FIXING_OPERATORS or condition.key not in FIXING_KEYS:
        return False
    if condition.key == "aws:userid":
        return all(_fixed(value.partition(":")[0]) for value in condition.values)
    if condition.operator.startswith("Arn") or condition.key == "aws:principalarn":
        return all(_fixed_account(value) for value in condition.values)
    return all(map(_fixed, condition.values))


def _fixed(value: str) -> bool:
    return bool(value) and not any(mark in value for mark in ("*", "?", "${"))


def _fixed_account(arn: str) -> bool:
    """An ARN that names its account, or that has no wildcard at all (an S3 bucket's names none)."""
    parts = arn.split(":", 5)
    return _fixed(arn) or (len(parts) == 6 and _fixed(parts[4]))


def _narrow(value: str) -> bool:
    network = read_network(value)
    return network is not None and network.prefixlen >= (WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6)
