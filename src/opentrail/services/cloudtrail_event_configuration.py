"""Event configurations: how large events may be, what enriches them, what is aggregated.

Of these, a trail knows aggregation only, and that is not built: a trail's configuration is the empty one. Larger events and
`eventContext` belong to event data stores; what trails deliver never has them, and the events of the history and of
EventBridge neither. So they are refused for a trail: to take them and leave the records as they are would be a lie.
Source: API reference, PutEventConfiguration; user guide, "Enrich CloudTrail events by adding resource tag keys and IAM
global condition keys", "CloudTrail record contents" (eventContext), "Aggregating data events". Which error AWS gives for a
trail is not documented; the one here is modelled for the operation.
"""

from __future__ import annotations

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import Trail
from opentrail.service import Service
from opentrail.services.cloudtrail_find import find_own_trail, find_trail, guard_trail_not_store
from opentrail.state import Unit

STANDARD, LARGE = "Standard", "Large"
"""Sizes of events: 256 KB (`record.limits.EVENT_MAX`), which those of trails have, and 1 MB."""

service = Service("cloudtrail")


@service.guard("PutEventConfiguration", "GetEventConfiguration")
def guard_trail_named(call: Call, unit: Unit) -> list[Access]:
    return guard_trail_not_store(call)


@service.operation("PutEventConfiguration")
async def put_event_configuration(call: Call, unit: Unit) -> Shape:
    """Take what a trail has anyway (no aggregation, events of standard size); refuse the rest."""
    trail = find_own_trail(call.input["TrailName"], call, unit)
    size = call.input.get("MaxEventSize") or STANDARD
    if size not in (STANDARD, LARGE):
        raise AwsError("InvalidParameterException", f"MaxEventSize is {STANDARD} or {LARGE}.")
    if size == LARGE or call.input.get("ContextKeySelectors"):
        raise AwsError(
            "InvalidParameterCombinationException",
            "Event size and context key selectors can be configured for event data stores only, not for a trail.",
        )
    if call.input.get("AggregationConfigurations"):
        raise AwsError("NotImplemented", "The aggregation of events is not implemented.", 501)
    return _described(trail)


@service.operation("GetEventConfiguration")
async def get_event_configuration(call: Call, unit: Unit) -> Shape:
    """Show a trail's event configuration: nothing is aggregated."""
    return _described(find_trail(call.input["TrailName"], call, unit))


def _described(trail: Trail) -> Shape:
    return {"TrailARN": trail.arn, "AggregationConfigurations": []}
