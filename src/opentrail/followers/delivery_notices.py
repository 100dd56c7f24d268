"""Tells a trail's topic of delivered log files.

The notice is written in the commit that delivers the file and gone in the commit that publishes the message, so that a
crash loses neither and the message is sent once. What cannot be told is tried again for a day. Source of the message:
CloudTrail user guide, "Configuring Amazon SNS notifications for CloudTrail". Knows nothing of lines or digests.
"""

from __future__ import annotations

from typing import Final

import msgspec

from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import DELIVERY_STATUS, NOTICES, DeliveryStatus, FileNotice, TrailConfig, as_cloudtrail
from opentrail.state import House, Unit

AGE_SECONDS_MAX: Final = 86_400.0
"""After this long a notice is given up; the file itself is where it belongs."""

WAITING_NOTICES_MAX: Final = 1_000
"""Notices behind one that cannot be sent whose regions are told of it."""


def has_notices(house: House, trail_id: str) -> bool:
    return bool(Unit(house, 0.0).scan(NOTICES.key(trail_id, ""), b"", 1))


async def announce(house: House, trail_id: str, config: TrailConfig) -> None:
    """Send every notice of a trail, oldest first; raises the AwsError of the first that fails, once the status says so."""
    while rows := NOTICES.page(Unit(house, 0.0), trail_id, limit=1):
        key, notice = rows[0]
        number = NOTICES.parts(key)[1]
        try:
            await _publish(house, trail_id, number, config, notice)
        except AwsError as error:
            moved = await _readdress(house, trail_id, number, config, notice)
            if not moved and not await _note_failure(house, trail_id, number, notice, error):
                raise


async def _readdress(house: House, trail_id: str, number: str, config: TrailConfig, notice: FileNotice) -> bool:
    """A notice that its topic does not take goes to the trail's topic of now; if it has none, nobody is to be told."""
    if notice.topic_arn == config.topic_arn:
        return False
    unit = Unit(house, house.clock.now())
    if config.topic_arn:
        NOTICES.put(unit, msgspec.structs.replace(notice, topic_arn=config.topic_arn), trail_id, number)
    else:
        NOTICES.delete(unit, trail_id, number)
        for place in _waiting_places(house, trail_id):
            status = DELIVERY_STATUS.get(Unit(house, 0.0), trail_id, place) or DeliveryStatus()
            DELIVERY_STATUS.put(unit, msgspec.structs.replace(status, notification_error=""), trail_id, place)
    await house.ledger.commit(unit.writes, ())
    return True


def _waiting_places(house: House, trail_id: str) -> list[str]:
    """Where the files come from that the topic is still to be told of."""
    rows = NOTICES.page(Unit(house, 0.0), trail_id, limit=WAITING_NOTICES_MAX)
    return sorted({notice.place for _, notice in rows})


async def _publish(house: House, trail_id: str, number: str, config: TrailConfig, notice: FileNotice) -> None:
    """The message and the end of the notice are one commit."""
    unit = Unit(house, house.clock.now())
    if NOTICES.get(unit, trail_id, number) is None:
        return
    NOTICES.delete(unit, trail_id, number)
    status = DELIVERY_STATUS.get(Unit(house, 0.0), trail_id, notice.place) or DeliveryStatus()
    told = msgspec.structs.replace(
        status,
        notified_at=unit.now,
        notification_error="",
        notification_attempted_at=unit.now,
        notices=status.notices + 1,
    )
    DELIVERY_STATUS.put(unit, told, trail_id, notice.place)
    message = msgspec.json.encode({"s3Bucket": notice.bucket, "s3ObjectKey": [notice.key]}).decode()
    publish = {"TopicArn": notice.topic_arn, "Message": message}
    region = notice.topic_arn.split(":")[3]
    await house.road.call(as_cloudtrail(config), "sns", "Publish", publish, region=region, also=unit.writes)


async def _note_failure(house: House, trail_id: str, number: str, notice: FileNotice, error: AwsError) -> bool:
    """Let GetTrailStatus say why, also where notices wait behind this one; True if the notice is given up."""
    unit = Unit(house, house.clock.now())
    for place in _waiting_places(house, trail_id):  # this one's included
        status = DELIVERY_STATUS.get(Unit(house, 0.0), trail_id, place) or DeliveryStatus()
        failed = msgspec.structs.replace(
            status,
            notification_error=error.code,
            notification_attempted_at=unit.now,
            notice_failures=status.notice_failures + (place == notice.place),
        )
        DELIVERY_STATUS.put(unit, failed, trail_id, place)
    over = unit.now - notice.first > AGE_SECONDS_MAX
    if over:
        NOTICES.delete(unit, trail_id, number)
    await house.ledger.commit(unit.writes, ())
    return over
