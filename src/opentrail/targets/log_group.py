"""Target log group: puts the event as one log event, in the commit in which the delivery ends.

Source: EventBridge user guide, "CloudWatch Logs log groups as targets": EventBridge acts as itself, so a resource policy of
CloudWatch Logs must admit it to CreateLogStream and PutLogEvents; an input transformer gives `timestamp` and `message`. Each
target of a rule has a stream, whose name is an id made of the two. Knows nothing of rules.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime
from typing import Any, Final

from opentrail.call import Principal, Shape
from opentrail.errors import AwsError
from opentrail.rows.event_delivery import Delivery, Sending, Undeliverable
from opentrail.state import House
from opentrail.targets.role import itself

AGE_SECONDS_MAX: Final = 82_800.0
"""An older event is logged under the time of its delivery: its own might lie before what the group keeps."""
_ARN = re.compile(r"arn:aws[\w-]*:logs:([a-z0-9-]+):(\d{12}):log-group:([.\-_/#A-Za-z0-9]{1,512})(?::\*)?", re.ASCII)


class LogGroupTarget:
    """A `TargetPlug`."""

    async def deliver(self, sending: Sending, house: House) -> None:
        """PutLogEvents, after CreateLogStream where the stream is missing."""
        delivery = sending.delivery
        found = _ARN.fullmatch(delivery.target_arn)
        if found is None or found[2] != delivery.account_id:
            raise Undeliverable("NO_RESOURCE", f"{delivery.target_arn} is not the ARN of a log group of the account.")
        time, message = _event(delivery, house.clock.now())
        stream = {"logGroupName": found[3], "logStreamName": _stream(delivery)}
        given: Shape = stream | {"logEvents": [{"timestamp": time, "message": message}]}
        principal, region = itself(delivery), found[1]
        try:
            await house.road.call(principal, "logs", "PutLogEvents", given, region=region, also=sending.done())
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            await _make_stream(house, principal, stream, region)
            await house.road.call(principal, "logs", "PutLogEvents", given, region=region, also=sending.done())


async def _make_stream(house: House, principal: Principal, stream: Shape, region: str) -> None:
    try:
        await house.road.call(principal, "logs", "CreateLogStream", stream, region=region)
    except AwsError as error:
        if error.code != "ResourceAlreadyExistsException":
            raise


def _stream(delivery: Delivery) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{delivery.rule_arn} {delivery.target_id}"))


def _event(delivery: Delivery, now: float) -> tuple[int, str]:
    """Time (epoch milliseconds) and text of the log event."""
    text = delivery.payload.decode("utf-8", "replace")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return int(now * 1000), text or "-"
    if given.keys() == {"timestamp", "message"} and delivery.target.get("InputTransformer") is not None:
        message = given["message"]
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"), ensure_ascii=False)
        return _time(given["timestamp"], now), text or "-"
    return _time(given.get("time"), now), text


def _time(given: Any, now: float) -> int:  # noqa: ANN401  (what an event or a template says)
    """A time, in milliseconds or as text, unless it is too far from now."""
    moment = now
    if isinstance(given, int | float) and not isinstance(given, bool):
        moment = given / 1000
    elif isinstance(given, str):
        try:
            moment = int(given) / 1000 if given.isdecimal() else datetime.fromisoformat(given).timestamp()
        except (ValueError, OverflowError):
            moment = now
    return int((moment if abs(now - moment) < AGE_SECONDS_MAX and moment < now + 3_600 else now) * 1000)
