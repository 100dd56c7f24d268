"""EventBridge: tags on rules and buses. Source: EventBridge API reference, TagResource."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.rows.events import BUSES, DEFAULT_BUS, RULES
from opentrail.service import Service
from opentrail.services.events_common import find_bus, invalid, merged_tags, no_bus, no_rule
from opentrail.state import Unit

_ARN = re.compile(r"arn:aws[\w-]*:events:([a-z0-9-]+):(\d{12}):(rule|event-bus)/(.+)")

service = Service("events")


@service.guard("TagResource", "UntagResource", "ListTagsForResource")
def guard_resource(call: Call, unit: Unit) -> list[Access]:
    return [Access(call.operation.facts.actions[0], call.input["ResourceARN"])]


@service.operation("TagResource")
async def tag_resource(call: Call, unit: Unit) -> Shape:
    """Add tags to a rule or bus, or replace their values."""
    tags, put = _tagged(call, unit)
    put(merged_tags(tags, call.input["Tags"]))
    return {}


@service.operation("UntagResource")
async def untag_resource(call: Call, unit: Unit) -> Shape:
    """Remove tags from a rule or bus."""
    tags, put = _tagged(call, unit)
    gone = set(call.input["TagKeys"])
    put({key: value for key, value in tags.items() if key not in gone})
    return {}


@service.operation("ListTagsForResource")
async def list_tags_for_resource(call: Call, unit: Unit) -> Shape:
    """List the tags of a rule or bus."""
    tags, _ = _tagged(call, unit)
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _tagged(call: Call, unit: Unit) -> tuple[dict[str, str], Callable[[dict[str, str]], None]]:
    """The tags of what `ResourceARN` names, and how to put others; raises ResourceNotFoundException."""
    found = _ARN.fullmatch(call.input["ResourceARN"])
    if found is None or (found[2], found[1]) != (call.account_id, call.region):
        raise invalid("Parameter ResourceARN is not valid. Reason: Provided Arn is not in correct format.")
    return _tagged_rule(call, unit, found[4]) if found[3] == "rule" else _tagged_bus(call, unit, found[4])


def _tagged_rule(call: Call, unit: Unit, path: str) -> tuple[dict[str, str], Callable[[dict[str, str]], None]]:
    bus, _, name = path.rpartition("/")
    where = (call.account_id, call.region, bus or DEFAULT_BUS, name)
    rule = RULES.get(unit, *where)
    if rule is None:
        return no_rule(name, bus or DEFAULT_BUS)
    return rule.tags, lambda tags: RULES.put(unit, replace(rule, tags=tags), *where)


def _tagged_bus(call: Call, unit: Unit, name: str) -> tuple[dict[str, str], Callable[[dict[str, str]], None]]:
    where = (call.account_id, call.region)
    bus = find_bus(unit, *where, name)
    if bus is None:
        raise no_bus(name)
    made = replace(bus, created=bus.created or unit.now, modified=bus.modified or unit.now)
    return bus.tags, lambda tags: BUSES.put(unit, replace(made, tags=tags), *where, name)
