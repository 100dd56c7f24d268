"""EventBridge: rules. Source: the API model (limits); answers recorded on AWS (errors, defaults)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.match.flatten import parse_event
from opentrail.match.pattern import compile_pattern
from opentrail.match.schedule import parse_schedule
from opentrail.rows.event_delivery import FAILED, FIRED
from opentrail.rows.events import DEFAULT_BUS, DISABLED, ENABLED, RULES, TARGETS, Rule, note_change, put_rule
from opentrail.service import Service
from opentrail.services.events_common import (
    check_unmanaged,
    count_below,
    exceeded,
    find_rule,
    guard_rule,
    invalid,
    merged_tags,
    own_bus,
    pass_role,
    present,
    read_page,
)
from opentrail.state import Unit

RULES_MAX = 300
"""Rules of one bus."""
ENVELOPE = frozenset({"id", "account", "source", "time", "region", "detail-type"})
"""What TestEventPattern demands of an event."""

service = Service("events")
service.guard("DeleteRule", "DescribeRule", "EnableRule", "DisableRule")(guard_rule("Name"))
service.guard("ListRules")(guard_rule(""))


@service.guard("PutRule")
def guard_put_rule(call: Call, unit: Unit) -> list[Access]:
    return [*guard_rule("Name")(call, unit), *pass_role([call.input.get("RoleArn")])]


@service.guard("TestEventPattern")
def guard_test(call: Call, unit: Unit) -> list[Access]:
    return [Access(call.operation.facts.actions[0], "*")]


@service.operation("PutRule")
async def put_rule_(call: Call, unit: Unit) -> Shape:
    """Create a rule, or replace the definition of the one of that name; its targets and tags stay."""
    given = call.input
    bus = own_bus(call, unit, given.get("EventBusName") or "")
    old = RULES.get(unit, call.account_id, call.region, bus, given["Name"])
    if old is None and count_below(RULES, unit, RULES_MAX, call.account_id, call.region, bus) >= RULES_MAX:
        raise exceeded()
    if old is not None:
        check_unmanaged(old, call)
    rule = Rule(
        name=given["Name"],
        account_id=call.account_id,
        region=call.region,
        bus=bus,
        state=given.get("State") or ENABLED,
        created_by=call.account_id if old is None else old.created_by,
        pattern=given.get("EventPattern") or "",
        schedule=given.get("ScheduleExpression") or "",
        description=given.get("Description") or "",
        role_arn=given.get("RoleArn") or "",
        tags=merged_tags({}, given.get("Tags") or []) if old is None else old.tags,
        changed=unit.now,
    )
    _check(rule)
    put_rule(unit, rule)
    return {"RuleArn": rule.arn}


def _check(rule: Rule) -> None:
    if not rule.pattern and not rule.schedule:
        raise invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
    if rule.schedule and rule.bus != DEFAULT_BUS:
        raise invalid("ScheduleExpression is supported only on the default event bus.")
    if rule.schedule:
        parse_schedule(rule.schedule)
    if rule.pattern:
        compile_pattern(rule.pattern)


@service.operation("DeleteRule")
async def delete_rule(call: Call, unit: Unit) -> Shape:
    """Delete a rule without targets; one that is not there counts as deleted."""
    bus = own_bus(call, unit, call.input.get("EventBusName") or "")
    where = (call.account_id, call.region, bus, call.input["Name"])
    rule = RULES.get(unit, *where)
    if rule is None:
        return {}
    check_unmanaged(rule, call)
    if count_below(TARGETS, unit, 1, *where):
        raise invalid("Rule can't be deleted since it has targets.")
    RULES.delete(unit, *where)
    FAILED.delete(unit, *where)
    FIRED.delete(unit, *where)
    note_change(unit, rule)
    return {}


@service.operation("DescribeRule")
async def describe_rule(call: Call, unit: Unit) -> Shape:
    """Show a rule."""
    rule = find_rule(call, unit, call.input["Name"])
    return {**_shown(rule), "CreatedBy": rule.created_by}


@service.operation("ListRules")
async def list_rules(call: Call, unit: Unit) -> Shape:
    """List the rules of a bus, by name."""
    bus = own_bus(call, unit, call.input.get("EventBusName") or "")
    prefix = call.input.get("NamePrefix") or ""
    rows, more = read_page(
        call, unit, RULES, (call.account_id, call.region, bus), lambda name, _rule: name.startswith(prefix)
    )
    return {"Rules": [_shown(rule) for _, rule in rows], **more}


def _shown(rule: Rule) -> dict[str, Any]:
    return present(
        {
            "Name": rule.name,
            "Arn": rule.arn,
            "EventPattern": rule.pattern,
            "State": rule.state,
            "Description": rule.description,
            "ScheduleExpression": rule.schedule,
            "RoleArn": rule.role_arn,
            "ManagedBy": rule.managed_by,
            "EventBusName": rule.bus,
        }
    )


@service.operation("EnableRule")
async def enable_rule(call: Call, unit: Unit) -> Shape:
    """Let a rule match events."""
    return _set_state(call, unit, ENABLED)


@service.operation("DisableRule")
async def disable_rule(call: Call, unit: Unit) -> Shape:
    """Keep a rule from matching events."""
    return _set_state(call, unit, DISABLED)


def _set_state(call: Call, unit: Unit, state: str) -> Shape:
    rule = find_rule(call, unit, call.input["Name"])
    check_unmanaged(rule, call)
    put_rule(unit, replace(rule, state=state, changed=unit.now))
    return {}


@service.operation("TestEventPattern")
async def test_event_pattern(call: Call, unit: Unit) -> Shape:
    """Say whether an event matches a pattern."""
    pattern = compile_pattern(call.input["EventPattern"])
    try:
        event = parse_event(call.input["Event"])
    except ValueError as error:
        raise _bad_event() from error
    if not {key for key, _ in event} >= ENVELOPE:
        raise _bad_event()
    return {"Result": pattern.matches(call.input["Event"])}


def _bad_event() -> AwsError:
    return invalid("Parameter Event is not valid.")
