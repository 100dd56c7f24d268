"""CloudWatch Logs: log groups, made, shown, removed, and how long they keep events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.log_groups import GROUPS, TALLIES, LogGroup, Tally, drop_group
from opentrail.service import Service
from opentrail.services.logs_common import (
    Place,
    bad_token,
    find_group,
    invalid,
    join_token,
    no_group,
    page_size,
    place_of_arn,
    question,
    split_token,
)
from opentrail.services.logs_tags import merged_tags
from opentrail.state import Unit

RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""Source: PutRetentionPolicy."""
CLASSES = ("STANDARD", "INFREQUENT_ACCESS")
"""Those that can be had; they are kept and shown, and all are searched alike."""
PAGE = 50
SCANNED_MAX = 2_000
"""Groups looked at for one page; a page that ends early has a token."""
ID_CHARACTERS, ID_LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 16

service = Service("logs")


@service.guard("CreateLogGroup")
def guard_create(call: Call, unit: Unit) -> Sequence[Access]:
    """Tags given at once are tags put."""
    asked = question(call, unit, Place(call.account_id, call.region, call.input["logGroupName"]))
    tags = call.input.get("tags") or {}
    if not tags:
        return [asked]
    context = {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()} | {"aws:tagkeys": tuple(tags)}
    return [
        Access(action, asked.resource, call.account_id, context=context)
        for action in ("logs:CreateLogGroup", "logs:TagResource")
    ]


@service.guard("DescribeLogGroups", "ListLogGroups")
def guard_list(call: Call, unit: Unit) -> Sequence[Access]:
    return [question(call, unit, Place(call.account_id, call.region, ""))]


@service.operation("CreateLogGroup")
async def create_log_group(call: Call, unit: Unit) -> Shape:
    """Create a log group."""
    given = call.input
    place = Place(call.account_id, call.region, given["logGroupName"])
    log_class = given.get("logGroupClass", CLASSES[0])
    if log_class not in CLASSES:
        raise invalid(f"Log groups of the class {log_class} are not served here.")
    if given.get("kmsKeyId"):
        message = f"The specified KMS key does not exist or is not allowed to be used with Arn '{place.arn}'"
        raise invalid(message)
    if GROUPS.get(unit, *place) is not None:
        raise AwsError("ResourceAlreadyExistsException", "The specified log group already exists", 400)
    group = LogGroup(
        id=unit.house.clock.token(ID_LENGTH, ID_CHARACTERS),
        created=int(unit.now * 1000),
        log_class=log_class,
        protected=bool(given.get("deletionProtectionEnabled")),
        tags=merged_tags({}, given.get("tags") or {}),
    )
    GROUPS.put(unit, group, *place)
    return {}


@service.operation("DeleteLogGroup")
async def delete_log_group(call: Call, unit: Unit) -> Shape:
    """Delete a log group with its streams and events."""
    place, group = find_group(call, unit)
    if group.protected:
        message = "The log group cannot be deleted: deletion protection is enabled for it."
        raise AwsError("ValidationException", message, 400)
    drop_group(unit, *place, group)
    return {}


@service.operation("PutLogGroupDeletionProtection")
async def put_log_group_deletion_protection(call: Call, unit: Unit) -> Shape:
    """Keep a log group from being deleted, or no longer."""
    place, group = find_group(call, unit)
    GROUPS.put(unit, replace(group, protected=call.input["deletionProtectionEnabled"]), *place)
    return {}


@service.operation("PutRetentionPolicy")
async def put_retention_policy(call: Call, unit: Unit) -> Shape:
    """Say how many days events are kept; older ones are gone at once."""
    place, group = find_group(call, unit)
    days = call.input["retentionInDays"]
    if days not in RETENTION_DAYS:
        shown = ", ".join(map(str, RETENTION_DAYS))
        raise invalid(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{shown}]"
        )
    GROUPS.put(unit, replace(group, retention_days=days), *place)
    return {}


@service.operation("DeleteRetentionPolicy")
async def delete_retention_policy(call: Call, unit: Unit) -> Shape:
    """Keep events for ever again."""
    place, group = find_group(call, unit)
    GROUPS.put(unit, replace(group, retention_days=0), *place)
    return {}


