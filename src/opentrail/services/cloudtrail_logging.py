"""CloudTrail's logging: started, stopped, chosen by event selectors, and how it is going.

Source: CloudTrail API reference; user guide, "Logging data events".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.record.event_selectors import DEFAULT_SELECTORS, check_advanced, check_basic
from opentrail.rows.cloudtrail import DELIVERY_STATUS, DIGEST_STATUS, DeliveryStatus, DigestStatus, place_of
from opentrail.rows.trail_log_groups import LOG_GROUP_STATUS, LogGroupStatus
from opentrail.service import Service
from opentrail.services.cloudtrail_find import config_of, find_own_trail, find_trail, guard_trail
from opentrail.services.cloudtrail_trails import save
from opentrail.state import Unit

service = Service("cloudtrail")


@service.guard("StartLogging", "StopLogging", "GetTrailStatus")
def guard_named(call: Call, unit: Unit) -> list[Access]:
    return guard_trail("Name", call)


@service.guard("PutEventSelectors", "GetEventSelectors")
def guard_trail_named(call: Call, unit: Unit) -> list[Access]:
    return guard_trail("TrailName", call)


@service.operation("StartLogging")
async def start_logging(call: Call, unit: Unit) -> Shape:
    """Begin to log, this very call included."""
    trail = find_own_trail(call.input["Name"], call, unit)
    config = config_of(trail, unit)
    if not config.logging:
        save(trail, msgspec.structs.replace(config, logging=True, since=unit.now), unit, started_at=unit.now)
    return {}


@service.operation("StopLogging")
async def stop_logging(call: Call, unit: Unit) -> Shape:
    """Log no more after this call; what was logged is still delivered."""
    trail = find_own_trail(call.input["Name"], call, unit)
    config = config_of(trail, unit)
    if config.logging:
        save(trail, msgspec.structs.replace(config, logging=False, since=unit.now), unit, stopped_at=unit.now)
    return {}


@service.operation("PutEventSelectors")
async def put_event_selectors(call: Call, unit: Unit) -> Shape:
    """Choose what the trail logs, by basic or by advanced selectors."""
    trail = find_own_trail(call.input["TrailName"], call, unit)
    basic, advanced = checked_selectors(call.input.get("EventSelectors"), call.input.get("AdvancedEventSelectors"))
    config = msgspec.structs.replace(
        config_of(trail, unit),
        event_selectors=basic,
        advanced_event_selectors=advanced,
        custom_selectors=True,
        since=unit.now,
    )
    save(trail, config, unit)
    return describe_selectors(config.arn, config.event_selectors, config.advanced_event_selectors)


def checked_selectors(
    basic: Sequence[Shape] | None, advanced: Sequence[Shape] | None
) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """Basic and advanced selectors as they are kept, the kind not given empty; raises InvalidEventSelectorsException.

    Basic ones get their defaults; the fields of advanced ones are sorted by name, as they come back from AWS.
    """
    if bool(basic) == bool(advanced):
        raise AwsError(
            "InvalidEventSelectorsException",
            "Give either event selectors or advanced event selectors, and at least one.",
        )
    if advanced:
        check_advanced(advanced)
        return (), tuple(
            each | {"FieldSelectors": sorted(each["FieldSelectors"], key=lambda field: str(field["Field"]))}
            for each in advanced
        )
    check_basic(basic or ())
    return tuple(DEFAULT_SELECTORS[0] | each for each in basic or ()), ()


@service.operation("GetEventSelectors")
async def get_event_selectors(call: Call, unit: Unit) -> Shape:
    """Show what the trail logs; only the kind of selectors in force."""
    config = config_of(find_trail(call.input["TrailName"], call, unit), unit)
    return describe_selectors(config.arn, config.event_selectors, config.advanced_event_selectors)


def describe_selectors(arn: str, basic: tuple[Shape, ...], advanced: tuple[Shape, ...]) -> Shape:
    if advanced:
        return {"TrailARN": arn, "AdvancedEventSelectors": list(advanced)}
    return {"TrailARN": arn, "EventSelectors": list(basic)}


@service.operation("GetTrailStatus")
async def get_trail_status(call: Call, unit: Unit) -> Shape:
    """Is it logging, and how did the last deliveries go, in this region; of an organization trail, those of this account."""
    trail = find_trail(call.input["Name"], call, unit)
    place = place_of(config_of(trail, unit), call.account_id, call.region)
    delivery = DELIVERY_STATUS.get(unit, trail.id, place) or DeliveryStatus()
    digest = DIGEST_STATUS.get(unit, trail.id, place) or DigestStatus()
    group = LOG_GROUP_STATUS.get(unit, trail.id) or LogGroupStatus()
    texts: Shape = {
        "LatestDeliveryError": delivery.error,
        "LatestNotificationError": delivery.notification_error,
        "LatestDigestDeliveryError": digest.error,
        "LatestCloudWatchLogsDeliveryError": group.error,
    }
    times: Shape = {
        "LatestDeliveryTime": delivery.delivered_at,
        "LatestNotificationTime": delivery.notified_at,
        "LatestDigestDeliveryTime": digest.delivered_at,
        "LatestCloudWatchLogsDeliveryTime": group.delivered_at,
        "StartLoggingTime": trail.started_at,
        "StopLoggingTime": trail.stopped_at,
    }
    return {
        "IsLogging": config_of(trail, unit).logging,
        **{name: text for name, text in texts.items() if text},
        **{name: at for name, at in times.items() if at},
        **_legacy(delivery, trail.started_at, trail.stopped_at),
    }


def _legacy(delivery: DeliveryStatus, started_at: float, stopped_at: float) -> Shape:
    """The text members that older clients read; empty where there is nothing to say."""
    return {
        "LatestDeliveryAttemptTime": _text(delivery.attempted_at),
        "LatestNotificationAttemptTime": _text(delivery.notification_attempted_at),
        "LatestDeliveryAttemptSucceeded": _text(0.0 if delivery.error else delivery.delivered_at),
        "LatestNotificationAttemptSucceeded": _text(0.0 if delivery.notification_error else delivery.notified_at),
        "TimeLoggingStarted": _text(started_at),
        "TimeLoggingStopped": _text(stopped_at),
    }


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""
