"""EventBridge: targets of rules. Source: the API model (limits); answers recorded on AWS."""

from __future__ import annotations

import re

from opentrail.call import Access, Call, Shape
from opentrail.match.transform import Transformer, is_json_text, parse_path, unknown_placeholders
from opentrail.rows.events import RULES, TARGETS, Rule, RuleTarget, note_change, targets_of
from opentrail.service import Service
from opentrail.services.events_common import (
    check_unmanaged,
    exceeded,
    find_rule,
    guard_rule,
    invalid,
    own_bus,
    pass_role,
    read_page,
)
from opentrail.state import Unit

TARGETS_MAX = 5
"""Targets of one rule."""
_ARN = re.compile(r"arn:[\w-]+:[a-z0-9-]+:[a-z0-9-]*:(\d{12}|[a-z-]*):.+", re.DOTALL)
_INPUTS = ("Input", "InputPath", "InputTransformer")
NEEDS_ROLE = frozenset({"codepipeline", "states", "codebuild", "batch", "ecs", "kinesis", "ssm"})
"""Services that EventBridge calls only with a role. AWS asks for it on the target; the rule's own is accepted too,
because the documented walk through an S3 source gives it there."""

service = Service("events")
service.guard("RemoveTargets", "ListTargetsByRule")(guard_rule("Rule"))
service.guard("ListRuleNamesByTarget")(guard_rule(""))


@service.guard("PutTargets")
def guard_put_targets(call: Call, unit: Unit) -> list[Access]:
    roles = [target.get("RoleArn") for target in call.input.get("Targets") or ()]
    return [*guard_rule("Rule")(call, unit), *pass_role(roles)]


@service.operation("PutTargets")
async def put_targets(call: Call, unit: Unit) -> Shape:
    """Add targets to a rule, or replace those of the same id."""
    rule = find_rule(call, unit, call.input["Rule"])
    check_unmanaged(rule, call)
    ids = {target_id for target_id, _ in targets_of(unit, rule)}
    for target in call.input["Targets"]:
        check_target(target, rule)
        ids.add(target["Id"])
    if len(ids) > TARGETS_MAX:
        raise exceeded()
    for target in call.input["Targets"]:
        where = (rule.account_id, rule.region, rule.bus, rule.name, target["Id"])
        TARGETS.put(unit, RuleTarget(definition=target), *where)
    note_change(unit, rule)
    return {"FailedEntryCount": 0, "FailedEntries": []}


def check_target(target: Shape, rule: Rule) -> None:
    """Raise ValidationException for what AWS refuses of a target."""
    arn, target_id = target["Arn"], target["Id"]
    if not _ARN.fullmatch(arn):
        raise invalid(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.")
    kind = arn.split(":")[2]
    if kind in NEEDS_ROLE and not target.get("RoleArn") and not rule.role_arn:
        raise invalid(f"RoleArn is required for target {arn}.")
    if kind == "sqs" and arn.endswith(".fifo") and not (target.get("SqsParameters") or {}).get("MessageGroupId"):
        raise invalid(f"Parameter(s) SqsParameters must be specified for target: {target_id}.")
    if sum(target.get(name) is not None for name in _INPUTS) > 1:
        one = "Only one of Input, InputPath, or InputTransformer must be provided"
        raise invalid(f"{one} for target ID {target_id}.")
    _check_input(target, target_id)


def _check_input(target: Shape, target_id: str) -> None:
    if target.get("Input") is not None and not is_json_text(target["Input"]):
        raise invalid(f"JSON syntax error in input for target {target_id}")
    if target.get("InputPath") is not None and parse_path(target["InputPath"]) is None:
        raise invalid(f"Invalid JSONPath {target['InputPath']} in InputPath for target {target_id}")
    transformer = target.get("InputTransformer")
    if transformer is None:
        return
    paths = transformer.get("InputPathsMap") or {}
    for path in paths.values():
        if parse_path(path) is None:
            raise invalid(f"Invalid JSONPath {path} in InputTransformer for target {target_id}")
    unknown = unknown_placeholders(Transformer(transformer["InputTemplate"], paths))
    if unknown:
        raise invalid(f"InputTemplate for target {target_id} contains invalid placeholder {unknown[0]}.")


@service.operation("RemoveTargets")
async def remove_targets(call: Call, unit: Unit) -> Shape:
    """Take targets off a rule, by id."""
    rule = find_rule(call, unit, call.input["Rule"])
    check_unmanaged(rule, call)
    failed = []
    for target_id in dict.fromkeys(call.input["Ids"]):
        where = (rule.account_id, rule.region, rule.bus, rule.name, target_id)
        if TARGETS.get(unit, *where) is None:
            failed.append(_unknown(rule, target_id))
        else:
            TARGETS.delete(unit, *where)
    note_change(unit, rule)
    return {"FailedEntryCount": len(failed), "FailedEntries": failed}


def _unknown(rule: Rule, target_id: str) -> Shape:
    return {
        "TargetId": target_id,
        "ErrorCode": "ResourceNotFoundException",
        "ErrorMessage": f"Rule '{rule.name}' does not have a target with the Id '{target_id}'.",
    }


@service.operation("ListTargetsByRule")
async def list_targets_by_rule(call: Call, unit: Unit) -> Shape:
    """List the targets of a rule, by id."""
    rule = find_rule(call, unit, call.input["Rule"])
    where = (rule.account_id, rule.region, rule.bus, rule.name)
    rows, more = read_page(call, unit, TARGETS, where, lambda _id, _target: True)
    return {"Targets": [target.definition for _, target in rows], **more}


@service.operation("ListRuleNamesByTarget")
async def list_rule_names_by_target(call: Call, unit: Unit) -> Shape:
    """List the rules of a bus that have a target."""
    bus = own_bus(call, unit, call.input.get("EventBusName") or "")
    arn = call.input["TargetArn"]

    def aims_at_it(_name: str, rule: Rule) -> bool:
        return any(target.arn == arn for _, target in targets_of(unit, rule))

    rows, more = read_page(call, unit, RULES, (call.account_id, call.region, bus), aims_at_it)
    return {"RuleNames": [name for name, _ in rows], **more}
