"""Digests, with the AWS CLI's own code as the judge of chain and signatures."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json

import pytest

from opentrail.errors import AwsError
from opentrail.followers import digest_chain
from opentrail.followers import digests as digests_module
from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.digests import DigestFollower
from opentrail.followers.trail_sweep import sweep
from opentrail.ports import Writes
from opentrail.rows.cloudtrail import CHAINS, CONFIGS, DELIVERED
from opentrail.rows.timelines import Timelines
from opentrail.state import Unit
from tests.fakes.house import NOW
from tests.followers.cli_oracle import Verdict, traverse
from tests.followers.trail_house import (
    ACCOUNT,
    BUCKET,
    Crash,
    CrashingLedger,
    append,
    invoke,
    logging_trail,
    object_key,
    objects,
    record,
    trail_house,
)

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
HOUR = 3_600


async def judged(house, region: str = "us-east-1", until: float = 0.0) -> Verdict:
    keys = await invoke(
        house, "ListPublicKeys", {"StartTime": NOW - HOUR, "EndTime": house.clock.time + 2 * HOUR}, region=region
    )
    return traverse(house.ledger, keys, ARN, BUCKET, NOW - 2 * HOUR, until or house.clock.time + HOUR, region)


async def hours(house, count: int) -> None:
    """Let a file be delivered in each of the next hours, and the digests follow."""
    delivery, digests = DeliveryFollower(house), DigestFollower(house)
    for hour in range(count):
        await append(house, record(f"Hour{hour}", house.clock.time))
        await delivery.flush()
        house.clock.time += HOUR
        await digests.step()


def check_hashes(house, verdict: Verdict) -> list[str]:
    """The keys of the log files named, each with the hash that the digest gives it."""
    named = []
    for digest in verdict.digests:
        for file in digest["logFiles"]:
            text = gzip.decompress(objects(house.ledger)[file["s3Bucket"], file["s3Object"]]["body"])
            assert hashlib.sha256(text).hexdigest() == file["hashValue"]
            times = [each["eventTime"] for each in json.loads(text)["Records"]]
            assert (file["oldestEventTime"], file["newestEventTime"]) == (min(times), max(times))
            named.append(file["s3Object"])
    return named


async def test_the_cli_accepts_a_chain_and_every_log_file_is_named_once():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await DigestFollower(house).step()
    house.clock.time += 1
    await hours(house, 3)
    verdict = await judged(house)
    assert verdict.complaints == []
    assert [digest["digestEndTime"] for digest in verdict.digests] == [
        "2026-09-21T17:13:20Z", "2026-09-21T16:13:20Z", "2026-09-21T15:13:20Z", "2026-09-21T14:13:20Z",
    ]  # fmt: skip
    for newer, older in zip(verdict.digests, verdict.digests[1:], strict=False):
        assert newer["digestStartTime"] == older["digestEndTime"]
    assert verdict.digests[-1]["digestStartTime"] == "2026-09-21T13:13:20Z"
    assert verdict.digests[-1]["previousDigestSignature"] is None
    assert sorted(check_hashes(house, verdict)) == sorted(key for _, key in objects(house.ledger, "/CloudTrail/"))


async def test_an_hour_without_files_has_a_digest_too():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    digests = DigestFollower(house)
    await digests.step()
    house.clock.time += HOUR
    await digests.step()
    newest = (await judged(house)).digests[0]
    assert newest["logFiles"] == []
    assert newest["newestEventTime"] is None


async def test_after_an_outage_each_missed_hour_has_its_digest():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await DigestFollower(house).step()
    house.clock.time += 10 * HOUR + 5
    await append(house, record("Afterwards", house.clock.time))
    await DeliveryFollower(house).flush()
    await DigestFollower(house).step()
    house.clock.time += HOUR
    await DigestFollower(house).step()
    verdict = await judged(house)
    assert verdict.complaints == []
    assert len(verdict.digests) == 12
    assert [len(digest["logFiles"]) for digest in verdict.digests] == [1, *[0] * 11]
    for newer, older in zip(verdict.digests, verdict.digests[1:], strict=False):
        assert newer["digestStartTime"] == older["digestEndTime"]


async def test_a_longer_outage_than_a_week_is_made_up_for_by_a_bounded_number(monkeypatch):
    monkeypatch.setattr(digest_chain, "LATE_DIGESTS_MAX", 3)
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await DigestFollower(house).step()
    house.clock.time += 10 * HOUR
    await DigestFollower(house).step()
    verdict = await judged(house)
    assert verdict.complaints == []
    assert [digest["digestEndTime"][8:13] for digest in verdict.digests] == [
        "22T00", "21T23", "21T22", "21T21", "21T14",
    ]  # fmt: skip


async def test_late_digests_are_signed_with_the_key_of_their_time():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await DigestFollower(house).step()
    house.clock.time += 31 * 24 * HOUR
    await DigestFollower(house).step()
    ended = NOW + 29 * 24 * HOUR
    answer = await invoke(house, "ListPublicKeys", {"StartTime": ended - HOUR, "EndTime": ended + 2 * HOUR})
    assert len(answer["PublicKeyList"]) == 1, "whoever checks that time asks for the keys of that time"
    verdict = traverse(house.ledger, answer, ARN, BUCKET, ended - HOUR, ended, "us-east-1")
    assert verdict.complaints == []
    assert verdict.digests


async def late_file(house) -> None:
    """A log file whose delivery began in an hour that is sealed by now."""
    await append(house, record("Late", house.clock.time))
    house.clock.time -= HOUR / 2
    await DeliveryFollower(house).flush()
    house.clock.time += HOUR / 2


async def test_files_that_a_digest_came_too_early_for_are_named_by_a_backfill_digest():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    digests = DigestFollower(house)
    await digests.step()
    house.clock.time += 1
    await hours(house, 1)
    for _ in range(2):
        await late_file(house)
        await digests.step()
        await hours(house, 1)
    backfills = [digest for digest in await backfilled(house) if digest["logFiles"]]
    keys = [digest["digestS3Object"] for digest in backfills]
    assert len(keys) == 2
    assert all(key.endswith("_backfill.json.gz") for key in keys)
    assert backfills[0]["previousDigestS3Object"] == keys[1]
    assert backfills[1]["previousDigestS3Object"] is None
    standard = await judged(house)
    assert standard.complaints == []
    windows = {digest["digestEndTime"]: digest["digestStartTime"] for digest in standard.digests}
    for digest in backfills:
        assert windows[digest["digestEndTime"]] == digest["digestStartTime"]
    metadata = objects(house.ledger)[BUCKET, keys[0]]["metadata"]
    assert set(metadata) == {"signature", "signature-algorithm", "backfill-generation-timestamp"}
    named = [file["s3Object"] for digest in [*standard.digests, *backfills] for file in digest["logFiles"]]
    assert sorted(named) == sorted(key for _, key in objects(house.ledger, "/CloudTrail/"))


async def backfilled(house) -> list[dict]:
    """The backfill digests that the CLI accepts, newest first."""
    end = house.clock.time + HOUR
    answer = await invoke(house, "ListPublicKeys", {"StartTime": NOW - HOUR, "EndTime": end + HOUR})
    verdict = traverse(house.ledger, answer, ARN, BUCKET, NOW - 2 * HOUR, end, "us-east-1", backfill=True)
    assert verdict.complaints == []
    return verdict.digests


async def test_a_window_has_one_backfill_digest_and_what_comes_later_goes_into_the_next_digest():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    digests = DigestFollower(house)
    await digests.step()
    house.clock.time += 1
    await hours(house, 1)
    for _ in range(2):
        await late_file(house)
        await digests.step()
    house.clock.time += HOUR
    await digests.step()
    verdict, backfills = await judged(house), await backfilled(house)
    assert [len(digest["logFiles"]) for digest in backfills] == [1]
    named = [file["s3Object"] for digest in [*verdict.digests, *backfills] for file in digest["logFiles"]]
    assert sorted(named) == sorted(key for _, key in objects(house.ledger, "/CloudTrail/"))


async def test_a_digest_of_more_files_than_one_may_name_has_a_backfill(monkeypatch):
    monkeypatch.setattr(digest_chain, "FILES_PER_DIGEST_MAX", 2)
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    digests, delivery = DigestFollower(house), DeliveryFollower(house)
    await digests.step()
    house.clock.time += 1
    for number in range(5):
        await append(house, record(f"Call{number}", house.clock.time))
        await delivery.flush()
    house.clock.time += HOUR
    await digests.step()
    house.clock.time += HOUR
    await digests.step()
    verdict, backfills = await judged(house), await backfilled(house)
    assert verdict.complaints == []
    assert [len(digest["logFiles"]) for digest in backfills] == [2]
    named = [file["s3Object"] for digest in [*verdict.digests, *backfills] for file in digest["logFiles"]]
    assert sorted(named) == sorted(key for _, key in objects(house.ledger, "/CloudTrail/"))


async def test_a_digest_waits_a_moment_for_the_files_under_way():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    digests, delivery = DigestFollower(house), DeliveryFollower(house)
    await digests.step()
    house.clock.time += HOUR - 30
    await append(house, record("Just", house.clock.time))
    house.road.refuse[BUCKET] = AwsError("SlowDown", status=503)
    with pytest.raises(AwsError):
        await delivery.flush()
    house.clock.time += 31
    del house.road.refuse[BUCKET]
    await digests.step()
    assert len(objects(house.ledger, "CloudTrail-Digest")) == 1
    house.clock.time += digests_module.GRACE_SECONDS_MAX
    await digests.step()
    assert len(objects(house.ledger, "CloudTrail-Digest")) == 2


async def test_a_last_digest_follows_the_end_of_logging_and_a_new_chain_its_restart():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await hours(house, 1)
    await invoke(house, "StopLogging", {"Name": "main"})
    digests = DigestFollower(house)
    await digests.step()
    assert not all(chain.closed for _, chain in CHAINS.all(Unit(house, 0.0))), "StopLogging is not delivered yet"
    house.clock.time += 60
    await DeliveryFollower(house).flush()
    await digests.step()
    assert all(chain.closed for _, chain in CHAINS.all(Unit(house, 0.0)))
    ended = await judged(house)
    assert sorted(check_hashes(house, ended)) == sorted(key for _, key in objects(house.ledger, "/CloudTrail/"))
    house.clock.time += 5 * HOUR
    await digests.step()
    assert len((await judged(house)).digests) == len(ended.digests)
    await invoke(house, "StartLogging", {"Name": "main"})
    await digests.step()
    house.clock.time += 1
    await hours(house, 2)
    verdict = await judged(house)
    assert verdict.complaints == ["gap"]
    assert len(verdict.digests) == len(ended.digests) + 3
    assert sorted(check_hashes(house, verdict)) == sorted(key for _, key in objects(house.ledger, "/CloudTrail/"))


async def test_a_deleted_trail_is_sealed_and_then_forgotten():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await hours(house, 1)
    await invoke(house, "DeleteTrail", {"Name": "main"})
    await DeliveryFollower(house).flush()
    await DigestFollower(house).step()
    verdict = await judged(house)
    assert verdict.complaints == []
    assert sorted(check_hashes(house, verdict)) == sorted(key for _, key in objects(house.ledger, "/CloudTrail/"))
    timelines = Timelines(house.ledger)
    timelines.refresh()
    await sweep(house, timelines)
    assert list(CONFIGS.all(Unit(house, 0.0)))
    house.clock.time += 25 * HOUR
    await sweep(house, timelines)
    rows = [key for key, _ in house.ledger.scan(b"trail_", b"", 100)]
    assert {key.partition(b"\0")[0] for key in rows} == {b"trail_change", b"trail_signing_key"}
    assert timelines.refresh()
    assert len(timelines) == 0


async def test_each_region_has_its_chain_and_its_key():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True, IsMultiRegionTrail=True)
    await DigestFollower(house).step()
    await append(house, record("There", awsRegion="eu-west-1"))
    await DeliveryFollower(house).flush()
    house.clock.time += HOUR
    await DigestFollower(house).step()
    here, there = await judged(house), await judged(house, "eu-west-1")
    assert here.complaints == there.complaints == []
    assert len(here.digests) == len(there.digests) == 2
    assert here.digests[0]["digestPublicKeyFingerprint"] != there.digests[0]["digestPublicKeyFingerprint"]
    assert [key.split("/")[3] for key in check_hashes(house, there)] == ["eu-west-1"]
    assert "_CloudTrail-Digest_eu-west-1_main_us-east-1_" in there.digests[0]["digestS3Object"]


async def test_digests_every_second_keep_windows_and_names_apart():
    house = trail_house(digest_interval=0.2)
    await logging_trail(house, EnableLogFileValidation=True)
    digests = DigestFollower(house)
    for _ in range(12):
        await digests.step()
        house.clock.time += 0.4
    verdict = await judged(house)
    assert verdict.complaints == []
    assert [digest["digestEndTime"][-3:] for digest in verdict.digests] == ["24Z", "23Z", "22Z", "21Z", "20Z"]


async def test_a_clock_that_steps_back_delays_and_breaks_nothing():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await hours(house, 2)
    house.clock.time -= 90 * 60
    await hours(house, 4)
    verdict = await judged(house)
    assert verdict.complaints == []
    ends = [digest["digestEndTime"] for digest in verdict.digests]
    assert ends == sorted(set(ends), reverse=True)


async def test_a_key_is_replaced_after_thirty_days():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await DigestFollower(house).step()
    house.clock.time += 31 * 24 * HOUR
    await DigestFollower(house).step()
    keys = await invoke(house, "ListPublicKeys", {"StartTime": NOW, "EndTime": house.clock.time})
    assert len(keys["PublicKeyList"]) == 2
    current = await invoke(house, "ListPublicKeys")
    assert len(current["PublicKeyList"]) == 1
    assert (await judged(house)).complaints == []


async def test_the_cli_misses_a_digest_that_was_removed():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    await hours(house, 3)
    digest_keys = [key for _, key in objects(house.ledger, "CloudTrail-Digest")]
    await house.ledger.commit(Writes(deletes={object_key(BUCKET, digest_keys[1])}), [])
    [complaint] = (await judged(house)).complaints
    assert "NoSuchKey" in complaint


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_commit_leaves_one_unbroken_chain(after):
    for step in range(1, 30):
        ledger = CrashingLedger()
        house = trail_house(ledger)
        await logging_trail(house, EnableLogFileValidation=True)
        await DigestFollower(house).step()
        await DeliveryFollower(house).flush()
        house.clock.time += HOUR
        ledger.crash_at, ledger.crash_after = step, after
        crashed = False
        try:
            await DigestFollower(house).step()
            await append(house, record("Next"))
            await DeliveryFollower(house).flush()
        except Crash:
            crashed = True
        ledger.crash_at = 0
        house = trail_house(ledger, now=house.clock.time + HOUR + 7)
        await DeliveryFollower(house).flush()
        await DigestFollower(house).step()
        house.clock.time += HOUR
        await DigestFollower(house).step()
        verdict = await judged(house)
        assert verdict.complaints == []
        written = {key for _, key in objects(ledger, "CloudTrail-Digest")}
        assert {digest["digestS3Object"] for digest in verdict.digests} == written
        named = check_hashes(house, verdict)
        assert sorted(named) == sorted(key for _, key in objects(ledger, "/CloudTrail/")), step
        if not crashed:
            return
    raise AssertionError("it never came to its end")


async def test_a_refused_digest_is_told_and_written_later():
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    digests = DigestFollower(house)
    house.road.refuse[BUCKET] = AwsError("AccessDenied", status=403)
    await digests.step()
    status = await invoke(house, "GetTrailStatus", {"Name": "main"})
    assert status["LatestDigestDeliveryError"] == "AccessDenied"
    del house.road.refuse[BUCKET]
    await digests.step()
    assert objects(house.ledger, "CloudTrail-Digest") == {}
    house.clock.time += 2
    await digests.step()
    assert len(objects(house.ledger, "CloudTrail-Digest")) == 1
    status = await invoke(house, "GetTrailStatus", {"Name": "main"})
    assert "LatestDigestDeliveryError" not in status
    assert status["LatestDigestDeliveryTime"] == house.clock.time


async def test_following_and_flushing():
    house = trail_house(digest_interval=1.0)
    await logging_trail(house, EnableLogFileValidation=True)
    digests = DigestFollower(house)
    running = asyncio.ensure_future(digests.run())
    async with asyncio.timeout(60):
        while not objects(house.ledger, "CloudTrail-Digest"):
            await asyncio.sleep(0.005)
    running.cancel()
    await DeliveryFollower(house).flush()
    house.clock.time += 0.5
    await digests.flush()
    assert list(DELIVERED.all(Unit(house, 0.0))) == []
    verdict = await judged(house)
    assert verdict.complaints == []
    assert len(check_hashes(house, verdict)) == 1


async def test_a_trail_that_takes_the_name_of_a_deleted_one_overwrites_none_of_its_digests():
    house = trail_house()
    digests, delivery = DigestFollower(house), DeliveryFollower(house)
    for _ in range(4):
        await logging_trail(house, EnableLogFileValidation=True)
        await digests.step()
        await invoke(house, "DeleteTrail", {"Name": "main"})
        await delivery.flush()
        await digests.step()
        house.clock.time += 1  # the next trail begins in the very second with which the last digest ended
    written = [
        given["Key"] for _, _, name, given in house.road.calls
        if name == "PutObject" and "/CloudTrail-Digest/" in given["Key"] and given["Key"].endswith(".gz")
    ]  # fmt: skip
    assert len(written) >= 8, "each has its first and its last"
    assert len(set(written)) == len(written)
