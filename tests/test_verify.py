"""The independent checker against files that the followers really wrote, and then what somebody did to them."""

from __future__ import annotations

import base64
import gzip
import json
import random

import pytest

from opentrail.followers.delivery import DeliveryFollower
from opentrail.followers.digests import DigestFollower
from opentrail.verify import Finding, Report, VerificationFailed, verify
from opentrail.verify_files import SIDECAR, Folder, load_public_keys
from tests.fakes.house import NOW
from tests.followers.trail_house import append, invoke, logging_trail, objects, record, trail_house

HOUR = 3_600


@pytest.fixture
async def delivered(tmp_path):
    """A folder with three hours of a trail, and the listing of its public keys."""
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    delivery, digests = DeliveryFollower(house), DigestFollower(house)
    for hour in range(3):
        await append(house, record(f"Hour{hour}", house.clock.time))
        await delivery.flush()
        await append(house, record(f"Again{hour}", house.clock.time))
        await delivery.flush()
        house.clock.time += HOUR
        await digests.step()
    root = tmp_path / "bucket"
    for (_, key), stored in objects(house.ledger).items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored["body"])
        if stored["metadata"]:
            path.with_name(path.name + SIDECAR).write_text(json.dumps(stored["metadata"]))
    answer = await invoke(house, "ListPublicKeys", {"StartTime": NOW, "EndTime": house.clock.time})
    values = [{"Value": base64.b64encode(each["Value"]).decode()} for each in answer["PublicKeyList"]]
    return root, load_public_keys(json.dumps({"PublicKeyList": values}).encode())


def checked(delivered, **options) -> Report:
    root, keys = delivered
    return verify(Folder(root), keys, **options)


def found(delivered, **options) -> list[tuple[str, str]]:
    return [(each.kind, each.key) for each in checked(delivered, **options).findings]


def logs(delivered) -> list[str]:
    return sorted(key for key in Folder(delivered[0]).keys() if "/CloudTrail/" in key)  # noqa: SIM118


def digests(delivered) -> list[str]:
    return sorted(key for key in Folder(delivered[0]).keys() if "/CloudTrail-Digest/" in key)  # noqa: SIM118


def rewrite(delivered, key: str, change) -> None:
    path = delivered[0] / key
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


async def test_what_was_delivered_is_proven(delivered):
    seen = []
    report = checked(delivered, progress=lambda done, known, key: seen.append((done, known, key)))
    report.demand()
    assert (report.digests, report.log_files, report.findings) == (4, 6, [])
    assert [done for done, _, _ in seen] == list(range(1, 11))
    assert {known for _, known, _ in seen} == {10}


async def test_recompressing_a_file_is_no_alteration(delivered):
    for key in logs(delivered):
        rewrite(delivered, key, lambda text: text)
    checked(delivered).demand()


async def test_signatures_quoted_by_the_next_digest_stand_in_for_lost_metadata(delivered):
    for key in digests(delivered):
        (delivered[0] / (key + SIDECAR)).unlink()
    unproven = [("unnamed", key) for key in logs(delivered)[-2:]]
    assert sorted(found(delivered)) == [*sorted(unproven), ("unsigned", digests(delivered)[-1])]


async def test_an_altered_log_file_is_named(delivered):
    key = logs(delivered)[2]
    rewrite(delivered, key, lambda text: text.replace(b"alice", b"carol"))
    assert found(delivered) == [("altered", key)]
    with pytest.raises(VerificationFailed, match=f"altered: {key}"):
        checked(delivered).demand()


async def test_a_removed_log_file_is_named(delivered):
    key = logs(delivered)[2]
    (delivered[0] / key).unlink()
    assert found(delivered) == [("missing", key)]


async def test_exchanged_log_files_are_named(delivered):
    one, two = (delivered[0] / key for key in logs(delivered)[1:3])
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert found(delivered) == [("exchanged", key) for key in logs(delivered)[1:3]]


async def test_a_log_file_that_no_digest_names_is_told_but_proves_nothing_wrong(delivered):
    key = logs(delivered)[0].replace(".json.gz", "x.json.gz")
    (delivered[0] / key).write_bytes(gzip.compress(b'{"Records":[]}'))
    assert found(delivered) == [("unnamed", key)]
    checked(delivered).demand()


async def test_an_altered_digest_is_named_and_breaks_the_chain(delivered):
    key = digests(delivered)[1]
    rewrite(delivered, key, lambda text: text.replace(b"2026-09-21T14:13:20Z", b"2026-09-21T14:13:21Z"))
    assert ("altered", key) in found(delivered)
    assert ("broken chain", key) in found(delivered)


async def test_a_removed_digest_is_named(delivered):
    key = digests(delivered)[1]
    (delivered[0] / key).unlink()
    assert ("missing", key) in found(delivered)


async def test_exchanged_digests_are_named(delivered):
    one, two = (delivered[0] / key for key in digests(delivered)[1:3])
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert {("exchanged", key) for key in digests(delivered)[1:3]} <= set(found(delivered))


async def test_a_foreign_signature_key_or_bucket_is_not_accepted(delivered):
    root, keys = delivered
    key = digests(delivered)[0]
    (root / (key + SIDECAR)).write_text(json.dumps({"signature": "00" * 256}))
    assert ("altered", key) in found(delivered)
    (root / (key + SIDECAR)).unlink()
    assert {each.kind for each in verify(Folder(root), {}).findings} == {"unknown key", "unnamed"}
    assert {each.kind for each in verify(Folder(root), keys, bucket="elsewhere").findings} == {"exchanged", "unnamed"}


