"""CloudWatch Logs: resource policies, which let services put events into an account's log groups, or into one.

Source: PutResourcePolicy: they count for services only, and for PutLogEvents and CreateLogStream only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentrail.access.policy import validate_policy
from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.log_groups import GROUPS, POLICIES, LogPolicy
from opentrail.service import Service
from opentrail.services.logs_common import (
    invalid,
    join_token,
    no_group,
    page_size,
    place_of_arn,
    question,
    split_token,
)
from opentrail.state import Unit

POLICIES_MAX = 10
"""Policies of an account in a region that are not of one group."""
POLICY_BYTES_MAX = 5_120
NAME_CHARS_MAX = 255
PAGE = 50
REVISION_CHARACTERS, REVISION_LENGTH = "0123456789", 16

service = Service("logs")


@service.guard("PutResourcePolicy", "DescribeResourcePolicies", "DeleteResourcePolicy")
def guard_policies(call: Call, unit: Unit) -> Sequence[Access]:
    arn = call.input.get("resourceArn")
    if arn:
        return [question(call, unit, place_of_arn(call, arn))]
    return [Access(call.operation.facts.actions[0], "*", call.account_id)]


@service.operation("PutResourcePolicy")
async def put_resource_policy(call: Call, unit: Unit) -> Shape:
    """Let services put events here: a policy of the account, or of one log group."""
    given = call.input
    arn, name = _target(call, unit)
    document = given.get("policyDocument") or ""
    _check_document(document)
    where = (call.account_id, call.region, arn)
    known = POLICIES.get(unit, *where, name)
    _check_revision(known, given)
    if known is None and not arn and len(POLICIES.page(unit, *where, limit=POLICIES_MAX)) >= POLICIES_MAX:
        raise AwsError("LimitExceededException", "Resource limit exceeded.", 400)
    revision = unit.house.clock.token(REVISION_LENGTH, REVISION_CHARACTERS) if arn else ""
    policy = LogPolicy(document, int(unit.now * 1000), revision)
    POLICIES.put(unit, policy, *where, name)
    return {"resourcePolicy": _shown(arn, name, policy), **({"revisionId": revision} if revision else {})}


def _target(call: Call, unit: Unit) -> tuple[str, str]:
    """The group's ARN and the policy's name, of which one is empty; raises ResourceNotFoundException."""
    arn, name = call.input.get("resourceArn"), call.input.get("policyName")
    if arn:
        place = place_of_arn(call, arn)
        if GROUPS.get(unit, *place) is None:
            raise no_group()
        return place.arn, ""
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise invalid("A policyName of up to 255 characters, or a resourceArn, is required.")
    return "", name


def _check_document(document: str) -> None:
    if len(document.encode("utf-8", "replace")) > POLICY_BYTES_MAX:
        raise AwsError("LimitExceededException", f"Policy documents can have {POLICY_BYTES_MAX} bytes at most.", 400)
    try:
        validate_policy(document, "resource")
    except AwsError as error:
        raise invalid(f"Resource Policy validation failed. {error.message}") from error


def _check_revision(known: LogPolicy | None, given: Mapping[str, Any]) -> None:
    expected = given.get("expectedRevisionId")
    if expected and (known is None or known.revision != expected):
        raise AwsError("OperationAbortedException", "The policy has another revision by now.", 400)


@service.operation("DescribeResourcePolicies")
async def describe_resource_policies(call: Call, unit: Unit) -> Shape:
    """Show the account's resource policies, or those of one log group."""
    given = call.input
    arn = place_of_arn(call, given["resourceArn"]).arn if given.get("resourceArn") else ""
    scope = given.get("policyScope", "RESOURCE" if arn else "ACCOUNT")
    limit = page_size(given, PAGE)
    where = (call.account_id, call.region, *(() if scope == "RESOURCE" and not arn else (arn,)))
    after = (
        POLICIES.key(call.account_id, call.region, *split_token(given["nextToken"], 2))
        if given.get("nextToken")
        else b""
    )
    rows = POLICIES.page(unit, *where, after=after, limit=limit + 1)
    found = [(POLICIES.parts(key)[2:4], policy) for key, policy in rows]
    shown = [
        _shown(parts[0], parts[1], policy) for parts, policy in found[:limit] if (scope == "RESOURCE") == bool(parts[0])
    ]
    answer: Shape = {"resourcePolicies": shown}
    return answer | ({"nextToken": join_token(*found[limit - 1][0])} if len(found) > limit else {})


def _shown(arn: str, name: str, policy: LogPolicy) -> Shape:
    shown: Shape = {"policyDocument": policy.document, "lastUpdatedTime": policy.updated}
    if name:
        shown["policyName"] = name
    if arn:
        return shown | {"policyScope": "RESOURCE", "resourceArn": arn, "revisionId": policy.revision}
    return shown | {"policyScope": "ACCOUNT"}


@service.operation("DeleteResourcePolicy")
async def delete_resource_policy(call: Call, unit: Unit) -> Shape:
    """Remove a resource policy."""
    arn, name = _target(call, unit)
    where = (call.account_id, call.region, arn, name)
    known = POLICIES.get(unit, *where)
    if known is None:
        raise AwsError("ResourceNotFoundException", "Policy with name [" + name + "] does not exist.", 400)
    _check_revision(known, call.input)
    POLICIES.delete(unit, *where)
    return {}