@service.operation("DescribeLogGroups")
async def describe_log_groups(call: Call, unit: Unit) -> Shape:
    """Show log groups in the order of their names."""
    given = call.input
    prefix, part = given.get("logGroupNamePrefix"), given.get("logGroupNamePattern")
    if prefix is not None and part is not None:
        raise invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    if given.get("logGroupIdentifiers"):
        return {"logGroups": _identified(call, unit, given["logGroupIdentifiers"])}
    wanted_class = given.get("logGroupClass")

    def wanted(name: str, group: LogGroup) -> bool:
        return (not part or part in name) and wanted_class in (None, group.log_class)

    found, token = _page(call, unit, prefix or "", wanted, page_size(given, PAGE))
    members = ("logGroupName", "creationTime", "arn") if part is not None else ()
    shown = [_shown(unit, place, group) for place, group in found]
    if members:
        shown = [{name: each[name] for name in members} for each in shown]
    return {"logGroups": shown, **({"nextToken": token} if token else {})}


@service.operation("ListLogGroups")
async def list_log_groups(call: Call, unit: Unit) -> Shape:
    """List log groups by the beginnings or parts of their names."""
    given = call.input
    for member in ("dataSources", "fieldIndexNames", "logGroupTags"):
        if given.get(member):
            raise invalid(f"Searching log groups by {member} is not served here.")
    parts = str(given.get("logGroupNamePattern") or "").split("|")
    wanted_class = given.get("logGroupClass")

    def wanted(name: str, group: LogGroup) -> bool:
        fits = any(name.startswith(part[1:]) if part.startswith("^") else part in name for part in parts)
        return fits and wanted_class in (None, group.log_class)

    found, token = _page(call, unit, "", wanted, page_size(given, PAGE))
    shown = [
        {"logGroupName": place.name, "logGroupArn": place.arn, "logGroupClass": group.log_class}
        for place, group in found
    ]
    return {"logGroups": shown, **({"nextToken": token} if token else {})}


def _page(
    call: Call, unit: Unit, prefix: str, wanted: Callable[[str, LogGroup], bool], limit: int
) -> tuple[list[tuple[Place, LogGroup]], str]:
    """Groups behind the token, and the token of what follows (empty: nothing)."""
    account, region = call.account_id, call.region
    token = call.input.get("nextToken")
    last = split_token(token, 1)[0] if token else ""
    if not last.startswith(prefix) and token:
        raise bad_token()
    rows = unit.scan(
        GROUPS.key(account, region, prefix), GROUPS.key(account, region, last) if token else b"", SCANNED_MAX
    )
    found: list[tuple[Place, LogGroup]] = []
    for key, row in rows:
        name = GROUPS.parts(key)[2]
        group = GROUPS.decode(row.value)
        if wanted(name, group):
            if len(found) == limit:
                return found, join_token(last)
            found.append((Place(account, region, name), group))
        last = name
    return found, join_token(last) if len(rows) == SCANNED_MAX else ""


def _identified(call: Call, unit: Unit, identifiers: Sequence[str]) -> list[Shape]:
    shown = []
    for each in identifiers:
        place = place_of_arn(call, each) if each.startswith("arn:") else Place(call.account_id, call.region, each)
        group = GROUPS.get(unit, *place)
        if group is None:
            raise no_group()
        shown.append(_shown(unit, place, group))
    return shown


def _shown(unit: Unit, place: Place, group: LogGroup) -> dict[str, Any]:
    tally = TALLIES.get(unit, group.id) or Tally()
    shown: Mapping[str, Any] = {
        "logGroupName": place.name,
        "creationTime": group.created,
        "metricFilterCount": 0,
        "arn": f"{place.arn}:*",
        "storedBytes": tally.bytes,
        "logGroupClass": group.log_class,
        "logGroupArn": place.arn,
        "deletionProtectionEnabled": group.protected,
    }
    return {**shown, **({"retentionInDays": group.retention_days} if group.retention_days else {})}