async def test_an_older_part_can_be_left_out(delivered):
    (delivered[0] / digests(delivered)[0]).unlink()
    assert found(delivered)
    assert [kind for kind, _ in found(delivered, since="20260921T150000Z")] == []


async def test_nothing_proves_nothing(tmp_path):
    with pytest.raises(VerificationFailed, match="no digest"):
        verify(Folder(tmp_path), {}).demand()


async def test_hostile_files_are_findings_not_failures(delivered, tmp_path):
    root, _ = delivered
    chosen = random.Random(7)
    key, log = digests(delivered)[2], logs(delivered)[1]
    good, text = (root / key).read_bytes(), gzip.decompress((root / key).read_bytes())
    hostile = [
        b"", b"no gzip", good[:-9], good + b"more", gzip.compress(b"[" * 100_000), gzip.compress(b"null"),
        gzip.compress(b'{"logFiles": 7}'), gzip.compress(text.replace(b'"logFiles"', b'"logfiles"')),
        gzip.compress(b'{"digestS3Object": 1, "previousDigestS3Object": "../../../etc/passwd"}'),
        gzip.compress(b'{"digestS3Object": "\\ud800", "previousDigestS3Object": "a\\u0000b"}'),
        *(bytes(chosen.randbytes(300)) for _ in range(5)),
    ]  # fmt: skip
    for raw in hostile:
        (root / key).write_bytes(raw)
        (root / log).write_bytes(raw)
        (root / (key + SIDECAR)).write_bytes(raw)
        report = checked(delivered)
        assert any(each.serious and each.key == key for each in report.findings), raw[:20]
        assert any(each.serious and each.key == log for each in report.findings), raw[:20]


@pytest.mark.parametrize(
    "listing",
    [b"", b"[]", b"{}", b'{"PublicKeyList": [{}]}', b'{"PublicKeyList": [7]}', b'{"PublicKeyList": [{"Value": "@"}]}',
     b'{"PublicKeyList": [{"Value": "aGVsbG8="}]}'],
)  # fmt: skip
def test_keys_that_cannot_be_read_are_an_error(listing):
    with pytest.raises(ValueError):
        load_public_keys(listing)


def test_a_finding_reads_as_a_line():
    assert str(Finding("gap", "some/key", "why")) == "gap: some/key: why"


async def listed_keys(house):
    """The public keys that the server lists up to now."""
    answer = await invoke(house, "ListPublicKeys", {"StartTime": NOW, "EndTime": house.clock.time})
    values = [{"Value": base64.b64encode(each["Value"]).decode()} for each in answer["PublicKeyList"]]
    return load_public_keys(json.dumps({"PublicKeyList": values}).encode())


def lay_down(path, stored):
    """A delivered object as a file, its metadata beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored["body"])
    path.with_name(path.name + SIDECAR).write_text(json.dumps(stored["metadata"]))


async def test_what_lies_in_the_trails_former_bucket_is_not_missed_here(tmp_path):
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    delivery, digests = DeliveryFollower(house), DigestFollower(house)
    await digests.step()
    house.clock.time += 1
    for hour in range(4):
        await append(house, record(f"Hour{hour}", house.clock.time))
        await delivery.flush()
        if hour == 1:
            await invoke(house, "UpdateTrail", {"Name": "main", "S3BucketName": "other-bucket"})
        house.clock.time += HOUR
        await digests.step()
    for (bucket, key), stored in objects(house.ledger).items():
        for root in (tmp_path / bucket, tmp_path / "both"):
            lay_down(root / key, stored)
    keys = await listed_keys(house)
    both = verify(Folder(tmp_path / "both"), keys)
    assert (both.digests, both.findings) == (5, [])
    new = verify(Folder(tmp_path / "other-bucket"), keys, bucket="other-bucket")
    new.demand()
    assert {each.kind for each in new.findings} == {"elsewhere"}
    assert sum("CloudTrail-Digest" in each.key for each in new.findings) == 1
    [mine, *_] = [key for _, key in objects(house.ledger, "/CloudTrail/") if (tmp_path / "other-bucket" / key).exists()]
    (tmp_path / "other-bucket" / mine).unlink()
    gone = verify(Folder(tmp_path / "other-bucket"), keys, bucket="other-bucket")
    assert ("missing", mine) in [(each.kind, each.key) for each in gone.findings]


async def test_what_lies_under_the_trails_former_prefix_is_told(tmp_path):
    house = trail_house()
    await logging_trail(house, EnableLogFileValidation=True)
    for prefix in ("new", ""):
        await DeliveryFollower(house).flush()
        await DigestFollower(house).step()
        house.clock.time += HOUR
        await DigestFollower(house).step()
        if prefix:
            await invoke(house, "UpdateTrail", {"Name": "main", "S3KeyPrefix": prefix})
    for (_, key), stored in objects(house.ledger).items():
        lay_down(tmp_path / key, stored)
    keys = await listed_keys(house)

    class NewPrefix(Folder):
        def keys(self):
            return (key for key in super().keys() if key.startswith("new/"))  # noqa: SIM118  (not a mapping)

    assert verify(Folder(tmp_path), keys).findings == []
    report = verify(NewPrefix(tmp_path), keys)
    report.demand()
    assert [each.kind for each in report.findings] == ["elsewhere"]
