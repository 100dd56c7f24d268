"""Insight selectors: which kinds of unusual activity a trail is told of.

Source: API reference, PutInsightSelectors and GetInsightSelectors; user guide, "Working with CloudTrail Insights". What is
unusual is found by a follower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.record.insight import CALL_RATE, INSIGHT_TYPES
from opentrail.rows.cloudtrail import TrailConfig
from opentrail.service import Service
from opentrail.services.cloudtrail_find import config_of, find_own_trail, find_trail, guard_trail_not_store
from opentrail.services.cloudtrail_trails import save
from opentrail.state import Unit

CATEGORIES = ("Management", "Data")

service = Service("cloudtrail")


@service.guard("PutInsightSelectors", "GetInsightSelectors")
def guard_trail_named(call: Call, unit: Unit) -> list[Access]:
    return guard_trail_not_store(call)


@service.operation("PutInsightSelectors")
async def put_insight_selectors(call: Call, unit: Unit) -> Shape:
    """Choose the kinds of unusual activity that the trail logs; an empty list ends that."""
    if call.input.get("InsightsDestination"):
        raise AwsError("InvalidParameterCombinationException", "A trail's Insights have no destination of their own.")
    trail = find_own_trail(call.input["TrailName"], call, unit)
    config = config_of(trail, unit)
    chosen = _checked(call.input.get("InsightSelectors") or ())
    _check_logged(config, chosen)
    if chosen != config.insight_selectors:
        save(trail, msgspec.structs.replace(config, insight_selectors=chosen, since=unit.now), unit)
    return {"TrailARN": config.arn, "InsightSelectors": list(chosen)}


@service.operation("GetInsightSelectors")
async def get_insight_selectors(call: Call, unit: Unit) -> Shape:
    """Show the kinds of unusual activity that the trail logs."""
    config = config_of(find_trail(call.input["TrailName"], call, unit), unit)
    if not config.insight_selectors:
        message = f"Trail {config.name} does not have Insights enabled. Edit the trail settings to enable Insights, "
        raise AwsError("InsightNotEnabledException", message + "and then try the operation again.")
    return {"TrailARN": config.arn, "InsightSelectors": list(config.insight_selectors)}


def _checked(given: Sequence[Mapping[str, Any]]) -> tuple[Shape, ...]:
    """As they are kept, each kind once; raises InvalidInsightSelectorsException."""
    chosen: dict[str, Shape] = {}
    for selector in given:
        kind, categories = selector.get("InsightType"), selector.get("EventCategories") or ["Management"]
        if kind not in INSIGHT_TYPES or not set(categories) <= set(CATEGORIES):
            raise _invalid("The insight selectors hold a type or an event category that is not supported.")
        if kind in chosen:
            raise _invalid(f"The insight type {kind} is given twice.")
        chosen[kind] = {
            "InsightType": kind,
            **({"EventCategories": categories} if "EventCategories" in selector else {}),
        }
    return tuple(chosen.values())


def _check_logged(config: TrailConfig, chosen: Sequence[Shape]) -> None:
    """Insights are about what the trail logs: for the rate of calls its write events, for that of errors any."""
    reads = _management(config)
    for selector in chosen:
        needed = {False} if selector["InsightType"] == CALL_RATE else {True, False}
        if "Management" in selector.get("EventCategories", ["Management"]) and not reads & needed:
            raise _invalid(f"The trail does not log the management events that {selector['InsightType']} is about.")


def _management(config: TrailConfig) -> set[bool]:
    """Values of readOnly among the management events that the trail's selectors let through."""
    found: set[bool] = set()
    for basic in config.event_selectors:
        if basic.get("IncludeManagementEvents", True):
            found |= {"ReadOnly": {True}, "WriteOnly": {False}}.get(basic.get("ReadWriteType", "All"), {True, False})
    for advanced in config.advanced_event_selectors:
        fields = {each["Field"]: each for each in advanced["FieldSelectors"]}
        if fields["eventCategory"].get("Equals") == ["Management"]:
            wanted = fields.get("readOnly", {}).get("Equals") or ["true", "false"]
            found |= {value == "true" for value in wanted}
    return found


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidInsightSelectorsException", message)
