"""EventBridge: event buses and who may put events on them. Source: the API model; answers recorded on AWS."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from opentrail.access.policy import compile_policy
from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.model.facts import partition
from opentrail.rows.events import BUSES, DEFAULT_BUS, RULES, Bus, bus_arn
from opentrail.service import Service
from opentrail.services.events_common import (
    count_below,
    cut_page,
    exceeded,
    find_bus,
    guard_bus,
    invalid,
    merged_tags,
    no_bus,
    not_found,
    own_bus,
    present,
)
from opentrail.services.policy_statements import statements_of
from opentrail.state import Unit

BUSES_MAX = 100
"""Buses of an account in a region."""
POLICY_BYTES_MAX = 10_240

service = Service("events")
service.guard("CreateEventBus", "DescribeEventBus", "UpdateEventBus", "DeleteEventBus")(guard_bus("Name"))
service.guard("PutPermission", "RemovePermission")(guard_bus("EventBusName"))


@service.guard("ListEventBuses")
def guard_list(call: Call, _unit: Unit) -> list[Access]:
    return [Access("events:ListEventBuses", "*")]


@service.operation("CreateEventBus")
async def create_event_bus(call: Call, unit: Unit) -> Shape:
    """Create an event bus."""
    given, where = call.input, (call.account_id, call.region)
    name = given["Name"]
    if given.get("EventSourceName") or "/" in name:
        raise invalid("Event bus name must not contain '/'; partner event sources are not supported.")
    if find_bus(unit, *where, name) is not None:
        raise AwsError("ResourceAlreadyExistsException", f"Event bus {name} already exists.", 400)
    if count_below(BUSES, unit, BUSES_MAX, *where) >= BUSES_MAX:
        raise exceeded()
    bus = Bus(created=unit.now, modified=unit.now, tags=merged_tags({}, given.get("Tags") or []))
    bus = _configured(bus, given)
    BUSES.put(unit, bus, *where, name)
    return {"EventBusArn": bus_arn(*where, name), **_configuration(bus)}


@service.operation("UpdateEventBus")
async def update_event_bus(call: Call, unit: Unit) -> Shape:
    """Change the description, key, dead letter queue or log of a bus."""
    name, bus = _own(call, unit, call.input.get("Name") or "")
    bus = replace(_configured(bus, call.input), modified=unit.now)
    BUSES.put(unit, bus, call.account_id, call.region, name)
    return {"Arn": bus_arn(call.account_id, call.region, name), "Name": name, **_configuration(bus)}


def _configured(bus: Bus, given: Shape) -> Bus:
    return replace(
        bus,
        description=given.get("Description", bus.description) or "",
        kms_key=given.get("KmsKeyIdentifier", bus.kms_key) or "",
        dead_letter_arn=(given.get("DeadLetterConfig") or {}).get("Arn", bus.dead_letter_arn) or "",
        log_config=given.get("LogConfig", bus.log_config) or {},
    )


def _configuration(bus: Bus) -> Shape:
    return present(
        {
            "Description": bus.description,
            "KmsKeyIdentifier": bus.kms_key,
            "DeadLetterConfig": {"Arn": bus.dead_letter_arn} if bus.dead_letter_arn else None,
            "LogConfig": bus.log_config,
        }
    )


@service.operation("DescribeEventBus")
async def describe_event_bus(call: Call, unit: Unit) -> Shape:
    """Show a bus and its policy."""
    name, bus = _own(call, unit, call.input.get("Name") or "")
    return {**_shown(name, bus, call), **_configuration(bus)}


@service.operation("ListEventBuses")
async def list_event_buses(call: Call, unit: Unit) -> Shape:
    """List the buses of an account in a region, the default one with them."""
    prefix = call.input.get("NamePrefix") or ""
    where = (call.account_id, call.region)
    buses = {DEFAULT_BUS: Bus(0.0, 0.0)} | {parts[-1]: bus for parts, bus in BUSES.all(unit, *where)}
    items = [(name, buses[name]) for name in sorted(buses) if name.startswith(prefix)]
    rows, more = cut_page(call, items)
    return {"EventBuses": [_shown(name, bus, call) for name, bus in rows], **more}


def _shown(name: str, bus: Bus, call: Call) -> Shape:
    arn = bus_arn(call.account_id, call.region, name)
    shown: Shape = {"Name": name, "Arn": arn, "Description": bus.description, "Policy": bus.policy}
    if bus.created:
        shown |= {"CreationTime": bus.created, "LastModifiedTime": bus.modified}
    return present(shown)


@service.operation("DeleteEventBus")
async def delete_event_bus(call: Call, unit: Unit) -> Shape:
    """Delete a bus without rules; one that is not there counts as deleted."""
    name = call.input["Name"]
    if name == DEFAULT_BUS:
        raise invalid("Cannot delete event bus default.")
    where = (call.account_id, call.region, name)
    if count_below(RULES, unit, 1, *where):
        raise invalid(f"Event bus {name} can't be deleted since it has rules.")
    if BUSES.get(unit, *where) is not None:
        BUSES.delete(unit, *where)
    return {}


@service.operation("PutPermission")
async def put_permission(call: Call, unit: Unit) -> Shape:
    """Let an account or an organisation put events on a bus, by a statement or by a whole policy."""
    given = call.input
    name, bus = _own(call, unit, given.get("EventBusName") or "")
    if given.get("Policy"):
        if any(given.get(member) for member in ("Action", "Principal", "StatementId", "Condition")):
            raise invalid("Parameter(s) Policy cannot be specified together with a statement.")
        policy = _checked_policy(given["Policy"])
    else:
        policy = _with_statement(bus.policy, _statement(given, bus_arn(call.account_id, call.region, name), call))
    if len(policy.encode("utf-8", "surrogatepass")) > POLICY_BYTES_MAX:
        raise AwsError("PolicyLengthExceededException", "The event bus policy is too long.", 400)
    _put_policy(call, unit, name, bus, policy)
    return {}


def _checked_policy(text: str) -> str:
    if len(text) > POLICY_BYTES_MAX:
        raise AwsError("PolicyLengthExceededException", "The event bus policy is too long.", 400)
    try:
        compile_policy(text)
    except AwsError as error:
        raise invalid("Parameter Policy is not valid.") from error
    return text


def _statement(given: Shape, arn: str, call: Call) -> dict[str, Any]:
    if not all(given.get(member) for member in ("Action", "Principal", "StatementId")):
        raise invalid("Parameter(s) Action, Principal and StatementId must be specified.")
    if given["Action"] != "events:PutEvents":
        raise invalid("Provided value in parameter 'action' is not supported.")
    principal = given["Principal"]
    statement: dict[str, Any] = {
        "Sid": given["StatementId"],
        "Effect": "Allow",
        "Principal": "*" if principal == "*" else {"AWS": f"arn:{partition(call.region)}:iam::{principal}:root"},
        "Action": given["Action"],
        "Resource": arn,
    }
    condition = given.get("Condition")
    if condition:
        statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
    return statement


def _with_statement(policy: str, statement: dict[str, Any]) -> str:
    others = [each for each in statements_of(policy) if each.get("Sid") != statement["Sid"]]
    return _policy_text([*others, statement])


def _policy_text(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"), ensure_ascii=False)


@service.operation("RemovePermission")
async def remove_permission(call: Call, unit: Unit) -> Shape:
    """Take a statement, or all, out of a bus's policy."""
    name, bus = _own(call, unit, call.input.get("EventBusName") or "")
    if call.input.get("RemoveAllPermissions"):
        _put_policy(call, unit, name, bus, "")
        return {}
    if not call.input.get("StatementId"):
        raise invalid("Parameter StatementId is required.")
    if not bus.policy:
        raise not_found("EventBus does not have a policy.")
    statements = statements_of(bus.policy)
    kept = [each for each in statements if each.get("Sid") != call.input["StatementId"]]
    if len(kept) == len(statements):
        raise not_found("Statement with the provided id does not exist.")
    _put_policy(call, unit, name, bus, _policy_text(kept) if kept else "")
    return {}


def _put_policy(call: Call, unit: Unit, name: str, bus: Bus, policy: str) -> None:
    bus = replace(bus, policy=policy, created=bus.created or unit.now, modified=unit.now)
    BUSES.put(unit, bus, call.account_id, call.region, name)


def _own(call: Call, unit: Unit, given: str) -> tuple[str, Bus]:
    name = own_bus(call, unit, given)
    bus = find_bus(unit, call.account_id, call.region, name)
    if bus is None:
        raise no_bus(name)
    return name, bus
