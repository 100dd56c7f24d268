"""The page of metrics: what it tells of lag, of log files that cannot be delivered, of digests and notices."""

from __future__ import annotations

import contextlib
import re

from opentrail.errors import AwsError
from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.digests import DigestFollower
from opentrail.server.metrics import Metrics
from tests.followers.trail_house import ACCOUNT, BUCKET, append, invoke, logging_trail, record, trail_house

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
LINE = re.compile(r'opentrail_[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\.)*"\})? -?[0-9.e+]+')


def told(page: bytes) -> dict[str, float]:
    """Name with labels → number; every line has to be one of Prometheus' text format."""
    found: dict[str, float] = {}
    for line in page.decode().splitlines():
        if not line.startswith("# "):
            assert LINE.fullmatch(line), line
            name, _, number = line.rpartition(" ")
            found[name.removeprefix("opentrail_")] = float(number)
    return found


def of_trail(page: bytes, name: str) -> float:
    return told(page)[f'trail_{name}{{trail="{ARN}"}}']


async def test_lag_is_told_in_lines_and_in_seconds():
    house = trail_house()
    follower = DeliveryFollower(house)
    await logging_trail(house)
    await follower.flush()
    metrics = Metrics(house, [follower, DigestFollower(house)])
    behind = told(metrics.page())
    await append(house, record("Waits"), record("Too"))
    house.clock.time += 90
    found = told(metrics.page())
    assert found["ledger_head"] == house.ledger.head()
    lines = 'follower_lag_lines{follower="delivery"}'
    assert found[lines] == behind[lines] + 2
    assert found['follower_lag_seconds{follower="delivery"}'] == 90
    assert not any("digests" in name and "follower" in name for name in found), "it reads no lines"
    await follower.flush()
    await follower.flush()
    assert of_trail(metrics.page(), "events_delivered_total") >= 3


async def test_what_cannot_be_delivered_is_told_and_counted():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True, SnsTopicName="news")
    delivery, digests = DeliveryFollower(house), DigestFollower(house)
    metrics = Metrics(house, [delivery])
    house.road.refuse[BUCKET] = AwsError("AccessDenied", status=403)
    await append(house, record("Kept"))
    for _ in range(2):
        with contextlib.suppress(AwsError):
            await delivery.flush()
    await digests.step()
    house.clock.time += 7_200
    page = metrics.page()
    assert of_trail(page, "undelivered_files") == 1
    assert of_trail(page, "oldest_undelivered_seconds") == 7_200
    assert (of_trail(page, "delivery_failing"), of_trail(page, "delivery_errors_total")) == (1, 2)
    assert (of_trail(page, "digest_failing"), of_trail(page, "digest_errors_total")) == (1, 1)
    assert of_trail(page, "digest_late_seconds") == 7_200
    del house.road.refuse[BUCKET]
    house.road.refuse["sns"] = AwsError("NotFound", status=404)
    with contextlib.suppress(AwsError):
        await delivery.flush()
    await digests.step()
    page = metrics.page()
    assert (of_trail(page, "undelivered_files"), of_trail(page, "oldest_undelivered_seconds")) == (0, 0)
    assert (of_trail(page, "delivery_failing"), of_trail(page, "digest_failing")) == (0, 0)
    assert of_trail(page, "notices_waiting") == of_trail(page, "files_delivered_total") > 0
    assert of_trail(page, "notification_errors_total") == 1
    assert of_trail(page, "digests_delivered_total") > 0
    assert of_trail(page, "digest_late_seconds") == 0


async def test_a_page_without_trails_and_with_a_line_of_another_kind():
    house = trail_house()
    metrics = Metrics(house, [DeliveryFollower(house)])
    assert told(metrics.page())["trails"] == 0
    await append(house, b"{", record("Odd", eventTime="noon"))
    assert told(metrics.page())['follower_lag_seconds{follower="delivery"}'] == 0
    await invoke(house, "CreateTrail", {"Name": "idle", "S3BucketName": BUCKET})
    found = told(metrics.page())
    assert found["trails"] == 1
    assert found[f'trail_logging{{trail="{ARN[:-4]}idle"}}'] == 0
